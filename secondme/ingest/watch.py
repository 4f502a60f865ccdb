"""Keeps memory in step with folders: tells which paths changed, and has the pipeline reconcile them with the disk.

Events of the operating system are hints, never facts: editors save by renaming, a folder that was moved away still
reports under its old path, a deleted root goes silent, queues overflow. So a batch of paths is only where to look, the
roots themselves are checked every second, and everything is looked through again from time to time.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileClosedNoWriteEvent, FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from secondme.errors import Cancelled
from secondme.ingest import reasons
from secondme.ingest.ignore import IGNORE_FILE, ignored_file, ignored_folder
from secondme.ingest.pipeline import IngestOptions, ingest
from secondme.memory.store import Store
from secondme.paths import absolute
from secondme.runtime.base import Embedder
from secondme.types import (
    CancelCheck,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStored,
    FileUnchanged,
    IngestDone,
    IngestEvent,
    ScanProgress,
    never_cancelled,
)

_MAX_BATCH = 1000
"""More changed paths than this are looked through as whole folders."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds: of silence before changes are told, at most until then, between looks at the roots themselves, between
    full passes, and between full passes over a folder the system cannot watch."""

    quiet_s: float = 0.5
    longest_s: float = 5.0
    roots_s: float = 1.0
    rescan_s: float = 600.0
    poll_s: float = 30.0


@dataclass(slots=True)
class _Root:
    """A followed folder. `identity` is its device and inode while it is watched or polled, None while it is missing."""

    path: Path
    identity: tuple[int, int] | None = None
    watch: ObservedWatch | None = None
    next_pass: float = 0.0

    @property
    def polled(self) -> bool:
        return self.identity is not None and self.watch is None


class FolderWatcher:
    """Watches folders and everything below them until closed; it owns the watching threads.

    Changes count from its making on; what happened before is for the caller to look for.
    """

    def __init__(self, folders: Sequence[Path], rhythm: Rhythm | None = None) -> None:
        # What it has to say holds paths, and would be printed over the terminal app.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
        logging.getLogger("watchdog").addHandler(logging.NullHandler())
        logging.getLogger("watchdog").propagate = False
        self.rhythm = rhythm or Rhythm()
        self._lock = threading.Lock()
        self._dirty: set[Path] = set()
        self._last_change = self._first_change = 0.0
        self._observer = Observer()
        self._observer.start()
        self._roots = [_Root(path) for path in dict.fromkeys(map(absolute, folders))]
        self._next_look = 0.0
        for root in self._roots:
            self._renew(root, _identity(root.path), time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def polled(self) -> list[Path]:
        """Folders that the system has no room to watch; they are looked through every `Rhythm.poll_s`."""
        return [root.path for root in self._roots if root.polled]

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()

    def batches(self, *, cancelled: CancelCheck = never_cancelled) -> Iterator[frozenset[Path]]:
        """Yield paths, files and folders, at which something may have changed; end once cancelled."""
        tick = min(0.1, self.rhythm.quiet_s / 2)
        while not cancelled():
            now = time.monotonic()
            if now >= self._next_look:
                self._look_at_roots(now)
            if batch := self._due(now):
                yield batch
            else:
                time.sleep(tick)

    def _due(self, now: float) -> frozenset[Path]:
        with self._lock:
            quiet = now - self._last_change >= self.rhythm.quiet_s
            if not self._dirty or not (quiet or now - self._first_change >= self.rhythm.longest_s):
                return frozenset()
            batch, self._dirty = self._dirty, set()
        if len(batch) > _MAX_BATCH:
            return frozenset(root.path for root in self._roots)
        return frozenset(batch)

    def _mark(self, path: Path) -> None:
        with self._lock:
            self._last_change = time.monotonic()
            if not self._dirty:
                self._first_change = self._last_change
            self._dirty.add(path)

    # The roots themselves --------------------------------------------------------------------------------------

    def _look_at_roots(self, now: float) -> None:
        self._next_look = now + self.rhythm.roots_s
        for root in self._roots:
            identity = _identity(root.path)
            stale = root.watch is not None and not self._is_alive(root.watch)
            if identity != root.identity or stale:
                self._renew(root, identity, now)
                self._mark(root.path)
            elif identity is not None and now >= root.next_pass:
                self._plan_pass(root, now)
                self._mark(root.path)

    def _renew(self, root: _Root, identity: tuple[int, int] | None, now: float) -> None:
        """Watch what is at the root's path now, instead of what was there."""
        if root.watch is not None:
            with suppress(KeyError, RuntimeError, OSError):
                self._observer.unschedule(root.watch)
        root.identity, root.watch = identity, None
        if identity is not None:
            with suppress(OSError):  # no watches left, or the folder is gone again: then it is polled
                root.watch = self._observer.schedule(_Listener(self._mark, root.path), str(root.path), recursive=True)
        self._plan_pass(root, now)

    def _plan_pass(self, root: _Root, now: float) -> None:
        root.next_pass = now + (self.rhythm.poll_s if root.polled else self.rhythm.rescan_s)

    def _is_alive(self, watch: ObservedWatch) -> bool:
        return any(emitter.watch == watch and emitter.is_alive() for emitter in tuple(self._observer.emitters))


class _Listener(FileSystemEventHandler):
    """Takes the paths of events that can matter."""

    def __init__(self, mark: Callable[[Path], None], root: Path) -> None:
        self._mark = mark
        self._root = root
        self._real = root.resolve()  # FSEvents reports this one

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Reading a file, as ingest does, opens and closes it; a folder is modified by what changes inside of it.
        if isinstance(event, FileOpenedEvent | FileClosedNoWriteEvent):
            return
        if event.is_directory and event.event_type == "modified":
            return
        for name in (event.src_path, event.dest_path):
            if name and (path := self._placed(Path(os.fsdecode(name)))) is not None:
                self._mark(path)

    def _placed(self, path: Path) -> Path | None:
        """The path below the root as the owner knows it; None if nothing is ever taken from there."""
        if not path.is_relative_to(self._root):
            if not path.is_relative_to(self._real):
                return None
            path = self._root / path.relative_to(self._real)
        parts = path.relative_to(self._root).parts
        if not parts:
            return path
        if any(ignored_folder(part, ()) for part in parts[:-1]):
            return None
        if parts[-1] == IGNORE_FILE:
            return path.parent
        return None if ignored_file(parts[-1]) else path


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode of a folder; None if there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def follow(
    folders: Sequence[Path],
    store: Store,
    embedder: Embedder,
    options: IngestOptions | None = None,
    *,
    rhythm: Rhythm | None = None,
    cancelled: CancelCheck = never_cancelled,
) -> Iterator[IngestEvent]:
    """Bring memory in step with folders, and keep it so until cancelled.

    Passes over files in which nothing changed are silent; each skip is told once. Raises what `ingest` raises, but
    for Cancelled, which ends it.
    """
    options = options or IngestOptions()
    folders = [absolute(folder) for folder in folders]
    told = {(s.path, s.skip_reason or "") for s in store.sources(options.project) if s.skip_reason}
    try:
        with FolderWatcher(folders, rhythm) as watcher:
            # Watched first, then looked through: what changes meanwhile is seen twice rather than never.
            yield from _news(ingest(folders, store, embedder, options, within=folders, cancelled=cancelled), told)
            yield from _polled(watcher, told)
            for batch in watcher.batches(cancelled=cancelled):
                paths = sorted(batch)
                yield from _news(ingest(paths, store, embedder, options, within=folders, cancelled=cancelled), told)
                yield from _polled(watcher, told)
    except Cancelled:
        return


def _news(events: Iterator[IngestEvent], told: set[tuple[str, str]]) -> Iterator[IngestEvent]:
    """The events of one pass that tell anything new."""
    changed = False
    for event in events:
        match event:
            case ScanProgress() | FileUnchanged():
                continue
            case FileSkipped(path=path, reason=reason):
                if (path, reason) not in told:
                    told.add((path, reason))
                    yield event
            case IngestDone():
                if changed:
                    yield event
            case FileStored() | FileRenamed() | FileRemoved():
                changed = True
                told -= {(path, reason) for path, reason in told if path == event.path}
                yield event
            case _:
                yield event


def _polled(watcher: FolderWatcher, told: set[tuple[str, str]]) -> Iterator[FileSkipped]:
    for folder in watcher.polled:
        reason = reasons.POLLING.format(int(watcher.rhythm.poll_s))
        if (str(folder), reason) not in told:
            told.add((str(folder), reason))
            yield FileSkipped(str(folder), reason, reasons.hint(reason), 0, 0)
