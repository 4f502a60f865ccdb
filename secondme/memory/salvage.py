"""What can be done for a damaged store: first a plan, which changes nothing, then the repair.

Four ways, the gentlest that helps; after the first, the store is looked at again:
    bits     single bits turned over: they are set right, as the pages' tags prove
    accept   every record is sound and only the history is short, or nothing vouches for the store: it counts as it is
    renew    the word index or vectors are damaged: they are made again from the text
    rebuild  records or pages are damaged: a new store is written of what is left and takes the place of the old one,
             which is kept beside it

A kill at any moment leaves the old store or the new one; the repair is then run again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.durable import sync_file, sync_folder
from secondme.errors import RolledBack
from secondme.memory import cartridges, checks, derived, lenient, lineage, oplog, pages
from secondme.memory.bits import Bit, set_right, turned, turned_in_log
from secondme.memory.database import FIRST_WITH_LOG
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.guard import Guard
from secondme.memory.install import discard, install, next_path
from secondme.memory.lenient import Damaged
from secondme.memory.rebuild import ACTOR, Verdict, rebuild
from secondme.memory.rows import unpack_inode, unpack_path
from secondme.memory.scavenge import tolerant
from secondme.memory.survey import BadSource, Survey
from secondme.types import FileStamp

Way = Literal["nothing", "bits", "accept", "renew", "rebuild"]
KEPT = ".damaged-"
"""In the name of a damaged store that is kept beside its successor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wrong, what will be made good, and what is gone, each as lines for the owner; paths, but no content."""

    way: Way
    wrong: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """What tells a file's stored version from another."""

    stamp: FileStamp
    content_hash: bytes


_SHORTENED = {
    "setting": "the store's settings: all passages are embedded again by `secondme memory reindex`, and what was "
    "forgotten is not kept from coming back",
    "edge": "links between memories",
    "item_link": "links between what was learned",
    "tombstone": "marks of what was forgotten: some of it is not kept from coming back when its file is added again",
}


class Salvage:
    """A damaged store under repair, from `examined`. Its folder's lock is the caller's."""

    def __init__(self, damaged: Damaged, found: Survey, keys: StoreKeys, witness: Path | None) -> None:
        self._damaged = damaged
        self._found = found
        self._keys = keys
        self._witness = witness
        acknowledged = damaged.acknowledged
        behind = acknowledged is not None and acknowledged.seq > found.history.last.seq
        # Then a record that differs from the log may have been changed by a step that the log lost.
        self._log_is_short = behind or found.history.n_missing > 0
        self.plan = self._plan()

    # The plan --------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        found = self._found
        if found.is_sound:
            return Plan("nothing")
        wrong = tuple(f"{c.name}: {c.detail}" for c in checks.lines(found) if c.status == "failed")
        return Plan(self._way(), wrong, tuple(self._mended()), tuple(self._lost()))

    def _way(self) -> Way:
        found = self._found
        if found.tables or found.failing or not found.trace_is_sound or not found.vectors.readable:
            return "rebuild"
        if self._damaged.version < FIRST_WITH_LOG or self._log_was_cut():
            return "rebuild"
        return "accept" if found.opening is not None else "renew"

    def _log_was_cut(self) -> bool:
        """Whether the write-ahead log may hold more than SQLite still reads of it; it must not be written over."""
        wal = log_of(self._damaged.path)
        return isinstance(self._found.opening, RolledBack) and wal.exists() and wal.stat().st_size > 0

    def _mended(self) -> Iterator[str]:
        found = self._found
        if not found.words_are_sound or any("word" in t for t in found.tables):
            yield "the word index is made again from the text"
        n_bad = sum(map(len, found.vectors.bad.values()))
        if not found.vectors.readable or any(t.startswith("vector") for t in found.tables):
            yield "the vectors are made again from those that can be read; the rest waits for `secondme memory reindex`"
        elif n_bad:
            yield f"{n_bad} damaged vectors are taken out, and made again by `secondme memory reindex`"
        if found.n_narrow:
            yield f"{found.n_narrow} damaged vectors of turns and memories are taken out, and made again in idle time"
        if found.dangling:
            yield f"{len(found.dangling)} memories no longer say where they were learned from, as that is not there"
        for bad in found.sources:
            if bad.fault == "unreadable" and bad.good:
                n = len(bad.good)
                yield f"{_name(bad)}: {n} {'passage is' if n == 1 else 'passages are'} kept"
            elif bad.fault == "changed" and self._is_accepted(bad):
                yield f"{_name(bad)} is kept as it is: the step that changed it may be among the lost ones"
        if self._way() == "rebuild" and self._has_cartridges():
            yield "the cartridges are made again from the text"
        if found.opening is not None:
            yield "from then on the store counts as it is"
        if self._way() == "rebuild":
            yield "the damaged file is kept beside the new one"

    def _has_cartridges(self) -> bool:
        if any(t.startswith("cartridge") for t in self._found.tables):
            return True
        n = 0
        with tolerant(), suppress(apsw.SQLError):  # the table is from a later version than the store may be
            n = cartridges.sizes(self._damaged.connection)[0]
        return n > 0

    def _lost(self) -> Iterator[str]:
        found = self._found
        yield from self._lost_steps()
        for bad in found.sources:
            if bad.fault == "lost" or not self._is_accepted(bad):
                what = checks.passages(bad.bad) if bad.good and bad.bad else "all that memory held of it"
                yield f"{_name(bad)}: {what}{_on_disk(bad)}"
        for item in found.items:
            if item.fault != "changed" or not self._log_is_short:
                titled = item.kind == "conversation" and item.fault != "lost"
                yield f"{checks.name_item(item)}{': its title' if titled else ''}"
        if not self._log_is_short:
            yield from (f"{checks.named(s)}: taken out, as no step tells of it" for s in found.unlogged)
        for turn_id, conversation_id in found.bad_citations:
            yield f"the citations of turn t{turn_id} of conversation c{conversation_id}"
        yield from (_SHORTENED[table] for table in found.shortened)

    def _lost_steps(self) -> Iterator[str]:
        history, acknowledged = self._found.history, self._damaged.acknowledged
        end = history.last.seq
        if acknowledged is not None and acknowledged.seq > end and history.goes_on:
            end = acknowledged.seq
        elif acknowledged is not None and acknowledged.seq > end:
            since = f" after {checks.when(history.last_at)}" if history.last_at is not None else ""
            what = f"step {end + 1}" if acknowledged.seq == end + 1 else f"steps {end + 1} to {acknowledged.seq}"
            yield f"{what}: whatever was stored or removed{since}"
        if end > history.whole.seq:
            yield f"the record of what was done from step {history.whole.seq + 1} to {end}, but not its results"

    def _is_accepted(self, bad: BadSource) -> bool:
        """Whether a file that differs from the log may be what was stored last."""
        return bad.fault == "changed" and self._log_is_short and not bad.bad

    def _verdict(self) -> Verdict:
        found = self._found
        damaged = [bad for bad in found.sources if not self._is_accepted(bad)]
        refused = [i for i in found.items if i.fault == "changed" and not self._log_is_short]
        unlogged = [] if self._log_is_short else found.unlogged
        return Verdict(
            emptied=frozenset(bad.id for bad in damaged if not (bad.fault == "unreadable" and bad.good)),
            partial=frozenset(bad.id for bad in damaged if bad.fault == "unreadable" and bad.good),
            sources=_numbers(unlogged, "source"),
            turns=frozenset(i.id for i in refused if i.kind == "turn") | _numbers(unlogged, "turn"),
            uncited=frozenset(turn_id for turn_id, _ in found.bad_citations),
            conversations=frozenset(i.id for i in refused if i.kind == "conversation"),
            folders=frozenset(i.id for i in refused if i.kind == "folder") | _numbers(unlogged, "folder"),
            items=frozenset(i.id for i in refused if i.kind == "item") | _numbers(unlogged, "item"),
            vectors=frozenset(i for ids in found.vectors.bad.values() for i in ids),
        )

    def followed(self) -> tuple[list[str], dict[str, Version]]:
        """Followed folders, and the files that memory holds by their paths, as far as they can be read."""
        folders: list[str] = []
        known: dict[str, Version] = {}
        sql = "select path, size_bytes, mtime_ns, inode, content_hash from source"
        connection = self._damaged.connection
        with store_errors(connection), tolerant():
            folders = [unpack_path(row[0]) for row in connection.execute("select path from folder where watch")]
            for path, size_bytes, mtime_ns, inode, content_hash in connection.execute(sql):
                stamp = FileStamp(size_bytes, mtime_ns, unpack_inode(inode))
                known[unpack_path(path)] = Version(stamp, bytes(content_hash))
        return folders, known

    # The repair ------------------------------------------------------------------------------------------------

    def repair(self) -> Path | None:
        """Carry out the plan; return where the damaged store is kept, if it is. The store is closed then.

        Raises StoreFull or StoreError; the damaged store is there as long as it does.
        """
        if self.plan.way == "rebuild":
            return self._rebuild()
        if self.plan.way != "nothing":
            self._mend_in_place()
        return None

    def _mend_in_place(self) -> None:
        connection, found = self._damaged.connection, self._found
        acknowledged = self._damaged.acknowledged
        with store_errors(connection):
            connection.execute("begin immediate")
            if not found.words_are_sound:
                derived.rebuild_words(connection)
            derived.drop_vectors(connection, found.vectors.bad)
            if found.n_narrow:
                derived.drop_narrow(connection)
            if found.dangling:
                lineage.drop_broken(connection)
                for item_id in found.dangling:
                    lineage.log_spans(connection, item_id)
            if self._log_is_short and acknowledged is not None:
                detail = {"from_seq": acknowledged.seq, "to_seq": found.history.last.seq}
                head = oplog.append(connection, "rolled-back", ["store"], actor=ACTOR, detail=detail)
            else:
                head = oplog.append(connection, "repaired", ["store"], actor=ACTOR)
            connection.execute("commit")
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.close()
        Guard(self._damaged.path, self._keys, self._witness).begin(head)

    def _rebuild(self) -> Path:
        path = self._damaged.path
        discard(path)
        try:
            whole = self._found.history.whole.seq
            rebuild(
                self._damaged.connection, self._damaged.version, next_path(path), self._keys, self._verdict(), whole
            )
        except BaseException:
            discard(path)
            raise
        self._damaged.connection.close()
        kept = _keep(path)
        install(path, self._keys, self._witness)
        return kept


class BitRot:
    """A store of which single bits turned over: with them set right it is what was written."""

    def __init__(self, wrong: dict[Path, list[Bit]]) -> None:
        self._wrong = wrong
        self.plan = Plan(
            "bits",
            tuple(f"{file.name}: a single bit is wrong in page {bit.page}" for file in wrong for bit in wrong[file]),
            ("they are set right, as the tags of the pages prove",),
        )

    def followed(self) -> tuple[list[str], dict[str, Version]]:
        """Nothing is lost, so nothing need be added again."""
        return [], {}

    def repair(self) -> None:
        """Set the bits right. Raises StoreFull or StoreError; then it is run again."""
        with os_errors():
            for file, wrong in self._wrong.items():
                set_right(file, wrong)


def _turned_over(path: Path, keys: StoreKeys) -> dict[Path, list[Bit]]:
    wal = log_of(path)
    found = {
        path: turned(path, keys.db) if path.exists() else [],
        wal: turned_in_log(wal, keys.db) if wal.exists() else [],
    }
    return {file: wrong for file, wrong in found.items() if wrong}


def _numbers(subjects: list[str], kind: str) -> frozenset[int]:
    return frozenset(int(s.partition(":")[2]) for s in subjects if s.startswith(f"{kind}:"))


def _name(bad: BadSource) -> str:
    return f"{bad.path or 'a file'} (s{bad.id})"


def _on_disk(bad: BadSource) -> str:
    there = bad.path is not None and Path(bad.path).exists()
    return "; it is on the disk, add it again" if there else "; it is not on the disk any more"


@contextmanager
def examined(path: Path, keys: StoreKeys, witness: Path | None = None) -> Iterator[Salvage | BitRot]:
    """Look at the store at `path`, which changes nothing; `plan` tells and `repair` acts.

    Raises CorruptRecord if there is nothing to begin with, SchemaTooNew, StoreLocked or StoreError.
    """
    with os_errors():
        _put_log_back(path)
        wrong = _turned_over(path, keys)
    if wrong:
        yield BitRot(wrong)
        return
    with lenient.opened(path, keys, witness) as damaged:
        yield Salvage(damaged, damaged.survey(keys), keys, witness)


# The damaged file ----------------------------------------------------------------------------------------------


def kept_files(path: Path) -> list[Path]:
    """Damaged stores that earlier repairs kept, oldest first."""
    return sorted(p for p in path.parent.glob(f"{path.name}{KEPT}*") if not p.name.endswith("-wal"))


def log_of(path: Path) -> Path:
    """The write-ahead log of the store at `path`."""
    return path.with_name(path.name + "-wal")


def _keep(path: Path) -> Path:
    """Give the store and its log a second name each, under which they stay. Raises StoreFull or StoreError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = path.with_name(f"{path.name}{KEPT}{stamp}")
    with os_errors():
        for file, name in ((log_of(path), log_of(kept)), (path, kept)):
            if file.exists() and file.stat().st_size:
                _link(file, name)
        sync_folder(path.parent)
    return kept


def _link(file: Path, name: Path) -> None:
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError:
        # Not every file system knows second names.
        shutil.copyfile(file, name)
        name.chmod(0o600)
        sync_file(name)


def _put_log_back(path: Path) -> None:
    """Undo the first half of an exchange of stores that was interrupted: its log had gone, the old file had not."""
    kept = next(iter(reversed(kept_files(path))), None)
    if kept is None or log_of(path).exists() or not log_of(kept).exists() or not path.exists():
        return
    if pages.digest(kept) == pages.digest(path):
        _link(log_of(kept), log_of(path))
        sync_folder(path.parent)
