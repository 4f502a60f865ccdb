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
from secondme.recall.standing.order import holding, last_that_belongs, ordered
from secondme.recall.standing.ties import Ties, ties
from secondme.recall.standing.told import Columns, Floats, Statements, answering, is_owners, tells_something
from secondme.recall.standing.weights import Weights, shipped
from secondme.recall.succession import REACH, matter
from secondme.recall.telling import Telling
from secondme.recall.turns.pool import pool_of
from secondme.recall.turns.recall import Weighed
from secondme.text.attribution import others
from secondme.text.pasted import pasted_spans
from secondme.text.sentences import split_sentences
from secondme.types import Turn

_I = re.compile(r"\b(?:i|i'm|i've|i'd|me|my|mine|we|we're|our|ours|us)\b", re.I)

N_ANSWERING = 24
"""Turns of the owner's, the nearest to the question, that are weighed."""

N_ASKING = 8
"""Of his questions so many, the nearest: what they take for granted was said with them."""

N_NEAR = 2
"""The best of them beside which is looked for what points back: no search finds a correction that names nothing."""

N_BEFORE = 4
"""Statements that may have held before, of which the history is told."""


_AS_WELL = -0.7
"""What a statement scores beside the best one, at the least, if it answers as well."""
_CORRECTS = 0.2
"""Likelihood from which a statement corrects one that answers."""
_LITTLE = 0.05
"""What logarithms of likelihoods begin at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which statement holds now, and what was said before it, the best answers first.

    bears: whether any of it answers the question. claims: whether the current one does as well as any, or corrects what
    does, without which it takes nothing's place that is known for sure.
    """

    now: Turn
    before: tuple[Turn, ...]
    bears: bool
    claims: bool


@dataclass(frozen=True, eq=False)
class Compared:
    """Statements in all passes: `first` columns [n] with `scores` [n]; `corrected` [n, n], how likely which one
    corrects which, placed as in `tied`; `last` columns [m] of those at `places`."""

    told: Statements
    first: Columns
    scores: Floats
    tied: Ties
    corrected: Floats
    places: NDArray[np.int64]
    last: Columns

    def final(self, weights: Weights) -> Floats:
        """Logarithm [m] of how likely each holds, but for a constant; what only asks holds nothing."""
        odds = weights.holding.scores(self.last)
        return last_that_belongs(np.where(self.told.telling[self.places], odds, -np.inf).astype(np.float32))


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
    final = compared.final(weights)
    best = int(np.argmax(final))
    if not np.isfinite(final[best]):  # what answers best only asks, or is about somebody else
        return None
    return Standing(
        turns[places[best]],
        tuple(turns[n] for n in _before(compared, best)[:N_BEFORE]),
        float(compared.scores[told.telling].max()) >= weights.least,
        _claims(compared, int(places[best]), weights),
    )


def _before(compared: Compared, best: int) -> list[int]:
    """Places of what was said before the one at `best`: what it corrects first, else what answers."""
    where = {int(place): n for n, place in enumerate(compared.tied.places)}
    corrected = compared.corrected[:, where[int(compared.places[best])]]
    return sorted(
        compared.places[:best].tolist(),
        key=lambda n: -float(compared.scores[n] + np.log(corrected[where[n]] + _LITTLE)),
    )


def _claims(compared: Compared, n: int, weights: Weights) -> bool:
    """Whether the statement at `n` answers as well as any, corrects what answers, or points back at it."""
    relative = compared.scores - compared.scores[compared.told.telling].max()
    if relative[n] >= _AS_WELL and compared.scores[n] >= weights.least:
        return True
    column = int(np.flatnonzero(compared.tied.places == n)[0])
    likely = np.minimum(np.exp(relative), 1)[compared.tied.places]
    tied = np.maximum(compared.corrected[:, column], compared.tied.columns["points"][:, column])
    return bool((tied * likely).sum() >= _CORRECTS)


def compare(told: Statements, weights: Weights) -> Compared:
    """The columns of all passes."""
    first = answering(told)
    scores = weights.answering.scores(first)
    tied = ties(told)
    corrected = tied.corrected(weights.correcting)
    places = ordered(told, scores)
    return Compared(told, first, scores, tied, corrected, places, holding(told, places, scores, tied, corrected))


def statements(weighed: Weighed, store: Store, known: Collection[int], excluded: int | None) -> Statements | None:
    """The nearest of the owner's turns, those that items rest on, and what points back at the best of them.

    Where rules have learned something about it, what the owner reports of others' words is left out: his own stand.
    """
    pool, asked = weighed.pool, weighed.asked
    near = weighed.columns["tokens"] + weighed.columns["cosine"]
    order = [n for n in np.argsort(-near, kind="stable").tolist() if is_owners(pool.turns[n], asked.text)]
    best = [n for n in order if tells_something(pool.turns[n], asked.text)]
    asking = [n for n in order if n not in best]
    nearest = [pool.turns[n] for n in (*best[:N_ANSWERING], *asking[:N_ASKING])]
    more = store.turns_by_ids([n for n in known if n not in {t.id for t in nearest}])
    around = store.turns_around([t.id for t in (*nearest[:N_NEAR], *more[:N_NEAR])], REACH)
    pointing = [t for t in around if Telling(t.text).points_back]
    every = {t.id: t for t in (*pointing, *nearest, *more)}
    undone = store.undone_turns(every)  # what was taken back holds nothing
    own = [
        t for t in every.values() if is_owners(t, asked.text) and t.conversation_id != excluded and t.id not in undone
    ]
    found = [t for t in own if not (pasted_spans(t.text) or (known and _has_others_words(t.text)))]
    if not found:
        return None
    turns = sorted(found, key=lambda t: (t.conversation_id, t.id))
    idf = dict(zip(asked.stems, asked.weights.tolist(), strict=True))
    told = Statements(asked, matter(asked.text), idf, pool_of(turns, store, len(asked.plain.pooled)))
    return told if told.telling.any() else None


def _has_others_words(text: str) -> bool:
    """Whether somebody else may be "I" in it: in what is told as his, or as that is most of it."""
    spans = others(text, [(s.start, s.end) for s in split_sentences(text)])
    is_most = bool(spans) and 2 * min(start for start, _ in spans) < len(text)
    return is_most or any(_I.search(text[start:end]) for start, end in spans)
