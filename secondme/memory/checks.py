"""Verifies the store: structure always, on request every page, every indexed word and every vector's presence."""

from __future__ import annotations

import apsw

from secondme.errors import SecondMeError
from secondme.memory.connection import mapped
from secondme.types import Check

_DAMAGED = "put a copy of the data folder back, or remove the store and add the folders again"


def check(connection: apsw.Connection, *, read_data: bool) -> list[Check]:
    """Lines for structure, references, index and vectors. Damage is a failed line, never an exception."""
    return [
        _one("pages", connection, _integrity if read_data else _quick),
        _one("references", connection, _references),
        _one("word index", connection, _words),
        _one("vectors", connection, _vectors),
    ]


def _one(name: str, connection: apsw.Connection, verify: object) -> Check:
    assert callable(verify)
    try:
        with mapped():
            problem: str = verify(connection)
    except SecondMeError as error:
        return Check(name, "failed", error.message, error.hint or "")
    return Check(name, "failed", problem, _DAMAGED) if problem else Check(name, "ok", "verified")


def _quick(connection: apsw.Connection) -> str:
    found = connection.execute("PRAGMA quick_check").fetchall()
    return "" if found == [("ok",)] else f"{len(found)} faults in the structure"


def _integrity(connection: apsw.Connection) -> str:
    found = connection.execute("PRAGMA integrity_check").fetchall()
    return "" if found == [("ok",)] else f"{len(found)} faults in the structure"


def _references(connection: apsw.Connection) -> str:
    found = connection.execute("PRAGMA foreign_key_check").fetchall()
    n_wrong = connection.execute(
        "SELECT count(*) FROM source WHERE n_chunks <> (SELECT count(*) FROM chunk WHERE source_id = source.id)"
    ).fetchall()[0][0]
    return f"{len(found)} rows without their parent, {n_wrong} files without all passages" if found or n_wrong else ""


def _words(connection: apsw.Connection) -> str:
    """FTS5 compares its index with the passages; a difference raises."""
    connection.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
    return ""


def _vectors(connection: apsw.Connection) -> str:
    there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'chunk_vector'").fetchall()[0][0]
    if not there:
        return ""
    lost = connection.execute(
        "SELECT count(*) FROM chunk WHERE id NOT IN (SELECT rowid FROM chunk_vector_rowids)"
    ).fetchall()[0][0]
    return f"{lost} passages have no vector" if lost else ""
