"""Dates: no text and no day makes reading them fail, and what is found lies where it is said to lie."""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.text.dates import resolve
from secondme.text.entities import entities
from secondme.text.periods import easter, weekday_after, weekday_before
from secondme.text.question import analyse
from tests.fault.soak import n

_PIECES = """last next this past the a few two 12 31 29 30 1999 2023 0000 99 February May march sept 3rd 31st week
weekend month year days years ago back in for since until before after between and to - / . , ' of early mid late end
first second Friday sun summer winter fall Christmas Easter tonight yesterday night q3 Q1 90s nineties the trip ß 日
\ud800 \n 9999999999 half one and a half couple T10:30 W53 : %""".split()

texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=12).map(" ".join))
days = st.dates()


@settings(max_examples=n(400, 20_000), deadline=None)
@given(texts, days, st.booleans(), st.sampled_from(["mdy", "dmy"]), st.one_of(st.none(), st.dates()))
def test_any_text_on_any_day_is_read(text: str, today: date, southern: bool, order: str, anchor: date | None) -> None:
    found = resolve(text, today, lambda name: anchor, southern=southern, order="dmy" if order == "dmy" else "mdy")
    size = len(text.encode("utf-8", "surrogatepass"))
    ends = [0, *(edge for w in found for edge in (w.byte_start, w.byte_end)), size]
    assert ends == sorted(ends)
    assert all(w.byte_start < w.byte_end for w in found)
    for when in found:
        first, last = when.bounds()
        assert when.start <= when.end
        assert first <= last or when.start in (date.min, date.max)
        assert 0 < when.certainty <= 1


@settings(max_examples=n(300, 10_000), deadline=None)
@given(st.dates(min_value=date(1500, 1, 1), max_value=date(2199, 12, 31)), days)
def test_a_date_written_out_is_that_date(day: date, today: date) -> None:
    spellings = (
        f"{day.day} {day:%B} {day.year}",
        f"{day:%B} {day.day}, {day.year}",
        day.isoformat(),
        f"{day.day:02}.{day.month:02}.{day.year}",
        f"the {day.day}th of {day:%b}, {day.year}",
    )
    for spelling in spellings:
        (when,) = resolve(spelling, today)
        assert (when.start, when.end, when.certainty) == (day, day, 1.0)


@settings(max_examples=n(200, 5000), deadline=None)
@given(st.dates(min_value=date(2, 1, 1), max_value=date(9990, 1, 1)), st.integers(1, 300))
def test_days_ago_are_counted(today: date, count: int) -> None:
    (when,) = resolve(f"{count} days ago", today)
    assert when.start == when.end == today - timedelta(days=count)


@settings(max_examples=n(200, 5000), deadline=None)
@given(st.dates(min_value=date(2, 1, 1), max_value=date(9990, 1, 1)), st.integers(0, 6), st.integers(1, 4))
def test_weekdays_are_those_next_to_the_day(day: date, weekday: int, count: int) -> None:
    before, after = weekday_before(day, weekday, count), weekday_after(day, weekday, count)
    assert before.weekday() == after.weekday() == weekday
    assert 7 * (count - 1) < (day - before).days <= 7 * count
    assert 7 * (count - 1) < (after - day).days <= 7 * count


@settings(max_examples=n(200, 5000), deadline=None)
@given(texts, st.lists(st.text(min_size=1, max_size=8), max_size=3))
def test_any_text_is_taken_apart(text: str, known: list[str]) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for entity in entities(text, known):
        assert raw[entity.byte_start : entity.byte_end].decode("utf-8", "surrogatepass") == entity.text
    form = analyse(text, date(2023, 8, 2), known)
    assert form.stripped or not text
    assert all(term == term.lower() for term in form.terms)


def test_easter_falls_on_its_sundays() -> None:
    known = {1818: (3, 22), 1943: (4, 25), 2000: (4, 23), 2008: (3, 23), 2023: (4, 9), 2024: (3, 31), 2038: (4, 25)}
    assert {year: (easter(year).month, easter(year).day) for year in known} == known
    assert all(easter(year).weekday() == 6 for year in range(1583, 2600))


@pytest.mark.parametrize(
    "piece", ["a.", "A1-", "x_", "a@", "/a", "the ", "1/", "on 3 May 2023 ü ", "in a few ", "A'", "A."]
)
def test_long_texts_of_one_piece_take_no_more_than_their_length(piece: str) -> None:
    """Seconds for what takes hours where a pattern looks back over the whole text at every place."""
    text = piece * (40_000 // len(piece))
    started = time.process_time()
    resolve(text, date(2023, 8, 2), lambda name: None)
    entities(text)
    analyse(text, date(2023, 8, 2))
    assert time.process_time() - started < 6
