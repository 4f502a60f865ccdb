"""Whether memory holds anything about a question: a few numbers about the best turns, weighed as the turns are.

A question about something that never was finds turns too; they speak of less of it, or another person said them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.pool import Pool
from secondme.recall.turns.weights import Linear

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

BEARING = 0.65
"""Share of the question's weight that a turn speaks of plus their cosine, from which on it bears on the question.

Where nobody is named it decides. In made-up chats of one owner it let 99% of the questions with an answer through; of
others it stopped one of eight where much had been said, and seven of eight where little had.
"""

_BEST = 5


def gate_features(asked: Asked, pool: Pool, columns: Columns, scores: Floats) -> Columns:
    """Columns [1] by name; `columns` are the features of turns, `scores` [n] what they came to."""
    order = np.argsort(-scores, kind="stable")
    best = order[:_BEST]
    shares = np.exp(scores - scores[order[0]])
    found = {
        "share_of_best": 1 / shares.sum(),
        "share_of_three": shares[order[:3]].sum() / shares.sum(),
        "lead": scores[order[0]] - scores[order[min(9, len(order) - 1)]],
        "stems": len(asked.stems),
        "weight": asked.total,
    }
    for name in ("coverage", "coverage_near", "close", "close_near", "tokens", "tokens_near", "topic_cosine", "topic"):
        found[f"best: {name}"] = columns[name][best].max()
        found[f"first: {name}"] = columns[name][order[0]]
    found |= _speaker(asked, columns, order)
    return {name: np.array([value], np.float32) for name, value in found.items()}


def bearing(columns: Columns, learned: Linear) -> float:
    """From 0 on something bears on the question; `columns` are those of `gate_features`.

    What was learned tells whether it is the one asked about of whom it was said, and is of no use without one.
    """
    if columns["one_speaker"][0]:
        return float(learned.scores(columns)[0])
    return float(columns["best: coverage"][0] + columns["best: topic_cosine"][0]) - BEARING


def _speaker(asked: Asked, columns: Columns, order: NDArray[np.int64]) -> dict[str, float]:
    """How well the one whom the question is about speaks of it, against everyone else."""
    one = len(asked.names) == 1
    if not one:
        return {"one_speaker": 0.0, **{f"{way}: {name}": 0.0 for name in _COMPARED for way in ("theirs", "by_first")}}
    theirs = columns["speaker"] > 0.5
    found = {"one_speaker": 1.0}
    for name in _COMPARED:
        values = columns[name]
        by, others = values[theirs].max(initial=0), values[~theirs].max(initial=0)
        found[f"theirs: {name}"] = float(by - others)
        found[f"by_first: {name}"] = float(theirs[order[0]]) * float(values[order[0]])
    return found


_COMPARED = ("close", "coverage", "topic_cosine", "tokens", "close_near")
