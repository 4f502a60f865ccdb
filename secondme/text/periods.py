"""Stretches of whole days and the reckoning with them: weeks, weekends, months, seasons, years, movable feasts.

Dates are the owner's calendar days, without a clock or a zone, so that no shift of the clock can move them. What lies
outside the calendar (31 February, the year 0) raises ValueError or OverflowError, as `datetime` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Grain = Literal["day", "week", "month", "season", "year", "decade"]

SEASON_STARTS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""First month of each meteorological season, north of the equator."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days `start` to `end`, both of them included; `grain` is how finely they were told."""

    start: date
    end: date
    grain: Grain

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("a period ends before it starts")

    @property
    def n_days(self) -> int:
        return (self.end - self.start).days + 1


def one_day(day: date) -> Period:
    return Period(day, day, "day")


def add_months(day: date, n: int) -> date:
    """The same day `n` months on; the last of that month where it is shorter."""
    months = day.year * 12 + day.month - 1 + n
    year, month = divmod(months, 12)
    if not 1 <= year <= date.max.year:
        raise OverflowError("the month is outside the calendar")
    return date(year, month + 1, min(day.day, month_length(year, month + 1)))


def month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def month_of(year: int, month: int) -> Period:
    return Period(date(year, month, 1), date(year, month, month_length(year, month)), "month")


def year_of(year: int) -> Period:
    return Period(date(year, 1, 1), date(year, 12, 31), "year")


def decade_of(year: int) -> Period:
    """The ten years from `year`."""
    return Period(date(year, 1, 1), date(year + 9, 12, 31), "decade")


def quarter_of(year: int, quarter: int) -> Period:
    first = quarter * 3 - 2
    return Period(date(year, first, 1), month_of(year, first + 2).end, "season")


def week_of(day: date) -> Period:
    """Monday to Sunday, as ISO 8601 counts weeks."""
    monday = day - timedelta(days=day.weekday())
    return Period(monday, monday + timedelta(days=6), "week")


def weekend_of(day: date) -> Period:
    """Saturday and Sunday of the week of `day`."""
    monday = day - timedelta(days=day.weekday())
    return Period(monday + timedelta(days=5), monday + timedelta(days=6), "day")


def season_of(name: str, year: int, *, southern: bool = False) -> Period:
    """Three whole months (the meteorological season) that begin in `year`."""
    first = SEASON_STARTS[name]
    if southern:
        first = (first + 5) % 12 + 1
    start = date(year, first, 1)
    return Period(start, add_months(start, 3) - timedelta(days=1), "season")


def weekday_before(day: date, weekday: int, n: int = 1) -> date:
    """The `n`-th `weekday` (0 is Monday) before `day`, which itself does not count."""
    back = (day.weekday() - weekday - 1) % 7 + 1
    return day - timedelta(days=back + 7 * (n - 1))


def weekday_after(day: date, weekday: int, n: int = 1) -> date:
    """The `n`-th `weekday` after `day`, which itself does not count."""
    ahead = (weekday - day.weekday() - 1) % 7 + 1
    return day + timedelta(days=ahead + 7 * (n - 1))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm as Meeus, Astronomical Algorithms, gives it)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    moon = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * moon) // 451
    month, day = divmod(h + moon - 7 * m + 114, 31)
    return date(year, month, day + 1)


def thanksgiving(year: int) -> date:
    """The fourth Thursday of November, as in the United States."""
    return weekday_after(date(year, 10, 31), 3, 4)


def nearest(candidates: list[Period], now: date) -> Period:
    """The closest to `now`; what is to come counts as half as far again, since people tell of the past."""
    return min(candidates, key=lambda p: distance(p, now) * (1.5 if p.start > now else 1.0))


def distance(period: Period, day: date) -> int:
    """Days between `day` and the nearest day of `period`; 0 inside."""
    if day < period.start:
        return (period.start - day).days
    return max(0, (day - period.end).days)
