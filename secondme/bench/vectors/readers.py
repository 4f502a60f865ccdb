"""How long readers take while one writes: every search of many threads is timed, and the slow ones count."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from secondme.bench.rows import Row
from secondme.bench.vectors.sample import Sample, random_sample
from secondme.bench.vectors.timing import BENCH
from secondme.kernels import _native
from secondme.kernels.index import VectorIndex

N_READERS = 16
N_ROWS = 1000
K = 10
_SHARE = 99


def run(isa: str | None, n_dims: int, budget_s: float) -> Iterator[Row]:
    """Microseconds that 99 of 100 searches of 1,000 rows stay below: one reader alone, as many as there are when one
    writes without pause, and sixteen. More readers than cores wait for their turn, which is the system's time."""
    sample = random_sample(2 * N_ROWS, n_dims, K, n_queries=64)
    n = 200 if budget_s < 0.5 else 5000
    alone = _p99(_filled(sample, isa), sample, 1, n)
    yield Row(BENCH, "reader_p99/1", alone, "us", n)
    for n_readers in (1, N_READERS):
        index = _filled(sample, isa)
        writer = _Writer(index, sample)
        writer.start()
        writer.has_written.wait()
        try:
            p99 = _p99(index, sample, n_readers, n)
        finally:
            writer.stop()
        case = f"reader_p99/{n_readers}+writer"
        yield Row(BENCH, case, p99, "us", n * n_readers, "one reader alone", alone, alone / p99)


def _filled(sample: Sample, isa: str | None) -> VectorIndex:
    index = VectorIndex(sample.n_dims, isa=isa)
    index.add(sample.ids[:N_ROWS], sample.rows[:N_ROWS])
    return index


def _p99(index: VectorIndex, sample: Sample, n_readers: int, n: int) -> float:
    seconds: NDArray[np.float64] = np.empty((n_readers, n))
    _native.reader_seconds(index._native, sample.queries, sample.k, seconds[:1, :100].copy())
    _native.reader_seconds(index._native, sample.queries, sample.k, seconds)
    return 1e6 * float(np.percentile(seconds, _SHARE))


class _Writer(threading.Thread):
    """Puts other vectors in place of those that are there, ten at a time."""

    def __init__(self, index: VectorIndex, sample: Sample) -> None:
        super().__init__(daemon=True)
        self._index, self._sample = index, sample
        self._ending = threading.Event()
        self.has_written = threading.Event()

    def run(self) -> None:
        ids, rows = self._sample.ids[:N_ROWS], self._sample.rows
        n_writes = 0
        while not self._ending.is_set():
            start = n_writes % (N_ROWS // 10) * 10
            other = N_ROWS * (1 - n_writes // (N_ROWS // 10) % 2) + start
            self._index.add(ids[start : start + 10], rows[other : other + 10])
            n_writes += 1
            self.has_written.set()

    def stop(self) -> None:
        self._ending.set()
        self.join()
