"""Joins rankings. Documents gain from reciprocal rank fusion where conversations lose by it, so it stands apart."""

from __future__ import annotations

from collections.abc import Sequence

RRF_K = 60  # Cormack, Clarke and Buettcher, SIGIR 2009


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], weights: Sequence[float]) -> dict[int, float]:
    """Score every id by the weighted sum of 1 / (60 + rank) over `rankings` (ids, best first; ranks from 1)."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (RRF_K + rank)
    return scores
