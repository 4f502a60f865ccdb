"""Verifies a store: what `secondme doctor` says about it."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from secondme.errors import CorruptRecord
from secondme.memory import settings, vectors
from secondme.memory.failures import store_errors
from secondme.memory.migrations import schema_version
from secondme.types import Check

_RESTORE = "restore the data folder from a backup, then add the folders again"
_REINDEX = "run: secondme memory reindex"


def check_store(connection: apsw.Connection, *, read_data: bool) -> Iterator[Check]:
    """Yield one Check a property. With `read_data` every page, record and vector is read; else only what is quick."""
    version = schema_version(connection)
    yield Check("store", "ok", f"chacha20, schema version {version}, SQLite {apsw.sqlite_lib_version()}")
    pragma = "integrity_check" if read_data else "quick_check"
    yield _guarded("store pages", connection, f"pragma {pragma}(5)", _RESTORE)
    yield _guarded("store links", connection, "pragma foreign_key_check", _RESTORE)
    yield _counts(connection)
    if read_data:
        yield _words(connection)
        yield _vectors(connection)


def _guarded(name: str, connection: apsw.Connection, sql: str, remedy: str) -> Check:
    """Run a pragma that reports problems as rows; only their number is shown, as a row may quote content."""
    try:
        with store_errors(connection):
            problems = [row for row in connection.execute(sql) if row != ("ok",)]
    except CorruptRecord as error:
        return Check(name, "failed", error.message, remedy)
    if problems:
        return Check(name, "failed", f"{len(problems)} problems found", remedy)
    return Check(name, "ok", "all sound")


def _counts(connection: apsw.Connection) -> Check:
    """Each source has the chunks it says, and each chunk its vector."""
    try:
        with store_errors(connection):
            wrong = connection.execute(
                """select count(*) from source s
                   where n_chunks != (select count(*) from chunk c where c.source_id = s.id)"""
            ).get
            n_chunks = connection.execute("select count(*) from chunk").get
            n_vectors = vectors.count(connection) if settings.embedder(connection) else 0
    except CorruptRecord as error:
        return Check("store records", "failed", error.message, _RESTORE)
    if wrong:
        return Check("store records", "failed", f"{wrong} files do not have all their chunks", _RESTORE)
    if n_chunks != n_vectors:
        return Check("store records", "failed", f"{n_chunks} chunks and {n_vectors} vectors", _REINDEX)
    return Check("store records", "ok", f"{n_chunks} chunks, each with its vector")


def _words(connection: apsw.Connection) -> Check:
    try:
        with store_errors(connection):
            connection.execute("insert into word(word, rank) values('integrity-check', 1)")
    except CorruptRecord:
        return Check("word index", "failed", "it does not match the stored text", _REINDEX)
    return Check("word index", "ok", "matches the stored text")


def _vectors(connection: apsw.Connection) -> Check:
    """Read every vector, and compare the copy that is searched with the one that is exact."""
    known = settings.embedder(connection)
    if known is None:
        return Check("vectors", "ok", "none yet")
    import numpy as np

    bad = 0
    n = 0
    try:
        with store_errors(connection):
            for coarse, fine in connection.execute("select coarse, fine from vector"):
                n += 1
                row = np.frombuffer(fine, np.float32)[None, :]
                whole = row.shape[1] == known[1] and np.isfinite(row).all()
                bad += not (whole and vectors.quantize(row)[0].tobytes() == coarse)
    except CorruptRecord as error:
        return Check("vectors", "failed", error.message, _REINDEX)
    if bad:
        return Check("vectors", "failed", f"{bad} of {n} are damaged", _REINDEX)
    return Check("vectors", "ok", f"{n} of {known[1]} dimensions")
