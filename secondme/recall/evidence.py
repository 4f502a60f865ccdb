"""Weighs how much of a question a text speaks of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from secondme.text.terms import stem, stems


def term_weights(terms: Sequence[str], df: Mapping[str, int], n_chunks: int) -> dict[str, float]:
    """Weight of each term's stem: its idf as in BM25, ln(1 + (N - df + .5) / (df + .5)).

    Two terms of one stem keep the larger weight.
    """
    weights: dict[str, float] = {}
    for term in terms:
        n = df.get(term, 0)
        idf = math.log1p((max(n_chunks, n) - n + 0.5) / (n + 0.5))
        weights[stem(term)] = max(idf, weights.get(stem(term), 0.0))
    return weights


def coverage(text: str, weights: Mapping[str, float]) -> float:
    """Share of the question's weight whose stems stand in `text`, 0 to 1."""
    total = sum(weights.values())
    if not total:
        return 0.0
    present = set(stems(text))
    return sum(weight for term, weight in weights.items() if term in present) / total
