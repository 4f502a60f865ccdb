"""Readers of dates that name their day, month, season or year, told in full or by the nearest that fits.

Each takes a match of its form (`date_forms`). None is for what only looks like a date; ValueError and OverflowError are
let through for what no calendar has.
"""

from __future__ import annotations

import re
from datetime import date

from secondme.text import date_words as w
from secondme.text.date_frame import (
    Frame,
    Meant,
    led_in,
    nearest_year,
    step_of,
    stepped,
)
from secondme.text.periods import (
    Period,
    decade_of,
    easter,
    month_of,
    one_day,
    quarter_of,
    season_of,
    thanksgiving,
    week_of,
    year_of,
)


def read_iso(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(one_day(date(int(match[1]), int(match[2]), int(match[3]))), 1.0)


def read_iso_week(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(week_of(date.fromisocalendar(int(match[1]), int(match[2]), 1)), 1.0)


def read_iso_month(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(month_of(int(match[1]), int(match[2])), 0.9)


def read_numeric(match: re.Match[str], frame: Frame) -> Meant | None:
    first, second, separator = int(match[1]), int(match[3]), match[2]
    if separator != "/" and len(match[4]) == 2:
        return None
    year = w.year_of_word(match[4], frame.today.year + 10)
    day_first = separator == "." or first > 12 or (frame.order == "dmy" and second <= 12)
    day, month = (first, second) if day_first else (second, first)
    told = first == second or max(first, second) > 12 or separator == "."
    return Meant(one_day(date(year, month, day)), 1.0 if told else 0.7)


def read_day_month(match: re.Match[str], frame: Frame) -> Meant | None:
    first, last, month, year, relative_year = match.group(1, 2, 3, 4, 5)
    if not year and _is_verb(match, month) and not match[0][len(first) :][:2].isalpha():
        return None
    return _days(
        match, frame, w.month_number(month), (int(first), int(last or first)), _year_told(year, relative_year, frame)
    )


def read_month_day(match: re.Match[str], frame: Frame) -> Meant | None:
    month, first, joined, last, year, relative_year = match.group(1, 2, 3, 4, 5, 6)
    if not year and _is_verb(match, month):
        return None
    told = _year_told(year, relative_year, frame)
    if last and joined == "and" and not _BETWEEN.search(match.string, max(0, match.start() - 12), match.start()):
        days = (int(first), int(first))
        meant = _days(match, frame, w.month_number(month), days, None)
        return Meant(meant.period, meant.certainty, True, length=match.end(2) - match.start())
    return _days(match, frame, w.month_number(month), (int(first), int(last or first)), told)


_BETWEEN = re.compile(r"\bbetween\s+$", re.IGNORECASE)


def _days(match: re.Match[str], frame: Frame, month: int, days: tuple[int, int], year: int | None) -> Meant:
    def made(in_year: int) -> Period:
        return Period(date(in_year, month, days[0]), date(in_year, month, days[1]), "day")

    if year is not None:
        return Meant(made(year), 1.0)
    return Meant(nearest_year(match, made, frame), 0.8, yearless=True)


def _year_told(year: str | None, relative: str | None, frame: Frame) -> int | None:
    if year:
        return w.year_of_word(year, frame.today.year)
    if relative:
        return frame.today.year + step_of(relative)
    return None


def _is_verb(match: re.Match[str], word: str) -> bool:
    """Whether "may" or "march" is more likely no month here."""
    return word in ("may", "march", "mar") and not led_in(match)


def read_month(match: re.Match[str], frame: Frame) -> Meant | None:
    which, name, year, relative_year = match.group(1, 2, 3, 4)
    number = w.month_number(name)
    told = _year_told(year, relative_year, frame)
    if told is not None:
        return Meant(month_of(told, number), 1.0 if year else 0.9)
    if which:
        return Meant(stepped(lambda y: month_of(y, number), frame, which), 0.85)
    full = name[:1].isupper() and len(name) > 3
    if name.lower() in ("may", "march") or not full:
        if not led_in(match):
            return None
    elif match.start() == 0 and not led_in(match):
        full = False
    certainty = 0.7 if led_in(match) else 0.5 if full else 0.3
    return Meant(nearest_year(match, lambda y: month_of(y, number), frame), certainty, yearless=True)


def read_season(match: re.Match[str], frame: Frame) -> Meant | None:
    which, article, name, year, relative_year = match.group(1, 2, 3, 4, 5)
    name = name.lower()

    def make(in_year: int) -> Period:
        return season_of(name, in_year, southern=frame.southern)

    told = _year_told(year, relative_year, frame)
    if told is not None:
        return Meant(make(told), 0.95 if year else 0.85)
    if which:
        return Meant(stepped(make, frame, which), 0.85)
    if not led_in(match) or (name in ("spring", "fall") and not article and match[0][0].islower()):
        return None
    return Meant(nearest_year(match, make, frame), 0.5, yearless=True)


def read_quarter(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(quarter_of(int(match[2]), int(match[1])), 1.0)


def read_holiday(match: re.Match[str], frame: Frame) -> Meant | None:
    which, name, year, relative_year = match.group(1, 2, 3, 4)
    name = re.sub(r"\s+", " ", name.lower().replace("’", "'").replace(".", ""))
    name = next((n for n in (*w.HOLIDAYS, *w.MOVABLE) if n.replace("'", "") == name.replace("'", "")), name)

    def make(in_year: int) -> Period:
        if name in w.MOVABLE:
            return one_day(easter(in_year) if name == "easter" else thanksgiving(in_year))
        return one_day(date(in_year, *w.HOLIDAYS[name]))

    told = _year_told(year, relative_year, frame)
    if told is not None:
        return Meant(make(told), 0.95)
    if which:
        return Meant(stepped(make, frame, which), 0.85)
    return Meant(nearest_year(match, make, frame), 0.6, yearless=True)


def read_year(match: re.Match[str], frame: Frame) -> Meant | None:
    place = max(0, match.start() - 24), match.start()
    if _NO_YEAR.search(match.string, *place):
        return None
    if led_in(match):
        return Meant(year_of(int(match[0])), 0.95)
    return Meant(year_of(int(match[0])), 0.3 if _TITLE.search(match.string, *place) else 0.6)


_NO_YEAR = re.compile(r"(?:[$€£#@/.:_&=+]|\d,|(?<!\bmid)(?<!\d{4})-)\s?$")

_TITLE = re.compile(r"\b[A-Z]\w+\s$")  # "Blade Runner 2049"


def read_decade(match: re.Match[str], frame: Frame) -> Meant:
    full, short, word = match.group(1, 2, 3)
    if full:
        return Meant(decade_of(int(full)), 1.0)
    tens = int(short) if short else w.TENS[word.lower()]
    year = frame.today.year - frame.today.year % 100 + tens
    return Meant(decade_of(year if year <= frame.today.year else year - 100), 0.8)
