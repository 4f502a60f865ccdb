"""Opens a store as far as it can be opened: refusals become findings, and nothing is changed by looking.

For `checks.py` and `salvage.py` alone; everything else opens a store by `open_database`. The caller holds the lock of
the data folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, IntegrityError, WrongPassphrase
from secondme.memory import bits, cartridges, oplog, pages, watermark
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.database import FIRST_WITH_LOG, check_file, connect
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.guard import Guard
from secondme.memory.history import History, read_history
from secondme.memory.migrations import pending, schema_version
from secondme.memory.oplog import Head
from secondme.memory.scavenge import DAMAGE, only_damage, tolerant
from secondme.memory.survey import Survey, survey
from secondme.memory.watermark import Witness


@dataclass(frozen=True, slots=True)
class Damaged:
    """An open store that may be damaged.

    `acknowledged` is the newest step that watermark or witness know, `failing` are pages that do not fit their tags.
    """

    path: Path
    connection: apsw.Connection
    acknowledged: Head | None
    opening: IntegrityError | None
    version: int
    failing: tuple[int, ...]

    def survey(self, keys: StoreKeys) -> Survey:
        """Read everything. Raises StoreError for anything but damage."""
        with store_errors(self.connection):
            start = oplog.genesis(keys.store_id)
            history = History(start, start)
            if self.version >= FIRST_WITH_LOG:
                history = read_history(self.connection, start, self.acknowledged)
            return survey(self.connection, history, self.opening, self.failing)


@contextmanager
def opened(path: Path, keys: StoreKeys, witness: Path | None = None) -> Iterator[Damaged]:
    """Open what is there. Raises CorruptRecord (no first page, no file), SchemaTooNew, StoreLocked or StoreError."""
    with os_errors():
        if not path.exists():
            raise CorruptRecord("there is no store file", hint=f"restore {path.name} from a backup")
        check_file(path)
    guard = Guard(path, keys, witness)
    problem = guard.inspect()
    try:
        connection = connect(path, keys.db)
    except (CorruptRecord, WrongPassphrase):
        guard.remove_empty_log()
        mendable = bits.turned(path, keys.db)
        raise CorruptRecord(
            "the first pages of the store cannot be read: the file is damaged, or another memory's",
            hint="run: secondme memory repair" if mendable else f"restore {path.name} from a backup",
        ) from None
    try:
        with store_errors(connection):
            version = _version(connection)
            problem = guard.exactly(problem, connection) if problem else _compare_log(connection, guard)
        with os_errors():
            # What the log holds as well may be half written by a checkpoint, which the next opening makes again.
            logged = _logged(path)
            failing = tuple(n for n in bits.failing(path, keys.db) if n not in logged)
        yield Damaged(path, connection, _acknowledged(path, keys, witness), problem, version, failing)
    finally:
        # SQLite made it for the looking; while the store is open, no other process has it.
        guard.remove_empty_log()
        connection.close()


def cartridges_of(path: Path, keys: StoreKeys, witness: Path | None = None) -> list[StoredCartridge]:
    """The rows of cartridges, as far as they can be read; none of a store from before there were any."""
    rows: list[StoredCartridge] = []
    with opened(path, keys, witness) as damaged, store_errors(damaged.connection), tolerant():
        if damaged.connection.table_exists(None, "cartridge"):
            rows = cartridges.several(damaged.connection)
    return rows


def _logged(path: Path) -> frozenset[int]:
    wal = path.with_name(path.name + "-wal")
    return pages.pages_in_wal(wal, wal.stat().st_size) if wal.exists() else frozenset()


def _version(connection: apsw.Connection) -> int:
    """The schema's version; where its record cannot be read, what the tables say. Raises SchemaTooNew."""
    version = 0
    with tolerant():
        pending(connection)
        version = schema_version(connection)
    if version:
        return version
    return FIRST_WITH_LOG if connection.table_exists(None, "op") else FIRST_WITH_LOG - 1


def _compare_log(connection: apsw.Connection, guard: Guard) -> IntegrityError | None:
    """What opening the store would say of its log."""
    try:
        if connection.table_exists(None, "op"):
            guard.compare_log(connection)
        else:
            guard.refuse_older_than_log()
    except IntegrityError as error:
        return error
    except DAMAGE as error:
        only_damage(error)
        return CorruptRecord("the operation log cannot be read", hint="run: secondme memory repair")
    return None


def _acknowledged(path: Path, keys: StoreKeys, witness: Path | None) -> Head | None:
    marks = [Witness(witness).load(keys.watermark, keys.store_id)]
    with suppress(CorruptRecord), os_errors():
        marks.append(watermark.load(path, keys.watermark, keys.store_id))
    return max((m.head for m in marks if m is not None), key=lambda head: head.seq, default=None)
