"""Joins two rankings by their standardised scores; apart, because it is the part that is tuned by measuring.

On Cranfield (nDCG@10) and on encyclopedia paragraphs the sum of z-scores was level with or ahead of reciprocal rank
fusion, and it is what conversations need as well; `secondme bench recall` measures it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ranking = Sequence[tuple[int, float]]


def zscore_fusion(rankings: Iterable[Ranking]) -> dict[int, float]:
    """Sum of z-scores of every id over `rankings` of (id, score), higher is better.

    An id that a ranking lacks counts there like its last one.
    """
    standardised = [_zscores(ranking) for ranking in rankings]
    ids = {i for scores, _ in standardised for i in scores}
    return {i: sum(scores.get(i, floor) for scores, floor in standardised) for i in ids}


def _zscores(ranking: Ranking) -> tuple[dict[int, float], float]:
    """z-scores by id, and the lowest of them."""
    if not ranking:
        return {}, 0.0
    values = [score for _, score in ranking]
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5 or 1.0
    return {i: (score - mean) / deviation for i, score in ranking}, (min(values) - mean) / deviation
