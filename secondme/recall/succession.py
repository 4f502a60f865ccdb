"""Which later statement may take the place of an earlier one: what it must have, whom it is about, at what it points.

A statement can answer a question if it has a value of the sort that is asked for and is about nobody else. People also
correct themselves in words that name no matter ("make that Friday"): those point back at the nearest that has such a
value. Which of the statements that answer holds now is for standing/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondme.recall.telling import Telling, is_kin
from secondme.text.answers import CRISP, Sort, sorts_asked
from secondme.text.attributes import asked_for, canonical
from secondme.text.terms import content_stems, fold, stem

REACH = 8
"""Turns that a statement may point back over."""

_STEM_LETTERS = 6
"""Letters that words of one root share at the least."""

_MINE = re.compile(r"\b(?:i|i'm|i've|me|my|mine|we|we're|our|us)\b", re.I)


@dataclass(frozen=True, slots=True)
class Told:
    """A statement said at Unix time `at`, its relevance to the question, and where it stands.

    `turn` is the id of its turn (0: unknown), `place` its position in the conversation `talk`, counted in turns.
    """

    tells: Telling
    at: float
    score: float
    turn: int = 0
    talk: int = 0
    place: int = 0

    @property
    def when(self) -> tuple[float, int]:
        """For ordering by time."""
        return self.at, self.place


@dataclass(frozen=True, slots=True)
class Matter:
    """What a question asks for.

    sorts: of values, of which an answer must have one; none for any. stems: of its words. names: attributes it may ask
    for. people: whom it is about. mine: whether it is about the owner or his.
    """

    sorts: frozenset[Sort]
    stems: frozenset[str]
    names: frozenset[str]
    people: frozenset[str]
    mine: bool


def matter(question: str) -> Matter:
    """`question` taken apart."""
    kin = {canonical(w) for w in re.findall(r"\b(?:my|our|the)\s+([\w-]+)", question) if is_kin(w)}
    named = {fold(n) for n in re.findall(r"\b(?!I\b)([A-ZÀ-Þ][\w-]+)", question[1:])}
    names, mine = frozenset(asked_for(question)), _MINE.search(question) is not None
    return Matter(sorts_asked(question), content_stems(question), names, frozenset(kin | named), mine)


def pointers(asked: Matter, first: Told, others: Sequence[Told]) -> list[int]:
    """Places in `others` of what took the place of `first`, each that of one before, without a matter of its own.

    No search finds "make that Friday".
    """
    chain, found = [first], []
    for n in sorted(range(len(others)), key=lambda n: others[n].when):
        later = others[n]
        if (
            later.when > first.when
            and later.tells.points_back
            and can_answer(asked, later.tells)
            and any(is_pointed_at(later, one, chain, others) for one in chain)
        ):
            chain.append(later)
            found.append(n)
    return found


def can_answer(asked: Matter, tells: Telling) -> bool:
    """Whether a statement has what is asked for, of nobody else than the question is about."""
    return _gives(asked, tells) and is_about(asked, tells)


def _gives(asked: Matter, tells: Telling) -> bool:
    return not tells.asks and (not asked.sorts or bool(asked.sorts & tells.all_sorts))


def is_about(asked: Matter, tells: Telling) -> bool:
    """Whether a statement is about nobody else than the question is."""
    about = tells.about
    if not about.kind or about.name in asked.people | asked.names or stem(about.name) in asked.stems:
        return True
    if any(_akin(about.name, s) for s in asked.stems):
        return True
    shared = asked.stems & tells.stems
    if about.kind == "thing":
        return bool(shared) or tells.changes
    if about.kind == "name":
        return not asked.people or bool({stem(p) for p in asked.people} & tells.stems)
    return not asked.mine and 2 * len(shared) > len(asked.stems)


def _akin(one: str, other: str) -> bool:
    """Whether two words begin alike: therapist and therapy."""
    return one[:_STEM_LETTERS] == other[:_STEM_LETTERS] and min(len(one), len(other)) >= _STEM_LETTERS


def is_pointed_at(later: Told, earlier: Told, chain: Sequence[Told], others: Sequence[Told]) -> bool:
    """Whether `later` may point back at `earlier`, as nothing nearer than it or what took its place could be meant."""
    if later.talk != earlier.talk or not earlier.turn or not 0 < later.place - earlier.place <= REACH * len(chain):
        return False
    sorts = later.tells.sorts
    if sorts & CRISP and not _alike(sorts, earlier.tells.sorts):
        return False
    between = [o for o in others if o.talk == later.talk and earlier.place < o.place < later.place and o not in chain]
    return not any(
        _alike(sorts, o.tells.sorts) and not o.tells.points_back and not o.tells.asks for o in between
    )  # fmt: skip


def _alike(one: frozenset[Sort], other: frozenset[Sort]) -> bool:
    return bool(one & other) or (one == {"number"} and bool(other & CRISP))
