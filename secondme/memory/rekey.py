"""Writes the store anew under other keys, page by page, for a rotation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, WrongPassphrase
from secondme.memory import oplog
from secondme.memory.database import check_file, connect, open_database, use_key
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.install import discard, install, next_path


def rekey(store: Path, old: StoreKeys, new: StoreKeys, witness: Path | None = None) -> None:
    """Write the store anew under other keys of the same memory. Needs as much space again as the store.

    Raises what opening it raises, StoreFull and StoreError; until it returns, the old keys may open the store, and
    `opens_with` tells.
    """
    database = open_database(store, old, witness)
    try:
        # Not before: opening takes up the watermark that an interrupted rewriting left waiting.
        discard(store)
        with database.writing() as connection:
            oplog.append(connection, "rekeyed", ["store"])
        with database.reading() as connection:
            _copy(connection, next_path(store), new)
    except BaseException:
        database.close()
        discard(store)
        raise
    database.close()
    install(store, new, witness)


def _copy(connection: apsw.Connection, path: Path, keys: StoreKeys) -> None:
    """Copy all pages as they are, encrypted under another key. SQLite's backup takes what the log holds along."""
    with os_errors():
        path.touch(mode=0o600, exist_ok=False)
    copy = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with store_errors(copy):
            use_key(copy, keys.db)
            # A file that nobody reads before it is whole and synced needs no journal of its own.
            copy.pragma("journal_mode", "off")
            copy.pragma("synchronous", "off")
            with copy.backup("main", connection, "main") as backup:
                backup.step(-1)
    finally:
        copy.close()


def opens_with(store: Path, key: bytes | bytearray) -> bool:
    """Whether a database key opens the store's first page. Raises what opening a damaged or missing file raises."""
    with os_errors():
        check_file(store)  # SQLite opens an empty file with any key
    try:
        connection = connect(store, key)
    except WrongPassphrase:
        return False
    connection.close()
    return True


def opener(store: Path) -> Callable[[bytes | bytearray], bool]:
    """`opens_with` for a store that may be missing or damaged; then no key opens it.

    `crypto.unlock` settles an interrupted rotation by it, and keeps both sets of keys while neither opens the store.
    """

    def opens(key: bytes | bytearray) -> bool:
        try:
            return store.exists() and opens_with(store, key)
        except CorruptRecord:
            return False

    return opens
