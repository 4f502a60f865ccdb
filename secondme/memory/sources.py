"""Files in memory: a source's row with its chunks, words and vectors, which come and go together.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from secondme.errors import StoreError
from secondme.memory import settings, vectors
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


def project_id(connection: apsw.Connection, name: str) -> int | None:
    found = connection.execute("select id from project where name = ?", (pack_text(name),)).get
    return None if found is None else int(found)


def ensure_project(connection: apsw.Connection, name: str) -> int:
    """The project's id; it is made on first use."""
    found = project_id(connection, name)
    if found is not None:
        return found
    return int(connection.execute("insert into project(name) values(?) returning id", (pack_text(name),)).get)


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
    project = ensure_project(connection, source.project)
    source_id = _put_row(connection, project, source, n_chunks=len(chunks), skip_reason=None)
    ids = [_insert_chunk(connection, project, source_id, chunk) for chunk in chunks]
    _index_words(connection, source_id)
    if ids:
        vectors.insert(connection, project, ids, rows)
    return source_id


def put_skip(connection: apsw.Connection, source: SourceFile, reason: str) -> None:
    project = ensure_project(connection, source.project)
    _put_row(connection, project, source, n_chunks=0, skip_reason=reason)


def _put_row(
    connection: apsw.Connection, project: int, source: SourceFile, *, n_chunks: int, skip_reason: str | None
) -> int:
    """The source's row, without the earlier version's chunks; the id stays the same across versions."""
    path = pack_path(source.path)
    source_id = connection.execute("select id from source where project_id = ? and path = ?", (project, path)).get
    if source_id is not None:
        remove_chunks(connection, source_id)
    values: tuple[Any, ...] = (
        pack_text(source.media_type),
        pack_text(source.title),
        source.content_hash,
        *_stamp(source.stamp),
        source.trust.value,
        n_chunks,
        time.time(),
        None if skip_reason is None else pack_text(skip_reason),
    )
    return int(
        connection.execute(
            """insert into source(project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode,
                   trust, n_chunks, ingested_at, skip_reason)
               values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               on conflict(project_id, path) do update set media_type = excluded.media_type, title = excluded.title,
                   content_hash = excluded.content_hash, size_bytes = excluded.size_bytes,
                   mtime_ns = excluded.mtime_ns, inode = excluded.inode, trust = excluded.trust,
                   n_chunks = excluded.n_chunks, ingested_at = excluded.ingested_at,
                   skip_reason = excluded.skip_reason
               returning id""",
            (project, path, *values),
        ).get
    )


def _stamp(stamp: FileStamp) -> tuple[int, int, int]:
    return (stamp.size_bytes, stamp.mtime_ns, pack_inode(stamp.inode))


def _insert_chunk(connection: apsw.Connection, project: int, source_id: int, chunk: Chunk) -> int:
    connection.execute(
        """insert into chunk(project_id, source_id, ordinal, byte_start, byte_end, line_start, line_end, page,
               headings, heading_words, text) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            project,
            source_id,
            chunk.ordinal,
            chunk.byte_start,
            chunk.byte_end,
            chunk.line_start,
            chunk.line_end,
            chunk.page,
            pack_headings(chunk.heading_path),
            pack_text(" ".join(chunk.heading_path)),
            pack_text(chunk.text),
        ),
    )
    return connection.last_insert_rowid()


def _index_words(connection: apsw.Connection, source_id: int) -> None:
    connection.execute(
        """insert into word(rowid, text, title, headings)
           select w.id, w.text, w.title, w.headings from chunk c join chunk_words w on w.id = c.id
           where c.source_id = ?""",
        (source_id,),
    )


def _forget_words(connection: apsw.Connection, source_id: int) -> None:
    connection.execute(
        """insert into word(word, rowid, text, title, headings)
           select 'delete', w.id, w.text, w.title, w.headings from chunk c join chunk_words w on w.id = c.id
           where c.source_id = ?""",
        (source_id,),
    )


def remove_chunks(connection: apsw.Connection, source_id: int) -> None:
    """Take a source's chunks out of all three indexes. The words go first: FTS5 asks for what was indexed."""
    _forget_words(connection, source_id)
    ids = [row[0] for row in connection.execute("select id from chunk where source_id = ?", (source_id,))]
    known = settings.embedder(connection)
    if ids and known:
        vectors.delete(connection, ids)
        vectors.compact(connection, known[1])
    connection.execute("delete from chunk where source_id = ?", (source_id,))


def remove(connection: apsw.Connection, source_ids: Iterable[int]) -> None:
    for source_id in source_ids:
        remove_chunks(connection, source_id)
        connection.execute("delete from source where id = ?", (source_id,))


def touch(connection: apsw.Connection, source_id: int, stamp: FileStamp) -> None:
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
        # The words of the title are in the index of every chunk.
        _forget_words(connection, source_id)
        connection.execute("update source set title = ? where id = ?", (pack_text(title), source_id))
        _index_words(connection, source_id)
    touch(connection, source_id, stamp)


def _require_change(connection: apsw.Connection) -> None:
    if not connection.changes():
        raise StoreError("the file is not in memory any more", hint="add it again")


def replace_vectors(connection: apsw.Connection, batch: Iterable[tuple[int, FloatMatrix]], n_dims: int) -> None:
    """Fill a new vector table, and build the word index anew from the stored text."""
    rows: Iterator[Row] = connection.execute("select id, project_id from chunk")
    missing: dict[int, int] = dict(rows)
    vectors.create_table(connection, n_dims)
    for chunk_id, vector in batch:
        project = missing.pop(chunk_id, None)
        if project is not None:
            vectors.insert(connection, project, [chunk_id], vectors.as_matrix(vector.reshape(1, -1), n_dims))
    if missing:
        raise StoreError(
            f"{len(missing)} stored chunks were left without a vector", hint="run: secondme memory reindex"
        )
    connection.execute("insert into word(word) values('rebuild')")


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
    found = []
    for i in ids:
        row = connection.execute(f"{SELECT_CHUNK} where c.id = ?", (i,)).fetchone()
        if row:
            found.append(to_chunk(row))
    return found


def source_chunks(connection: apsw.Connection, source_id: int) -> list[StoredChunk]:
    sql = f"{SELECT_CHUNK} where c.source_id = ? order by c.ordinal"
    return [to_chunk(row) for row in connection.execute(sql, (source_id,))]
