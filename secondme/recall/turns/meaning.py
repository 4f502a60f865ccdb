"""Features of meaning: vectors of whole turns, and late interaction of tokens (MaxSim).

Source: Khattab and Zaharia 2020, "ColBERT".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.kernels.late import maxsim
from secondme.recall.turns.asked import Asked, Wording
from secondme.recall.turns.pool import Pool, standardised_each

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

_CLOSE = np.float32(0.4)
"""Tokens of unlike meaning are about this close; what is above it counts."""
_BESIDE = np.float32(0.9)


def meaning_features(asked: Asked, pool: Pool, coverage: Floats) -> Columns:
    """Columns [n] by name; `coverage` [n] is the share of the question's weight that a turn's words have."""
    compared = Compared(pool, coverage)
    found = _of_vectors(asked, compared) | of_tokens(asked.plain, compared)
    found |= _of_topic(asked.stripped, compared, "topic") | _of_topic(asked.told, compared, "told")
    columns = standardised_each(found)
    for name in ("cosine", "cosine_near", "topic_cosine", "tokens", "tokens_near", "close", "close_near", "topic"):
        columns[name] = found[name]
    columns["topic_close"] = found["topic_close"]
    return columns


def _of_vectors(asked: Asked, compared: Compared) -> Columns:
    pool = compared.pool
    wordings = np.stack([asked.plain.pooled, asked.stripped.pooled, asked.told.pooled])
    plain, topic, told = compared.filled(pool.pooled @ wordings.T).T
    return {
        "cosine": plain,
        "topic_cosine": topic,
        "told_cosine": told,
        "cosine_near": _near(plain, pool),
        "topic_cosine_near": _near(topic, pool),
        "topic_cosine_conversation": pool.summed(topic) / pool.counted(),
    }


class Compared:
    """A pool with what stands in for the traces of turns that have none yet."""

    def __init__(self, pool: Pool, coverage: Floats) -> None:
        self.pool = pool
        self._traced = np.array([bool(p) for p in pool.packed])
        self._coverage = coverage[:, None]

    def filled(self, rows: Floats) -> Floats:
        """`rows` [n, m] where a turn without a trace lies between the others' mean and their best, by its words."""
        if self._traced.all() or not self._traced.any():
            return np.asarray(rows, np.float32)
        traced = rows[self._traced]
        mean = traced.mean(axis=0)
        guessed = mean + self._coverage * (traced.max(axis=0) - mean)
        return np.where(self._traced[:, None], rows, guessed).astype(np.float32)

    def closest(self, wording: Wording) -> tuple[Floats, Floats]:
        """Cosine of every token of `wording` to the closest of each turn [n, m], and of it and those beside it."""
        best = self.filled(maxsim(wording.packed, None, self.pool.packed))
        beside = np.maximum(self.pool.shifted(best.T, -1), self.pool.shifted(best.T, 1)).T
        return best, np.maximum(best, _BESIDE * beside)


def _near(values: Floats, pool: Pool) -> Floats:
    """Mean over each turn and the two before and after it."""
    ones = np.ones_like(values)
    total, n = values.copy(), ones.copy()
    for offset in (-2, -1, 1, 2):
        total += pool.shifted(values, offset)
        n += pool.shifted(ones, offset)
    return total / n


def of_tokens(wording: Wording, compared: Compared) -> Columns:
    """Columns [n]: how close the closest tokens of each turn are to those of `wording`, by their weights."""
    best, beside = compared.closest(wording)
    weights = wording.weights / (wording.weights.sum() or 1)
    topical = wording.topical / (wording.topical.sum() or 1)
    above, above_beside = np.maximum(best - _CLOSE, 0), np.maximum(beside - _CLOSE, 0)
    told = np.maximum(compared.pool.highest(best) - _CLOSE, 0)
    return {
        "tokens_mean": best.mean(axis=1),
        "tokens": best @ weights,
        "tokens_near": beside @ weights,
        "tokens_close": above @ weights,
        "close": above @ topical,
        "close_near": above_beside @ topical,
        "close_conversation": told @ topical,
        "closest": (above * (topical > 0)).max(axis=1),
    }


def _of_topic(wording: Wording, compared: Compared, name: str) -> Columns:
    best, beside = compared.closest(wording)
    weights = wording.weights / (wording.weights.sum() or 1)
    return {
        name: best @ weights,
        f"{name}_close": np.maximum(best - _CLOSE, 0) @ weights,
        f"{name}_near": beside @ weights,
    }
