"""Readers of dates told from the day they were said: yesterday, last week, two months ago, for three years.

The same holds as for `date_absolute`.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

from secondme.text import date_words as w
from secondme.text.date_frame import (
    Frame,
    Meant,
    led_in,
    moved,
    nearest_by_tense,
    nth_season,
    shifted,
    step_of,
    tense,
    window,
)
from secondme.text.periods import (
    SEASON_STARTS,
    Period,
    add_months,
    one_day,
    weekday_after,
    weekday_before,
    weekend_of,
)

_DEICTIC = {
    "the day before yesterday": (-2, -2),
    "the day after tomorrow": (2, 2),
    "yesterday": (-1, -1),
    "today": (0, 0),
    "tonight": (0, 0),
    "tomorrow": (1, 1),
    "last night": (-1, -1),
    "last evening": (-1, -1),
    "the other day": (-10, -2),
    "the other night": (-10, -2),
    "the other week": (-28, -7),
}


def read_deictic(match: re.Match[str], frame: Frame) -> Meant:
    first, last = _DEICTIC.get(" ".join(match[1].lower().split()), (0, 0))
    day = timedelta(days=1)
    period = Period(frame.today + first * day, frame.today + last * day, "day")
    return Meant(period, 1.0 if first == last else 0.4)


def read_unit(match: re.Match[str], frame: Frame) -> Meant | None:
    article, which, unit = match.group(1, 2, 3)
    unit, step = unit.lower(), step_of(which)
    if article and step and unit in ("week", "month", "year", "decade"):
        return Meant(window(unit, 1, step, frame.today), 0.8)
    if unit[:3] in w.WEEKDAYS and unit != "month":
        if unit in ("sat", "sun", "mon", "wed") and match[3].islower():
            return None
        if step == 0 and tense(match) < 0:
            return Meant(one_day(weekday_before(frame.today + timedelta(days=1), w.weekday_number(unit))), 0.7)
        return Meant(one_day(_weekday_of(which, unit, frame.today)), 0.9 if step < 0 else 0.7)
    if unit == "weekend" and step == 0 and weekend_of(frame.today).start > frame.today and tense(match) < 0:
        step = -1
    return Meant(shifted(frame.today, unit, step), 0.95 if unit != "weekend" or step < 0 else 0.8)


def _weekday_of(which: str, name: str, today: date) -> date:
    number, step = w.weekday_number(name), step_of(which)
    if step < 0:
        return weekday_before(today, number)
    if step > 0:
        return weekday_after(today, number)
    return weekday_after(today - timedelta(days=1), number)


def read_before_last(match: re.Match[str], frame: Frame) -> Meant:
    unit, last = match[1].lower(), match[2].lower().startswith("before")
    n = -2 if last else 2
    if unit in SEASON_STARTS:
        return Meant(nth_season(unit, n, frame), 0.9)
    return Meant(shifted(frame.today, "day" if unit == "night" else unit, n), 0.9)


def read_ago(match: re.Match[str], frame: Frame) -> Meant:
    number, half, unit, unit_half, way = match.group(1, 2, 3, 4, 5)
    back = way.lower() in ("ago", "back")
    if number is None:
        return Meant(_between(w.Count(2, 10), unit.lower(), -1 if back else 1, frame), 0.3)
    count = w.count_of(number)
    if count.half or half or unit_half:
        return Meant(_half(count, unit.lower(), -1 if back else 1, frame.today), 0.7)
    certainty = 0.9 if count.low == count.high else 0.6
    return Meant(_between(count, unit.lower(), -1 if back else 1, frame), certainty)


def read_ahead(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(_between(w.count_of(match[1]), match[2].lower(), 1, frame), 0.8 if match[3] else 0.5)


def _between(count: w.Count, unit: str, step: int, frame: Frame) -> Period:
    """Days from `low` to `high` units away, with as much around them as the unit leaves open."""
    near, far = sorted((step * count.low, step * count.high), key=abs)
    if unit in SEASON_STARTS:
        ends = [nth_season(unit, n, frame) for n in (near, far)]
    elif unit in ("week", "fortnight"):
        ends = [_around(moved(frame.today, unit, n)) for n in (near, far)]
    elif unit in ("minute", "min", "hour", "hr"):
        ends = [one_day(frame.today)]
    else:
        ends = [shifted(frame.today, unit, n) for n in (near, far)]
    return Period(min(p.start for p in ends), max(p.end for p in ends), ends[0].grain)


def _around(day: date) -> Period:
    """The seven days with `day` in their middle: "two weeks ago" is seldom meant to the day."""
    return Period(day - timedelta(days=3), day + timedelta(days=3), "week")


def _half(count: w.Count, unit: str, step: int, today: date) -> Period:
    """Half a unit, or so many and a half."""
    smaller = {
        "year": ("month", 6),
        "yr": ("month", 6),
        "decade": ("year", 5),
        "month": ("day", 15),
        "week": ("day", 3),
    }
    name, n = smaller.get(unit, ("day", 0))
    there = moved(today, name, step * n)
    if not count.half:
        there = moved(there, unit, step * count.low)
    if name == "day":
        return Period(there - timedelta(days=2), there + timedelta(days=2), "week")
    return shifted(there, name, 0)


def read_recent(match: re.Match[str], frame: Frame) -> Meant:
    count, unit = w.count_of(match[2]), match[3].lower()
    return Meant(window(unit, count.high, step_of(match[1]), frame.today), 0.8)


def read_lasting(match: re.Match[str], frame: Frame) -> Meant | None:
    count, unit = w.count_of(match[1]), match[3].lower()
    if unit in SEASON_STARTS or (unit.endswith("day") and unit != "day"):  # "for a summer job"
        return None
    period = window(unit, count.high, -1, frame.today)
    if match[2]:
        period = Period(_half(w.Count(count.low, count.high), unit, -1, frame.today).start, frame.today, period.grain)
    return Meant(period, 0.6, relation="for")


_RECURRING = re.compile(r"\b(?:every|each|most|some|all|usually)\s+(?:\w+\s+)?$", re.IGNORECASE)


def read_weekday(match: re.Match[str], frame: Frame) -> Meant | None:
    name, which, tail = match[1], match[2], match.string[match.end() : match.end() + 1]
    if tail == "s" or _RECURRING.search(match.string, max(0, match.start() - 24), match.start()):
        return None
    if len(name) < 6 and not (name[0].isupper() and led_in(match)):
        return None
    number = w.weekday_number(name)
    if which:
        week = shifted(frame.today, "week", step_of(which))
        return Meant(one_day(week.start + timedelta(days=number)), 0.9)
    options = [weekday_before(frame.today + timedelta(days=1), number), weekday_after(frame.today, number)]
    return Meant(nearest_by_tense(match, [one_day(d) for d in options], frame.today), 0.7)


def read_day_of_month(match: re.Match[str], frame: Frame) -> Meant | None:
    if not led_in(match):
        return None
    day, which = int(match[1]), match[2]
    found: list[Period] = []
    for n in (step_of(which),) if which else range(-2, 3):
        there = add_months(frame.today, n)
        try:
            found.append(one_day(date(there.year, there.month, day)))
        except ValueError:
            continue
    return Meant(nearest_by_tense(match, found, frame.today), 0.9 if which else 0.5, yearless=True) if found else None
