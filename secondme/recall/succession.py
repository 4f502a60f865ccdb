"""Which later statement took the place of an earlier one, where no slot tells.

People correct themselves in few words ("make that Friday"), by naming what is over ("bye Northgate, started at
Silverline") or by telling the new state as a story ("we packed the van, now we're in Cardiff"). None of that needs to
be read to be ordered: a later statement of the owner's takes an earlier one's place if it can answer the question, is
about nobody else, and is tied to the earlier one by a value it names, by pointing back at it, or by words and meaning.
The thresholds were set on made-up conversations (`secondme bench recall --make-updates`, seeds that begin with `dev`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from secondme.recall.telling import Telling, is_kin, stems_of
from secondme.runtime.base import FloatMatrix
from secondme.text.answers import CRISP, Sort, sorts_asked
from secondme.text.attributes import asked_for, canonical
from secondme.text.terms import fold, stem

REACH = 8
"""Turns that a statement may point back over."""

CHANGED, GIVEN, SAME, CODED = 0.53, 0.9, 0.95, 0.45
"""How near a later statement must be: where it says that something changed; where it gives the sort of value that is
asked for; else; and where both give what one gives only of oneself, an address or a number to call."""

_OF_BEARING, _BEARS = 0.75, 0.3
"""What bearing on the question counts beside nearness, and the least of it where nothing tells of a change."""

_LEAST_SCORE = 0.2
"""Relevance below which shares of it mean nothing."""

_STEM_LETTERS = 6
"""Letters that words of one root share at the least."""

_MINE = re.compile(r"\b(?:i|i'm|i've|me|my|mine|we|we're|our|us)\b", re.I)


@dataclass(frozen=True, slots=True)
class Told:
    """A statement said at Unix time `at`, its relevance to the question, and where it stands.

    `turn` is the id of its turn (0: unknown), `place` its position in the conversation `talk`, counted in turns.
    `vector` is the turn's, float32 [n_dims] of length 1.
    """

    tells: Telling
    at: float
    score: float
    turn: int = 0
    talk: int = 0
    place: int = 0
    vector: FloatMatrix | None = field(default=None, compare=False)

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
    return Matter(sorts_asked(question), stems_of(question), names, frozenset(kin | named), mine)


def successors(asked: Matter, first: Told, others: Sequence[Told]) -> list[int]:
    """Places in `others` of what took the place of `first`, each that of one before; the last holds now."""
    chain, found = [first], []
    for n in sorted(range(len(others)), key=lambda n: others[n].when):
        later = others[n]
        if later.when > first.when and any(_replaces(asked, later, one, chain, others) for one in chain):
            chain.append(later)
            found.append(n)
    return found


def pointers(asked: Matter, first: Told, others: Sequence[Told]) -> list[int]:
    """Those of `successors` that have no matter of their own ("make that Friday"), which no search finds."""
    chain, found = [first], []
    for n in sorted(range(len(others)), key=lambda n: others[n].when):
        later = others[n]
        if (
            later.when > first.when
            and later.tells.points_back
            and can_answer(asked, later.tells)
            and any(_pointed_at(later, one, chain, others) for one in chain)
        ):
            chain.append(later)
            found.append(n)
    return found


def predecessors(asked: Matter, last: Told, others: Sequence[Told]) -> list[int]:
    """Places in `others` of what `last` took the place of, and of what that had, the latest first."""
    chain, found = [last], []
    for n in sorted(range(len(others)), key=lambda n: others[n].when, reverse=True):
        earlier = others[n]
        if (
            earlier.when < last.when
            and can_answer(asked, earlier.tells)
            and any(_was_before(asked, earlier, one, chain, others) for one in chain)
        ):
            chain.append(earlier)
            found.append(n)
    return found


def _was_before(asked: Matter, earlier: Told, one: Told, chain: Sequence[Told], others: Sequence[Told]) -> bool:
    bears = earlier.score >= _BEARS * chain[0].score or _names(asked, one.tells, earlier.tells)
    return bears and _replaces(asked, one, earlier, chain, others)


def can_answer(asked: Matter, tells: Telling) -> bool:
    """Whether a statement has what is asked for, of nobody else than the question is about."""
    return _gives(asked, tells) and _is_about(asked, tells)


def _gives(asked: Matter, tells: Telling) -> bool:
    return not tells.asks and (not asked.sorts or bool(asked.sorts & tells.all_sorts))


def _is_about(asked: Matter, tells: Telling) -> bool:
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


def _replaces(asked: Matter, later: Told, earlier: Told, chain: Sequence[Told], others: Sequence[Told]) -> bool:
    new, old = later.tells, earlier.tells
    if not _gives(asked, new):
        return False
    if new.changes and _names(asked, new, old):
        return True
    if not _is_about(asked, new):
        return False
    if new.points_back:
        return _pointed_at(later, earlier, chain, others)
    return not old.points_back and _is_near(asked, later, earlier, chain)


def _names(asked: Matter, new: Telling, old: Telling) -> bool:
    """Whether the later one speaks of what the earlier one gave as over: "sold the Leaf, I drive a Golf"."""
    if not new.ends:
        return False
    named = (old.values | new.given_up & old.stems) - asked.stems
    return bool(named & new.stems) and bool(new.matter - named - asked.stems)


def _pointed_at(later: Told, earlier: Told, chain: Sequence[Told], others: Sequence[Told]) -> bool:
    """Whether nothing nearer could be meant than `earlier` or what took its place."""
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


def _is_near(asked: Matter, later: Told, earlier: Told, chain: Sequence[Told]) -> bool:
    """Whether words and meaning tie two statements to each other and both to the question."""
    added = earlier if later in chain else later
    bears = added.score / max(chain[0].score, _LEAST_SCORE)
    near = _link(later, earlier) + _OF_BEARING * bears
    if "code" in asked.sorts & later.tells.sorts & earlier.tells.sorts:
        return near >= CODED
    if later.tells.changes:
        return near >= CHANGED
    if not later.tells.matter & earlier.tells.matter or bears < _BEARS:
        return False
    return near >= (GIVEN if asked.sorts & CRISP else SAME)


def _link(one: Told, other: Told) -> float:
    """How near two statements are, 0 to 1: by meaning, or by the share of words that they have in common."""
    cosine = float(one.vector @ other.vector) if one.vector is not None and other.vector is not None else 0.0
    a, b = one.tells.matter, other.tells.matter
    shared = len(a & b) / min(len(a), len(b)) if a and b else 0.0
    return max(cosine, shared)
