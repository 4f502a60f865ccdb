"""Runs the synchronous core in threads: a job is a generator of messages, and one runner serves them all.

Every job runs as a Textual thread worker, exclusive in its group; whatever it raises becomes a JobEnded message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic

from textual.dom import DOMNode
from textual.message import Message

from secondme.errors import Cancelled
from secondme.tui.messages import JobEnded
from secondme.types import CancelCheck

Job = Callable[[CancelCheck], Iterator[Message]]

LOCKING = "locking"
"""The group of the job that locks memory."""


class Running:
    """A started job. `stop` asks it to end; `over` is set when its thread has left the core."""

    def __init__(self, group: str) -> None:
        self.group = group
        self._stop = threading.Event()
        self.over = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def stopped(self) -> bool:
        return self._stop.is_set()


class Jobs:
    """The jobs of one app, so that leaving it can stop and await them all."""

    def __init__(self) -> None:
        self._newest: dict[str, Running] = {}
        self._in_core: set[Running] = set()
        self._lock = threading.Lock()
        self._held = False
        self._closed = False

    def start(self, node: DOMNode, group: str, job: Job) -> Running:
        """Run `job` in a thread and post what it yields to `node`; an earlier job of the group is asked to stop."""
        running = Running(group)
        with self._lock:
            if earlier := self._newest.get(group):
                earlier.stop()
            self._newest[group] = running
        todo = [job]  # taken out once: Textual keeps what it ran, and the job holds the owner's question
        node.run_worker(
            lambda: self._run(node, todo.pop(), running),
            thread=True,
            exclusive=True,
            exit_on_error=False,
            group=group,
            name=group,
        )
        return running

    def _run(self, node: DOMNode, job: Job, running: Running) -> None:
        with self._lock:
            if self._closed:
                return
            self._in_core.add(running)
            begins = not self._held or running.group == LOCKING
        error: Exception | None = None
        try:
            for message in job(running.stopped) if begins else ():
                node.post_message(message)
        except Cancelled:
            pass
        except Exception as caught:
            error = caught
        finally:
            with self._lock:
                self._in_core.discard(running)
            running.over.set()
        node.post_message(JobEnded(running, error))

    def hold(self, timeout_s: float) -> bool:
        """Stop all jobs but the one that locks, let none begin until `go_on`, and wait for their threads.

        False when one is still in the core after `timeout_s`.
        """
        with self._lock:
            self._held = True
            left = [running for running in self._in_core if running.group != LOCKING]
        return _all_over(left, timeout_s)

    def go_on(self) -> None:
        """Jobs may begin again."""
        with self._lock:
            self._held = False

    def close(self, timeout_s: float) -> bool:
        """Ask all jobs to stop and wait for their threads; False when one is still in the core after `timeout_s`."""
        with self._lock:
            self._closed = True
            left = list(self._in_core)
        return _all_over(left, timeout_s)


def _all_over(left: list[Running], timeout_s: float) -> bool:
    deadline = monotonic() + timeout_s
    for running in left:
        running.stop()
    return all(running.over.wait(max(0.0, deadline - monotonic())) for running in left)
