"""The way that the program itself takes: vectors out of an encrypted store in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from secondme.bench.rows import Row
from secondme.bench.vectors import peers
from secondme.bench.vectors.sample import Ids, Sample
from secondme.bench.vectors.setting import Setting, filled
from secondme.bench.vectors.timing import compared
from secondme.crypto.keys import StoreKeys
from secondme.memory.store import Store
from secondme.types import Chunk, FileStamp, SourceFile

MAX_ROWS = 100_000
"""Storing takes longer than all else; a store of more passages than this is rare."""
PER_SOURCE = 50
_KEYS = StoreKeys.derived(bytes(32))


def run(sample: Sample, isa: str | None, budget_s: float) -> Iterator[Row]:
    sample = Sample(sample.rows[:MAX_ROWS], sample.queries, min(sample.k, sample.n_rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.db"
        _fill(path, sample)
        yield from _search(path, Setting(sample, filled(sample, isa), budget_s, frozenset()))


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


def _search(path: Path, setting: Setting) -> Iterator[Row]:
    """A search of the store, as recall asks for it, beside the index by itself and sqlite-vec without encryption."""
    sample = setting.sample
    store = Store.open(path, _KEYS)

    def search(query: int) -> Ids:
        found = store.search_vectors(sample.queries[query], sample.k, None)
        return np.array([chunk_id - 1 for chunk_id, _ in found], np.int64)

    try:
        (unencrypted,) = peers.flat({"sqlite-vec"})
        for name, other in (("our index alone", setting.searching()), (unencrypted.name, unencrypted.build(sample))):
            ours, theirs = setting.in_turn(search, other)
            yield from compared(f"store_search/{sample.shape}", ours, name, theirs)
    finally:
        store.close()
