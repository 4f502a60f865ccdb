"""The store's schema, as steps that are only ever added to: a released step never changes.

Each step runs in a transaction of its own together with its row in `migration`, so a step that fails leaves the
store as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import apsw

from secondme.errors import SchemaTooNew
from secondme.memory.migrations import m001_documents, m002_conversations, m003_trust, m004_cartridges, m005_memories


@dataclass(frozen=True, slots=True)
class Migration:
    """A step; its version is its place in the sequence, from 1."""

    name: str
    apply: Callable[[apsw.Connection], None]


MIGRATIONS: tuple[Migration, ...] = (
    Migration("m001_documents", m001_documents.apply),
    Migration("m002_conversations", m002_conversations.apply),
    Migration("m003_trust", m003_trust.apply),
    Migration("m004_cartridges", m004_cartridges.apply),
    Migration("m005_memories", m005_memories.apply),
)

_LEDGER = """create table if not exists migration(
    version integer primary key, name text not null, applied_at real not null) strict"""


def schema_version(connection: apsw.Connection) -> int:
    """Version of the schema at hand; 0 for an empty database."""
    if not connection.table_exists(None, "migration"):
        return 0
    return int(connection.execute("select coalesce(max(version), 0) from migration").get)


def pending(connection: apsw.Connection) -> Sequence[Migration]:
    """The steps that the store at hand still needs. Raises SchemaTooNew if it is ahead of this program."""
    version = schema_version(connection)
    if version > len(MIGRATIONS):
        raise SchemaTooNew(
            f"the store has schema version {version}, and this secondme knows {len(MIGRATIONS)}",
            hint="update secondme; a newer version has used this store",
        )
    return MIGRATIONS[version:]


def migrate(connection: apsw.Connection, steps: Sequence[Migration]) -> None:
    """Bring the schema up to date by the steps that are pending."""
    for number, step in enumerate(steps, start=schema_version(connection) + 1):
        connection.execute("begin immediate")
        try:
            connection.execute(_LEDGER)
            step.apply(connection)
            connection.execute("insert into migration values(?, ?, ?)", (number, step.name, time.time()))
            connection.execute("commit")
        finally:
            # A full disk ends the transaction by itself; any other failure leaves it open.
            if connection.in_transaction:
                connection.execute("rollback")
