"""Verifies a store: what `secondme doctor` says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw

from secondme.errors import CorruptRecord
from secondme.memory import settings, vectors
from secondme.memory.failures import store_errors
from secondme.memory.migrations import schema_version
from secondme.types import Check

_RESTORE = "restore the data folder from a backup, then add the folders again"
_REINDEX = "run: secondme memory reindex"


def check_store(connection: apsw.Connection, *, read_data: bool) -> Iterator[Check]:
    """Yield one Check a property; damage is a failed line and raises nothing.

    With `read_data` every page, record and vector is read; else only what is quick.
    """
    pragma = "integrity_check" if read_data else "quick_check"
    verifications: list[tuple[str, Callable[[apsw.Connection], tuple[bool, str]], str]] = [
        ("store", _version, _RESTORE),
        ("store pages", lambda c: _faults(c, f"pragma {pragma}(5)"), _RESTORE),
        ("store links", lambda c: _faults(c, "pragma foreign_key_check"), _RESTORE),
        ("store records", _records, _RESTORE),
    ]
    if read_data:
        verifications += [("word index", _words, _REINDEX), ("vectors", _vectors, _REINDEX)]
    for name, verify, remedy in verifications:
        try:
            with store_errors(connection):
                sound, detail = verify(connection)
        except CorruptRecord as error:
            sound, detail = False, error.message
        yield Check(name, "ok", detail) if sound else Check(name, "failed", detail, remedy)


def _version(connection: apsw.Connection) -> tuple[bool, str]:
    return True, f"chacha20, schema version {schema_version(connection)}, SQLite {apsw.sqlite_lib_version()}"


def _faults(connection: apsw.Connection, sql: str) -> tuple[bool, str]:
    """Run a pragma that reports problems as rows; only their number is shown, as a row may quote content."""
    problems = [row for row in connection.execute(sql) if row != ("ok",)]
    return not problems, f"{len(problems)} problems found" if problems else "all sound"


def _records(connection: apsw.Connection) -> tuple[bool, str]:
    """Each source has the chunks it says, and each chunk its vector."""
    wrong = connection.execute(
        """select count(*) from source s
           where n_chunks != (select count(*) from chunk c where c.source_id = s.id)"""
    ).get
    n_chunks = connection.execute("select count(*) from chunk").get
    n_vectors = vectors.count(connection) if settings.embedder(connection) else 0
    if wrong:
        return False, f"{wrong} files do not have all their chunks"
    if n_chunks != n_vectors:
        return False, f"{n_chunks} chunks and {n_vectors} vectors"
    return True, f"{n_chunks} chunks, each with its vector"


def _words(connection: apsw.Connection) -> tuple[bool, str]:
    """FTS5 compares its index with the stored text, and raises if they differ."""
    connection.execute("insert into word(word, rank) values('integrity-check', 1)")
    return True, "matches the stored text"


def _vectors(connection: apsw.Connection) -> tuple[bool, str]:
    """Read every vector, and compare the copy that is searched with the one that is exact."""
    known = settings.embedder(connection)
    if known is None:
        return True, "none yet"
    import numpy as np

    bad = 0
    n = 0
    with vectors.blocks_read():
        for coarse, fine in connection.execute("select coarse, fine from vector"):
            n += 1
            row = np.frombuffer(fine, np.float32)[None, :]
            whole = row.shape[1] == known[1] and np.isfinite(row).all()
            bad += not (whole and vectors.quantize(row)[0].tobytes() == coarse)
    return not bad, f"{bad} of {n} are damaged" if bad else f"{n} of {known[1]} dimensions"
