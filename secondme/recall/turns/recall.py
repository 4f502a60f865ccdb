"""Recall for conversations: the turns that bear most on a question, and whether any does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from secondme.memory.store import Store
from secondme.recall.masking import Masks, masks
from secondme.recall.turns.asked import Asked, ask
from secondme.recall.turns.features import Columns, features
from secondme.recall.turns.gate import bearing, gate_features
from secondme.recall.turns.pool import Pool, gather
from secondme.recall.turns.second import second_features
from secondme.recall.turns.speakers import speakers_named
from secondme.recall.turns.weights import Weights, shipped
from secondme.recall.turns.words import Counted
from secondme.runtime.base import Embedder
from secondme.text.terms import words
from secondme.types import Turn

Floats = NDArray[np.float32]

SECOND_LOOK = 100
"""The second pass orders so many of the first pass's best."""


@dataclass(frozen=True, slots=True)
class TurnHit:
    """A turn with its score, which compares within one question only. Secrets in its text are stars."""

    turn: Turn
    score: float


@dataclass(frozen=True, slots=True)
class TurnRecall:
    """Hits, best first. `found` is whether what was said bears on the question at all; hits may be there without.

    `weighed` is all that was looked at; None where nothing was.
    """

    hits: tuple[TurnHit, ...] = ()
    found: bool = False
    weighed: Weighed | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Everything known of a question's turns before they are cut to a few: features, and scores [n]."""

    asked: Asked
    pool: Pool
    columns: Columns
    scores: Floats
    gate: Columns


def recall_turns(
    question: str,
    store: Store,
    embedder: Embedder,
    *,
    project: str | None,
    k: int,
    now: float | None = None,
    exclude_conversation: int | None = None,
    weights: Weights | None = None,
    hidden: Masks | None = None,
) -> TurnRecall:
    """The `k` turns that bear most on `question`, best first, of `project` or of all for None.

    `now` is when it is asked, in Unix seconds (None: the clock's), for what it says of time. `exclude_conversation` is
    left out. `hidden` are the masks of `project`, where they are at hand. Raises ModelError if the embedder fails.
    """
    weights = weights or shipped()
    weighed = weigh(question, store, embedder, (project, exclude_conversation, now), weights)
    if weighed is None or k < 1:
        return TurnRecall()
    hidden = masks(store, project) if hidden is None else hidden
    best = np.argsort(-weighed.scores, kind="stable")[:k]
    hits = tuple(TurnHit(_masked(weighed.pool.turns[i], hidden), float(weighed.scores[i])) for i in best)
    return TurnRecall(hits, bearing(weighed.gate, weights.gate) >= 0, weighed)


def weigh(
    question: str,
    store: Store,
    embedder: Embedder,
    where: tuple[str | None, int | None, float | None],
    weights: Weights,
) -> Weighed | None:
    """Both passes over a question's turns; `where` is the project, the conversation to leave out and the moment.

    None where there is nothing to weigh, or nothing was asked.
    """
    project, excluded, now = where
    if not words(question):
        return None
    moment = _moment(time.time() if now is None else now)
    asked = ask(question, speakers_named(question, store, project), moment, store, embedder)
    pool = gather(asked, store, project, excluded)
    if pool is None:
        return None
    counted = Counted(asked, pool)
    columns = features(asked, pool, counted)
    scores = second_pass(asked, pool, counted, columns, weights)
    return Weighed(asked, pool, columns, scores, gate_features(asked, pool, columns, scores))


def second_pass(asked: Asked, pool: Pool, counted: Counted, columns: Columns, weights: Weights) -> Floats:
    """Scores [n]: those of the second pass for the first one's best; the others below them, in the first's order."""
    first = weights.first.scores(columns)
    again = columns | second_features(asked, pool, counted, columns, first)
    order = np.argsort(-first, kind="stable")
    rest = order[SECOND_LOOK:]
    scores = weights.second.scores(again)
    if len(rest):
        floor = scores[order[:SECOND_LOOK]].min() - 1
        scores[rest] = floor - (first[rest[0]] - first[rest])
    return scores


def _masked(turn: Turn, hidden: Masks) -> Turn:
    text = hidden.without_secrets("turn", turn.id, turn.text)
    return turn if text == turn.text else replace(turn, text=text)


def _moment(at: float) -> datetime:
    """In this machine's time; the clock's for what no calendar holds."""
    try:
        return datetime.fromtimestamp(at)
    except (ValueError, OverflowError, OSError):
        return datetime.now()
