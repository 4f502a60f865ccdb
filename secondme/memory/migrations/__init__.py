"""Schema changes in order, append-only: a step that was released is never edited, only followed by another.

Each step runs in one transaction together with its record, so a crash leaves the schema before or after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import apsw

from secondme.errors import SchemaTooNew
from secondme.memory.migrations import m001_initial

MIGRATIONS: tuple[tuple[str, Callable[[apsw.Connection], None]], ...] = (("m001_initial", m001_initial.apply),)


def migrate(connection: apsw.Connection) -> None:
    """Bring the schema up to date. Raises SchemaTooNew if a newer version of the program was here."""
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT, applied_at REAL)")
    done = [name for (name,) in connection.execute("SELECT name FROM migration ORDER BY number")]
    known = [name for name, _ in MIGRATIONS]
    if done != known[: len(done)]:
        raise SchemaTooNew(
            "a newer version of secondme wrote this store", hint="update secondme; the store is untouched"
        )
    for number, (name, apply) in enumerate(MIGRATIONS[len(done) :], start=len(done) + 1):
        with connection:
            apply(connection)
            connection.execute("INSERT INTO migration VALUES (?, ?, ?)", (number, name, time.time()))
