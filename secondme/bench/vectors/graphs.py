"""Approximate searches of other libraries: lists (faiss) and graphs (hnswlib, usearch), each with a knob for effort."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from secondme.bench.vectors.peers import faiss_one_thread
from secondme.bench.vectors.sample import BLOCK_ROWS, Ids, Sample
from secondme.bench.vectors.timing import Search
from secondme.runtime.threads import usable_cores

TRAINING_ROWS_PER_LIST = 40
TRAINING_ROUNDS = 6
GRAPH_DEGREE, GRAPH_EFFORT = 16, 100
"""Neighbours of a node, and candidates looked at while it is added: what either library's manual begins with."""


@dataclass(frozen=True, slots=True)
class Approximate:
    """`build` takes the vectors in, on all cores, and returns what makes a search of one thread for an effort."""

    name: str
    library: str
    build: Callable[[Sample], Callable[[int], Search]]
    efforts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The least effort that finds as much as was asked for; the greatest of all, if none does."""

    search: Search
    effort: int
    recall: float
    build_s: float


def wanted(libraries: Collection[str]) -> list[Approximate]:
    return [peer for peer in _APPROXIMATE if peer.library in libraries]


def tuned(peer: Approximate, sample: Sample, recall: float) -> Tuned:
    """Build `peer`, then turn its effort up until it finds a share of at least `recall`."""
    started = time.perf_counter()
    at = peer.build(sample)
    build_s = time.perf_counter() - started
    for effort in peer.efforts:
        search = at(effort)
        reached = judged(search, sample)
        if reached >= recall:
            break
    return Tuned(search, effort, reached, build_s)


def judged(search: Search, sample: Sample) -> float:
    return sample.recall([(query, search(query)) for query in range(len(sample.queries))])


def _faiss_lists(sample: Sample) -> Callable[[int], Search]:
    """As many lists as the square root of the rows, which suits its own cost best, and 8-bit numbers within."""
    faiss = faiss_one_thread()
    faiss.omp_set_num_threads(usable_cores())
    n_lists = 1 << max(0, round(np.log2(np.sqrt(sample.n_rows))))
    # Not by `index_factory`, whose regular expressions crash once usearch is loaded: the two share a symbol of the C++
    # library that they should not.
    kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    centroids = faiss.IndexFlatIP(sample.n_dims)
    index = faiss.IndexIVFScalarQuantizer(centroids, sample.n_dims, n_lists, kind, metric)
    index.cp.niter = TRAINING_ROUNDS
    index.train(sample.rows[: TRAINING_ROWS_PER_LIST * n_lists])
    index.add(sample.rows)
    faiss.omp_set_num_threads(1)

    def at(n_probes: int) -> Search:
        index.nprobe = n_probes

        def search(query: int) -> Ids:
            ids: Ids = index.search(sample.queries[query : query + 1], sample.k)[1][0]
            return ids

        return search

    return at


def _hnswlib(sample: Sample) -> Callable[[int], Search]:
    import hnswlib

    index = hnswlib.Index("ip", sample.n_dims)
    index.init_index(sample.n_rows, ef_construction=GRAPH_EFFORT, M=GRAPH_DEGREE)
    for start in range(0, sample.n_rows, BLOCK_ROWS):
        some = slice(start, start + BLOCK_ROWS)
        index.add_items(sample.rows[some], sample.ids[some], num_threads=usable_cores())

    def at(effort: int) -> Search:
        index.set_ef(max(effort, sample.k))

        def search(query: int) -> Ids:
            found = index.knn_query(sample.queries[query], sample.k, num_threads=1)[0][0]
            return np.asarray(found, np.int64)

        return search

    return at


def _usearch_graph(sample: Sample) -> Callable[[int], Search]:
    from usearch.index import Index, MetricKind, ScalarKind

    index = Index(
        ndim=sample.n_dims,
        metric=MetricKind.IP,
        dtype=ScalarKind.I8,
        connectivity=GRAPH_DEGREE,
        expansion_add=GRAPH_EFFORT,
    )
    index.add(sample.ids, sample.coarse, threads=usable_cores())

    def at(effort: int) -> Search:
        index.expansion_search = effort

        def search(query: int) -> Ids:
            found = index.search(sample.coarse_queries[query], sample.k, threads=1)
            return np.asarray(found.keys, np.int64)

        return search

    return at


_APPROXIMATE = [
    Approximate("faiss IVF-SQ8", "faiss", _faiss_lists, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)),
    Approximate("hnswlib", "hnswlib", _hnswlib, (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)),
    Approximate("usearch graph", "usearch-graph", _usearch_graph, (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)),
]
