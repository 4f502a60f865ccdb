"""Features of words: BM25 of a turn, of those around it and of its conversation, and how much of a question is there.

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.pool import Pool, standardised
from secondme.text.terms import QUESTION_WORDS, fold, stem

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

_WORD = re.compile(r"[^\W_]+")
_NEAR = {-2: 0.3, -1: 0.6, 1: 0.6, 2: 0.3}
_K1, _B = 1.2, 0.5


class Counted:
    """The words of n turns: `words` all of them, `lists` those of content, `sets` each once, `spread` how widely.

    stems: how often each of t stems stands in each turn [t, n]. lengths: content words of each turn [n], at least one.
    """

    def __init__(self, asked: Asked, pool: Pool) -> None:
        self.words = [_WORD.findall(fold(turn.text).replace("’", "'").replace("'s", "")) for turn in pool.turns]
        self.lists = [[w for w in found if w not in QUESTION_WORDS] for found in self.words]
        rows = {s: i for i, s in enumerate(asked.stems)}
        heads = {s[:3] for s in rows}
        self.stems = np.zeros((len(rows), len(pool)), np.float32)
        for n, found in enumerate(self.lists):
            for word in found:
                if word[:3] in heads and (row := rows.get(stem(word))) is not None:
                    self.stems[row, n] += 1
        self.lengths = np.array([max(1, len(found)) for found in self.lists], np.float32)
        self.sets = [set(found) for found in self.lists]
        self.spread = Counter(word for found in self.sets for word in found)

    def rarity(self, word: str) -> float:
        """ln(1 + n / df) of a word among the turns at hand."""
        return math.log1p(len(self.lists) / self.spread[word])


def word_features(asked: Asked, pool: Pool, counted: Counted) -> Columns:
    """Columns [n] by name."""
    tf, weights, lengths = counted.stems, asked.weights, counted.lengths
    near = {o: pool.shifted(tf, o) for o in (-2, -1, 1, 2)}
    long = {o: pool.shifted(lengths, o) for o in near}
    around = sum(near.values(), np.zeros_like(tf))
    five = around + tf + sum((pool.shifted(tf, o) for o in (-5, -4, -3, 3, 4, 5)), np.zeros_like(tf))
    five_long = sum((pool.shifted(lengths, o) for o in range(-5, 6) if o), lengths)
    weighted = tf + sum((near[o] * np.float32(x) for o, x in _NEAR.items()), np.zeros_like(tf))
    weighted_long = lengths + sum((long[o] * np.float32(x) for o, x in _NEAR.items()), np.zeros_like(lengths))
    there = (tf > 0).astype(np.float32)
    shares = (weights / asked.total).astype(np.float32)
    coverage: Floats = shares @ there
    wide: Floats = shares @ ((around + tf) > 0).astype(np.float32)
    told = pool.summed(tf.T).T
    found: Columns = {
        "bm25": bm25(tf, weights, lengths),
        "bm25_before": bm25(near[-1], weights, long[-1] + 1),
        "bm25_after": bm25(near[1], weights, long[1] + 1),
        "bm25_around": bm25(around, weights, sum(long.values(), np.ones_like(lengths))),
        "bm25_near": bm25(weighted, weights, weighted_long),
        "bm25_wide": bm25(five, weights, five_long),
        "bm25_conversation": bm25(told, weights, pool.summed(lengths), 0.75),
        "rarest": np.asarray((there * weights[:, None]).max(axis=0, initial=0.0), np.float32),
        "coverage": coverage,
        "coverage_near": wide,
        "coverage_conversation": shares @ (told > 0).astype(np.float32),
    }
    columns: Columns = {f"z.{name}": standardised(values) for name, values in found.items()}
    columns |= {"coverage": coverage, "coverage_near": wide, "n_terms": np.asarray(there.sum(axis=0), np.float32)}
    columns["bm25"] = found["bm25"]
    others = [i for i, s in enumerate(asked.stems) if s in asked.others]
    columns["other_names"] = np.asarray(there[others].sum(axis=0), np.float32)
    columns["other_names_near"] = ((around + tf)[others] > 0).sum(axis=0).astype(np.float32)
    return columns


def bm25(tf: Floats, weights: Floats, lengths: Floats, b: float = _B) -> Floats:
    """Scores [n] of term frequencies [t, n]."""
    norm = np.float32(_K1) * (1 - b + b * lengths / lengths.mean())
    scores: Floats = weights @ (tf * np.float32(_K1 + 1) / (tf + norm))
    return scores
