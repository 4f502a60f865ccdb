"""What remembering recent queries saves: the same query again, and others near it, timed inside native code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secondme.bench.rows import Row
from secondme.bench.vectors.sample import FloatMatrix, Sample, random_sample
from secondme.bench.vectors.setting import filled
from secondme.bench.vectors.timing import BENCH
from secondme.kernels import _native
from secondme.kernels.index import VectorIndex

N_REMEMBERED = 1000
MAX_ROWS = 100_000
NEAR = (0.999, 0.99)
"""Cosines of a query that was asked and one that is asked next."""


def run(sample: Sample, isa: str | None) -> Iterator[Row]:
    """Microseconds of a repeated query with 1,000 in memory, of near ones, and how many of these need no scan."""
    sample = Sample(sample.rows[:MAX_ROWS], sample.queries, min(sample.k, MAX_ROWS))
    asked = random_sample(1, sample.n_dims, 1, n_queries=N_REMEMBERED).queries
    index = filled(sample, isa, n_remembered=N_REMEMBERED)
    _best(index, asked, sample.k)
    scan = _best(filled(sample, isa), asked[:50], sample.k)
    repeat = _best(index, asked, sample.k)
    name = f"our exact scan of {sample.n_rows}"
    yield Row(BENCH, f"lookaside/{N_REMEMBERED}", repeat, "us", len(asked), name, scan, scan / repeat)
    for cosine in NEAR:
        queries = _near(asked, cosine)
        before = index.stats()
        _best(index, queries, sample.k)
        after = index.stats()
        n_known = after.n_near + after.n_repeats - before.n_near - before.n_repeats
        yield Row(BENCH, f"lookaside/near/{cosine}", n_known / len(queries), "share", len(queries))


def _best(index: VectorIndex, queries: FloatMatrix, k: int) -> float:
    """Microseconds of the fastest search, each query asked once."""
    return 1e6 * min(_native.search_seconds(index._native, query, k, 1) for query in queries)


def _near(queries: FloatMatrix, cosine: float) -> FloatMatrix:
    """Unit vectors that have this cosine with their query, in directions of chance."""
    away = np.random.default_rng(10).standard_normal(queries.shape, np.float32)
    away -= (away * queries).sum(axis=1, keepdims=True) * queries
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    near: FloatMatrix = (cosine * queries + np.sqrt(1 - cosine**2) * away).astype(np.float32)
    return near
