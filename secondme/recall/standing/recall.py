"""The current one of the owner's statements about a question, out of what a search of turns found anyway.

A rule that reads "I moved to Ghent" closes what it knew of Aachen. Most of what people say no rule reads: "the cat and
I sit among boxes in Ghent". Both stand among the turns that answer the question; which of them holds is told from how
well each answers, when it was said, and signs of a change. Only the owner's own words are looked at: what others said,
what stands in files, what he pasted and what the assistant answered takes nothing's place.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.memory.store import Store
from secondme.recall.standing.order import holding, ordered
from secondme.recall.standing.told import Columns, Floats, Statements, answering
from secondme.recall.standing.weights import Weights, shipped
from secondme.recall.succession import REACH, matter
from secondme.recall.telling import Telling, stems_of
from secondme.recall.turns.pool import pool_of
from secondme.recall.turns.recall import Weighed
from secondme.text.answers import requests
from secondme.text.attribution import others
from secondme.text.pasted import pasted_spans
from secondme.text.redirects import merely_asked
from secondme.text.sentences import split_sentences
from secondme.types import Turn

_MINE = re.compile(r"\b(?:my|mine|i|i'm|i've|me)\b", re.I)

N_ANSWERING = 24
"""Turns of the owner's, the nearest to the question, that are weighed."""

N_NEAR = 2
"""The best of them beside which is looked for what points back: no search finds a correction that names nothing."""

N_BEFORE = 4
"""Statements that may have held before, of which the history is told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which statement holds now, and what was said before it, the best answers first.

    bears: whether any of it answers the question. claims: whether the current one does by itself, or tells of a change
    or points back, without which it takes nothing's place that is known for sure. signs: what speaks for the current
    one, by feature, above the mean of all that it was compared with.
    """

    now: Turn
    before: tuple[Turn, ...]
    bears: bool
    claims: bool
    signs: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Compared:
    """Statements in both passes: `first` columns [n] with `scores` [n]; `second` columns [m] of those at `places`."""

    told: Statements
    first: Columns
    scores: Floats
    places: NDArray[np.int64]
    second: Columns


def standing(
    weighed: Weighed,
    store: Store,
    known: Collection[int] = (),
    *,
    exclude_conversation: int | None = None,
    weights: Weights | None = None,
) -> Standing | None:
    """What holds now of what the owner said; None where he said nothing that comes near the question.

    `weighed` is what a search of turns found. `known` are further turns, those that what is known was learned from.
    """
    weights = weights or shipped()
    told = statements(weighed, store, known, exclude_conversation)
    if told is None:
        return None
    compared = compare(told, weights)
    turns, places = compared.told.turns, compared.places
    scores = weights.holding.scores(compared.second)
    best = int(np.argmax(scores))
    earlier = sorted((n for n in places[:best].tolist()), key=lambda n: -float(compared.scores[n]))
    bears = float(compared.scores.max()) >= weights.least
    return Standing(
        turns[places[best]],
        tuple(turns[n] for n in earlier[:N_BEFORE]),
        bears,
        _claims(compared, int(places[best]), weights),
        _signs(weights, compared.second, best),
    )


def _claims(compared: Compared, n: int, weights: Weights) -> bool:
    tells = compared.told.tells[n]
    return float(compared.scores[n]) >= weights.least or tells.changes or tells.points_back


def compare(told: Statements, weights: Weights) -> Compared:
    """Both passes' columns."""
    first = answering(told)
    scores = weights.answering.scores(first)
    places = ordered(told, scores)
    return Compared(told, first, scores, places, holding(told, places, scores))


def statements(weighed: Weighed, store: Store, known: Collection[int], excluded: int | None) -> Statements | None:
    """The nearest of the owner's turns, those that items rest on, and what points back at the best of them.

    Where rules have learned something about it, what the owner reports of others' words is left out: his own stand.
    """
    pool, asked = weighed.pool, weighed.asked
    near = weighed.columns["tokens"] + weighed.columns["cosine"]
    best = [n for n in np.argsort(-near, kind="stable").tolist() if tells(pool.turns[n], asked.text)]
    nearest = [pool.turns[n] for n in best[:N_ANSWERING]]
    more = store.turns_by_ids([n for n in known if n not in {t.id for t in nearest}])
    around = store.turns_around([t.id for t in (*nearest[:N_NEAR], *more[:N_NEAR])], REACH)
    pointing = [t for t in around if Telling(t.text).points_back]
    every = {t.id: t for t in (*pointing, *nearest, *more)}
    own = [t for t in every.values() if tells(t, asked.text) and t.conversation_id != excluded]
    found = [t for t in own if not (pasted_spans(t.text) or (known and _has_others_words(t.text)))]
    if not found:
        return None
    turns = sorted(found, key=lambda t: (t.conversation_id, t.id))
    idf = dict(zip(asked.stems, asked.weights.tolist(), strict=True))
    return Statements(asked, matter(asked.text), idf, pool_of(turns, store, len(asked.plain.pooled)))


def _has_others_words(text: str) -> bool:
    """Whether something in it is told as somebody else's, so that "I" may be anybody."""
    return bool(others(text, [(s.start, s.end) for s in split_sentences(text)]))


def tells(turn: Turn, question: str) -> bool:
    """Whether a turn is the owner's own, and neither a question nor part of this one.

    Where he asks for his own affairs, one that asks the same and tells nothing of himself is a question, whatever it
    answers to itself.
    """
    if turn.role != "user" or turn.speaker or turn.text.rstrip().endswith("?") or requests(turn.text):
        return False
    if asks_the_same(turn.text, question):
        return False
    return turn.text.casefold() not in question.casefold()


def asks_the_same(text: str, question: str) -> bool:
    """Whether, where the owner asks for his own affairs, `text` asks for the same and tells nothing of its writer."""
    return bool(_MINE.search(question)) and not stems_of(question).isdisjoint(stems_of(merely_asked(text)))


def _signs(weights: Weights, columns: Columns, best: int) -> tuple[tuple[str, float], ...]:
    linear = weights.holding
    shares = {
        name: float(weight / deviation * (columns[name][best] - columns[name].mean()))
        for name, weight, deviation in zip(linear.names, linear.weights, linear.deviations, strict=True)
    }
    return tuple(sorted(((name, share) for name, share in shares.items() if share), key=lambda pair: -abs(pair[1])))
