"""The way that the program itself takes: vectors out of an encrypted store in a temporary folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from secondme.bench.rows import Row
from secondme.bench.vectors import peers
from secondme.bench.vectors.sample import FloatMatrix, Ids, Sample
from secondme.bench.vectors.setting import Setting, filled
from secondme.bench.vectors.timing import BENCH, Search, compared_by_query
from secondme.crypto.keys import StoreKeys
from secondme.kernels.index import Mode
from secondme.memory.resident import BUILD_FROM
from secondme.memory.store import Store
from secondme.types import Chunk, FileStamp, SourceFile

MAX_ROWS = 100_000
"""Storing takes longer than all else; a store of more passages than this is rare."""
PER_SOURCE = 50
_PATIENCE_S, _LOOK_S = 300.0, 0.02  # looking more often slows the building down
_KEYS = StoreKeys.derived(bytes(32))


def run(sample: Sample, budget_s: float) -> Iterator[Row]:
    sample = Sample(sample.rows[:MAX_ROWS], _more_queries(sample.queries), min(sample.k, sample.n_rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.db"
        _fill(path, sample)
        yield from _build(path, sample)
        yield from _search(path, Setting(sample, filled(sample, None), budget_s, frozenset()))


def _more_queries(queries: FloatMatrix) -> FloatMatrix:
    """Twice as many: more than the store remembers, so that none is answered without a search."""
    between = queries + np.roll(queries, 1, axis=0)
    return np.concatenate((queries, between / np.linalg.norm(between, axis=1, keepdims=True)))


def _fill(path: Path, sample: Sample) -> None:
    """Passages as short as may be: their words are of no matter here."""
    store = Store.open(path, _KEYS)
    store.set_embedder("bench", sample.n_dims)
    with store.batch():
        for first in range(0, sample.n_rows, PER_SOURCE):
            rows = sample.rows[first : first + PER_SOURCE]
            chunks = [Chunk(i, f"{first + i}\n", 8 * i, 8 * i + 8, i + 1, i + 1, None, ()) for i in range(len(rows))]
            stamp = FileStamp(8 * len(rows), 0, first)
            source = SourceFile(f"/bench/{first}.txt", "default", "text/plain", "", first.to_bytes(32), stamp)
            store.put_source(source, chunks, rows)
    store.close()


def _build(path: Path, sample: Sample) -> Iterator[Row]:
    """Megabytes of vectors a second, from the encrypted store into memory: what is scanned, and then all of it.

    The file is in the page cache, as it is after it was written."""
    if sample.n_rows < BUILD_FROM:
        return
    store = Store.open(path, _KEYS)
    try:
        started = time.perf_counter()
        store.warm_vectors()
        usable = _reached(store, ("usable", "whole")) - started
        whole = _reached(store, ("whole",)) - started
    finally:
        store.close()
    coarse = sample.n_rows * sample.n_dims / 1e6
    yield Row(BENCH, f"build_mb_per_s/{sample.shape}/usable", coarse / usable, "MB/s", 1)
    yield Row(BENCH, f"build_mb_per_s/{sample.shape}", 5 * coarse / whole, "MB/s", 1)


def _reached(store: Store, stages: tuple[str, ...]) -> float:
    """The moment when the index in memory has come so far."""
    end = time.perf_counter() + _PATIENCE_S
    while (now := time.perf_counter()) < end:
        status = store.vector_status()
        if status is None:
            raise RuntimeError("there is no index in memory")
        if status.stage in stages:
            return now
        time.sleep(_LOOK_S)
    raise RuntimeError(f"the index in memory was not built within {_PATIENCE_S} s")


def _search(path: Path, setting: Setting) -> Iterator[Row]:
    """A search of the store, as recall asks for it: by the index in memory, and without one in SQL; beside the index by
    itself, and sqlite-vec without encryption."""
    sample = setting.sample
    (unencrypted,) = peers.flat({"sqlite-vec"})
    others = ((unencrypted.name, unencrypted.build(sample)), ("our index alone", setting.searching(Mode.EXACT)))
    for kind, vector_bytes in (("", None), ("/sql", 0)):
        store = Store.open(path, _KEYS, vector_bytes=vector_bytes)
        try:
            if vector_bytes is None and sample.n_rows >= BUILD_FROM:
                store.warm_vectors()
                _reached(store, ("whole",))
            for name, other in others:
                ours, theirs = setting.in_turn(_asking(store, sample), other)
                yield compared_by_query(f"store_search/{sample.shape}{kind}", ours, name, theirs)
        finally:
            store.close()


def _asking(store: Store, sample: Sample) -> Search:
    def search(query: int) -> Ids:
        found = store.search_vectors(sample.queries[query], sample.k, None)
        return np.array([chunk_id - 1 for chunk_id, _ in found], np.int64)

    return search
