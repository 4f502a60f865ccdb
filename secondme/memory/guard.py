"""Holds the store to its watermark: nothing older, nothing missing, nothing put in.

What each check catches, in the order they are made at opening:
    page digest     the database file is not the one last written: an old page, an old file, bytes changed outside
    key file        an older `keyslots.json` than the store has seen
    log head        the write-ahead log lost its tail, with it steps that were acknowledged
    log digest      the write-ahead log holds other frames than were written, such as pages of an earlier time
    witness         the whole data folder is an older copy than this machine has seen

What follows the last acknowledged commit in the write-ahead log is cut off: nothing vouches for it, and nobody was told
of it.

A checkpoint is the only moment at which the database file changes. It is announced in the watermark first, with the
digest of those pages that it leaves alone, so that one which was interrupted can be told from damage.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.durable import move_file, remove_file, sync_file
from secondme.errors import CorruptRecord, IntegrityError, RolledBack
from secondme.memory import oplog, pages, watermark
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.oplog import Head
from secondme.memory.watermark import Watermark, Witness

REPAIR = "run: secondme memory repair; it shows what is there and what is missing before it changes anything"
FIRST_STEP = 1
"""The step that every store begins with; one that knows no other holds nothing yet."""
CHECKPOINT_BYTES = 16 * 1024 * 1024
"""Size of the write-ahead log from which it is moved into the file."""


class Guard:
    """The watermark of one open store. Its methods are called under the database's lock."""

    def __init__(self, path: Path, keys: StoreKeys, witness: Path | None = None) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._keys = keys
        self._witness = Witness(witness)
        self._mark: Watermark | None = None
        self._log = pages.LogDigest()
        self._tails: pages.Tails | None = None
        self._n_frames = 0
        self._log_fits = True
        self._had_log = False

    def follow(self, connection: apsw.Connection) -> None:
        """Learn after each commit how many frames the write-ahead log has."""

        def committed(connection: apsw.Connection, name: str, n_frames: int) -> int:
            self._n_frames = n_frames
            return apsw.SQLITE_OK

        connection.set_wal_hook(committed)

    @property
    def unfinished(self) -> bool:
        """Whether a checkpoint was begun and did not end; then no transaction may begin."""
        return self._mark is not None and self._mark.moving is not None

    # Opening ---------------------------------------------------------------------------------------------------

    def inspect(self) -> IntegrityError | None:
        """Compare the file with the watermark, before SQLite touches it; what is wrong is returned, not raised.

        The caller may have a better reason, such as a wrong key.
        """
        self._had_log = self._wal.exists()
        try:
            with os_errors():
                self._adopt_next()
                self._mark = watermark.load(self._path, self._keys.watermark, self._keys.store_id)
                self._log_fits = self._take_up_log()
                return self._compare_pages() or self._compare_epoch()
        except IntegrityError as error:
            return error

    def _adopt_next(self) -> None:
        """Finish the putting in place of a new store that was interrupted, or forget the try."""
        waiting = watermark.next_path_for(self._path)
        if not waiting.exists():
            return
        mark = watermark.unpack(waiting.read_bytes(), self._keys.watermark, self._keys.store_id)
        if mark is not None and pages.digest(self._path) == (mark.n_bytes, mark.tags):
            move_file(waiting, watermark.path_for(self._path))
        else:
            remove_file(waiting)

    def _take_up_log(self) -> bool:
        """Whether the write-ahead log begins with what was acknowledged."""
        mark = self._mark
        if mark is None:
            return True
        if self._log_size() >= mark.n_log_bytes:
            self._log.extend(self._wal, mark.n_log_bytes)
        self._n_frames = pages.log_frames(self._log.n_bytes)
        return (self._log.n_bytes, self._log.digest()) == (mark.n_log_bytes, mark.log)

    def _log_size(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0

    @property
    def log_is_longer(self) -> bool:
        """Whether something follows the last acknowledged commit in the write-ahead log, which fits as far as that."""
        if self._mark is None or not self._log_fits or self._log_size() <= self._mark.n_log_bytes:
            return False
        # An old watermark would have steps cut off that count.
        return not self.knows_more_than(self._mark.head.seq)

    def remove_empty_log(self) -> None:
        """Leave no trace of an opening that failed."""
        with suppress(OSError):
            if not self._had_log and self._wal.stat().st_size == 0:
                self._wal.unlink()

    def cut_log(self) -> None:
        """Take away what was never acknowledged. The store must be closed, and no other may have it open."""
        assert self._mark is not None
        with os_errors():
            os.truncate(self._wal, self._mark.n_log_bytes)
            sync_file(self._wal)

    def _compare_pages(self) -> IntegrityError | None:
        mark = self._mark
        if mark is None:
            return None
        self._tails = pages.Tails.of(self._path)
        if self._tails.digest() == (mark.n_bytes, mark.tags):
            return None
        if mark.moving is not None:
            left_alone = self._tails.digest_without(pages.pages_in_wal(self._wal, mark.n_log_bytes))
            if left_alone == mark.moving:
                return None
        return RolledBack(
            "the store file is not the one that was last written: parts of it are older, or were changed by something"
            " else",
            hint=REPAIR,
        )

    def _compare_epoch(self) -> IntegrityError | None:
        seen = self._witness.load(self._keys.watermark, self._keys.store_id)
        newest = max((m.epoch for m in (self._mark, seen) if m is not None), default=0)
        if newest <= self._keys.epoch:
            return None
        return RolledBack(
            "the key file is an older copy than the store was last opened with",
            hint="put the newest keyslots.json back; a key that was taken out since would open the store again",
        )

    def has_mark(self) -> bool:
        """Whether the store has a watermark; one from before there were any has none, until `begin`."""
        return self._mark is not None

    def knows_more_than(self, seq: int) -> bool:
        """Whether a step after `seq` was ever acknowledged, by watermark or witness. Raises CorruptRecord."""
        seen = self._witness.load(self._keys.watermark, self._keys.store_id)
        mark = watermark.load(self._path, self._keys.watermark, self._keys.store_id)
        return any(m.head.seq > seq for m in (mark, seen) if m is not None)

    def refuse_older_than_log(self) -> None:
        """A store from before there was a log is old if this machine has seen it with one. Raises RolledBack."""
        if self.knows_more_than(0):
            raise RolledBack("the store file is a copy from an earlier version of secondme", hint=REPAIR)

    def begin(self, head: Head, file: Path | None = None) -> None:
        """Write the first watermark of a store that is at rest, in `file` if it is not in its place yet."""
        with os_errors():
            n_bytes, tags = pages.digest(file or self._path)
        self._save(Watermark(head, n_bytes, tags, epoch=self._keys.epoch))

    def compare_log(self, connection: apsw.Connection) -> None:
        """Hold the operation log to the watermark and the witness. Raises RolledBack."""
        head = oplog.head(connection)
        seen = self._witness.load(self._keys.watermark, self._keys.store_id)
        if self._mark is None:
            raise RolledBack("the watermark, which vouches for the store, is missing", hint=REPAIR)
        self._require(connection, head, self._mark, "the store")
        # Power that fails while the store is made, and again, may leave the copy of a first step that never came to be.
        if seen is not None and seen.head.seq > FIRST_STEP:
            self._require(connection, head, seen, "the data folder is an older copy: it")
            if seen.head.seq > self._mark.head.seq:
                raise RolledBack("the watermark, which vouches for the store, is an older copy", hint=REPAIR)
        if not self._log_fits:
            raise RolledBack(
                "the write-ahead log is not the one that was last written: parts of it are older, or were changed by"
                " something else",
                hint=REPAIR,
            )

    def exactly(self, problem: IntegrityError, connection: apsw.Connection) -> IntegrityError:
        """The reason to refuse a store whose file is another one, as exactly as its log tells what is missing."""
        try:
            with store_errors(connection):
                if self._mark is not None and connection.table_exists(None, "op"):
                    self.compare_log(connection)
        except CorruptRecord:
            return problem
        except IntegrityError as error:
            return error
        return problem

    def _require(self, connection: apsw.Connection, head: Head, mark: Watermark, what: str) -> None:
        if head.seq < mark.head.seq:
            raise RolledBack(
                f"{what} ends at step {head.seq}{_when(connection, head)},"
                f" but {mark.head.seq - head.seq} more were acknowledged",
                hint=REPAIR,
            )
        if oplog.hash_at(connection, mark.head.seq, self._keys.store_id) != mark.head.hash:
            raise RolledBack(f"{what} has another history than the one that was acknowledged", hint=REPAIR)

    # While open ------------------------------------------------------------------------------------------------

    def acknowledge(self, connection: apsw.Connection) -> None:
        """Write the newest step into the watermark: from here on it counts. Raises StoreFull or StoreError."""
        assert self._mark is not None
        mark = replace(self._mark, head=oplog.head(connection), epoch=self._keys.epoch)
        if mark != self._mark or self._mark.n_log_bytes != pages.log_bytes(self._n_frames):
            self._save(_with(mark, self._log_now()))

    def _log_now(self) -> pages.LogDigest:
        with os_errors():
            self._log.extend(self._wal, pages.log_bytes(self._n_frames))
        return self._log

    def checkpoint_is_due(self) -> bool:
        return self._log_size() > CHECKPOINT_BYTES

    def checkpoint(self, connection: apsw.Connection) -> None:
        """Move the write-ahead log into the file and cut it to nothing.

        When it fails the log is still whole, and `unfinished` says whether the file was begun to be changed.
        """
        assert self._mark is not None
        with store_errors(connection), os_errors():
            log = self._log_now()
            moving = pages.pages_in_wal(self._wal, log.n_bytes)
            if moving or self.unfinished:
                # Until it is done, what is known of the file counts for nothing.
                tails, self._tails = self._tails or pages.Tails.of(self._path), None
                self._save(replace(_with(self._mark, log), moving=tails.digest_without(moving)))
                counts = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if counts != (self._n_frames, self._n_frames):
                    raise CorruptRecord("the write-ahead log could not be moved into the store", hint=REPAIR)
                tails.reread(self._path, moving)
                n_bytes, tags = tails.digest()
                empty = pages.LogDigest()
                self._save(replace(_with(self._mark, empty), n_bytes=n_bytes, tags=tags, moving=None))
                self._log, self._n_frames, self._tails = empty, 0, tails
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _save(self, mark: Watermark) -> None:
        with os_errors():
            watermark.save(self._path, mark, self._keys.watermark, self._keys.store_id)
        self._mark = mark
        self._witness.save(watermark.pack(mark, self._keys.watermark, self._keys.store_id))


def _with(mark: Watermark, log: pages.LogDigest) -> Watermark:
    return replace(mark, n_log_bytes=log.n_bytes, log=log.digest())


def _when(connection: apsw.Connection, head: Head) -> str:
    at = connection.execute("select at from op where seq = ?", (head.seq,)).get if head.seq else None
    return "" if at is None else time.strftime(" (%Y-%m-%d %H:%M)", time.localtime(at))
