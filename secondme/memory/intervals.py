"""When the items of one slot hold: at any time at most one of them. Pure functions, without a store.

An item is told to hold from `start` on, and maybe until `told_to`. Of all that have begun the one that began last
holds, and of those that began at the same moment the one that was placed last. Where that one was told to end:

- it was told with its end: it interrupted what held before, which holds again;
- it was said later to be so no longer: nothing holds until the next one begins.

What was told stays as it was told and only its pieces in time are worked out, so taking an item out of a slot gives its
time back to the others, as if it had never been there. One that was told to end as it began, or before, never held.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """An item as it was told; times in Unix seconds, `told_to` None for until further notice.

    `place` is its turn among those of the slot, `interrupts` whether it was told with its end, `created` when it was
    stored.
    """

    id: int
    start: float
    told_to: float | None
    place: int
    interrupts: bool
    created: float = 0.0

    @property
    def is_empty(self) -> bool:
        return self.told_to is not None and self.told_to <= self.start


@dataclass(frozen=True, slots=True)
class Piece:
    """A time [`start`, `end`) in which an item holds; `end` None is until further notice."""

    id: int
    start: float
    end: float | None


def pieces(claims: Iterable[Claim]) -> list[Piece]:
    """When which item of a slot holds, in order; no two overlap, and two in a row are not of one item."""
    found: list[Piece] = []
    for piece in _segments(sorted((c for c in claims if not c.is_empty), key=lambda c: (c.start, c.place))):
        if found and found[-1].id == piece.id and found[-1].end == piece.start:
            piece = Piece(piece.id, found.pop().start, piece.end)
        found.append(piece)
    return found


def _segments(claims: list[Claim]) -> Iterator[Piece]:
    """From each beginning to the next, who holds; `claims` are in order."""
    begun: list[Claim] = []
    for claim, following in zip(claims, [*(c.start for c in claims[1:]), math.inf], strict=False):
        # What one without an end took the place of does not come back.
        begun = [*begun, claim] if claim.interrupts else [claim]
        at = claim.start
        while begun and at < following:
            end = math.inf if begun[-1].told_to is None else begun[-1].told_to
            if end > at:
                until = min(end, following)
                yield Piece(begun[-1].id, at, None if until == math.inf else until)
                at = until
            elif begun[-1].interrupts:
                begun.pop()
            else:
                begun = []


def start_now(now: float, claims: Iterable[Claim]) -> float:
    """Where what is so from now on begins, so that it holds now even if the clock was put back.

    That is not before anything else that was so when it was stored; what was told to begin later than it was stored is
    still to come.
    """
    return max([now, *(c.start for c in claims if c.start <= c.created)])


def close_at(claim: Claim, at: float | None, now: float) -> float:
    """The end of an item of which is said that it is so no longer: never later than it was told before.

    `at` None is now, and a moment after its beginning if the clock was put back: it did hold. At or before its
    beginning means that it never did.
    """
    end = max(at, claim.start) if at is not None else max(now, math.nextafter(claim.start, math.inf))
    return end if claim.told_to is None else min(end, claim.told_to)
