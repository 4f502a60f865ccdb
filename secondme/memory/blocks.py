"""Reads sqlite-vec's own tables to fill a copy of the vectors in memory: int8 blocks, float32 rows, and their owners.

The layout is pinned in tests/contract/test_vec0_layout.py. Reading goes on in slices: every function reads one, and no
statement or blob stays open behind it, so that the caller may let others write in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np
from numpy.typing import NDArray

from secondme.kernels.index import Attributes
from secondme.memory.failures import damaged
from secondme.memory.rows import Row
from secondme.memory.vectors import blocks_read, unit
from secondme.types import Trust

if TYPE_CHECKING:
    from secondme.memory.vectors import FloatMatrix, Int8Matrix

Ids = NDArray[np.int64]

TRUST_LEVELS = {trust.value: level for level, trust in enumerate(reversed(Trust))}
"""The index filters by number: more is more trusted. What is unknown counts as the least."""

_SOURCES_A_SLICE = 1024
_CHUNKS_A_SLICE = 16_384
_BLOCKS_A_SLICE = 8
_ROWS_A_SLICE = 1024

_SPANS = """
    select c.source_id, s.trust, cast(s.ingested_at as integer), min(c.id), max(c.id), count(*)
    from chunk c join source s on s.id = c.source_id where c.source_id between ? and ? group by c.source_id"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some vectors, float32 or int8 [n, n_dims], with their ids [n]."""

    ids: Ids
    vectors: FloatMatrix | Int8Matrix
    attributes: Attributes


class Owners:
    """Which source every passage came from, as runs of ids: a file's passages are stored together."""

    def __init__(self, last_id: int, runs: Sequence[tuple[int, ...]]) -> None:
        """`runs` are (first id, last id, source, trust level, time) that do not overlap; `last_id` is of a vector."""
        self.last_id = last_id
        table = np.array(sorted(runs), np.int64).reshape(-1, 5)
        self._first, self._last, self._source, self._trust, self._time = (table[:, i].copy() for i in range(5))

    def attributes(self, ids: Ids, projects: NDArray[np.int32]) -> Attributes:
        """A vector without a passage has neither source nor time, and the least trust."""
        if len(self._first) == 0:
            return Attributes(project=projects)
        at = np.maximum(np.searchsorted(self._first, ids, "right") - 1, 0)
        owned = (self._first[at] <= ids) & (ids <= self._last[at])
        return Attributes(
            project=projects,
            source=np.where(owned, self._source[at], 0).astype(np.int32),
            trust=np.where(owned, self._trust[at], 0).astype(np.uint8),
            time=np.where(owned, self._time[at], 0),
        )


def read_owners(connection: apsw.Connection) -> Iterator[Owners | None]:
    """None for each slice, and at last the owners of all vectors there were at the beginning."""
    last_id = int(connection.execute("select coalesce(max(rowid), 0) from vector_rowids").get)
    runs: list[tuple[int, ...]] = []
    for first, last in _source_slices(connection):
        spans: list[Row] = connection.execute(_SPANS, (first, last)).fetchall()
        for source, trust, time, low, high, n in spans:
            kind = (source, TRUST_LEVELS.get(trust, 0), time)
            if high - low + 1 == n:
                runs.append((low, high, *kind))
            else:
                # Another file's passages may lie in the gaps.
                ids = connection.execute("select id from chunk where source_id = ?", (source,))
                runs += [(int(row[0]), int(row[0]), *kind) for row in ids]
        yield None
    yield Owners(last_id, runs)


def _source_slices(connection: apsw.Connection) -> list[tuple[int, int]]:
    """First and last ids of sources, so many at a time that reading them is short."""
    rows: list[Row] = connection.execute("select id, n_chunks from source order by id").fetchall()
    slices: list[tuple[int, int]] = []
    n_sources = n_chunks = 0
    first = 0
    for source, n in rows:
        n_sources, n_chunks = n_sources + 1, n_chunks + n
        if n_sources == _SOURCES_A_SLICE or n_chunks >= _CHUNKS_A_SLICE:
            slices.append((first, source))
            first, n_sources, n_chunks = source + 1, 0, 0
    return [*slices, (first, rows[-1][0])] if n_sources else slices


def read_blocks(connection: apsw.Connection, owners: Owners, n_dims: int) -> Iterator[Rows]:
    """The int8 vectors of all blocks there are at the beginning, a slice at a time, without ids above `owners.last_id`.

    The rows of a slice are overwritten by the next. Raises CorruptRecord for blocks whose sizes do not fit.
    """
    numbers = [int(row[0]) for row in connection.execute("select chunk_id from vector_chunks order by chunk_id")]
    held: Int8Matrix = np.zeros((0, n_dims), np.int8)
    try:
        for start in range(0, len(numbers), _BLOCKS_A_SLICE):
            blocks = _block_heads(connection, numbers[start], numbers[min(start + _BLOCKS_A_SLICE, len(numbers)) - 1])
            n_slots = sum(len(ids) for _, _, ids, _ in blocks)
            if n_slots > len(held):
                held = np.zeros((n_slots, n_dims), np.int8)
            _read_block_vectors(connection, [(number, len(ids)) for number, _, ids, _ in blocks], held)
            ids = np.concatenate([ids for _, _, ids, _ in blocks] or [np.zeros(0, np.int64)])
            used = np.concatenate([used for _, _, _, used in blocks] or [np.zeros(0, bool)]) & (ids <= owners.last_id)
            projects = np.concatenate(
                [np.full(len(ids), project, np.int32) for _, project, ids, _ in blocks] or [np.zeros(0, np.int32)]
            )
            whole = bool(used.all())
            kept = ids if whole else ids[used]
            rows = held[:n_slots] if whole else held[:n_slots][used]
            yield Rows(kept, rows, owners.attributes(kept, projects if whole else projects[used]))
    finally:
        held.fill(0)


def _block_heads(connection: apsw.Connection, first: int, last: int) -> list[tuple[int, int, Ids, NDArray[np.bool_]]]:
    """(number, project, ids by slot, which slots are used) of the blocks from `first` to `last`."""
    found = []
    sql = "select chunk_id, partition00, size, validity, rowids from vector_chunks where chunk_id between ? and ?"
    heads: list[Row] = connection.execute(sql, (first, last)).fetchall()
    for number, project, size, validity, rowids in heads:
        fits = isinstance(validity, bytes) and isinstance(rowids, bytes) and isinstance(size, int)
        if not fits or len(validity) * 8 != size or len(rowids) != 8 * size or not isinstance(project, int):
            raise damaged("vectors")
        used = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little").view(bool)
        found.append((number, project, np.frombuffer(rowids, "<i8").astype(np.int64), used))
    return found


def _read_block_vectors(connection: apsw.Connection, blocks: list[tuple[int, int]], into: Int8Matrix) -> None:
    """Read the vectors of blocks, given as (number, slots), one behind the other."""
    with blocks_read():
        blob: apsw.Blob | None = None
        try:
            at = 0
            for number, n_slots in blocks:
                if blob is None:
                    blob = connection.blob_open("main", "vector_vector_chunks00", "vectors", number, False)
                else:
                    blob.reopen(number)
                if blob.length() != n_slots * into.shape[1]:
                    raise damaged("vectors")
                blob.read_into(_as_bytes(into[at : at + n_slots]))
                at += n_slots
        finally:
            if blob is not None:
                blob.close(True)


def _as_bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def read_exact(connection: apsw.Connection, owners: Owners, n_dims: int) -> Iterator[Rows]:
    """The float32 vectors in the order of ids, as `read_blocks`; rows of another length are scaled to 1."""
    sql = """select r.rowid, b.partition00 from vector_rowids r join vector_chunks b on b.chunk_id = r.chunk_id
             where r.rowid > ? and r.rowid <= ? order by r.rowid limit ?"""
    after = -(2**63)
    while True:
        found: list[Row] = connection.execute(sql, (after, owners.last_id, _ROWS_A_SLICE)).fetchall()
        if not found:
            return
        after = found[-1][0]
        ids, vectors = exact_rows(connection, [row[0] for row in found], n_dims)
        projects = np.array([row[1] for row in found], np.int32)
        try:
            yield Rows(ids, unit(vectors), owners.attributes(ids, projects))
        finally:
            vectors.fill(0)


def exact_rows(connection: apsw.Connection, ids: Sequence[int], n_dims: int) -> tuple[Ids, FloatMatrix]:
    """The float32 vectors [n, n_dims] of those `ids` that are there, in that order.

    Read into one piece of memory, which the caller can overwrite. Raises CorruptRecord for damage.
    """
    found: FloatMatrix = np.empty((len(ids), n_dims), np.float32)
    n_bytes = 4 * n_dims
    into = _as_bytes(found)
    kept: list[int] = []
    blob: apsw.Blob | None = None
    try:
        for i in ids:
            try:
                if blob is None:
                    blob = connection.blob_open("main", "vector_auxiliary", "value00", i, False)
                else:
                    blob.reopen(i)
            except apsw.SQLError:
                # No such row; that is no damage if its vector is gone. A blob that failed to open is of no more use.
                blob = None
                if connection.execute("select 1 from vector_rowids where rowid = ?", (i,)).get is not None:
                    raise damaged("vectors") from None
                continue
            if blob.length() != n_bytes:
                raise damaged("vectors")
            blob.read_into(into, len(kept) * n_bytes, n_bytes)
            kept.append(i)
    finally:
        if blob is not None:
            blob.close(True)
    vectors = found[: len(kept)]
    if not np.isfinite(vectors).all():
        raise damaged("vectors")
    return np.array(kept, np.int64), vectors


_CHANGED = """
    select r.rowid, b.partition00, coalesce(c.source_id, 0), coalesce(s.trust, ''),
        coalesce(cast(s.ingested_at as integer), 0)
    from vector_rowids r join vector_chunks b on b.chunk_id = r.chunk_id
        left join chunk c on c.id = r.rowid left join source s on s.id = c.source_id
    where r.rowid in (select value from json_each(?)) order by r.rowid"""


def read_some(connection: apsw.Connection, ids: Sequence[int], n_dims: int) -> Rows:
    """Those of `ids` that have a vector, as float32 rows of length 1."""
    table: list[Row] = connection.execute(_CHANGED, (json.dumps(list(ids)),)).fetchall()
    found, vectors = exact_rows(connection, [row[0] for row in table], n_dims)
    kinds = Attributes(
        project=np.array([row[1] for row in table], np.int32),
        source=np.array([row[2] for row in table], np.int32),
        trust=np.array([TRUST_LEVELS.get(row[3], 0) for row in table], np.uint8),
        time=np.array([row[4] for row in table], np.int64),
    )
    return Rows(found, unit(vectors), kinds)
