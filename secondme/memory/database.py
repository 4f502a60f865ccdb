"""The encrypted SQLite file: how it is made, opened, locked against other threads, and kept tidy.

Knows nothing of what the tables mean. SQLite3 Multiple Ciphers with chacha20 and a raw key; see `connect` for why
each setting is as it is.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from secondme.crypto.erase import erase, freed_is_cleared, give_back_freed
from secondme.crypto.keys import StoreKeys
from secondme.durable import move_file, sync_file
from secondme.errors import CorruptRecord, StoreError, WrongPassphrase
from secondme.memory import oplog
from secondme.memory.failures import damaged, os_errors, read_only, result_name, store_errors, translate
from secondme.memory.guard import FIRST_STEP, Guard
from secondme.memory.migrations import migrate, pending, schema_version

KEY_BYTES = 32
CACHE_KIB = 128 * 1024
FIRST_WITH_LOG = 3
"""Schema version from which a store has an operation log."""

_PLAIN_MAGIC = b"SQLite format 3\x00"
_MIN_BYTES = 512


class Database:
    """One connection, one lock. `reading` and `writing` are the only ways in."""

    def __init__(self, connection: apsw.Connection, path: Path, guard: Guard) -> None:
        self.path = path
        self._connection = connection
        self._guard = guard
        self._lock = threading.RLock()
        self._closed = False
        self._wal_is_stale = False
        self._batches: Counter[int] = Counter()
        self.after_write: list[Callable[[apsw.Connection], None]] = []
        """Called after each commit, under the lock, with nothing to raise: what was committed stands."""

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
        """One transaction: on disk and in the watermark when the block ends, rolled back if it raises.

        Where the watermark cannot be written the transaction stands, but is not acknowledged. With `deletes` the
        write-ahead log counts as stale: it holds what the block removes until `compact_wal`.
        """
        with self.reading() as connection:
            if self._guard.unfinished:
                self._guard.checkpoint(connection)
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            finally:
                # A full disk ends the transaction by itself; any other failure leaves it open.
                if connection.in_transaction:
                    connection.execute("rollback")
            self._wal_is_stale |= deletes
            for carry_over in self.after_write:
                carry_over(connection)
            if not self._batches[threading.get_ident()]:
                self._acknowledge(connection)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write the watermark once, when the outermost block ends: what this thread did inside counts from then on.

        Other threads do not wait for it: each of their transactions is acknowledged at its own end.
        """
        thread = threading.get_ident()
        with self._lock:
            self._batches[thread] += 1
        try:
            yield
        finally:
            with self.reading() as connection:
                self._batches[thread] -= 1
                if not self._batches[thread]:
                    self._acknowledge(connection)

    def _acknowledge(self, connection: apsw.Connection) -> None:
        self._guard.acknowledge(connection)
        if self._guard.checkpoint_is_due():
            self._guard.checkpoint(connection)
            self._wal_is_stale = False

    def compact_wal(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing, if it may hold what was deleted."""
        with self.reading() as connection:
            if self._wal_is_stale:
                self._guard.checkpoint(connection)
                self._wal_is_stale = False

    def size_bytes(self) -> int:
        """Bytes of the file and its write-ahead log."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(f.stat().st_size for f in files if f.exists())

    def close(self) -> None:
        """Checkpoint and close; doing so again does nothing. On a full disk the log is left to the next opening."""
        with self._lock:
            if not self._closed:
                self._closed = True
                with suppress(StoreError):
                    self._guard.checkpoint(self._connection)
                    # Nothing is left to move, and so SQLite only removes the empty log.
                    self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                # SQLite frees the pages that it holds, in the clear, and what it copied from them, as they are.
                with store_errors(self._connection), freed_is_cleared():
                    self._connection.close()
                give_back_freed()


def open_database(path: Path, keys: StoreKeys, witness: Path | None = None) -> Database:
    """Open the database at `path`, or make it, and bring its schema up to date.

    `witness` is the watermark's copy outside the data folder. Raises WrongPassphrase (`keys.db` does not open it),
    SchemaTooNew, CorruptRecord (an empty, foreign or damaged file), RolledBack (older than what was acknowledged),
    StoreLocked (another connection has it), StoreFull, StoreError.
    """
    if len(keys.db) != KEY_BYTES:
        raise StoreError("the store's key must have 32 bytes", hint="this is a fault of secondme; please report it")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise StoreError(
            "the data folder's name is not valid Unicode, which SQLite needs",
            hint="set SECONDME_HOME to another folder",
        ) from None
    guard = Guard(path, keys, witness)
    with os_errors():
        if not _exists(path, guard):
            _create(path, keys, guard)
        check_file(path)
    problem = guard.inspect()
    try:
        reconnect = problem is None and guard.log_is_longer
        connection = _connect_without_tail(path, keys, guard) if reconnect else connect(path, keys.db)
    except (CorruptRecord, WrongPassphrase) as error:
        guard.remove_empty_log()
        if not guard.has_mark():
            raise
        # The watermark is authenticated with the same keys, so they are right, and the file is not.
        raise problem or (error if isinstance(error, CorruptRecord) else damaged("SQLITE_NOTADB")) from None
    try:
        if problem is not None:
            raise guard.exactly(problem, connection)
        guard.follow(connection)
        with store_errors(connection):
            _bring_up_to_date(connection, guard, keys)
        _discard_unfinished(path)
    except BaseException:
        # SQLite made it when it opened the file; while it is open, no other process has the store.
        guard.remove_empty_log()
        connection.close()
        raise
    return Database(connection, path, guard)


def _connect_without_tail(path: Path, keys: StoreKeys, guard: Guard) -> apsw.Connection:
    """Connect once to see that no other process has the store open, then without what was never acknowledged."""
    with suppress(CorruptRecord, WrongPassphrase):
        connect(path, keys.db).close()
    guard.cut_log()
    return connect(path, keys.db)


def _discard_unfinished(path: Path) -> None:
    """Remove a rewriting of the store that was interrupted: it is as large as the store, and of no use."""
    from secondme.memory.install import discard  # which needs this module

    discard(path)


def _bring_up_to_date(connection: apsw.Connection, guard: Guard, keys: StoreKeys) -> None:
    steps = pending(connection)
    if schema_version(connection) < FIRST_WITH_LOG:
        # Written by the first version, which had neither log nor watermark; from here on it has both.
        if not guard.has_mark():
            guard.refuse_older_than_log()
            oplog.set_genesis(connection, keys.store_id)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            guard.begin(oplog.genesis(keys.store_id))
    else:
        guard.compare_log(connection)
    if steps:
        migrate(connection, steps)
        connection.execute("begin immediate")
        oplog.append(connection, "upgraded", ["store"])
        connection.execute("commit")
    # A process that was killed leaves its log behind, and in it what it deleted last.
    guard.checkpoint(connection)
    guard.acknowledge(connection)


def _exists(path: Path, guard: Guard) -> bool:
    if path.exists():
        return True
    if guard.knows_more_than(FIRST_STEP) or path.with_name(path.name + "-wal").exists():
        # SQLite would begin anew and throw the log away, and with it whatever it alone holds.
        raise CorruptRecord(
            "the store file is missing, but there was one",
            hint=f"restore {path.name} from a backup, or begin anew with: secondme wipe",
        )
    return False


def _create(path: Path, keys: StoreKeys, guard: Guard) -> None:
    """Make the store beside its place, vouch for it and move it there: a file at `path` is always a whole store."""
    fresh = path.with_name(path.name + ".new")
    for suffix in ("", "-wal", "-shm", "-journal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(fresh, keys.db)
    try:
        with store_errors(connection):
            migrate(connection, pending(connection))
            connection.execute("begin immediate")
            oplog.set_genesis(connection, keys.store_id)
            head = oplog.append(connection, "created", ["store"])
            connection.execute("commit")
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    finally:
        with store_errors(connection):
            connection.close()
    sync_file(fresh)
    guard.begin(head, fresh)
    move_file(fresh, path)


def check_file(path: Path) -> None:
    """Refuse what SQLite would take for an empty database or would call a wrong key."""
    with path.open("rb") as file:
        head = file.read(len(_PLAIN_MAGIC))
    if path.with_name(path.name + "-journal").exists():
        raise CorruptRecord(
            "a rollback journal lies beside the store, and secondme writes none",
            hint=f"move {path.name}-journal away; it may have been put there to change the store",
        )
    if path.stat().st_size < _MIN_BYTES:
        raise CorruptRecord("the store file is empty or cut off", hint=f"restore {path.name} from a backup")
    if head == _PLAIN_MAGIC:
        raise StoreError(
            "the file in the store's place is an unencrypted database, and not a store", hint=f"move {path.name} away"
        )


def connect(path: Path, key: bytes | bytearray) -> apsw.Connection:
    """Open with every setting in place and the key checked; the log is neither moved nor removed by itself."""
    import sqlite_vec

    flags = apsw.SQLITE_OPEN_READWRITE
    try:
        connection = apsw.Connection(str(path), flags=flags)
    except apsw.Error as error:
        raise translate(error) from None
    try:
        with store_errors(connection):
            # The file changes at our own checkpoints only, which the watermark knows of; not either if this fails.
            connection.wal_autocheckpoint(0)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            # SQLite opens a file that it may not write all the same, and fails later with the words of a broken disk.
            if connection.readonly("main"):
                raise read_only()
            use_key(connection, key)
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


def use_key(connection: apsw.Connection, key: bytes | bytearray) -> None:
    connection.pragma("cipher", "chacha20")
    # `raw:` skips the cipher's own key derivation: the key is random already. SQLite takes no key but as text.
    spelled = key.hex()
    statement = f"pragma hexkey='{b'raw:'.hex()}{spelled}'"
    try:
        connection.execute(statement, can_cache=False).get  # noqa: B018
    finally:
        erase(spelled, statement)


def _read_first_page(connection: apsw.Connection) -> None:
    try:
        connection.execute("select count(*) from sqlite_schema").get  # noqa: B018
    except apsw.NotADBError:
        raise WrongPassphrase(
            "the key does not open the store",
            hint="keyslots.json is from before the keys were rotated, or the store is damaged or another memory's:"
            " put the newest copies back",
        ) from None
    except apsw.CorruptError as error:
        raise damaged(result_name(error)) from None
