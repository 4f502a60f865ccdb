"""What date expressions are read against, what they come to mean, and the steps from a day that they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from secondme.text import date_words as w
from secondme.text.periods import (
    SEASON_STARTS,
    Period,
    add_months,
    decade_of,
    distance,
    month_of,
    nearest,
    one_day,
    season_of,
    week_of,
    weekday_after,
    weekday_before,
    weekend_of,
    year_of,
)

NumericOrder = Literal["mdy", "dmy"]


@dataclass(frozen=True, slots=True)
class Frame:
    """What an expression is read against: the day it was said, and the conventions of who said it."""

    today: date
    southern: bool
    order: NumericOrder


@dataclass(frozen=True, slots=True)
class Meant:
    """What an expression means. `yearless`: its year was guessed, and a year told nearby goes before the guess.

    `relation` is one that the expression itself says ("for" of "for two years"); `length` is how many characters are
    taken, where not all.
    """

    period: Period
    certainty: float
    yearless: bool = False
    relation: str = ""
    length: int = 0


Maker = Callable[[re.Match[str], Frame], Meant | None]

_LEADING = re.compile(
    r"\b(?:in|on|at|since|until|till|by|during|before|after|from|of|around|about|through|over|between|and|last|early|mid|"
    r"late|for|to|the)[ -]+$",
    re.IGNORECASE,
)


def led_in(match: re.Match[str]) -> bool:
    """Whether a preposition or the like stands before the match."""
    return _LEADING.search(match.string, max(0, match.start() - 12), match.start()) is not None


_PAST = re.compile(
    r"\b(?:was|were|had|did|didn['’]t|went|got|saw|took|made|came|met|left|gave|told|bought|began|started|spent|found"
    r"|[a-z]{2,}ed)\b",
    re.IGNORECASE,
)
_FUTURE = re.compile(
    r"(?:['’]ll|\b(?:will|won['’]t|shall|gonna|going\s+to|plan(?:s|ning)?\s+to|hop(?:e|ing)\s+to|due|want\s+to))\b",
    re.IGNORECASE,
)
_IS = re.compile(
    r"(?:\b(?:is|are|am)|['’](?:s|re|m))(?:\s+(?:now|still|set|scheduled|booked|planned))?\s+(?:(?:on|for)\s+)?$",
    re.IGNORECASE,
)
"""What is on a day is still to come: nobody says so of what is over."""
_CLAUSE = re.compile(r"[.!?;\n]")


def tense(match: re.Match[str]) -> int:
    """-1 where the words before the match, in its sentence, tell of the past, 1 where of the future, else 0."""
    before = _CLAUSE.split(match.string[max(0, match.start() - 60) : match.start()])[-1]
    if _FUTURE.search(before) or _IS.search(before):
        return 1
    return -1 if _PAST.search(before) else 0


def nearest_by_tense(match: re.Match[str], candidates: list[Period], today: date) -> Period:
    """The nearest of `candidates` on the side of `today` that the sentence tells of, if there is one."""
    side = tense(match)
    fitting = [p for p in candidates if side == 0 or (p.start <= today if side < 0 else p.end >= today)]
    return nearest(fitting or candidates, today)


def step_of(word: str) -> int:
    """-1 for "last", 0 for "this", 1 for "next"."""
    word = " ".join(word.lower().split())
    if word in ("last", "past", "previous", "this past", "this last"):
        return -1
    return 1 if word in ("next", "coming", "upcoming", "this coming") else 0


def nearest_year(match: re.Match[str], make: Callable[[int], Period], frame: Frame) -> Period:
    """The period of the years around that lies nearest; only years in which there is one (29 February)."""
    found = []
    for year in range(frame.today.year - 4, frame.today.year + 5):
        try:
            found.append(make(year))
        except (ValueError, OverflowError):
            continue
    if not found:
        raise ValueError("no year has this day")
    return nearest_by_tense(match, found, frame.today)


def stepped(make: Callable[[int], Period], frame: Frame, which: str) -> Period:
    """The last such period that is over (or began, for "this past"), the one of now, or the first to come."""
    step, today = step_of(which), frame.today
    years = [make(y) for y in range(max(1, today.year - 2), min(9997, today.year + 2) + 1)]
    if step < 0:
        begun = which.lower().startswith("this")
        return [p for p in years if (p.start if begun else p.end) < today][-1]
    if step > 0:
        to_come = [p for p in years if p.start > today]
        return to_come[0]
    same = [p for p in years if p.start.year == today.year or p.start <= today <= p.end]
    return min(same, key=lambda p: distance(p, today))


def nth_season(name: str, n: int, frame: Frame) -> Period:
    """The `-n`-th last season of that name that is over, or the `n`-th to come."""
    years = range(frame.today.year - abs(n) - 2, frame.today.year + abs(n) + 3)
    seasons = [season_of(name, y, southern=frame.southern) for y in years]
    if n < 0:
        return [p for p in seasons if p.end < frame.today][n]
    return [p for p in seasons if p.start > frame.today][n - 1]


def shifted(day: date, unit: str, n: int) -> Period:
    """The week, weekend, month, year, season or weekday that lies `n` of its kind from that of `day`."""
    if unit in ("week", "fortnight"):
        return week_of(day + timedelta(days=(14 if unit == "fortnight" else 7) * n))
    if unit == "weekend":
        return weekend_of(day + timedelta(days=7 * n))
    if unit == "month":
        there = add_months(day, n)
        return month_of(there.year, there.month)
    if unit in ("year", "yr"):
        return year_of(day.year + n)
    if unit == "decade":
        return decade_of(day.year // 10 * 10 + 10 * n)
    if unit[:3] in w.WEEKDAYS:
        number = w.weekday_number(unit)
        return one_day(weekday_before(day, number, -n) if n < 0 else weekday_after(day, number, max(1, n)))
    return one_day(day + timedelta(days=n if unit in ("day", "night") else 0))


def moved(day: date, unit: str, n: int) -> date:
    """`day` moved by `n` units, hours and minutes being less than a day."""
    days = {"day": 1, "night": 1, "week": 7, "weekend": 7, "fortnight": 14}
    if unit in days or (unit[:3] in w.WEEKDAYS and unit != "month"):
        return day + timedelta(days=days.get(unit, 7) * n)
    months = {"month": 1, "year": 12, "yr": 12, "decade": 120}.get(unit, 12 if unit in SEASON_STARTS else 0)
    return add_months(day, months * n)


def window(unit: str, n: int, step: int, today: date) -> Period:
    """The last or next `n` units, up to today or from it."""
    edge = moved(today, unit, step * n)
    period = Period(min(edge, today), max(edge, today), "day")
    return Period(period.start, period.end, "day" if unit in ("day", "night", "hour", "minute") else _grain_of(unit))


def _grain_of(unit: str) -> Literal["week", "month", "year", "decade"]:
    if unit in ("month", "spring", "summer", "autumn", "fall", "winter"):
        return "month"
    if unit in ("year", "yr"):
        return "year"
    return "decade" if unit == "decade" else "week"
