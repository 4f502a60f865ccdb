"""What ties a later statement to an earlier one, and which earlier one a statement corrects, if any.

Somebody who corrects himself mostly tells what happened: "Kessaris forgot us thrice, the form says Bridgeford". Such a
statement hardly resembles the question; it resembles what was said before. A tie of middling strength tells little by
itself, since all that one person says is alike. So the earlier statements compete: of all that was said before, which
one does this correct, or none? A correction of another matter goes to its own matter, and takes no place here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.kernels.late import ROW_DIMS, TAG_BYTES
from secondme.recall.standing.cues import became, is_over, is_own, is_recent, looks_back, people
from secondme.recall.standing.told import Columns, Floats, Statements
from secondme.recall.succession import Told, is_about, is_pointed_at
from secondme.recall.telling import Telling
from secondme.recall.turns.weights import Linear
from secondme.text.answers import CRISP

_SAME = 0.88
"""Cosine from which two tokens are of one word."""
_UNLIKE = 0.4
"""Tokens of unlike meaning are about this close; what is above it counts."""
_OF_QUESTION = 0.8
"""Cosine to one of the question's from which a token is the question's."""
_FURTHEST = 10
"""Turns of a conversation from which two statements are far apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """n statements in the order of time. places: which of the statements each is [n]. columns: [n, n] by name, the
    earlier ones as rows, the later ones as columns; zeros where the row is not the earlier one.
    """

    places: NDArray[np.int64]
    columns: Columns

    def corrected(self, linear: Linear) -> Floats:
        """How likely each column corrects each row [n, n]; what is missing to one in a column is that it corrects none.

        A softmax over all that was said before; that nothing is corrected scores 0.
        """
        n = len(self.places)
        scores = linear.scores({name: values.ravel() for name, values in self.columns.items()}).reshape(n, n)
        likely = np.exp(np.minimum(scores, 30)) * np.triu(np.ones((n, n), np.float32), 1)
        found: Floats = (likely / (1 + likely.sum(axis=0))).astype(np.float32)
        return found


def ties(told: Statements) -> Ties:
    """All statements with each other."""
    places = np.array(sorted(range(len(told)), key=lambda n: (told.turns[n].created_at, told.turns[n].id)))
    tells = [told.tells[n] for n in places]
    before = np.triu(np.ones((len(places), len(places)), np.float32), 1)
    columns = _of_words(told, tells) | _of_meaning(told, places) | _of_signs(told, tells)
    columns["points"] = _points(told, places, tells)
    columns["links"] = np.maximum(columns["meaning"], columns.pop("shared"))
    columns["gap"], columns["turns_between"] = _gaps(told, places)
    columns["again_fresh"] = columns["again"] * columns["fresh"]
    change = np.maximum(columns["changes"], columns["became"])
    columns["links_change"] = columns["links"] * change
    columns["any"] = np.ones_like(before)
    return Ties(places, {name: (values * before).astype(np.float32) for name, values in columns.items()})


def _gaps(told: Statements, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How many statements lie between, as a logarithm, and how many turns, as a share of the furthest."""
    n = np.arange(len(places))
    ids = np.array([told.turns[m].id for m in places], np.float64)
    between = np.minimum(np.abs(ids[None, :] - ids[:, None]), _FURTHEST) / _FURTHEST
    return np.log1p(np.abs(n[None, :] - n[:, None])).astype(np.float32), between.astype(np.float32)


def _incidence(sets: Sequence[Iterable[str]]) -> tuple[Floats, list[str]]:
    """Which of all members each set has [n, v]."""
    every = sorted({member for members in sets for member in members})
    place = {member: n for n, member in enumerate(every)}
    found = np.zeros((len(sets), len(every)), np.float32)
    for row, members in enumerate(sets):
        found[row, [place[m] for m in members]] = 1
    return found, every


def _of_words(told: Statements, tells: Sequence[Telling]) -> Columns:
    """Words in common; values of one sort; what the later one says is over; people only the later one names."""
    bare = [t.matter - told.matter.stems for t in tells]
    matters, _ = _incidence([t.matter for t in tells])
    sizes = np.maximum(matters.sum(axis=1), 1)
    own, stems = _incidence(bare)
    counts = Counter(s for t in tells for s in t.stems)
    rare = np.array([2 / counts[s] for s in stems], np.float32)
    crisp, _ = _incidence([t.all_sorts & CRISP for t in tells])
    names = np.array([float("name" in t.all_sorts) for t in tells])
    given_up, _ = _incidence([*(t.given_up for t in tells), *(t.matter for t in tells)])
    who, _ = _incidence([people(t.text) - people(told.asked.text) for t in tells])
    return {
        "shared": matters @ matters.T / np.minimum(sizes[:, None], sizes[None, :]),
        "again": np.minimum(1, (own * rare) @ own.T),
        "crisp": (crisp @ crisp.T > 0).astype(np.float32),
        "names": np.outer(names, names),
        "gives_up": (given_up[len(tells) :] @ given_up[: len(tells)].T > 0).astype(np.float32),
        "others": ((1 - who) @ who.T > 0).astype(np.float32),
    }


def _of_meaning(told: Statements, places: NDArray[np.int64]) -> Columns:
    """By whole statements and by their tokens: `near` how much of the earlier one recurs, `same` whether a word does
    that the question has not, `instead` how near the nearest other word is, as another value of its kind."""
    vectors = told.pooled[places]
    rows = [_unpacked(told.pool.packed[n]) for n in places]
    starts = np.cumsum([0, *(len(r) for r in rows[:-1])])
    tokens = np.concatenate(rows)
    close = tokens @ tokens.T
    asked = (_unpacked(told.asked.plain.packed) @ tokens.T).max(axis=0)
    best = np.maximum.reduceat(np.maximum(close - _UNLIKE, 0), starts, axis=1) / (1 - _UNLIKE)
    sizes = np.array([len(r) for r in rows])
    is_same = close > _SAME
    return {
        "meaning": vectors @ vectors.T,
        "near": np.add.reduceat(best, starts, axis=0) / sizes[:, None],
        "same": _highest(is_same & (asked < _OF_QUESTION)[:, None], starts),
        "instead": _highest(np.where(is_same, 0, close), starts),
    }


def _highest(table: NDArray[np.generic], starts: NDArray[np.int64]) -> Floats:
    """The highest of `table` [tokens, tokens] for each two statements [n, n]."""
    values = table.astype(np.float32)
    found: Floats = np.maximum.reduceat(np.maximum.reduceat(values, starts, axis=0), starts, axis=1)
    return found


def _unpacked(packed: bytes) -> Floats:
    """Unit rows [tokens, 128]; one of zeros where there are none."""
    rows = np.frombuffer(packed, np.int8, offset=min(TAG_BYTES, len(packed))).reshape(-1, ROW_DIMS).astype(np.float32)
    if not len(rows):
        return np.zeros((1, ROW_DIMS), np.float32)
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return found


_SIGNS: dict[str, Callable[[Telling], bool]] = {
    "changes": lambda t: t.changes,
    "recent": lambda t: is_recent(t.text),
    "became": lambda t: became(t.text),
    "over": lambda t: is_over(t.text),
    "corrects": lambda t: t.corrects,
    "back": lambda t: looks_back(t.text),
    "own": lambda t: is_own(t.text),
    "asks": lambda t: t.asks,
}


def signs(tells: Sequence[Telling]) -> Columns:
    """What each statement says by its form [n]."""
    return {name: np.array([sign(t) for t in tells], np.float32) for name, sign in _SIGNS.items()}


def _of_signs(told: Statements, tells: Sequence[Telling]) -> Columns:
    """What the later one says by its form, whatever the earlier one is."""
    found = signs(tells)
    found["fresh"], found["stale"] = novelty(told, tells)
    found["about"] = np.array([is_about(told.matter, t) for t in tells], np.float32)
    return {name: np.broadcast_to(values, (len(tells), len(tells))) for name, values in found.items()}


def novelty(told: Statements, tells: Sequence[Telling]) -> tuple[Floats, Floats]:
    """Which of `tells`, by time, have a value that nothing before had, and which have values but none new [n]."""
    seen, fresh, stale = set(told.matter.stems), [], []
    for one in tells:
        values = one.values - told.matter.stems
        fresh.append(bool(values - seen))
        stale.append(bool(values) and not values - seen)
        seen |= one.stems
    return np.array(fresh, np.float32), np.array(stale, np.float32)


def _points(told: Statements, places: NDArray[np.int64], tells: Sequence[Telling]) -> Floats:
    """Which columns point back at which rows [n, n]: where nothing nearer could be meant. Ids of turns are in a row."""
    every = [
        Told(t, told.turns[n].created_at, 0.0, told.turns[n].id, told.turns[n].conversation_id, told.turns[n].id)
        for n, t in zip(places, tells, strict=True)
    ]
    found = np.zeros((len(places), len(places)), np.float32)
    for column, one in enumerate(tells):
        if one.points_back:
            for row in range(column):
                found[row, column] = is_pointed_at(every[column], every[row], [every[row]], every)
    return found
