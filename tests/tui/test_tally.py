"""What a screen is told is less than what happens, and never wrong at the end."""

from __future__ import annotations

from collections.abc import Iterator
from operator import add
from threading import Thread

from secondme.tui.tally import IngestView, Mailbox, folded, newest, views
from secondme.types import (
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

DONE = IngestDone(1, 1, 1, 1, 5, 100, 0.5, 0.4)


def test_a_mailbox_wakes_the_screen_once_and_loses_nothing() -> None:
    box: Mailbox[str] = Mailbox(add)
    assert box.put("a")  # asleep: wake it
    assert not box.put("b")  # awake already
    assert box.take() == "ab"
    assert not box.put("c")  # the screen will look again
    assert box.drain() == "c" and box.drain() is None
    assert not box.put("d")  # draining does not send it to sleep
    assert box.take() == "d"
    assert box.take() is None
    assert box.put("e")  # asleep again


def test_a_mailbox_between_threads() -> None:
    box: Mailbox[str] = Mailbox(add)
    words = [f"{n} " for n in range(5000)]
    seen: list[str] = []
    n_wakes = 0

    def fill() -> None:
        nonlocal n_wakes
        for word in words:
            n_wakes += box.put(word)

    filler = Thread(target=fill)
    filler.start()
    while filler.is_alive():
        seen.append(box.take() or "")
    seen.append(box.take() or "")
    assert "".join(seen) == "".join(words)
    assert n_wakes >= 1


def ingested() -> Iterator[IngestEvent]:
    yield ScanProgress(4)
    yield FileStarted("a", 0, 4)
    yield FileProgress("a", 2, 5)
    yield FileStored("a", 5, 1, 4)
    yield FileUnchanged("b", 2, 4)
    yield FileSkipped("c", "no text", "", 3, 4)
    yield FileRemoved("d")
    yield FileRenamed("e", "f")
    yield DONE


def test_every_event_is_counted() -> None:
    seen = []
    view = IngestView()
    for event in ingested():
        view = folded(view, event)
        seen.append(view)
    assert seen[2].n_chunks_file == 2
    assert (view.n_found, view.n_done, view.n_total, view.n_chunks, view.n_chunks_file) == (4, 3, 4, 5, 0)
    assert view.skip == FileSkipped("c", "no text", "", 3, 4) and view.n_skipped == 1
    assert view.done == DONE and view.path == "f"


def test_each_end_is_told_and_the_count_starts_anew() -> None:
    out = list(views(iter([*ingested(), *ingested()])))
    assert [view.n_chunks for view in out if view.done is not None] == [5, 5]
    box: Mailbox[IngestView] = Mailbox(newest)
    for view in out:
        box.put(view)
    assert box.take() is out[-1]
