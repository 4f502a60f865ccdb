"""The store: sources, passages and their vectors, folders and conversations, behind one lock and one connection.

Every public method is one transaction or one consistent read. A method that returns has its change on the disk: it
survives kill -9 and power loss.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from secondme.errors import CorruptRecord, StoreError
from secondme.memory import checks, rows, vectors
from secondme.memory.connection import connect, mapped
from secondme.memory.migrations import migrate
from secondme.memory.vectors import FloatMatrix
from secondme.types import (
    Check,
    Chunk,
    Citation,
    Conversation,
    FileStamp,
    Role,
    SourceFile,
    StoredChunk,
    StoredSource,
    StoreStats,
    Turn,
    WatchedFolder,
)

_FROM_SOURCE = "FROM source JOIN project ON project.id = source.project_id"
_FROM_CHUNK = "FROM chunk JOIN source ON source.id = chunk.source_id JOIN project ON project.id = source.project_id"


class Store:
    """The owner's memory in one encrypted file. Thread-safe; one process at a time (`lock.py`)."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.RLock()
        self._closed = False

    @classmethod
    def open(cls, path: Path, key: bytes) -> Store:
        """Open the store, creating it if it is missing.

        A new store is made under another name and renamed when it is whole, so an empty file is always damage.
        Raises WrongPassphrase, SchemaTooNew, CorruptRecord, StoreFull, StoreError.
        """
        if not path.exists():
            _create(path, key)
        elif path.stat().st_size == 0:
            raise CorruptRecord("the store's file is empty", hint="put a copy of the data folder back")
        connection = connect(path, key)
        try:
            with mapped():
                migrate(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close. Calling it again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()

    def compact(self) -> None:
        """Empty the write-ahead log, so that no earlier version of a page stays on the disk."""
        with self._lock, mapped():
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    @contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        with self._lock, mapped():
            self._open_only()
            # Taking the write lock first turns a busy database into one error, before any work.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _read(self, sql: str, *args: Any) -> list[rows.Row]:
        with self._lock, mapped():
            self._open_only()
            return self._connection.execute(sql, args).fetchall()

    def _open_only(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    # Sources ---------------------------------------------------------------------------------------------------

    def put_source(self, source: SourceFile, chunks: Sequence[Chunk], matrix: FloatMatrix) -> int:
        """Store a file with its passages and their vectors [len(chunks), n_dims], in place of its earlier version.

        Raises StoreError if the embedder is not set or the vectors do not fit.
        """
        known = self.embedder()
        if known is None:
            raise StoreError("no embedding model is set for this store")
        matrix = vectors.check_shape(matrix, len(chunks), known[1])
        with self._write() as connection:
            source_id = self._replace(connection, source, len(chunks), None)
            ids = [_insert_chunk(connection, source_id, source.title, chunk) for chunk in chunks]
            if ids:
                vectors.insert(connection, _project_id(connection, source.project), ids, matrix)
        return source_id

    def put_skip(self, source: SourceFile, reason: str) -> None:
        """Remember that a file was left out and why; an earlier version's passages go."""
        with self._write() as connection:
            self._replace(connection, source, 0, reason)

    def _replace(self, connection: apsw.Connection, source: SourceFile, n_chunks: int, reason: str | None) -> int:
        project_id = _project_id(connection, source.project)
        path = rows.path_bytes(source.path)
        for (old,) in _rows(connection, "SELECT id FROM source WHERE project_id = ? AND path = ?", project_id, path):
            _delete_source(connection, old)
        stamp = source.stamp
        connection.execute(
            "INSERT INTO source (project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode, trust,"
            " n_chunks, ingested_at, skip_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(project_id, path, source.media_type, source.title, source.content_hash),
                *(
                    stamp.size_bytes,
                    stamp.mtime_ns,
                    str(stamp.inode),
                    source.trust.value,
                    n_chunks,
                    time.time(),
                    reason,
                ),
            ),
        )
        return connection.last_insert_rowid()

    def touch_source(self, source_id: int, stamp: FileStamp) -> None:
        """Record a new stamp for a file whose content has not changed."""
        with self._write() as connection:
            connection.execute(
                "UPDATE source SET size_bytes = ?, mtime_ns = ?, inode = ?, ingested_at = ? WHERE id = ?",
                (stamp.size_bytes, stamp.mtime_ns, str(stamp.inode), time.time(), source_id),
            )

    def move_source(self, source_id: int, new_path: str, stamp: FileStamp) -> None:
        """Give a source another path; whatever was stored under that path goes."""
        path = rows.path_bytes(new_path)
        with self._write() as connection:
            for (old,) in _rows(
                connection,
                "SELECT other.id FROM source AS other JOIN source AS moved ON other.project_id = moved.project_id"
                " WHERE moved.id = ? AND other.path = ? AND other.id <> moved.id",
                source_id,
                path,
            ):
                _delete_source(connection, old)
            connection.execute(
                "UPDATE source SET path = ?, size_bytes = ?, mtime_ns = ?, inode = ? WHERE id = ?",
                (path, stamp.size_bytes, stamp.mtime_ns, str(stamp.inode), source_id),
            )

    def remove_source(self, source_id: int) -> None:
        """Remove a file's passages, words and vectors, and every trace of them in the write-ahead log."""
        with self._write() as connection:
            _delete_source(connection, source_id)
        self.compact()

    def source(self, project: str, path: str) -> StoredSource | None:
        found = self._read(
            f"SELECT {rows.SOURCE_COLUMNS} {_FROM_SOURCE} WHERE project.name = ? AND source.path = ?",
            project,
            rows.path_bytes(path),
        )
        return rows.source_row(found[0]) if found else None

    def sources(self, project: str | None = None, prefix: str | None = None) -> list[StoredSource]:
        """All sources by path; `prefix` keeps those at or below a folder."""
        found = self._read(
            f"SELECT {rows.SOURCE_COLUMNS} {_FROM_SOURCE} WHERE ?1 IS NULL OR project.name = ?1 ORDER BY source.path",
            project,
        )
        listed = [rows.source_row(r) for r in found]
        if prefix is None:
            return listed
        below = prefix.rstrip(os.sep) + os.sep
        return [s for s in listed if s.path == prefix or s.path.startswith(below)]

    def sources_by_hash(self, project: str, content_hash: bytes) -> list[StoredSource]:
        found = self._read(
            f"SELECT {rows.SOURCE_COLUMNS} {_FROM_SOURCE} WHERE project.name = ? AND content_hash = ?",
            project,
            content_hash,
        )
        return [rows.source_row(r) for r in found]

    # Passages --------------------------------------------------------------------------------------------------

    def chunk(self, chunk_id: int) -> StoredChunk | None:
        found = self.chunks([chunk_id])
        return found[0] if found else None

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        """In the order asked for; those that are gone are left out."""
        marks = ", ".join("?" * len(ids))
        found = self._read(f"SELECT {rows.CHUNK_COLUMNS} {_FROM_CHUNK} WHERE chunk.id IN ({marks})", *ids)
        by_id = {c.id: c for c in map(rows.chunk_row, found)}
        return [by_id[i] for i in ids if i in by_id]

    def source_chunks(self, source_id: int) -> list[StoredChunk]:
        found = self._read(f"SELECT {rows.CHUNK_COLUMNS} {_FROM_CHUNK} WHERE source_id = ? ORDER BY ordinal", source_id)
        return [rows.chunk_row(r) for r in found]

    def search_text(self, match: str, k: int, project: str | None) -> list[tuple[int, float]]:
        """(chunk id, BM25; higher is better) of the `k` best for an FTS5 expression. Titles and headings weigh less."""
        found = self._read(
            "SELECT chunk.id, -bm25(chunk_fts, 1.0, 0.5, 0.7) AS score FROM chunk_fts"
            " JOIN chunk ON chunk.id = chunk_fts.rowid JOIN source ON source.id = chunk.source_id"
            " JOIN project ON project.id = source.project_id"
            " WHERE chunk_fts MATCH ?1 AND (?2 IS NULL OR project.name = ?2) ORDER BY score DESC, chunk.id LIMIT ?3",
            match,
            project,
            k,
        )
        return [(i, s) for i, s in found]

    def search_vectors(self, vector: FloatMatrix, k: int, project: str | None) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the `k` nearest to a unit vector [n_dims], best first."""
        known = self.embedder()
        if known is None:
            return []
        query = vectors.check_shape(vector.reshape(1, -1), 1, known[1])[0]
        with self._lock, mapped():
            project_id = None
            if project is not None:
                found = _rows(self._connection, "SELECT id FROM project WHERE name = ?", project)
                if not found:
                    return []
                project_id = found[0][0]
            return vectors.search(self._connection, query, k, project_id)

    def term_df(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many passages each term stands, in any inflection the index joins."""
        quoted = {t: '"' + t.replace('"', '""') + '"' for t in terms}
        return {
            t: self._read("SELECT count(*) FROM chunk_fts WHERE chunk_fts MATCH ?", q)[0][0] for t, q in quoted.items()
        }

    # The embedder ----------------------------------------------------------------------------------------------

    def embedder(self) -> tuple[str, int] | None:
        """Fingerprint and dimensions of the model that made the stored vectors."""
        found: dict[str, Any] = dict(self._read("SELECT key, value FROM meta WHERE key LIKE 'embedder%'"))
        return (found["embedder"], found["embedder_dims"]) if found else None

    def set_embedder(self, fingerprint: str, n_dims: int) -> None:
        """Set the model of an empty store; `replace_vectors` changes it later."""
        self.replace_vectors((), fingerprint, n_dims)

    def replace_vectors(self, batch: Iterable[tuple[int, FloatMatrix]], fingerprint: str, n_dims: int) -> None:
        """Replace all vectors by `batch`, (chunk id, vector [n_dims]), all or nothing.

        Raises StoreError unless every stored passage gets one.
        """
        with self._write() as connection:
            vectors.create(connection, n_dims)
            connection.executemany(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (("embedder", fingerprint), ("embedder_dims", n_dims))
            )
            project_of = dict(
                connection.execute("SELECT chunk.id, project_id FROM chunk JOIN source ON source.id = source_id")
            )
            for chunk_id, vector in batch:
                matrix = vectors.check_shape(vector.reshape(1, -1), 1, n_dims)
                vectors.insert(connection, project_of.pop(chunk_id), [chunk_id], matrix)
            if project_of:
                raise StoreError(f"{len(project_of)} passages would be left without a vector")

    # Folders ---------------------------------------------------------------------------------------------------

    def add_folder(self, folder: WatchedFolder) -> None:
        with self._write() as connection:
            project_id = _project_id(connection, folder.project)
            connection.execute(
                "INSERT OR REPLACE INTO folder VALUES (?, ?, ?, ?)",
                (project_id, rows.path_bytes(folder.path), folder.watch, folder.added_at),
            )

    def folders(self, project: str | None = None) -> list[WatchedFolder]:
        found = self._read(
            "SELECT path, name, watch, added_at FROM folder JOIN project ON project.id = project_id"
            " WHERE ?1 IS NULL OR name = ?1 ORDER BY path",
            project,
        )
        return [WatchedFolder(os.fsdecode(path), name, bool(watch), at) for path, name, watch, at in found]

    def remove_folder(self, path: str, project: str) -> None:
        with self._write() as connection:
            connection.execute(
                "DELETE FROM folder WHERE path = ? AND project_id = (SELECT id FROM project WHERE name = ?)",
                (rows.path_bytes(path), project),
            )

    # Conversations ---------------------------------------------------------------------------------------------

    def new_conversation(self, project: str, title: str) -> int:
        now = time.time()
        with self._write() as connection:
            connection.execute(
                "INSERT INTO conversation (project_id, title, created_at, updated_at) VALUES (?, ?, ?, ?)",
                (_project_id(connection, project), title, now, now),
            )
            return connection.last_insert_rowid()

    def conversations(self, project: str | None = None) -> list[Conversation]:
        """Newest first."""
        found = self._read(
            "SELECT conversation.id, title, name, created_at, updated_at,"
            " (SELECT count(*) FROM turn WHERE conversation_id = conversation.id)"
            " FROM conversation JOIN project ON project.id = project_id WHERE ?1 IS NULL OR name = ?1"
            " ORDER BY updated_at DESC, conversation.id DESC",
            project,
        )
        return [rows.conversation_row(r) for r in found]

    def rename_conversation(self, conversation_id: int, title: str) -> None:
        with self._write() as connection:
            connection.execute("UPDATE conversation SET title = ? WHERE id = ?", (title, conversation_id))

    def delete_conversation(self, conversation_id: int) -> None:
        with self._write() as connection:
            connection.execute("DELETE FROM conversation WHERE id = ?", (conversation_id,))
        self.compact()

    def add_turn(self, conversation_id: int, role: Role, text: str, citations: tuple[Citation, ...]) -> int:
        """Append a turn. Raises StoreError if the conversation is gone."""
        now = time.time()
        # A lone surrogate, as a broken pipe can bring, has no place in UTF-8.
        text = text.encode("utf-8", "replace").decode("utf-8")
        with self._write() as connection:
            connection.execute(
                "INSERT INTO turn (conversation_id, role, text, citations, created_at) VALUES (?, ?, ?, ?, ?)",
                (conversation_id, role, text, rows.citations_json(citations), now),
            )
            turn_id = connection.last_insert_rowid()
            connection.execute("UPDATE conversation SET updated_at = ? WHERE id = ?", (now, conversation_id))
        return turn_id

    def turns(self, conversation_id: int) -> list[Turn]:
        found = self._read(
            "SELECT id, conversation_id, role, text, citations, created_at FROM turn"
            " WHERE conversation_id = ? ORDER BY id",
            conversation_id,
        )
        return [rows.turn_row(r) for r in found]

    # The whole -------------------------------------------------------------------------------------------------

    def stats(self) -> StoreStats:
        counts = self._read(
            "SELECT (SELECT count(*) FROM source WHERE skip_reason IS NULL),"
            " (SELECT count(*) FROM source WHERE skip_reason IS NOT NULL), (SELECT count(*) FROM chunk),"
            " (SELECT count(*) FROM conversation), (SELECT count(*) FROM turn)"
        )[0]
        n_vectors = self._read("SELECT count(*) FROM chunk_vector")[0][0] if self.embedder() else 0
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        size = sum(f.stat().st_size for f in files if f.exists())
        return StoreStats(counts[0], counts[1], counts[2], n_vectors, counts[3], counts[4], size)

    def check(self, *, read_data: bool = False) -> list[Check]:
        """Verify structure; with `read_data` every page, every word of the index and every vector's presence."""
        with self._lock:
            self._open_only()
            return checks.check(self._connection, read_data=read_data)


def _create(path: Path, key: bytes) -> None:
    new = path.with_name(path.name + ".new")
    for left_over in (new, new.with_name(new.name + "-wal"), new.with_name(new.name + "-shm")):
        left_over.unlink(missing_ok=True)
    connection = connect(new, key)
    try:
        with mapped():
            migrate(connection)
    finally:
        connection.close()
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _project_id(connection: apsw.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO project (name) VALUES (?)", (name,))
    found: int = _rows(connection, "SELECT id FROM project WHERE name = ?", name)[0][0]
    return found


def _rows(connection: apsw.Connection, sql: str, *args: Any) -> list[rows.Row]:
    return connection.execute(sql, args).fetchall()


def _insert_chunk(connection: apsw.Connection, source_id: int, title: str, chunk: Chunk) -> int:
    connection.execute(
        "INSERT INTO chunk"
        " (source_id, ordinal, text, title, headings, byte_start, byte_end, line_start, line_end, page)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(source_id, chunk.ordinal, chunk.text, title, rows.headings_json(chunk)),
            *(chunk.byte_start, chunk.byte_end, chunk.line_start, chunk.line_end, chunk.page),
        ),
    )
    return connection.last_insert_rowid()


def _delete_source(connection: apsw.Connection, source_id: int) -> None:
    ids = [i for (i,) in _rows(connection, "SELECT id FROM chunk WHERE source_id = ?", source_id)]
    if ids:
        vectors.delete(connection, ids)
    connection.execute("DELETE FROM source WHERE id = ?", (source_id,))
