"""Date expressions of the usual English kinds, read on Wednesday, 2 August 2023 where nothing else is said."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise

import pytest

from secondme.text.dates import When, resolve

WEDNESDAY = date(2023, 8, 2)

EXPRESSIONS = """
the dentist is on Tuesday | 2023-08-08 | day | at
my appointment is now Tuesday at 3pm | 2023-08-08 | day | at
the dentist was on Tuesday | 2023-08-01 | day | at
on 7 May 2023 | 2023-05-07 | day | at
7th May 2023 | 2023-05-07 | day | at
the 7th of May 2023 | 2023-05-07 | day | at
May 7, 2023 | 2023-05-07 | day | at
May 7th | 2023-05-07 | day | at
Sunday, May 7th, 2023 | 2023-05-07 | day | at
Sunday 7 May 2023 | 2023-05-07 | day | at
7 May | 2023-05-07 | day | at
7 December | 2023-12-07 | day | at
10 October | 2023-10-10 | day | at
sept 3rd, 2022 | 2022-09-03 | day | at
Jan. 5, 2024 | 2024-01-05 | day | at
2023-05-07 | 2023-05-07 | day | at
2023/05/07 | 2023-05-07 | day | at
2023-05-07T10:30 | 2023-05-07 | day | at
2023-05 | 2023-05-01..2023-05-31 | month | at
2023-W19 | 2023-05-08..2023-05-14 | week | at
05/07/2023 | 2023-05-07 | day | at
5/7/23 | 2023-05-07 | day | at
13/02/2023 | 2023-02-13 | day | at
02/13/2023 | 2023-02-13 | day | at
07.05.2023 | 2023-05-07 | day | at
07-05-2023 | 2023-07-05 | day | at
May 2023 | 2023-05-01..2023-05-31 | month | at
May of 2023 | 2023-05-01..2023-05-31 | month | at
May, 2023 | 2023-05-01..2023-05-31 | month | at
May '22 | 2022-05-01..2022-05-31 | month | at
in May | 2023-05-01..2023-05-31 | month | at
in march | 2023-03-01..2023-03-31 | month | at
since April | 2023-04-01..2023-08-02 | month | since
by June | 2023-06-01..2023-06-30 | month | by
last May | 2023-05-01..2023-05-31 | month | at
last July | 2023-07-01..2023-07-31 | month | at
last August | 2022-08-01..2022-08-31 | month | at
next June | 2024-06-01..2024-06-30 | month | at
next August | 2024-08-01..2024-08-31 | month | at
this August | 2023-08-01..2023-08-31 | month | at
this past June | 2023-06-01..2023-06-30 | month | at
July last year | 2022-07-01..2022-07-31 | month | at
May next year | 2024-05-01..2024-05-31 | month | at
in 2022 | 2022-01-01..2022-12-31 | year | at
since 2016 | 2016-01-01..2023-08-02 | year | since
2019 was hard | 2019-01-01..2019-12-31 | year | at
the 1990s | 1990-01-01..1999-12-31 | decade | at
1980s | 1980-01-01..1989-12-31 | decade | at
the 90s | 1990-01-01..1999-12-31 | decade | at
the '70s | 1970-01-01..1979-12-31 | decade | at
the nineties | 1990-01-01..1999-12-31 | decade | at
the early 80s | 1980-01-01..1989-12-31 | decade | at
Q3 2023 | 2023-07-01..2023-09-30 | season | at
Q1-2024 | 2024-01-01..2024-03-31 | season | at
spring 2022 | 2022-03-01..2022-05-31 | season | at
the summer of 2019 | 2019-06-01..2019-08-31 | season | at
in the fall | 2023-09-01..2023-11-30 | season | at
in autumn | 2023-09-01..2023-11-30 | season | at
last spring | 2023-03-01..2023-05-31 | season | at
last summer | 2022-06-01..2022-08-31 | season | at
this summer | 2023-06-01..2023-08-31 | season | at
this winter | 2023-12-01..2024-02-29 | season | at
next summer | 2024-06-01..2024-08-31 | season | at
next winter | 2023-12-01..2024-02-29 | season | at
last winter | 2022-12-01..2023-02-28 | season | at
winter 2022 | 2022-12-01..2023-02-28 | season | at
summer last year | 2022-06-01..2022-08-31 | season | at
Christmas | 2023-12-25 | day | at
last Christmas | 2022-12-25 | day | at
Christmas 2021 | 2021-12-25 | day | at
next Christmas | 2023-12-25 | day | at
Christmas Eve 2022 | 2022-12-24 | day | at
on Boxing Day | 2022-12-26 | day | at
New Year's Eve | 2022-12-31 | day | at
on Halloween | 2023-10-31 | day | at
Valentine's Day | 2023-02-14 | day | at
St. Patrick's Day 2023 | 2023-03-17 | day | at
Easter 2023 | 2023-04-09 | day | at
Thanksgiving 2022 | 2022-11-24 | day | at
last Thanksgiving | 2022-11-24 | day | at
yesterday | 2023-08-01 | day | at
today | 2023-08-02 | day | at
tonight | 2023-08-02 | day | at
tomorrow | 2023-08-03 | day | at
the day before yesterday | 2023-07-31 | day | at
the day after tomorrow | 2023-08-04 | day | at
yesterday morning | 2023-08-01 | day | at
tomorrow night | 2023-08-03 | day | at
last night | 2023-08-01 | day | at
this morning | 2023-08-02 | day | at
this evening | 2023-08-02 | day | at
the other day | 2023-07-23..2023-07-31 | day | at
the other week | 2023-07-05..2023-07-26 | day | at
last week | 2023-07-24..2023-07-30 | week | at
this week | 2023-07-31..2023-08-06 | week | at
next week | 2023-08-07..2023-08-13 | week | at
last weekend | 2023-07-29..2023-07-30 | day | at
this weekend | 2023-08-05..2023-08-06 | day | at
this past weekend | 2023-07-29..2023-07-30 | day | at
next weekend | 2023-08-12..2023-08-13 | day | at
last month | 2023-07-01..2023-07-31 | month | at
this month | 2023-08-01..2023-08-31 | month | at
next month | 2023-09-01..2023-09-30 | month | at
last year | 2022-01-01..2022-12-31 | year | at
this year | 2023-01-01..2023-12-31 | year | at
next year | 2024-01-01..2024-12-31 | year | at
last decade | 2010-01-01..2019-12-31 | decade | at
the last week | 2023-07-26..2023-08-02 | week | at
over the past year | 2022-08-02..2023-08-02 | year | at
the past month | 2023-07-02..2023-08-02 | month | at
last Friday | 2023-07-28 | day | at
last Wednesday | 2023-07-26 | day | at
last tues | 2023-08-01 | day | at
this Friday | 2023-08-04 | day | at
next Friday | 2023-08-04 | day | at
next Wednesday | 2023-08-09 | day | at
this coming Saturday | 2023-08-05 | day | at
on Friday | 2023-08-04 | day | at
on Monday | 2023-07-31 | day | at
Friday night | 2023-08-04 | day | at
Friday last week | 2023-07-28 | day | at
Monday of next week | 2023-08-07 | day | at
Thursday this week | 2023-08-03 | day | at
the week before last | 2023-07-17..2023-07-23 | week | at
the weekend before last | 2023-07-22..2023-07-23 | day | at
the month before last | 2023-06-01..2023-06-30 | month | at
the year before last | 2021-01-01..2021-12-31 | year | at
the Friday before last | 2023-07-21 | day | at
the week after next | 2023-08-14..2023-08-20 | week | at
the summer before last | 2021-06-01..2021-08-31 | season | at
a day ago | 2023-08-01 | day | at
two days ago | 2023-07-31 | day | at
3 days ago | 2023-07-30 | day | at
ten days ago | 2023-07-23 | day | at
a week ago | 2023-07-23..2023-07-29 | week | at
two weeks ago | 2023-07-16..2023-07-22 | week | at
two weeks back | 2023-07-16..2023-07-22 | week | at
a fortnight ago | 2023-07-16..2023-07-22 | week | at
a month ago | 2023-07-01..2023-07-31 | month | at
two months ago | 2023-06-01..2023-06-30 | month | at
6 months ago | 2023-02-01..2023-02-28 | month | at
a year ago | 2022-01-01..2022-12-31 | year | at
ten years ago | 2013-01-01..2013-12-31 | year | at
a decade ago | 2010-01-01..2019-12-31 | decade | at
two weekends ago | 2023-07-22..2023-07-23 | day | at
three Fridays ago | 2023-07-14 | day | at
two summers ago | 2021-06-01..2021-08-31 | season | at
a few days ago | 2023-07-28..2023-07-31 | day | at
a few weeks ago | 2023-06-25..2023-07-22 | week | at
several months ago | 2022-12-01..2023-05-31 | month | at
a couple of days ago | 2023-07-31 | day | at
a couple of weeks ago | 2023-07-16..2023-07-22 | week | at
few years ago | 2018-01-01..2021-12-31 | year | at
half a year ago | 2023-02-01..2023-02-28 | month | at
a year and a half ago | 2022-02-01..2022-02-28 | month | at
two and a half years ago | 2021-02-01..2021-02-28 | month | at
years ago | 2013-01-01..2021-12-31 | year | at
an hour ago | 2023-08-02 | day | at
in two weeks | 2023-08-13..2023-08-19 | week | at
in three days' time | 2023-08-05 | day | at
in a year's time | 2024-01-01..2024-12-31 | year | at
three weeks from now | 2023-08-20..2023-08-26 | week | at
the last two weeks | 2023-07-19..2023-08-02 | week | at
over the last few months | 2023-03-02..2023-08-02 | month | at
the next three days | 2023-08-02..2023-08-05 | day | at
the past couple of weeks | 2023-07-19..2023-08-02 | week | at
for three years | 2020-08-02..2023-08-02 | year | for
for two months | 2023-06-02..2023-08-02 | month | for
for a few weeks | 2023-06-28..2023-08-02 | week | for
for the past ten years | 2013-08-02..2023-08-02 | year | for
early 2023 | 2023-01-01..2023-05-01 | year | at
late 2022 | 2022-09-02..2022-12-31 | year | at
mid-2021 | 2021-05-02..2021-09-01 | year | at
early May | 2023-05-01..2023-05-10 | month | at
late last year | 2022-09-02..2022-12-31 | year | at
mid-August 2023 | 2023-08-11..2023-08-21 | month | at
in the middle of June | 2023-06-11..2023-06-20 | month | at
the end of May | 2023-05-22..2023-05-31 | month | at
the beginning of 2023 | 2023-01-01..2023-05-01 | year | at
towards the end of summer 2023 | 2023-08-02..2023-08-31 | season | at
the first half of 2022 | 2022-01-01..2022-07-01 | year | at
the second half of June 2022 | 2022-06-16..2022-06-30 | month | at
the second week of November | 2023-11-08..2023-11-14 | week | at
the first weekend of August 2023 | 2023-08-05..2023-08-06 | day | at
the last day of May 2023 | 2023-05-31 | day | at
the first Monday of May 2023 | 2023-05-01 | day | at
the last Friday of June 2023 | 2023-06-30 | day | at
the second month of 2022 | 2022-02-01..2022-02-28 | month | at
earlier this year | 2023-01-01..2023-08-02 | year | at
later this month | 2023-08-02..2023-08-31 | month | at
the week before 9 June | 2023-06-02..2023-06-08 | week | at
the week after 9 June | 2023-06-10..2023-06-16 | week | at
the weekend before 13 September 2023 | 2023-09-09..2023-09-10 | day | at
the weekend after 3 July 2023 | 2023-07-08..2023-07-09 | day | at
the Friday before 14 August 2023 | 2023-08-11 | day | at
Sunday after July 4, 2023 | 2023-07-09 | day | at
the day before Christmas 2022 | 2022-12-24 | day | at
the day after 29 February 2024 | 2024-03-01 | day | at
two weeks before 9 June 2023 | 2023-05-23..2023-05-29 | week | at
three days after 30 December 2022 | 2023-01-02 | day | at
a month before 31 March 2023 | 2023-02-21..2023-03-07 | month | at
a few days before June 9, 2023 | 2023-06-04..2023-06-07 | day | at
the month before May 2023 | 2023-04-01..2023-04-30 | month | at
the year after 2016 | 2017-01-01..2017-12-31 | year | at
two years before 2016 | 2014-01-01..2014-12-31 | year | at
before 9 June 2023 | 2023-06-09 | day | before
after May 2023 | 2023-05-01..2023-05-31 | month | after
until March 2024 | 2024-03-01..2024-03-31 | month | until
by 7 November, 2022 | 2022-11-07 | day | by
as of 27 March, 2022 | 2022-03-27 | day | by
around November 16, 2023 | 2023-11-16 | day | at
about 2010 | 2010-01-01..2010-12-31 | year | at
between August 11 and August 15 2023 | 2023-08-11..2023-08-15 | day | at
between 2015 and 2018 | 2015-01-01..2018-12-31 | year | at
from March to May | 2023-03-01..2023-05-31 | month | at
from 3 to 5 May 2023 | 2023-05-03..2023-05-05 | day | at
5-6 November 2022 | 2022-11-05..2022-11-06 | day | at
November 5-6, 2022 | 2022-11-05..2022-11-06 | day | at
June 3rd - June 5th, 2022 | 2022-06-03..2022-06-05 | day | at
December 30 to January 2, 2023 | 2022-12-30..2023-01-02 | day | at
2010-2012 | 2010-01-01..2012-12-31 | year | at
Monday to Wednesday | 2023-07-31..2023-08-02 | day | at
on the 15th | 2023-07-15 | day | at
on the 1st of last month | 2023-07-01 | day | at
until the 20th | 2023-07-20 | day | until
"""

NO_DATES = """
I may 5 times
we march on
31 February 2023
February 30th
9999 years ago
every Friday
on Fridays
he sat down
the sun is out
it will fall
spring into action
mar the surface
2000 dollars
$2019
version 1.2.2021.4
room 1999a
call 555-2022
last time
next door
one day
this one
at last
back to school
may
second to none
next to me
12:30
10% off
the past
3/4 cup
99/99/2023
2023-13-45
00/00/0000
the day
week
in a row
for sale
for you
for a summer job
in time
wed in secret
last name
I can decide
the fall of Rome
20 people
1500 steps
"""


def _rows(table: str) -> list[tuple[str, str, str, str]]:
    cells = (tuple(cell.strip() for cell in line.split("|")) for line in table.strip().splitlines())
    return [(c[0], c[1], c[2], c[3]) for c in cells]


def _days(when: When) -> str:
    return str(when.start) if when.start == when.end else f"{when.start}..{when.end}"


@pytest.mark.parametrize(("text", "days", "grain", "relation"), _rows(EXPRESSIONS))
def test_expression_means_these_days(text: str, days: str, grain: str, relation: str) -> None:
    (when,) = resolve(text, WEDNESDAY)
    assert (_days(when), when.grain, when.relation) == (days, grain, relation)


@pytest.mark.parametrize("text", NO_DATES.strip().splitlines())
def test_what_only_looks_like_a_date_is_none(text: str) -> None:
    assert resolve(text, WEDNESDAY) == []


def test_table_is_as_long_as_it_is_meant_to_be() -> None:
    assert len(_rows(EXPRESSIONS)) >= 150


def test_bytes_are_those_of_the_expression() -> None:
    text = "Zoë was in Århus last Friday, and back on 3 May 2023 – fein."
    cut = [text.encode()[w.byte_start : w.byte_end].decode() for w in resolve(text, WEDNESDAY)]
    assert cut == ["last Friday", "3 May 2023"]


def test_several_dates_keep_their_order_and_do_not_overlap() -> None:
    found = resolve("Yesterday I told her that we met in May 2019, two weeks before 9 June 2019.", WEDNESDAY)
    assert [_days(w) for w in found] == ["2023-08-01", "2019-05-01..2019-05-31", "2019-05-23..2019-05-29"]
    assert all(a.byte_end <= b.byte_start for a, b in pairwise(found))


def test_a_moment_counts_as_its_day() -> None:
    assert resolve("today", datetime(2023, 8, 2, 23, 59)) == resolve("today", WEDNESDAY)


def test_seasons_of_the_southern_hemisphere() -> None:
    (north,), (south,) = resolve("summer 2022", WEDNESDAY), resolve("summer 2022", WEDNESDAY, southern=True)
    assert (_days(north), _days(south)) == ("2022-06-01..2022-08-31", "2022-12-01..2023-02-28")
    (last,) = resolve("last autumn", WEDNESDAY, southern=True)
    assert _days(last) == "2023-03-01..2023-05-31"


def test_order_of_numeric_dates_is_the_callers() -> None:
    (month_first,), (day_first,) = resolve("05/07/2023", WEDNESDAY), resolve("05/07/2023", WEDNESDAY, order="dmy")
    assert (_days(month_first), _days(day_first)) == ("2023-05-07", "2023-07-05")
    (only_way,) = resolve("13/07/2023", WEDNESDAY)
    assert only_way.certainty > month_first.certainty


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("two weeks before the trip", "2023-03-01..2023-03-07"),
        ("the day after my birthday", "2023-02-02"),
        ("the weekend after the trip to Rome", "2023-03-25..2023-03-26"),
        ("since the trip", "2023-03-18..2023-08-02"),
        ("three days before my birthday party started", "2023-01-29"),
    ],
)
def test_dates_told_by_something_known(text: str, days: str) -> None:
    known = {"the trip": date(2023, 3, 18), "the trip to Rome": date(2023, 3, 20), "my birthday": date(2023, 2, 1)}
    assert resolve(text, WEDNESDAY) == []
    (when,) = resolve(text, WEDNESDAY, known.get)
    assert _days(when) == days


def test_what_no_anchor_is_known_for_is_left_out() -> None:
    assert resolve("two weeks before the trip", WEDNESDAY, lambda name: None) == []


def test_bounds_say_what_a_side_leaves_open() -> None:
    (before,), (until,), (after,), (since,) = (
        resolve(f"{word} May 2023", WEDNESDAY) for word in ("before", "until", "after", "since")
    )
    assert before.bounds() == (date.min, date(2023, 4, 30))
    assert until.bounds() == (date.min, date(2023, 5, 31))
    assert after.bounds() == (date(2023, 6, 1), date.max)
    assert since.bounds() == (date(2023, 5, 1), WEDNESDAY)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("We went there on Friday", "2023-07-28"),
        ("We will go there on Friday", "2023-08-04"),
        ("I'll be there on Monday", "2023-08-07"),
        ("We tried it this weekend", "2023-07-29..2023-07-30"),
        ("We want to try it this weekend", "2023-08-05..2023-08-06"),
        ("I had a test this Tuesday", "2023-08-01"),
        ("We moved in December", "2022-12-01..2022-12-31"),
        ("We are going to move in May", "2024-05-01..2024-05-31"),
        ("She started on 4 August", "2022-08-04"),
        ("She starts on 4 August", "2023-08-04"),
        ("I got back on the 3rd after a week", "2023-07-03"),
        ("It rained. See you on Friday", "2023-08-04"),
    ],
)
def test_tense_tells_the_side(text: str, days: str) -> None:
    (when,) = resolve(text, WEDNESDAY)
    assert _days(when) == days


def test_surer_the_less_is_guessed() -> None:
    sure = [resolve(t, WEDNESDAY)[0].certainty for t in ("7 May 2023", "7 May", "on the 7th", "years ago")]
    assert sure == sorted(sure, reverse=True)
    assert len(set(sure)) == 4


@pytest.mark.parametrize(
    ("today", "text", "days"),
    [
        (date(2023, 1, 1), "yesterday", "2022-12-31"),
        (date(2023, 1, 1), "last week", "2022-12-19..2022-12-25"),
        (date(2023, 1, 1), "last weekend", "2022-12-24..2022-12-25"),
        (date(2023, 1, 15), "last month", "2022-12-01..2022-12-31"),
        (date(2023, 1, 15), "this winter", "2022-12-01..2023-02-28"),
        (date(2023, 1, 15), "in December", "2022-12-01..2022-12-31"),
        (date(2022, 12, 20), "next month", "2023-01-01..2023-01-31"),
        (date(2022, 12, 20), "in January", "2023-01-01..2023-01-31"),
        (date(2024, 2, 29), "a year ago", "2023-01-01..2023-12-31"),
        (date(2024, 2, 29), "for a year", "2023-02-28..2024-02-29"),
        (date(2024, 3, 1), "yesterday", "2024-02-29"),
        (date(2023, 3, 31), "last month", "2023-02-01..2023-02-28"),
        (date(2025, 6, 1), "29 February", "2024-02-29"),
        (date(2023, 8, 5), "this weekend", "2023-08-05..2023-08-06"),
        (date(2023, 8, 6), "last weekend", "2023-07-29..2023-07-30"),
        (date(2023, 8, 4), "last Friday", "2023-07-28"),
        (date(2023, 8, 4), "this Friday", "2023-08-04"),
        (date(2023, 8, 4), "next Friday", "2023-08-11"),
        (date(2023, 3, 26), "tomorrow", "2023-03-27"),
    ],
)
def test_ends_of_weeks_months_and_years(today: date, text: str, days: str) -> None:
    (when,) = resolve(text, today)
    assert _days(when) == days


@pytest.mark.parametrize("today", [date.min, date.max])
def test_edges_of_the_calendar_hold(today: date) -> None:
    for text, *_ in _rows(EXPRESSIONS):
        assert all(w.start <= w.end for w in resolve(text, today))
