"""The encrypted SQLite file: how it is made, opened, locked against other threads, and kept tidy.

Knows nothing of what the tables mean. SQLite3 Multiple Ciphers with chacha20 and a raw key; see `connect` for why
each setting is as it is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from secondme.errors import CorruptRecord, StoreError, WrongPassphrase
from secondme.memory.failures import damaged, read_only, result_name, store_errors, store_full, translate
from secondme.memory.migrations import migrate

KEY_BYTES = 32
CACHE_KIB = 64 * 1024

_PLAIN_MAGIC = b"SQLite format 3\x00"
_MIN_BYTES = 512


class Database:
    """One connection, one lock. `reading` and `writing` are the only ways in."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._closed = False
        self._wal_is_stale = False

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Hold the lock and yield the connection. Raises StoreError if the store is closed."""
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed", hint="open it again")
            with store_errors(self._connection):
                yield self._connection

    @contextmanager
    def writing(self, *, deletes: bool = False) -> Iterator[apsw.Connection]:
        """One transaction: committed and on disk when the block ends, rolled back if it raises.

        With `deletes` the write-ahead log counts as stale: it holds what the block removes until `compact_wal`.
        """
        with self.reading() as connection:
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            finally:
                # A full disk ends the transaction by itself; any other failure leaves it open.
                if connection.in_transaction:
                    connection.execute("rollback")
            self._wal_is_stale |= deletes

    def compact_wal(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, if it may hold what was deleted."""
        with self.reading() as connection:
            if self._wal_is_stale:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._wal_is_stale = False

    def size_bytes(self) -> int:
        """Bytes of the file and its write-ahead log."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(f.stat().st_size for f in files if f.exists())

    def close(self) -> None:
        """Checkpoint and close; doing so again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with store_errors(self._connection):
                    self._connection.close()


def open_database(path: Path, key: bytes) -> Database:
    """Open the database at `path`, or make it, and bring its schema up to date.

    Raises WrongPassphrase (the 32-byte `key` does not open it), SchemaTooNew, CorruptRecord (an empty, foreign or
    damaged file), StoreLocked (another connection has it), StoreFull, StoreError.
    """
    if len(key) != KEY_BYTES:
        raise StoreError("the store's key must have 32 bytes", hint="this is a fault of secondme; please report it")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise StoreError(
            "the data folder's name is not valid Unicode, which SQLite needs",
            hint="set SECONDME_HOME to another folder",
        ) from None
    try:
        if not _exists(path):
            _create(path, key)
        _check_file(path)
        connection = _connect(path, key)
    except OSError as error:
        raise _os_error(error) from None
    try:
        with store_errors(connection):
            migrate(connection)
            # A process that was killed leaves its log behind, and in it what it deleted last.
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except BaseException:
        connection.close()
        raise
    return Database(connection, path)


def _exists(path: Path) -> bool:
    if path.exists():
        return True
    if path.with_name(path.name + "-wal").exists():
        # SQLite would throw the log away, and with it whatever it alone holds.
        raise CorruptRecord(
            "the store file is missing, but its write-ahead log is there",
            hint=f"restore {path.name} from a backup, or move {path.name}-wal away to begin anew",
        )
    return False


def _create(path: Path, key: bytes) -> None:
    """Make the store beside its place and move it there, so that a file at `path` is always a whole store."""
    fresh = path.with_name(path.name + ".new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = _connect(fresh, key)
    try:
        with store_errors(connection):
            migrate(connection)
    finally:
        with store_errors(connection):
            connection.close()
    sync_path(fresh)
    fresh.rename(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk. Windows has no handle for a folder and does without."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_file(path: Path) -> None:
    """Refuse what SQLite would take for an empty database or would call a wrong key."""
    with path.open("rb") as file:
        head = file.read(len(_PLAIN_MAGIC))
    if path.stat().st_size < _MIN_BYTES:
        raise CorruptRecord("the store file is empty or cut off", hint=f"restore {path.name} from a backup")
    if head == _PLAIN_MAGIC:
        raise StoreError(
            "the file in the store's place is an unencrypted database, and not a store", hint=f"move {path.name} away"
        )


def _connect(path: Path, key: bytes) -> apsw.Connection:
    """Open with every setting in place and the key checked."""
    import sqlite_vec

    flags = apsw.SQLITE_OPEN_READWRITE
    try:
        connection = apsw.Connection(str(path), flags=flags)
    except apsw.Error as error:
        raise translate(error) from None
    try:
        with store_errors(connection):
            # SQLite opens a file that it may not write all the same, and fails later with the words of a broken disk.
            if connection.readonly("main"):
                raise read_only()
            _unlock(connection, key)
            # One process owns the store. Without others to share it, the index of the log stays in memory, too.
            connection.pragma("locking_mode", "exclusive")
            # Before the other settings: some of them read the first page as well, and would call a wrong key damage.
            _read_first_page(connection)
            connection.pragma("temp_store", "memory")
            connection.pragma("mmap_size", 0)
            connection.pragma("cache_size", -CACHE_KIB)
            connection.pragma("journal_mode", "wal")
            # FULL: an acknowledged row survives a power cut. NORMAL loses the last ones.
            connection.pragma("synchronous", "full")
            connection.pragma("secure_delete", "on")
            connection.pragma("foreign_keys", True)
            connection.pragma("trusted_schema", False)
            connection.enable_load_extension(True)
            connection.load_extension(sqlite_vec.loadable_path())
            connection.enable_load_extension(False)
    except BaseException:
        connection.close()
        raise
    return connection


def _unlock(connection: apsw.Connection, key: bytes) -> None:
    connection.pragma("cipher", "chacha20")
    # `raw:` skips the cipher's own key derivation: the key is random already.
    connection.pragma("hexkey", (b"raw:" + key).hex())


def _read_first_page(connection: apsw.Connection) -> None:
    try:
        connection.execute("select count(*) from sqlite_schema").get  # noqa: B018
    except apsw.NotADBError:
        raise WrongPassphrase(
            "the key does not open the store",
            hint="if the passphrase is right, the file is damaged or another memory's: restore it from a backup",
        ) from None
    except apsw.CorruptError as error:
        raise damaged(result_name(error)) from None


def _os_error(error: OSError) -> StoreError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return store_full()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return read_only()
    return StoreError(
        f"the store file cannot be used ({errno.errorcode.get(error.errno or 0, 'unknown error')})",
        hint="check that its folder exists and can be written",
    )
