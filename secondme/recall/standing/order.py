"""Which of the statements that answer a question holds now: the last that is tied to the others, or says what changed.

No statement is told from the others by its attribute. What counts is how well it answers, when it was said, how near it
is to what answers and was said before, signs of a change, and that nothing as good was said later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondme.recall.standing.cues import became, is_over, is_recent
from secondme.recall.standing.told import Columns, Floats, Statements
from secondme.recall.succession import REACH, Told, is_pointed_at
from secondme.recall.telling import Telling
from secondme.text.answers import CRISP

N_ORDERED = 16
"""Statements, those that answer best, that are compared with each other."""


def ordered(told: Statements, scores: Floats) -> NDArray[np.int64]:
    """Places of those to compare, by time: the best by `scores` [n], and what points back at one of the best."""
    best = set(np.argsort(-scores, kind="stable")[:N_ORDERED].tolist())
    pointing = {
        n
        for n, tells in enumerate(told.tells)
        if n not in best and any(m in best for m in range(max(0, n - REACH), n)) and tells.points_back
    }
    return np.array(sorted(best | pointing, key=lambda n: (told.turns[n].created_at, told.turns[n].id)))


def holding(told: Statements, places: NDArray[np.int64], scores: Floats) -> Columns:
    """Columns [m] by name for the m statements at `places`, which are in the order of time; `scores` [n] as before."""
    tells = [told.tells[n] for n in places]
    relative = (scores - scores.max())[places]
    likely = np.exp(relative)
    before = np.triu(np.ones((len(places), len(places)), np.float32), 1)  # [earlier, later]
    links = _links(told, places, tells) * before
    changes, recent, moved, over, corrects = _signs(tells)
    points = _points(told, places, tells) * before
    crisp = np.array([[bool(a.sorts & b.sorts & CRISP) for b in tells] for a in tells], np.float32) * before
    had = (before * likely[:, None]).max(axis=0)
    linked = (links * likely[:, None]).max(axis=0)
    pointed = (points * likely[:, None]).max(axis=0)
    change = np.maximum(changes, moved)
    columns = {
        "answers": relative,
        "recency": np.arange(len(places)) / max(1, len(places) - 1),
        "had_before": had,
        "linked": linked,
        "linked_change": linked * change,
        "changes": changes,
        "changes_before": changes * had,
        "recent": recent,
        "recent_before": recent * had,
        "became": moved,
        "over": over,
        "over_before": over * had,
        "corrects_before": corrects * had,
        "points": pointed,
        "points_elsewhere": points.max(axis=0) * (1 - pointed),
        "same_sort": (crisp * likely[:, None]).max(axis=0),
        "later": (links * likely[None, :]).max(axis=1),
        "later_change": (before * (likely * change)[None, :]).max(axis=1),
    }
    return {name: np.asarray(values, np.float32) for name, values in columns.items()}


def _signs(tells: Sequence[Telling]) -> Sequence[Floats]:
    rows = [(t.changes, is_recent(t.text), became(t.text), is_over(t.text), t.corrects) for t in tells]
    return list(np.array(rows, np.float32).reshape(len(rows), 5).T)


def _links(told: Statements, places: NDArray[np.int64], tells: Sequence[Telling]) -> Floats:
    """How near any two are, 0 to 1: by meaning, or by the share of words that they have in common [m, m]."""
    vectors = told.pooled[places]
    matters = [t.matter for t in tells]
    shared = [[len(a & b) / min(len(a), len(b)) if a and b else 0.0 for b in matters] for a in matters]
    nearest: Floats = np.maximum(vectors @ vectors.T, np.array(shared, np.float32))
    return nearest


def _points(told: Statements, places: NDArray[np.int64], tells: Sequence[Telling]) -> Floats:
    """Which of them point back at which [m, m]: 1 where nothing nearer could be meant. Ids of turns are in a row."""
    every = [
        Told(t, turn.created_at, 0.0, turn.id, turn.conversation_id, turn.id)
        for t, turn in zip(told.tells, told.turns, strict=True)
    ]
    found = np.zeros((len(places), len(places)), np.float32)
    for column, n in enumerate(places):
        if tells[column].points_back:
            for row, m in enumerate(places[:column]):
                found[row, column] = is_pointed_at(every[n], every[m], [every[m]], every)
    return found
