"""Files in memory: a source's row with its chunks, words and vectors, which come and go together.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

from secondme.errors import StoreError
from secondme.memory import cartridges, lineage, oplog, settings, vectors
from secondme.memory.digests import source_digest
from secondme.memory.rows import (
    SELECT_CHUNK,
    SELECT_SOURCE,
    Row,
    pack_headings,
    pack_inode,
    pack_path,
    pack_text,
    to_chunk,
    to_source,
)
from secondme.types import Chunk, FileStamp, SourceFile, StoredChunk, StoredSource

if TYPE_CHECKING:
    from secondme.memory.vectors import FloatMatrix


# Taking one chunk out of the word index, every trace of it, costs as much as indexing thirty, by measurement.
_REBUILD_RATIO = 30
_REBUILD_FROM_CHUNKS = 64


def project_id(connection: apsw.Connection, name: str) -> int | None:
    found = connection.execute("select id from project where name = ?", (pack_text(name),)).get
    return None if found is None else int(found)


def project_uid(connection: apsw.Connection, name: str) -> bytes | None:
    found = connection.execute("select uid from project where name = ?", (pack_text(name),)).get
    return None if found is None else bytes(found)


def ensure_project(connection: apsw.Connection, name: str) -> int:
    """The project's id; it is made on first use."""
    found = project_id(connection, name)
    if found is not None:
        return found
    sql = "insert into project(name, uid) values(?, randomblob(16)) returning id"
    return int(connection.execute(sql, (pack_text(name),)).get)


def put(connection: apsw.Connection, source: SourceFile, chunks: Sequence[Chunk], matrix: FloatMatrix) -> int:
    """Store a file's new version in place of the earlier one; return the source's id. `matrix` is [len(chunks), d]."""
    known = settings.embedder(connection)
    if known is None and chunks:
        raise StoreError(
            "no embedding model is recorded in the store", hint="this is a fault of secondme; please report it"
        )
    rows = vectors.as_matrix(matrix, known[1] if known else 0)
    if len(rows) != len(chunks):
        raise StoreError(
            f"{len(rows)} vectors came for {len(chunks)} chunks", hint="this is a fault of secondme; please report it"
        )
    source_id = _ensure_row(connection, source)
    last_id = _retire(connection, source_id)
    for chunk in chunks:
        insert_chunk(connection, source_id, chunk)
    if chunks:
        vectors.insert_source(connection, source_id, last_id, rows)
    lineage.follow(connection, source_id, last_id)
    with _without_words(connection, [(source_id, last_id)]):
        _delete_chunks(connection, source_id, last_id)
        _fill_row(connection, source_id, source, n_chunks=len(chunks), skip_reason=None)
    detail: dict[str, int | str | None] = {
        "passages": len(chunks),
        "last": _last_id(connection, source_id),
        "sha256": source.content_hash.hex(),
        "embedder": known[0] if known else None,
    }
    _log(connection, "put", source_id, actor="ingest", detail=detail)
    return source_id


def put_skip(connection: apsw.Connection, source: SourceFile, reason: str) -> None:
    source_id = _ensure_row(connection, source)
    last_id = _retire(connection, source_id)
    lineage.leave_source(connection, source_id)
    with _without_words(connection, [(source_id, last_id)]):
        _delete_chunks(connection, source_id, last_id)
        _fill_row(connection, source_id, source, n_chunks=0, skip_reason=reason)
    _log(connection, "skipped", source_id, actor="ingest")


def _log(
    connection: apsw.Connection,
    kind: oplog.Kind,
    source_id: int,
    *,
    actor: str = oplog.OWNER,
    detail: Mapping[str, int | str | None] | None = None,
) -> None:
    digest = source_digest(connection, source_id)
    oplog.append(connection, kind, [f"source:{source_id}"], digest=digest, actor=actor, detail=detail)


def _ensure_row(connection: apsw.Connection, source: SourceFile) -> int:
    """The id of the source's row, the same for all versions; a new row is empty until `_fill_row`."""
    key = (ensure_project(connection, source.project), pack_path(source.path))
    found = connection.execute("select id from source where project_id = ? and path = ?", key).get
    if found is not None:
        return int(found)
    sql = """insert into source(project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode, trust,
                 n_chunks, ingested_at, uid)
             values(?, ?, '', '', x'', 0, 0, 0, '', 0, 0, randomblob(16)) returning id"""
    return int(connection.execute(sql, key).get)


def _fill_row(
    connection: apsw.Connection, source_id: int, source: SourceFile, *, n_chunks: int, skip_reason: str | None
) -> None:
    connection.execute(
        """update source set media_type = ?, title = ?, content_hash = ?, size_bytes = ?, mtime_ns = ?, inode = ?,
               trust = ?, n_chunks = ?, ingested_at = ?, skip_reason = ? where id = ?""",
        (
            pack_text(source.media_type),
            pack_text(source.title),
            source.content_hash,
            *_stamp(source.stamp),
            source.trust.value,
            n_chunks,
            time.time(),
            None if skip_reason is None else pack_text(skip_reason),
            source_id,
        ),
    )


def _stamp(stamp: FileStamp) -> tuple[int, int, int]:
    return (stamp.size_bytes, stamp.mtime_ns, pack_inode(stamp.inode))


def insert_chunk(connection: apsw.Connection, source_id: int, chunk: Chunk) -> int:
    """Add a passage's row, without words and vector; return its id."""
    found = connection.execute(
        """insert into chunk(ordinal, byte_start, byte_end, line_start, line_end, page, headings, heading_words, text,
               project_id, source_id)
           select ?, ?, ?, ?, ?, ?, ?, ?, ?, project_id, id from source where id = ? returning id""",
        (
            chunk.ordinal,
            chunk.byte_start,
            chunk.byte_end,
            chunk.line_start,
            chunk.line_end,
            chunk.page,
            pack_headings(chunk.heading_path),
            pack_text(" ".join(chunk.heading_path)),
            pack_text(chunk.text),
            source_id,
        ),
    ).get
    return int(found)


@contextmanager
def _without_words(connection: apsw.Connection, retired: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Take chunks, given as (source id, last chunk id), out of the word index; after the block, index their sources.

    FTS5 asks for what was indexed, so the block is where text and titles change. Many chunks at once are left to a
    rebuild of the index, which is faster then.
    """
    sql = "select count(*) from chunk where source_id = ? and id <= ?"
    n_retired = sum(int(connection.execute(sql, pair).get) for pair in retired)
    n_chunks = int(connection.execute("select coalesce(sum(n_chunks), 0) from source").get)
    if n_retired >= _REBUILD_FROM_CHUNKS and n_retired * _REBUILD_RATIO > n_chunks:
        yield
        rebuild_words(connection)
        return
    for pair in retired:
        connection.execute(
            """insert into word(word, rowid, text, title, headings)
               select 'delete', w.id, w.text, w.title, w.headings from chunk c join chunk_words w on w.id = c.id
               where c.source_id = ? and c.id <= ?""",
            pair,
        )
    yield
    for source_id, _ in retired:
        connection.execute(
            """insert into word(rowid, text, title, headings)
               select w.id, w.text, w.title, w.headings from chunk c join chunk_words w on w.id = c.id
               where c.source_id = ?""",
            (source_id,),
        )


def rebuild_words(connection: apsw.Connection) -> None:
    """Index all passages anew."""
    connection.execute("insert into word(word) values('rebuild')")


def _retire(connection: apsw.Connection, source_id: int) -> int:
    """Drop what was derived from a source's chunks, and make room for the next version's; return the last one's id."""
    cartridges.drop(connection, source_id)
    known = settings.embedder(connection)
    if known:
        vectors.delete_source(connection, source_id)
        vectors.compact(connection, known[1])
    connection.execute("update chunk set ordinal = -1 - ordinal where source_id = ?", (source_id,))
    return _last_id(connection, source_id)


def _last_id(connection: apsw.Connection, source_id: int) -> int:
    return int(connection.execute("select coalesce(max(id), 0) from chunk where source_id = ?", (source_id,)).get)


def _delete_chunks(connection: apsw.Connection, source_id: int, last_id: int) -> None:
    connection.execute("delete from chunk where source_id = ? and id <= ?", (source_id, last_id))


def remove(connection: apsw.Connection, source_ids: Sequence[int]) -> None:
    """Take sources out with everything that came from them; those that are gone already are passed over."""
    for source_id in source_ids:
        lineage.leave_source(connection, source_id)
    purge(connection, source_ids)
    if source_ids:
        oplog.append(connection, "removed", [f"source:{i}" for i in source_ids])


def purge(connection: apsw.Connection, source_ids: Sequence[int]) -> None:
    """As `remove`, but the caller logs it."""
    retired = [(source_id, _retire(connection, source_id)) for source_id in source_ids]
    with _without_words(connection, retired):
        for source_id, last_id in retired:
            _delete_chunks(connection, source_id, last_id)
            connection.execute("delete from source where id = ?", (source_id,))


def purge_chunks(connection: apsw.Connection, chunk_ids: Sequence[int]) -> None:
    """Take single chunks out, their words and vectors with them; the caller logs what is left of their sources."""
    for chunk_id in chunk_ids:
        connection.execute(
            "delete from cartridge where source_id = (select source_id from chunk where id = ?)", (chunk_id,)
        )
        connection.execute(
            """insert into word(word, rowid, text, title, headings)
               select 'delete', id, text, title, headings from chunk_words where id = ?""",
            (chunk_id,),
        )
        vectors.delete(connection, chunk_id)
        connection.execute(
            """update source set n_chunks = n_chunks - 1
               where id = (select source_id from chunk where id = ?)""",
            (chunk_id,),
        )
        connection.execute("delete from chunk where id = ?", (chunk_id,))


def rename_parts(
    connection: apsw.Connection, source_id: int, title: str | None, headings: Mapping[int, Sequence[str]]
) -> None:
    """Give a source another title, and some of its chunks other headings; the caller logs it."""
    with _without_words(connection, [(source_id, _last_id(connection, source_id))]):
        if title is not None:
            cartridges.drop(connection, source_id)
            connection.execute("update source set title = ? where id = ?", (pack_text(title), source_id))
        connection.executemany(
            "update chunk set headings = ?, heading_words = ? where id = ?",
            ((pack_headings(names), pack_text(" ".join(names)), i) for i, names in headings.items()),
        )


def touch(connection: apsw.Connection, source_id: int, stamp: FileStamp) -> None:
    _set_stamp(connection, source_id, stamp)
    oplog.append(connection, "touched", [f"source:{source_id}"], actor="ingest")


def _set_stamp(connection: apsw.Connection, source_id: int, stamp: FileStamp) -> None:
    connection.execute(
        "update source set size_bytes = ?, mtime_ns = ?, inode = ? where id = ?", (*_stamp(stamp), source_id)
    )
    _require_change(connection)


def move(connection: apsw.Connection, source_id: int, new_path: str, stamp: FileStamp, title: str | None) -> None:
    """Give a source another path, and a new title if there is one.

    A source that was at the path before is removed, as the file's move replaced it.
    """
    replaced = connection.execute(
        """select id from source
           where project_id = (select project_id from source where id = ?) and path = ? and id != ?""",
        (source_id, pack_path(new_path), source_id),
    ).get
    if replaced is not None:
        remove(connection, [replaced])
    connection.execute("update source set path = ? where id = ?", (pack_path(new_path), source_id))
    if title is not None:
        cartridges.drop(connection, source_id)
        # The words of the title are in the index of every chunk.
        with _without_words(connection, [(source_id, _last_id(connection, source_id))]):
            connection.execute("update source set title = ? where id = ?", (pack_text(title), source_id))
    _set_stamp(connection, source_id, stamp)
    _log(connection, "moved", source_id, actor="ingest")


def _require_change(connection: apsw.Connection) -> None:
    if not connection.changes():
        raise StoreError("the file is not in memory any more", hint="add it again")


def replace_vectors(
    connection: apsw.Connection, batch: Iterable[tuple[int, FloatMatrix]], embedder: str, n_dims: int
) -> None:
    """Fill a new vector table, and build the word index anew from the stored text."""
    rows: Iterator[Row] = connection.execute("select id, project_id from chunk")
    missing: dict[int, int] = dict(rows)
    vectors.create_table(connection, n_dims)
    vectors.insert(
        connection,
        ((i, missing.pop(i), vectors.as_matrix(v.reshape(1, -1), n_dims)[0]) for i, v in batch if i in missing),
    )
    if missing:
        raise StoreError(
            f"{len(missing)} stored chunks were left without a vector", hint="run: secondme memory reindex"
        )
    rebuild_words(connection)
    oplog.append(connection, "reindexed", ["store"], detail={"embedder": embedder})


def add_vectors(connection: apsw.Connection, batch: Sequence[tuple[int, FloatMatrix]]) -> None:
    """Give chunks their vectors; those that have one, or are gone, are passed over."""
    known = settings.embedder(connection)
    if known is None:
        raise StoreError(
            "no embedding model is recorded in the store", hint="this is a fault of secondme; please report it"
        )
    rows = []
    for chunk_id, vector in batch:
        sql = """select project_id from chunk c
                 where id = ? and not exists (select 1 from vector_rowids v where v.rowid = c.id)"""
        project = connection.execute(sql, (chunk_id,)).get
        if project is not None:
            rows.append((chunk_id, int(project), vectors.as_matrix(vector.reshape(1, -1), known[1])[0]))
    vectors.insert(connection, rows)
    oplog.append(connection, "reindexed", ["store"], detail={"embedder": known[0], "passages": len(rows)})


# Reading -------------------------------------------------------------------------------------------------------


def one(connection: apsw.Connection, project: str, path: str) -> StoredSource | None:
    sql = f"{SELECT_SOURCE} where p.name = ? and s.path = ?"
    row = connection.execute(sql, (pack_text(project), pack_path(path))).fetchone()
    return to_source(row) if row else None


def several(connection: apsw.Connection, project: str | None, prefix: str | None) -> list[StoredSource]:
    """Sources in the order of project and path; with `prefix` that path and what lies below it."""
    conditions = ["1"]
    values: list[str | bytes] = []
    if project is not None:
        conditions.append("p.name = ?")
        values.append(pack_text(project))
    if prefix is not None:
        below = pack_path(prefix.rstrip(os.sep) + os.sep)
        conditions.append("(s.path = ? or (s.path >= ? and s.path < ?))")
        # The first byte string after all that begin with `below`.
        values += [below[: -len(os.sep)], below, below[:-1] + bytes([below[-1] + 1])]
    sql = f"{SELECT_SOURCE} where {' and '.join(conditions)} order by p.id, s.path"
    return [to_source(row) for row in connection.execute(sql, values)]


def by_hash(connection: apsw.Connection, project: str, content_hash: bytes) -> list[StoredSource]:
    sql = f"{SELECT_SOURCE} where p.name = ? and s.content_hash = ? order by s.path"
    return [to_source(row) for row in connection.execute(sql, (pack_text(project), content_hash))]


def chunks(connection: apsw.Connection, ids: Sequence[int]) -> list[StoredChunk]:
    """Chunks in the order of `ids`; those that are gone are left out."""
    sql = f"{SELECT_CHUNK} where c.id in (select value from json_each(?))"  # noqa: S608
    found = {row[0]: to_chunk(row) for row in connection.execute(sql, (json.dumps(list(ids)),))}
    return [found[i] for i in ids if i in found]


def source_chunks(connection: apsw.Connection, source_id: int) -> list[StoredChunk]:
    sql = f"{SELECT_CHUNK} where c.source_id = ? order by c.ordinal"
    return [to_chunk(row) for row in connection.execute(sql, (source_id,))]
