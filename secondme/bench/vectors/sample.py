"""Vectors to search: random ones of any number for speed, with the exact answer to compare with."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondme.memory.vectors import quantize

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatMatrix = NDArray[np.float32]
Ids = NDArray[np.int64]

N_LATENT = 64
TOPICS = ((64, 0.8), (4096, 0.65), (131_072, 0.6))
"""Topics, parts of topics, and parts of these: how many, and how far they lie from what they are part of."""
WITHIN, NOISE = 0.6, 0.15
"""With these numbers 4,000 rows are as near to each other, and take as many lists to search, as 4,000 real passages
embedded by the default model. One level of clusters would flatter an index that has as many lists as there are
clusters."""

BLOCK_ROWS = 1 << 16
"""Rows made, quantized or compared at a time: what is beside the rows themselves stays below some 300 MB."""

EQUAL = 1e-6
"""Cosines of float32 closer than this are equal: which of two such rows is found is no matter."""


@dataclass(frozen=True)
class Sample:
    """rows: unit vectors, float32 [n, d]. queries: unit vectors that are none of them, float32 [m, d]. k: results
    wanted. The int8 form is the store's own."""

    rows: FloatMatrix
    queries: FloatMatrix
    k: int

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    @property
    def n_dims(self) -> int:
        return int(self.rows.shape[1])

    @property
    def shape(self) -> str:
        """As the names of cases end."""
        return f"{self.n_rows}x{self.n_dims}"

    @property
    def ids(self) -> Ids:
        return np.arange(self.n_rows, dtype=np.int64)

    @cached_property
    def coarse(self) -> NDArray[np.int8]:
        """int8 [n, d]."""
        out = in_large_pages(self.n_rows, self.n_dims, np.int8)
        for start in range(0, self.n_rows, BLOCK_ROWS):
            out[start : start + BLOCK_ROWS] = quantize(self.rows[start : start + BLOCK_ROWS])
        return out

    @cached_property
    def coarse_queries(self) -> NDArray[np.int8]:
        """int8 [m, d]."""
        return quantize(self.queries)

    @cached_property
    def kth_cosines(self) -> FloatMatrix:
        """Cosine of the kth nearest row of each query, in float32 [m]: the exact answer's last."""
        best = np.full((len(self.queries), self.k), -np.inf, np.float32)
        for start in range(0, self.n_rows, BLOCK_ROWS):
            scores = self.queries @ self.rows[start : start + BLOCK_ROWS].T
            both = np.concatenate([best, scores], axis=1)
            best = np.partition(both, -self.k, axis=1)[:, -self.k :]
        last: FloatMatrix = best.min(axis=1)
        return last

    def recall(self, found: Sequence[tuple[int, Ids]]) -> float:
        """Share of the exact k nearest that was found; `found` holds a query's number and the ids found for it."""
        n_right = 0
        for query, ids in found:
            distinct = np.unique(ids)
            cosines = self.rows[distinct[(distinct >= 0) & (distinct < self.n_rows)]] @ self.queries[query]
            n_right += min(self.k, int((cosines >= self.kth_cosines[query] - EQUAL).sum()))
        return n_right / (self.k * len(found))


def in_large_pages(n_rows: int, n_dims: int, kind: type[np.generic]) -> NDArray[Any]:
    """An array of zeros in pages of 2 MB, where the system has them, as the index is: what is only read from small ones
    is up to a third slower, and the peers that search our arrays in place shall not be."""
    n_bytes = max(1, n_rows * n_dims * np.dtype(kind).itemsize)
    room = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            room.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(room, kind, n_rows * n_dims).reshape(n_rows, n_dims)


def random_sample(n_rows: int, n_dims: int, k: int, n_queries: int = 200) -> Sample:
    """Unit vectors of low inner dimension that lie in topics of topics; always the same ones for the same sizes.

    Random directions without structure would be too easy to tell apart for the coarse forms and too hard for lists.
    """
    return Sample(_fill(n_rows, n_dims, seed=7), _fill(n_queries, n_dims, seed=8), k)


def _fill(n: int, n_dims: int, seed: int) -> FloatMatrix:
    out: FloatMatrix = in_large_pages(n, n_dims, np.float32)
    at = 0
    for block in _blocks(n, n_dims, seed):
        out[at : at + len(block)] = block
        at += len(block)
    return out


def _blocks(n: int, n_dims: int, seed: int) -> Iterator[FloatMatrix]:
    topics, spread = _world(n_dims)
    chance, n_latent = np.random.default_rng(seed), len(spread)
    for start in range(0, n, BLOCK_ROWS):
        m = min(BLOCK_ROWS, n - start)
        latent = topics[chance.integers(0, len(topics), m)]
        latent += np.float32(WITHIN) * chance.standard_normal((m, n_latent), np.float32)
        block = latent @ spread
        block += np.float32(NOISE) * chance.standard_normal((m, n_dims), np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block


@lru_cache(maxsize=2)
def _world(n_dims: int) -> tuple[FloatMatrix, FloatMatrix]:
    """The topics in few dimensions, and what spreads these over all."""
    world, n_latent = np.random.default_rng(1234), min(N_LATENT, n_dims)
    topics = np.zeros((1, n_latent), np.float32)
    for n_topics, deviation in TOPICS:
        parents = topics[world.integers(0, len(topics), n_topics)]
        topics = parents + np.float32(deviation) * world.standard_normal(parents.shape, np.float32)
    spread: FloatMatrix = world.standard_normal((n_latent, n_dims), np.float32) / np.sqrt(n_latent, dtype=np.float32)
    return topics, spread
