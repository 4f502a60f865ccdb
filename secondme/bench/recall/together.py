"""Corrections among what was never corrected: several matters told in one memory, every second one without its change.

In a set in which everything is corrected, a memory that puts whatever was said last first would look perfect. Here what
was said last is mostly about something else, and what was never corrected must come first as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from secondme.bench.recall.make_updates import DAY_S, FIRST_DAY
from secondme.bench.recall.updates import Case, holds

N_TOGETHER = 4
_EARLIEST = 0.3
"""How far the matters of a memory are shifted against each other, as a share of its length."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One of the matters: `case` has the turns of all, and for `is_stable` the value that was never corrected."""

    case: Case
    is_stable: bool


def matter(case: Case) -> str:
    """What a case is about, of which a set may hold several: its name without the last number."""
    return case.name.rsplit(" ", 1)[0]


def uncorrected(case: Case) -> Case | None:
    """`case` as it was before its value was corrected; None where nothing was said about it by then."""
    end = next((n for n, (role, text, _) in enumerate(case.turns) if role == "user" and holds(text, case.current)), 0)
    turns = case.turns[:end]
    said = {old: n for old in case.old for n, (_, text, _) in reversed(list(enumerate(turns))) if holds(text, old)}
    if not said:
        return None
    last = max(said, key=lambda old: said[old])
    return replace(case, turns=turns, current=last, old=tuple(o for o in said if o != last), past_question="")


def together(cases: Sequence[Case], seed: int = 1) -> Iterator[list[Asked]]:
    """Memories of `N_TOGETHER` cases each, in a random order; what fills no memory is left out.

    No turn of one case holds a value of another, so that each question has one answer.
    """
    chance = random.Random(seed)
    open_: list[list[Asked]] = []
    for case in chance.sample(list(cases), len(cases)):
        fitting = next((m for m in open_ if not any(_collide(case, one.case) for one in m)), None)
        if fitting is None:
            fitting = []
            open_.append(fitting)
        before = uncorrected(case) if len(fitting) % 2 else None
        fitting.append(Asked(before or case, before is not None))
        if len(fitting) == N_TOGETHER:
            open_.remove(fitting)
            yield _strewn(fitting, chance)


def _collide(one: Case, other: Case) -> bool:
    return matter(one) == matter(other) or _names(one, other) or _names(other, one)


def _names(one: Case, other: Case) -> bool:
    values = (one.current, *one.old)
    return any(holds(text, v) for _, text, _ in other.turns for v in values)


def _strewn(memory: Sequence[Asked], chance: random.Random) -> list[Asked]:
    """All turns in one row, a day apart, each matter's in its order."""
    placed: list[tuple[float, tuple[str, str, float]]] = []
    for one in memory:
        start = chance.uniform(-_EARLIEST, _EARLIEST)
        placed += [(start + n / len(one.case.turns), turn) for n, turn in enumerate(one.case.turns)]
    placed.sort(key=lambda pair: pair[0])
    turns = tuple((turn[0], turn[1], FIRST_DAY + n * DAY_S) for n, (_, turn) in enumerate(placed))
    return [replace(one, case=replace(one.case, turns=turns)) for one in memory]  # type: ignore[arg-type]
