"""The forms a date expression can have, each a pattern with a function that reckons what it means.

Each form names the words it can begin with, so that most of a text costs one look into a table. A function returns None
for what only looks like a date ("you may 5 times"), and lets ValueError and OverflowError through for what no calendar
has (31 February), which `dates.resolve` takes as no date.
"""

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
    easter,
    month_of,
    nearest,
    one_day,
    quarter_of,
    season_of,
    thanksgiving,
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
_RECURRING = re.compile(r"\b(?:every|each|most|some|all|usually)\s+(?:\w+\s+)?$", re.IGNORECASE)


def led_in(match: re.Match[str]) -> bool:
    """Whether a preposition or the like stands before the match."""
    return _LEADING.search(match.string, max(0, match.start() - 12), match.start()) is not None


def _is_verb(match: re.Match[str], word: str) -> bool:
    """Whether "may" or "march" is more likely no month here."""
    return word in ("may", "march", "mar") and not led_in(match)


# Absolute dates -------------------------------------------------------------------------------------------------


def _iso(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(one_day(date(int(match[1]), int(match[2]), int(match[3]))), 1.0)


def _iso_week(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(week_of(date.fromisocalendar(int(match[1]), int(match[2]), 1)), 1.0)


def _iso_month(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(month_of(int(match[1]), int(match[2])), 0.9)


def _numeric(match: re.Match[str], frame: Frame) -> Meant | None:
    first, second, separator = int(match[1]), int(match[3]), match[2]
    if separator != "/" and len(match[4]) == 2:
        return None
    year = w.year_of_word(match[4], frame.today.year + 10)
    day_first = separator == "." or first > 12 or (frame.order == "dmy" and second <= 12)
    day, month = (first, second) if day_first else (second, first)
    told = first == second or max(first, second) > 12 or separator == "."
    return Meant(one_day(date(year, month, day)), 1.0 if told else 0.7)


def _day_month(match: re.Match[str], frame: Frame) -> Meant | None:
    first, last, month, year, relative_year = match.group(1, 2, 3, 4, 5)
    if not year and _is_verb(match, month) and not match[0][len(first) :][:2].isalpha():
        return None
    return _days(frame, w.month_number(month), (int(first), int(last or first)), _year_told(year, relative_year, frame))


def _month_day(match: re.Match[str], frame: Frame) -> Meant | None:
    month, first, joined, last, year, relative_year = match.group(1, 2, 3, 4, 5, 6)
    if not year and _is_verb(match, month):
        return None
    told = _year_told(year, relative_year, frame)
    if last and joined == "and" and not _BETWEEN.search(match.string, max(0, match.start() - 12), match.start()):
        days = (int(first), int(first))
        meant = _days(frame, w.month_number(month), days, None)
        return Meant(meant.period, meant.certainty, True, length=match.end(2) - match.start())
    return _days(frame, w.month_number(month), (int(first), int(last or first)), told)


_BETWEEN = re.compile(r"\bbetween\s+$", re.IGNORECASE)


def _days(frame: Frame, month: int, days: tuple[int, int], year: int | None) -> Meant:
    def made(in_year: int) -> Period:
        return Period(date(in_year, month, days[0]), date(in_year, month, days[1]), "day")

    if year is not None:
        return Meant(made(year), 1.0)
    return Meant(_nearest_year(made, frame), 0.8, yearless=True)


def _year_told(year: str | None, relative: str | None, frame: Frame) -> int | None:
    if year:
        return w.year_of_word(year, frame.today.year)
    if relative:
        return frame.today.year + _step(relative)
    return None


def _nearest_year(make: Callable[[int], Period], frame: Frame) -> Period:
    """The period of last year, this or next that lies nearest; only years in which there is one (29 February)."""
    found = []
    for year in range(frame.today.year - 4, frame.today.year + 5):
        try:
            found.append(make(year))
        except (ValueError, OverflowError):
            continue
    if not found:
        raise ValueError("no year has this day")
    return nearest(found, frame.today)


def _step(word: str) -> int:
    """-1 for "last", 0 for "this", 1 for "next"."""
    word = " ".join(word.lower().split())
    if word in ("last", "past", "previous", "this past", "this last"):
        return -1
    return 1 if word in ("next", "coming", "upcoming", "this coming") else 0


def _month(match: re.Match[str], frame: Frame) -> Meant | None:
    which, name, year, relative_year = match.group(1, 2, 3, 4)
    number = w.month_number(name)
    told = _year_told(year, relative_year, frame)
    if told is not None:
        return Meant(month_of(told, number), 1.0 if year else 0.9)
    if which:
        return Meant(_stepped(lambda y: month_of(y, number), frame, which), 0.85)
    full = name[:1].isupper() and len(name) > 3
    if name.lower() in ("may", "march") or not full:
        if not led_in(match):
            return None
    elif match.start() == 0 and not led_in(match):
        full = False
    certainty = 0.7 if led_in(match) else 0.5 if full else 0.3
    return Meant(_nearest_year(lambda y: month_of(y, number), frame), certainty, yearless=True)


def _stepped(make: Callable[[int], Period], frame: Frame, which: str) -> Period:
    """The last such period that is over (or began, for "this past"), the one of now, or the first to come."""
    step, today = _step(which), frame.today
    years = [make(y) for y in range(max(1, today.year - 2), min(9997, today.year + 2) + 1)]
    if step < 0:
        begun = which.lower().startswith("this")
        return [p for p in years if (p.start if begun else p.end) < today][-1]
    if step > 0:
        return next(p for p in years if p.start > today)
    same = [p for p in years if p.start.year == today.year or p.start <= today <= p.end]
    return min(same, key=lambda p: distance(p, today))


def _season(match: re.Match[str], frame: Frame) -> Meant | None:
    which, article, name, year, relative_year = match.group(1, 2, 3, 4, 5)
    name = name.lower()

    def make(in_year: int) -> Period:
        return season_of(name, in_year, southern=frame.southern)

    told = _year_told(year, relative_year, frame)
    if told is not None:
        return Meant(make(told), 0.95 if year else 0.85)
    if which:
        return Meant(_stepped(make, frame, which), 0.85)
    if not led_in(match) or (name in ("spring", "fall") and not article and match[0][0].islower()):
        return None
    return Meant(_nearest_year(make, frame), 0.5, yearless=True)


def _quarter(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(quarter_of(int(match[2]), int(match[1])), 1.0)


def _holiday(match: re.Match[str], frame: Frame) -> Meant | None:
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
        return Meant(_stepped(make, frame, which), 0.85)
    return Meant(_nearest_year(make, frame), 0.6, yearless=True)


def _year(match: re.Match[str], frame: Frame) -> Meant | None:
    before = match.string[max(0, match.start() - 2) : match.start()]
    if before[-1:] in tuple("$€£#@/.,:-_&=+") or (before[-1:].isspace() and before[:1] in tuple("$€£#")):
        return None
    if led_in(match):
        return Meant(year_of(int(match[0])), 0.95)
    return Meant(year_of(int(match[0])), 0.3 if _TITLE.search(match.string[: match.start()]) else 0.6)


_TITLE = re.compile(r"\b[A-Z]\w+\s$")  # "Blade Runner 2049"


def _decade(match: re.Match[str], frame: Frame) -> Meant:
    full, short, word = match.group(1, 2, 3)
    if full:
        return Meant(decade_of(int(full)), 1.0)
    tens = int(short) if short else w.TENS[word.lower()]
    year = frame.today.year - frame.today.year % 100 + tens
    return Meant(decade_of(year if year <= frame.today.year else year - 100), 0.8)


# Relative to the day it was said --------------------------------------------------------------------------------

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


def _deictic(match: re.Match[str], frame: Frame) -> Meant:
    first, last = _DEICTIC.get(" ".join(match[1].lower().split()), (0, 0))
    day = timedelta(days=1)
    period = Period(frame.today + first * day, frame.today + last * day, "day")
    return Meant(period, 1.0 if first == last else 0.4)


def _unit(match: re.Match[str], frame: Frame) -> Meant | None:
    article, which, unit = match.group(1, 2, 3)
    unit, step = unit.lower(), _step(which)
    if article and step and unit in ("week", "month", "year", "decade"):
        return Meant(_window(unit, 1, step, frame.today), 0.8)
    if unit[:3] in w.WEEKDAYS and unit != "month":
        if unit in ("sat", "sun", "mon", "wed") and match[3].islower():
            return None
        return Meant(one_day(_weekday_of(which, unit, frame.today)), 0.9 if step < 0 else 0.7)
    return Meant(shifted(frame.today, unit, step), 0.95 if unit != "weekend" or step < 0 else 0.8)


def _weekday_of(which: str, name: str, today: date) -> date:
    number, step = w.weekday_number(name), _step(which)
    if step < 0:
        return weekday_before(today, number)
    if step > 0:
        return weekday_after(today, number)
    return weekday_after(today - timedelta(days=1), number)


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


def _window(unit: str, n: int, step: int, today: date) -> Period:
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


def moved(day: date, unit: str, n: int) -> date:
    """`day` moved by `n` units, hours and minutes being less than a day."""
    days = {"day": 1, "night": 1, "week": 7, "weekend": 7, "fortnight": 14}
    if unit in days or (unit[:3] in w.WEEKDAYS and unit != "month"):
        return day + timedelta(days=days.get(unit, 7) * n)
    months = {"month": 1, "year": 12, "yr": 12, "decade": 120}.get(unit, 12 if unit in SEASON_STARTS else 0)
    return add_months(day, months * n)


def _before_last(match: re.Match[str], frame: Frame) -> Meant:
    unit, last = match[1].lower(), match[2].lower().startswith("before")
    n = -2 if last else 2
    if unit in SEASON_STARTS:
        return Meant(_nth_season(unit, n, frame), 0.9)
    return Meant(shifted(frame.today, "day" if unit == "night" else unit, n), 0.9)


def _nth_season(name: str, n: int, frame: Frame) -> Period:
    """The `-n`-th last season of that name that is over, or the `n`-th to come."""
    years = range(frame.today.year - abs(n) - 2, frame.today.year + abs(n) + 3)
    seasons = [season_of(name, y, southern=frame.southern) for y in years]
    if n < 0:
        return [p for p in seasons if p.end < frame.today][n]
    return [p for p in seasons if p.start > frame.today][n - 1]


def _ago(match: re.Match[str], frame: Frame) -> Meant:
    number, half, unit, unit_half, way = match.group(1, 2, 3, 4, 5)
    back = way.lower() in ("ago", "back")
    if number is None:
        return Meant(_between(w.Count(2, 10), unit.lower(), -1 if back else 1, frame), 0.3)
    count = w.count_of(number)
    if count.half or half or unit_half:
        return Meant(_half(count, unit.lower(), -1 if back else 1, frame.today), 0.7)
    certainty = 0.9 if count.low == count.high else 0.6
    return Meant(_between(count, unit.lower(), -1 if back else 1, frame), certainty)


def _ahead(match: re.Match[str], frame: Frame) -> Meant:
    return Meant(_between(w.count_of(match[1]), match[2].lower(), 1, frame), 0.8 if match[3] else 0.5)


def _between(count: w.Count, unit: str, step: int, frame: Frame) -> Period:
    """Days from `low` to `high` units away, with as much around them as the unit leaves open."""
    near, far = sorted((step * count.low, step * count.high), key=abs)
    if unit in SEASON_STARTS:
        ends = [_nth_season(unit, n, frame) for n in (near, far)]
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


def _recent(match: re.Match[str], frame: Frame) -> Meant:
    count, unit = w.count_of(match[2]), match[3].lower()
    return Meant(_window(unit, count.high, _step(match[1]), frame.today), 0.8)


def _lasting(match: re.Match[str], frame: Frame) -> Meant:
    count, unit = w.count_of(match[1]), match[3].lower()
    period = _window(unit, count.high, -1, frame.today)
    if match[2]:
        period = Period(_half(w.Count(count.low, count.high), unit, -1, frame.today).start, frame.today, period.grain)
    return Meant(period, 0.6, relation="for")


def _weekday(match: re.Match[str], frame: Frame) -> Meant | None:
    name, which, tail = match[1], match[2], match.string[match.end() : match.end() + 1]
    if tail == "s" or _RECURRING.search(match.string, max(0, match.start() - 24), match.start()):
        return None
    if len(name) < 6 and not (name[0].isupper() and led_in(match)):
        return None
    number = w.weekday_number(name)
    if which:
        week = shifted(frame.today, "week", _step(which))
        return Meant(one_day(week.start + timedelta(days=number)), 0.9)
    options = [weekday_before(frame.today + timedelta(days=1), number), weekday_after(frame.today, number)]
    return Meant(nearest([one_day(d) for d in options], frame.today), 0.7)


def _day_of_month(match: re.Match[str], frame: Frame) -> Meant | None:
    if not led_in(match):
        return None
    day, which = int(match[1]), match[2]
    found: list[Period] = []
    for n in (_step(which),) if which else range(-2, 3):
        there = add_months(frame.today, n)
        try:
            found.append(one_day(date(there.year, there.month, day)))
        except ValueError:
            continue
    return Meant(nearest(found, frame.today), 0.9 if which else 0.5, yearless=True) if found else None


_OF_YEAR = rf"(?:,?\s+(?:of\s+)?(?:{w.YEAR}|{w.WHICH}\s+year\b))?"
_NAMED = rf"(?:{w.DAY_NAME},?\s+(?:the\s+)?)?"
_NOT_CLOCK = r"(?![\d:%])(?!\s*[ap]\.?m\b)"
_ABOUT = r"(?:(?:about|around|roughly|almost|nearly|over|exactly|just|like|maybe|only)\s+)?"
_AND_A_HALF = r"(\s+and\s+a\s+half)?"
_MEASURES = "kg|km|kms|miles|steps|dollars|euros|pounds|bucks|people|words|points|calories|pages|times|feet|metres"
_JOINT = r"-|–|to|through|and|&"
_SPANS = w.SPAN_WORD[1:-1]

Form = tuple[frozenset[str], str, Maker]

FORMS: tuple[Form, ...] = (
    (w.DIGITS, r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)(?:T\d\d:?\d\d[\d:.]*Z?)?", _iso),
    (w.DIGITS, r"(\d{4})-?W(\d\d)\b", _iso_week),
    (w.DIGITS, r"((?:19|20)\d\d)-(0[1-9]|1[0-2])(?![-\d])", _iso_month),
    (w.DIGITS, r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?![\d/]|\.\d)", _numeric),
    (
        w.DIGITS | w.WEEKDAY_WORDS,
        rf"{_NAMED}{w.DAY}(?:\s*(?:{_JOINT})\s*{w.DAY})?\s*(?:of\s+)?{w.MONTH}{_OF_YEAR}",
        _day_month,
    ),
    (
        w.MONTH_WORDS | w.WEEKDAY_WORDS,
        rf"{_NAMED}{w.MONTH}\s+(?:the\s+)?{w.DAY}{_NOT_CLOCK}(?:\s*({_JOINT})\s*{w.DAY}{_NOT_CLOCK})?{_OF_YEAR}",
        _month_day,
    ),
    (w.MONTH_WORDS | w.WHICH_WORDS, rf"(?:{w.WHICH}\s+)?{w.MONTH}{_OF_YEAR}", _month),
    (w.SEASON_WORDS | w.WHICH_WORDS | {"the"}, rf"(?:{w.WHICH}\s+|(the)\s+)?{w.SEASON}\b{_OF_YEAR}", _season),
    (frozenset({"q"}), r"Q([1-4])(?:\s+(?:of\s+)?|[-/])((?:19|20)\d\d)(?!\d)", _quarter),
    (w.HOLIDAY_WORDS | w.WHICH_WORDS, rf"(?:{w.WHICH}\s+)?{w.HOLIDAY}{_OF_YEAR}", _holiday),
    (
        frozenset({"the", "yesterday", "today", "tonight", "tomorrow", "last", "this"}),
        r"(the\s+day\s+before\s+yesterday|the\s+day\s+after\s+tomorrow|yesterday|today|tonight|tomorrow|last\s+night"
        r"|last\s+evening|this\s+(?:morning|afternoon|evening)|the\s+other\s+(?:day|night|week))\b" + w.PART_OF_DAY,
        _deictic,
    ),
    (
        frozenset({"the"}),
        rf"the\s+({_SPANS}|spring|summer|autumn|fall|winter)\s+(before\s+last|after\s+next)\b",
        _before_last,
    ),
    (
        w.WHICH_WORDS | {"the", "these"},
        rf"(?:(?:the|these|this)\s+)?(last|past|previous|next|coming)\s+{w.NUMBER}\s+{w.UNIT}",
        _recent,
    ),
    (
        w.WHICH_WORDS | {"the"},
        rf"(?:(the)\s+)?{w.WHICH}\s+(week|weekend|fortnight|month|year|decade|{w.WEEKDAY[1:-3]})\b(?!s)"
        + w.PART_OF_DAY,
        _unit,
    ),
    (
        w.DIGITS | w.NUMBER_WORDS | w.UNIT_WORDS,
        rf"(?:{w.NUMBER}{_AND_A_HALF}\s+)?{w.UNIT}{_AND_A_HALF}\s+"
        r"(ago|back(?!\s+(?:to|in|at|from|with|home))|from\s+now)\b",
        _ago,
    ),
    (
        frozenset({"for"}),
        rf"for\s+{_ABOUT}(?:the\s+(?:last|past)\s+)?{w.NUMBER}{_AND_A_HALF}\s+{w.UNIT}(?!\s+(?:ago|back)\b)",
        _lasting,
    ),
    (frozenset({"in", "within"}), rf"(?:with)?in\s+{_ABOUT}{w.NUMBER}\s+{w.UNIT}(['’]?\s+time\b)?", _ahead),
    (
        w.DIGITS | {"the"},
        r"(?:the\s+)?((?:1[5-9]|20)\d0)['’]?s\b|the\s+(?:early\s+|mid-?\s*|late\s+)?['’]?([1-9]0)['’]?s\b"
        rf"|the\s+({'|'.join(list(w.TENS)[1:])})\b",
        _decade,
    ),
    (w.WEEKDAY_WORDS, rf"{w.WEEKDAY}(?:,?\s+(?:of\s+)?{w.WHICH}\s+week\b)?" + w.PART_OF_DAY, _weekday),
    (
        frozenset({"the"}),
        rf"the\s+(\d{{1,2}})(?:st|nd|rd|th)\b(?:\s+of\s+{w.WHICH}\s+month)?(?=\s*(?:[.,;:!?)]|$|\b(?:and|at|I|we|to)\b))",
        _day_of_month,
    ),
    (w.DIGITS, rf"(?:1[5-9]|20|21)\d\d(?![\d%°]|['’]?s\b|[-/.,:]\d|\s*(?:{_MEASURES})\b)", _year),
)
"""Words a form can begin with, in lower case ("0" is any number), its pattern, and what reckons it; the first wins."""
