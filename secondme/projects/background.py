"""Runs work in a thread of its own at low priority, so that the owner's questions and other programs come first."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from secondme.types import CancelCheck

T = TypeVar("T")

NICE = 15


class _End(Generic[T]):
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def at_low_priority(work: Callable[[CancelCheck], Iterator[T]], cancelled: CancelCheck) -> Iterator[T]:
    """The events of `work`, which runs in a thread of its own; it is stopped when this generator is closed.

    A thread's priority cannot be raised again, so the caller's is left alone. Raises what `work` raises.
    """
    events: queue.SimpleQueue[T | _End[T]] = queue.SimpleQueue()
    closed = threading.Event()

    def stop() -> bool:
        return closed.is_set() or cancelled()

    def run() -> None:
        error: BaseException | None = None
        try:
            _be_nice()
            for event in work(stop):
                events.put(event)
        except BaseException as caught:  # noqa: BLE001 - raised again in the caller's thread
            error = caught
        events.put(_End(error))

    thread = threading.Thread(target=run, name="secondme-build", daemon=True)
    thread.start()
    try:
        while True:
            event = events.get()
            if isinstance(event, _End):
                if event.error is not None:
                    raise event.error
                return
            yield event
    finally:
        closed.set()
        thread.join()


def _be_nice() -> None:
    """Where a thread has a priority of its own (Linux); elsewhere it would be that of the whole program."""
    if os.name == "posix" and os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
