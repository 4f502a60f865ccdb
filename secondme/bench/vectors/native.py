"""Kernels and calls by themselves: a dot in the first-level cache, and what Python adds to a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from secondme.bench.rows import Row
from secondme.bench.vectors.sample import random_sample
from secondme.bench.vectors.timing import BENCH, per_call
from secondme.kernels import _native, capabilities
from secondme.kernels.index import VectorIndex

DIMS = (384, 768)
K = 10
_SERIES = 20


def run(isa: str | None, budget_s: float) -> Iterator[Row]:
    yield from _dots(isa, n_rounds=100 if budget_s < 0.5 else 1000)
    yield _call_overhead(isa)


def _dots(isa: str | None, n_rounds: int) -> Iterator[Row]:
    """Nanoseconds of one dot product of cached rows: in the form that is scanned, and of int8 rows as they come. A row
    for each instruction set, against the portable kernel."""
    native = [name for name in capabilities().isas if name != "numpy"]
    for case, measure in (("dot", _native.scan_seconds), ("dot_signed", _native.dot_seconds)):
        for n_dims in DIMS:
            serial = _fastest(partial(measure, n_dims, n_rounds, "serial"))
            for name in [isa] if isa else native:
                ours = _fastest(partial(measure, n_dims, n_rounds, name))
                yield Row(BENCH, f"{case}/{n_dims}/{name}", ours, "ns", n_rounds, "serial", serial, serial / ours)


def _fastest(measure: Callable[[], float]) -> float:
    return 1e9 * min(measure() for _ in range(_SERIES))


def _call_overhead(isa: str | None) -> Row:
    """Nanoseconds that a search from Python takes beyond the same search in native code, over one page of rows."""
    sample = random_sample(64, DIMS[0], K, n_queries=1)
    index, query = VectorIndex(DIMS[0], isa=isa), sample.queries[0]
    index.add(sample.ids, sample.rows)
    n = 200
    inside, whole = [], []
    for _ in range(_SERIES):
        inside.append(_native.search_seconds(index._native, query, K, n))
        whole.append(per_call(lambda: index.search(query, K), n))
    return Row(BENCH, "call_overhead", 1e9 * max(0.0, min(whole) - min(inside)), "ns", n * _SERIES)
