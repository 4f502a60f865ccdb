"""What the words before a date make of it: a part ("late"), a shift ("the week before"), a side ("since"), a range."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from secondme.text import date_words as w
from secondme.text.date_frame import Frame, Meant, moved, shifted
from secondme.text.periods import (
    Period,
    add_months,
    month_of,
    one_day,
    weekday_after,
    weekday_before,
    weekend_of,
    year_of,
)

_REACH = 48  # characters before a date in which its words are looked for
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "last": -1}

_PART = re.compile(
    r"\b(?:the\s+)?(?:"
    r"(early|mid|middle|late|later|earlier)(?:\s+(?:in\s+)?(?:the\s+)?|\s*-\s*)"
    r"|(start|beginning|middle|end|first\s+half|second\s+half)\s+(?:of|in)\s+(?:the\s+)?"
    r"|(first|second|third|fourth|last|1st|2nd|3rd|4th)\s+" + w.SPAN_WORD + r"\s+(?:of|in)\s+(?:the\s+)?"
    r")$",
    re.IGNORECASE,
)
_SHIFT_WORDS = (
    rf"\b(?:(?:about|around|roughly|just|exactly)\s+)?(?:(?:the\s+)?{w.SPAN_WORD}|{w.NUMBER}\s+{w.UNIT})"
    r"\s+(?:right\s+|just\s+)?(before|prior\s+to|preceding|after|following)\s+"
)
_SHIFT = re.compile(_SHIFT_WORDS + r"(?:the\s+)?$", re.IGNORECASE)
_SIDE = re.compile(
    r"\b(since|until|till|before|after|by|ever\s+since|as\s+of|starting|up\s+to|prior\s+to)\s+"
    r"(?:(?:about|around|the|end\s+of)\s+)*$",
    re.IGNORECASE,
)
_SIDES = {"till": "until", "ever since": "since", "starting": "since", "as of": "by", "up to": "until"}
_VAGUE = re.compile(
    r"\b(?:around|about|circa|approximately|roughly|maybe|probably|perhaps)\s+(?:the\s+)?$", re.IGNORECASE
)
_RANGE = re.compile(r"\s*(?:-|–|—|to|till|until|through|and)\s*(?:the\s+)?", re.IGNORECASE)
_RANGE_START = re.compile(r"\b(between|from)\s+(?:the\s+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A date at characters [start, end) of the text."""

    start: int
    end: int
    meant: Meant


def day_before(day: date) -> date:
    return day if day == date.min else day - timedelta(days=1)


def day_after(day: date) -> date:
    return day if day == date.max else day + timedelta(days=1)


def joined(text: str, found: list[Found], frame: Frame) -> list[Found]:
    """`found` with the words before each taken into account, and the ends of ranges made one."""
    parts = [_with_part(text, f, frame.today) for f in found]
    ranged = _with_ranges(text, parts)
    sided = [_with_side(text, _with_shift(text, f), frame) for f in ranged]
    apart: list[Found] = []
    for item in reversed(sided):  # what a later one has taken in goes
        if not apart or item.end <= apart[-1].start:
            apart.append(item)
    return apart[::-1]


def _before(text: str, found: Found, pattern: re.Pattern[str]) -> re.Match[str] | None:
    return pattern.search(text, max(0, found.start - _REACH), found.start)


def _with_part(text: str, found: Found, today: date) -> Found:
    match = _before(text, found, _PART)
    period = found.meant.period
    if match is None or period.n_days < 2:
        return found
    try:
        made = _part(match, period, today)
    except (ValueError, OverflowError):
        return found
    if made is None:
        return found
    return replace(found, start=match.start(), meant=replace(found.meant, period=made))


def _part(match: re.Match[str], period: Period, today: date) -> Period | None:
    """The third at either end for early and late, the middle third for mid, or the n-th span inside."""
    if match[3]:
        return _nth_inside(_ORDINALS[match[3].lower()], match[4].lower(), period)
    word = " ".join((match[1] or match[2]).lower().split())
    if word in ("earlier", "later") and period.start <= today <= period.end:
        edge = (period.start, today) if word == "earlier" else (today, period.end)
        return Period(*edge, period.grain)
    n_days = period.n_days
    third, half = timedelta(days=max(1, n_days // 3) - 1), timedelta(days=n_days // 2)
    if word in ("early", "earlier", "start", "beginning"):
        return Period(period.start, period.start + third, period.grain)
    if word in ("late", "later", "end"):
        return Period(period.end - third, period.end, period.grain)
    if word == "first half":
        return Period(period.start, period.start + half - timedelta(days=1), period.grain)
    if word == "second half":
        return Period(period.start + half, period.end, period.grain)
    third = timedelta(days=n_days // 3)
    return Period(period.start + third, period.end - third, period.grain)


def _nth_inside(n: int, unit: str, period: Period) -> Period | None:
    last = n < 0
    if unit in ("week", "weekend"):
        day = period.end if last else period.start + timedelta(days=7 * (n - 1))
        if unit == "week":
            first = day - timedelta(days=6) if last else day
            return Period(first, min(period.end, first + timedelta(days=6)), "week")
        saturday = weekday_before(period.end + timedelta(days=1), 5) if last else weekday_after(day_before(day), 5)
        return weekend_of(saturday)
    if unit[:3] in w.WEEKDAYS and unit != "month":
        number = w.weekday_number(unit)
        if last:
            return one_day(weekday_before(day_after(period.end), number))
        return one_day(weekday_after(day_before(period.start), number, n))
    if unit == "month":
        there = period.end if last else add_months(period.start, n - 1)
        return month_of(there.year, there.month)
    if unit == "year":
        return year_of(period.end.year if last else period.start.year + n - 1)
    return one_day(period.end if last else period.start + timedelta(days=n - 1))


def _with_ranges(text: str, found: list[Found]) -> list[Found]:
    """ "Between A and B", "from A to B", "A to B", "A - B" as one; a year told with one end holds for both."""
    result: list[Found] = []
    for right in found:
        left = result[-1] if result else None
        between = text[left.end : right.start] if left else ""
        if left is None or not _RANGE.fullmatch(between):
            result.append(right)
            continue
        start = _before(text, left, _RANGE_START)
        word = between.strip().lower().split(" ")[0]
        if word == "and" and (start is None or start[1].lower() != "between"):
            result.append(right)
            continue
        period = _range(left.meant, right.meant)
        if period is None:
            result.append(right)
            continue
        certainty = min(left.meant.certainty, right.meant.certainty)
        result[-1] = Found(left.start, right.end, Meant(period, certainty))
    return result


def _range(left: Meant, right: Meant) -> Period | None:
    first, last = left.period, right.period
    try:
        if left.yearless and not right.yearless:
            first = _in_year(first, last.end.year)
            if first.start > last.end:
                first = _in_year(first, last.end.year - 1)
        elif right.yearless:
            last = _in_year(last, first.start.year)
            if last.end < first.start:
                last = _in_year(last, first.start.year + 1)
        return Period(first.start, last.end, first.grain)
    except (ValueError, OverflowError):
        return None


def _in_year(period: Period, year: int) -> Period:
    """The same days of another year; a period over the year's end keeps its length."""
    start = period.start.replace(year=year)
    if period.grain == "month":
        return month_of(year, start.month)
    return Period(start, start + (period.end - period.start), period.grain)


def _with_shift(text: str, found: Found) -> Found:
    match = _before(text, found, _SHIFT)
    if match is None:
        return found
    try:
        period = _shifted(match, found.meant.period)
    except (ValueError, OverflowError):
        return found
    certainty = found.meant.certainty * (0.9 if match[2] is None or match[2].isdecimal() else 0.85)
    return replace(found, start=match.start(), meant=Meant(period, certainty))


def _shifted(match: re.Match[str], anchor: Period) -> Period:
    """What lies before or after `anchor` by the words of a match of `_SHIFT`."""
    step = 1 if match[4].lower() in ("after", "following") else -1
    if match[1]:
        return _beside(match[1].lower(), step, anchor)
    count, unit = w.count_of(match[2]), match[3].lower()
    edge = anchor.start if step < 0 else anchor.end
    if unit == anchor.grain != "day" and count.low == count.high:
        return shifted(edge, unit, step * count.low)
    ends = [moved(edge, unit, step * n) for n in (count.low, count.high)]
    slack = {"week": 3, "fortnight": 3, "month": 7, "year": 45, "yr": 45, "decade": 365}.get(unit, 0)
    if unit == "weekend":
        return weekend_of(weekday_before(edge, 5, count.high) if step < 0 else weekday_after(edge, 5, count.high))
    around = timedelta(days=slack)
    return Period(min(ends) - around, max(ends) + around, "day" if slack == 0 else "week" if slack == 3 else "month")


def _beside(unit: str, step: int, anchor: Period) -> Period:
    """The span of that kind that ends right before `anchor`, or begins right after it."""
    edge = anchor.start if step < 0 else anchor.end
    if unit == "weekend":
        return weekend_of(weekday_before(edge, 5) if step < 0 else weekday_after(edge, 5))
    if unit[:3] in w.WEEKDAYS and unit != "month":
        number = w.weekday_number(unit)
        return one_day(weekday_before(edge, number) if step < 0 else weekday_after(edge, number))
    if unit == anchor.grain != "day":
        return shifted(edge, unit, step)
    day = timedelta(days=1)
    if step < 0:
        return Period(moved(edge, unit, -1), edge - day, "week" if unit == "week" else "day")
    return Period(edge + day, moved(edge, unit, 1), "week" if unit == "week" else "day")


def _with_side(text: str, found: Found, frame: Frame) -> Found:
    meant = found.meant
    if match := _before(text, found, _VAGUE):
        return replace(found, meant=replace(meant, certainty=meant.certainty * 0.8))
    match = _before(text, found, _SIDE)
    if match is None:
        return found
    word = " ".join(match[1].lower().split())
    relation = _SIDES.get(word, word)
    if relation == "prior to":
        relation = "before"
    period = meant.period
    if relation == "since" and period.start <= frame.today:
        period = Period(period.start, max(frame.today, period.start), period.grain)
    return replace(found, meant=replace(meant, period=period, relation=relation))


# Dates told by something else -----------------------------------------------------------------------------------

_NAMED = r"((?:(?:the|my|our|his|her|their|your)\s+)?(?:[\w'’-]+\s+){0,4}[\w'’-]+)"
_SHIFT_NAMED = re.compile(_SHIFT_WORDS + _NAMED, re.IGNORECASE)
_SIDE_NAMED = re.compile(
    r"\b(since|until|before|after|by|during|on)\s+((?:the|my|our|his|her|their|your)\s+(?:[\w'’-]+\s+){0,4}[\w'’-]+)",
    re.IGNORECASE,
)


def anchored(text: str, found: list[Found], frame: Frame, anchors: Callable[[str], date | None]) -> list[Found]:
    """`found` with the expressions that tell a date by something that `anchors` knows."""
    taken = list(found)
    for pattern in (_SHIFT_NAMED, _SIDE_NAMED):
        for match in pattern.finditer(text):
            made = _anchored(match, pattern is _SHIFT_NAMED, frame, anchors)
            if made and not any(made.start < f.end and f.start < made.end for f in taken):
                taken.append(made)
    return sorted(taken, key=lambda f: f.start)


def _anchored(match: re.Match[str], shift: bool, frame: Frame, anchors: Callable[[str], date | None]) -> Found | None:
    name = match.group(match.lastindex or 0)
    words = list(re.finditer(r"[\w'’-]+", name))
    for n in range(len(words), 0, -1):
        day = anchors(name[: words[n - 1].end()])
        if day is None:
            continue
        end = match.start(match.lastindex or 0) + words[n - 1].end()
        try:
            meant = _by_anchor(match, shift, one_day(day), frame)
        except (ValueError, OverflowError):
            return None
        return Found(match.start(), end, meant)
    return None


def _by_anchor(match: re.Match[str], shift: bool, anchor: Period, frame: Frame) -> Meant:
    if shift:
        return Meant(_shifted(match, anchor), 0.8)
    relation = match[1].lower()
    if relation == "since" and anchor.start <= frame.today:
        anchor = Period(anchor.start, frame.today, "day")
    return Meant(anchor, 0.8, relation=relation)
