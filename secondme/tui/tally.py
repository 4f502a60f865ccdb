"""Folds events into what a screen can show: tokens gathered, ingest counted, each at most `RATE_HZ` times a second.

A fast model or a rescan of thousands of unchanged files yields far more events than a terminal can draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic

from secondme.types import (
    AnswerEvent,
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
    TokenText,
)

RATE_HZ = 25.0
_PERIOD_S = 1.0 / RATE_HZ

Clock = Callable[[], float]


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


def views(events: Iterator[IngestEvent], clock: Clock = monotonic) -> Iterator[IngestView]:
    """Yield the state after the newest event, `RATE_HZ` times a second at most; each IngestDone is yielded at once.

    A watcher yields many IngestDone; the count starts anew after each.
    """
    view, shown_at = IngestView(), float("-inf")
    for event in events:
        view = folded(view, event)
        if view.done is None and clock() - shown_at < _PERIOD_S:
            continue
        yield view
        shown_at = clock()
        if view.done is not None:
            view = IngestView()


def gathered(events: Iterator[AnswerEvent], clock: Clock = monotonic) -> Iterator[AnswerEvent]:
    """Yield the same events with runs of TokenText joined, so that text comes `RATE_HZ` times a second at most."""
    pending: list[str] = []
    shown_at = float("-inf")
    for event in events:
        if isinstance(event, TokenText):
            pending.append(event.text)
            if clock() - shown_at < _PERIOD_S:
                continue
        if pending:
            yield TokenText("".join(pending))
            pending.clear()
            shown_at = clock()
        if not isinstance(event, TokenText):
            yield event
    if pending:
        yield TokenText("".join(pending))
