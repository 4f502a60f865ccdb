"""Folds events into what a screen can show, and hands it over no faster than a screen can be drawn.

A fast model or a rescan of thousands of unchanged files yields far more events than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, TypeVar

from secondme.types import (
    EmbedProgress,
    FileProgress,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStarted,
    FileStored,
    FileUnchanged,
    IngestDone,
    IngestEvent,
    ScanProgress,
)

PERIOD_S = 0.04

T = TypeVar("T")


class Mailbox(Generic[T]):
    """What a thread has made and the screen has not drawn yet.

    The screen is woken once; then it looks every `PERIOD_S` until nothing more came. So it draws at most 25 times a
    second, and nothing waits for a next event that may be long in coming.
    """

    def __init__(self, joined: Callable[[T, T], T]) -> None:
        self._joined = joined
        self._lock = Lock()
        self._value: T | None = None
        self._awake = False

    def put(self, value: T) -> bool:
        """Add a value; True if the screen sleeps and must be woken."""
        with self._lock:
            self._value = value if self._value is None else self._joined(self._value, value)
            asleep, self._awake = not self._awake, True
            return asleep

    def take(self) -> T | None:
        """Empty the box; None means that nothing came, and that the screen will sleep."""
        with self._lock:
            value, self._value = self._value, None
            self._awake = value is not None
            return value

    def drain(self) -> T | None:
        """Empty the box out of turn."""
        with self._lock:
            value, self._value = self._value, None
            return value


def newest(_: T, new: T) -> T:
    """For a mailbox whose older values are stale."""
    return new


@dataclass(frozen=True, slots=True)
class IngestView:
    """Where adding files stands. `path` is the file under way, `skip` the last one left out."""

    n_found: int = 0
    n_done: int = 0
    n_total: int = 0
    n_chunks: int = 0
    n_chunks_file: int = 0
    n_skipped: int = 0
    path: str = ""
    skip: FileSkipped | None = None
    done: IngestDone | None = None


def folded(view: IngestView, event: IngestEvent) -> IngestView:
    """Return `view` brought up to date by one event."""
    match event:
        case ScanProgress(n_files):
            return replace(view, n_found=n_files)
        case EmbedProgress():
            return view
        case FileStarted(path, n_done, n_total):
            return replace(view, path=path, n_done=n_done, n_total=n_total, n_chunks_file=0)
        case FileProgress(path, n_chunks_done, _):
            return replace(view, path=path, n_chunks_file=n_chunks_done)
        case FileStored(path, n_chunks, n_done, n_total):
            n_all = view.n_chunks + n_chunks
            return replace(view, path=path, n_done=n_done, n_total=n_total, n_chunks=n_all, n_chunks_file=0)
        case FileUnchanged(path, n_done, n_total):
            return replace(view, path=path, n_done=n_done, n_total=n_total)
        case FileSkipped(path=path, n_done=n_done, n_total=n_total):
            n_skipped = view.n_skipped + 1
            return replace(view, path=path, n_done=n_done, n_total=n_total, n_skipped=n_skipped, skip=event)
        case FileRemoved(path) | FileRenamed(path=path):
            return replace(view, path=path)
        case IngestDone():
            return replace(view, done=event)


def views(events: Iterator[IngestEvent]) -> Iterator[IngestView]:
    """Yield the state after each event. A watcher yields many IngestDone; the count starts anew after each."""
    view = IngestView()
    for event in events:
        view = folded(view, event)
        yield view
        if view.done is not None:
            view = IngestView()
