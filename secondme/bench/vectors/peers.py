"""The libraries that the index is compared with, each set to one thread, on the same vectors and the same queries.

They are installed by `make bench PEERS=1` and by nothing else. sqlite-vec and NumPy are there anyway. Each is freed
before the next is built, so that a million rows fit beside any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from secondme.bench.vectors.sample import BLOCK_ROWS, FloatMatrix, Ids, Sample
from secondme.bench.vectors.timing import Search

_TRAINING_ROWS = 40_000


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to search all rows. `name` is the row's peer, `library` one of PEERS; `build` takes the vectors in."""

    name: str
    library: str
    build: Callable[[Sample], Search]


def flat(libraries: Collection[str]) -> list[Peer]:
    """Those that compare a query with every row."""
    return [peer for peer in _FLAT if peer.library in libraries]


# sqlite-vec ----------------------------------------------------------------------------------------------------------


def _sqlite_vec(sample: Sample) -> Search:
    """A table in memory, not encrypted, with blocks of the size that is sqlite-vec's own choice."""
    import apsw
    import sqlite_vec

    connection = apsw.Connection(":memory:")
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.execute(f"create virtual table v using vec0(e int8[{sample.n_dims}])")
    with connection:
        rows = ((i, row.tobytes()) for i, row in enumerate(sample.coarse))
        connection.executemany("insert into v(rowid, e) values(?, vec_int8(?))", rows)
    sql = "select rowid from v where e match vec_int8(?) and k = ?"

    def search(query: int) -> Ids:
        values = (sample.coarse_queries[query].tobytes(), sample.k)
        return np.fromiter((row[0] for row in connection.execute(sql, values)), np.int64)

    return search


# NumPy ---------------------------------------------------------------------------------------------------------------


def _top(scores: Any, k: int) -> Ids:
    k = min(k, len(scores))
    best: Ids = np.argpartition(scores, len(scores) - k)[len(scores) - k :]
    return best


def _numpy(sample: Sample) -> Search:
    return lambda query: _top(sample.rows @ sample.queries[query], sample.k)


# numkong -------------------------------------------------------------------------------------------------------------


def _numkong(sample: Sample) -> Search:
    import numkong

    queries = sample.coarse_queries

    def search(query: int) -> Ids:
        scores = np.asarray(numkong.cdist(queries[query : query + 1], sample.coarse, "dot", threads=1))[0]
        return _top(scores, sample.k)

    return search


def _numkong_packed(sample: Sample) -> Search:
    """The rows copied once into the order that its matrix product reads fastest."""
    import numkong

    packed, queries = numkong.dots_pack(sample.coarse, dtype="int8"), sample.coarse_queries

    def search(query: int) -> Ids:
        return _top(np.asarray(numkong.dots_packed(queries[query : query + 1], packed))[0], sample.k)

    return search


# usearch -------------------------------------------------------------------------------------------------------------


def _usearch(sample: Sample) -> Search:
    from usearch.index import MetricKind, search

    def exact(query: int) -> Ids:
        found = search(sample.coarse, sample.coarse_queries[query], sample.k, MetricKind.IP, exact=True, threads=1)
        return np.asarray(found.keys, np.int64)

    return exact


# faiss ---------------------------------------------------------------------------------------------------------------


def faiss_one_thread() -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss


def _searching(index: Any, sample: Sample, queries: FloatMatrix) -> Search:
    def search(query: int) -> Ids:
        ids: Ids = index.search(queries[query : query + 1], sample.k)[1][0]
        return ids

    return search


def _faiss_flat(sample: Sample) -> Search:
    index = faiss_one_thread().IndexFlatIP(sample.n_dims)
    index.add(sample.rows)
    return _searching(index, sample, sample.queries)


def _faiss_sq8(sample: Sample) -> Search:
    faiss = faiss_one_thread()
    kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexScalarQuantizer(sample.n_dims, kind, metric)
    index.train(sample.rows[:_TRAINING_ROWS])
    index.add(sample.rows)
    return _searching(index, sample, sample.queries)


def _faiss_sq8_direct(sample: Sample) -> Search:
    """Its form for numbers that are int8 already: nothing is trained, and less is computed."""
    faiss = faiss_one_thread()
    kind, metric = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexScalarQuantizer(sample.n_dims, kind, metric)
    for start in range(0, sample.n_rows, BLOCK_ROWS):
        index.add(sample.coarse[start : start + BLOCK_ROWS].astype(np.float32))
    return _searching(index, sample, sample.coarse_queries.astype(np.float32))


def faiss_binary(sample: Sample, n_candidates: int) -> Search:
    """Sign bits first, then float32 for the nearest `n_candidates`."""
    index = faiss_one_thread().IndexBinaryFlat((sample.n_dims + 7) // 8 * 8)
    index.add(np.packbits(sample.rows > 0, axis=1))
    bits = np.packbits(sample.queries > 0, axis=1)

    def search(query: int) -> Ids:
        ids = index.search(bits[query : query + 1], min(n_candidates, sample.n_rows))[1][0]
        best: Ids = ids[_top(sample.rows[ids] @ sample.queries[query], sample.k)]
        return best

    return search


_FLAT = [
    Peer("sqlite-vec int8", "sqlite-vec", _sqlite_vec),
    Peer("usearch exact int8", "usearch", _usearch),
    Peer("numkong cdist int8 + top-k", "numkong", _numkong),
    Peer("numkong packed int8 + top-k", "numkong", _numkong_packed),
    Peer("faiss SQ8", "faiss", _faiss_sq8),
    Peer("faiss SQ8 direct", "faiss", _faiss_sq8_direct),
    Peer("faiss Flat float32", "faiss", _faiss_flat),
    Peer("numpy float32", "numpy", _numpy),
]
