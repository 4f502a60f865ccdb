"""Work in a thread of its own: its events, its errors, its priority, and its end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from secondme.errors import StoreError
from secondme.projects.background import NICE, at_low_priority
from secondme.types import CancelCheck, never_cancelled


def test_events_come_through_in_order_from_another_thread() -> None:
    here = threading.get_ident()

    def work(_: CancelCheck) -> Iterator[tuple[int, bool]]:
        yield from ((n, threading.get_ident() == here) for n in range(5))

    assert list(at_low_priority(work, never_cancelled)) == [(n, False) for n in range(5)]


def test_errors_come_through_after_what_was_done() -> None:
    def work(_: CancelCheck) -> Iterator[int]:
        yield 1
        raise StoreError("the disk is gone")

    events = at_low_priority(work, never_cancelled)
    assert next(events) == 1
    with pytest.raises(StoreError, match="the disk is gone"):
        next(events)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_the_threads_priority_is_low_and_the_callers_stays() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work(_: CancelCheck) -> Iterator[int]:
        yield os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert list(at_low_priority(work, never_cancelled)) == [max(NICE, before)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_closing_stops_the_work_and_waits_for_it() -> None:
    ended = threading.Event()

    def work(stop: CancelCheck) -> Iterator[int]:
        yield 1
        while not stop():
            time.sleep(0.01)
        ended.set()

    events = at_low_priority(work, never_cancelled)
    assert next(events) == 1
    events.close()  # type: ignore[attr-defined]
    assert ended.is_set()


def test_the_callers_wish_to_stop_is_heard() -> None:
    wish = threading.Event()

    def work(stop: CancelCheck) -> Iterator[int]:
        while not stop():
            yield 1
            wish.set()

    assert list(at_low_priority(work, wish.is_set))
