"""Opens the encrypted database and turns SQLite's errors into ours; apart, so that every access passes one place.

SQLite3 Multiple Ciphers with chacha20 and a raw 32-byte key: every page carries its own authentication tag, so a
flipped bit is an error and never a wrong row. The write-ahead log is encrypted alike. Temporary tables stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from secondme.errors import CorruptRecord, SecondMeError, StoreError, StoreFull, StoreLocked, WrongPassphrase

KEY_BYTES = 32
CACHE_KIB = 64 * 1024  # a 100k-vector scan is more than twice as fast than with SQLite's own 2 MB

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL loses acknowledged rows on power loss
    "secure_delete = ON",
    "temp_store = MEMORY",
    f"cache_size = -{CACHE_KIB}",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "mmap_size = 0",
)


def connect(path: Path, key: bytes) -> apsw.Connection:
    """Open `path`, creating it if it is missing, with sqlite-vec loaded.

    Raises WrongPassphrase if the key does not open it, CorruptRecord if it is empty, StoreError for what else stands
    in the way.
    """
    if len(key) != KEY_BYTES:
        raise StoreError(f"the database key has {len(key)} bytes instead of {KEY_BYTES}")
    with mapped():
        connection = apsw.Connection(str(path))
    try:
        with mapped(opening=True):
            connection.pragma("cipher", "chacha20")
            connection.execute(f"PRAGMA hexkey = '{key.hex()}'")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            connection.set_busy_timeout(2000)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            _load_vectors(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _load_vectors(connection: apsw.Connection) -> None:
    import sqlite_vec

    connection.enable_load_extension(True)
    try:
        connection.load_extension(sqlite_vec.loadable_path())
    finally:
        connection.enable_load_extension(False)


@contextmanager
def mapped(*, opening: bool = False) -> Iterator[None]:
    """Run database work; whatever SQLite raises becomes one of our errors, without SQLite's words.

    Its messages can hold text of a query, so only the class is told.
    """
    try:
        yield
    except apsw.Error as error:
        raise _ours(error, opening=opening) from None


def _ours(error: apsw.Error, *, opening: bool) -> SecondMeError:
    name = type(error).__name__
    match error:
        case apsw.FullError():
            return StoreFull(
                "the disk is full; nothing that was acknowledged is lost", hint="free some space and go on"
            )
        case apsw.NotADBError() if opening:
            return WrongPassphrase(
                "the key does not open the store, or its first page is damaged",
                hint="check the passphrase; if it is right, put a copy of the data folder back",
            )
        case apsw.NotADBError() | apsw.CorruptError():
            return CorruptRecord(
                "a page of the store is damaged",
                hint="secondme memory check tells what; put a copy of the data folder back",
            )
        case apsw.BusyError() | apsw.LockedError():
            return StoreLocked("another process is writing to the store", hint="close it and try again")
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreError("the store cannot be opened or written", hint="check the data folder's permissions")
        case apsw.IOError():
            return StoreError(
                "reading or writing the store failed", hint="check the disk, its space and its permissions"
            )
        case _:
            return StoreError(f"the store could not do this ({name})", hint="secondme memory check verifies it")
