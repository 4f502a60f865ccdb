"""Date expressions in English text, resolved to intervals of days: absolute, relative, and told by something else.

    resolve("Two weeks before 9 June we moved, and last spring I quit.", date(2023, 8, 1))

finds 23 to 29 May 2023 and 1 March to 31 May 2023. Pure and without a model; no cache, so that nothing of the text
outlives the call. What cannot be a date of any calendar is left out, and no text makes it raise.

Conventions. Weeks run from Monday to Sunday (ISO 8601); seasons are the meteorological ones, winter counting to the
year it begins in; `05/07/2023` is read month first unless `order` says "dmy" or only the other way is a date, and
`05.07.2023` day first. A date without a year is the nearest, what is to come counting as half as far again. "Last
Friday" is the last before today, "next Friday" the first after it; "last week" the calendar week before this one, "the
last week" the seven days up to today. "Two weeks ago" leaves three days on either side open, "two months ago" the
calendar month. "A few" are two to five, "several" three to eight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from secondme.text import date_links as links
from secondme.text.date_forms import FORMS
from secondme.text.date_frame import Frame, Maker, Meant, NumericOrder
from secondme.text.date_links import Found
from secondme.text.offsets import byte_offsets
from secondme.text.periods import Grain

Relation = Literal["at", "since", "until", "before", "after", "by", "for"]

Anchors = Callable[[str], date | None]
"""Tells when something named was, such as `trip to Rome` or `my birthday`; None where it is not known."""


@dataclass(frozen=True, slots=True)
class When:
    """A date expression: days `start` to `end`, both included, at bytes [`byte_start`, `byte_end`) of the text.

    certainty: 1.0 for what says its day itself, less the more had to be guessed. relation: how the text stands to
    those days; "since" and "for" run to the day it was said, and for the others the days are those named
    (`bounds` tells what they leave open).
    """

    start: date
    end: date
    byte_start: int
    byte_end: int
    certainty: float
    grain: Grain
    relation: Relation = "at"

    def bounds(self) -> tuple[date, date]:
        """First and last day that the expression allows: "before May" begins with the calendar."""
        if self.relation == "before":
            return date.min, max(date.min, links.day_before(self.start))
        if self.relation in ("until", "by"):
            return date.min, self.end
        if self.relation == "after":
            return links.day_after(self.end), date.max
        return self.start, self.end


def resolve(
    text: str,
    now: date,
    anchors: Anchors | None = None,
    *,
    southern: bool = False,
    order: NumericOrder = "mdy",
) -> list[When]:
    """All date expressions of `text`, said on the day `now`, in their order; they do not overlap.

    anchors: dates of things that an expression is told by ("two weeks before the trip"); without it, and where it
    returns None, such an expression is left out. southern: seasons of the southern hemisphere.
    """
    frame = Frame(now.date() if isinstance(now, datetime) else now, southern, order)
    found = _found(text, frame)
    if found:
        found = links.joined(text, found, frame)
    if anchors is not None:
        found = links.anchored(text, found, frame, anchors)
    to_bytes = byte_offsets(text)
    return [
        When(
            f.meant.period.start,
            f.meant.period.end,
            to_bytes(f.start),
            to_bytes(f.end),
            round(f.meant.certainty, 3),
            f.meant.period.grain,
            _relation(f.meant),
        )
        for f in found
    ]


_RELATIONS: dict[str, Relation] = {
    "since": "since", "until": "until", "before": "before", "after": "after", "by": "by", "for": "for"
}  # fmt: skip


def _relation(meant: Meant) -> Relation:
    return _RELATIONS.get(meant.relation, "at")


def _found(text: str, frame: Frame) -> list[Found]:
    """Every date in `text` by the forms alone, none inside another."""
    found: list[Found] = []
    free = 0
    for word in _WORD.finditer(text):
        if word.start() < free:
            continue
        first = word[0]
        forms = _BY_FIRST_WORD.get("0" if first[0].isdigit() else first.lower())
        if forms:
            free, made = _date_at(text, word.start(), forms, frame)
            if made is not None:
                found.append(made)
    return found


def _date_at(text: str, start: int, forms: Iterable[_Form], frame: Frame) -> tuple[int, Found | None]:
    """The first of `forms` that is a date there, and where the search goes on: behind what no calendar has, too."""
    for pattern, make in forms:
        match = pattern.match(text, start)
        if match is None:
            continue
        try:
            meant = make(match, frame)
        except (ValueError, OverflowError, IndexError):
            return match.end(), None
        if meant is not None:
            end = start + (meant.length or len(match[0].rstrip()))
            return end, Found(start, end, replace(meant, length=0))
    return start + 1, None


_Form = tuple[re.Pattern[str], Maker]
_WORD = re.compile(r"(?<![\w$€£#])(?<!\d\.)(?:[^\W\d_]+|\d+)")


def _by_first_word() -> dict[str, tuple[_Form, ...]]:
    table: dict[str, list[_Form]] = {}
    for words, pattern, make in FORMS:
        form = (re.compile(pattern, re.IGNORECASE), make)
        for word in words:
            table.setdefault(word, []).append(form)
    return {word: tuple(forms) for word, forms in table.items()}


_BY_FIRST_WORD = _by_first_word()
