"""Writes the store anew under other keys, page by page, for a rotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, WrongPassphrase
from secondme.memory import cartridges, oplog
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.database import check_file, connect, open_database, use_key
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.install import discard, install, next_path

Renewed = tuple[int, str, bytes]
"""A row of a cartridge by its id, and the name and secret of the file that it has from then on."""
Reseal = Callable[[Sequence[StoredCartridge]], Sequence[Renewed]]


def rekey(
    store: Path, old: StoreKeys, new: StoreKeys, witness: Path | None = None, *, reseal: Reseal | None = None
) -> None:
    """Write the store anew under other keys of the same memory. Needs as much space again as the store.

    `reseal` writes the files of the cartridges anew, and says which; without it, or left out by it, they are dropped.
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
            rows = cartridges.several(connection)
            renewed = reseal(rows) if reseal is not None and rows else ()
            _copy(connection, next_path(store), new)
        if rows:
            _point_to(next_path(store), new, renewed)
    except BaseException:
        database.close()
        discard(store)
        raise
    database.close()
    install(store, new, witness)


def _point_to(fresh: Path, keys: StoreKeys, renewed: Sequence[Renewed]) -> None:
    with closing(connect(fresh, keys.db)) as connection, store_errors(connection):
        connection.execute("begin immediate")
        cartridges.reseal(connection, renewed)
        connection.execute("commit")


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
