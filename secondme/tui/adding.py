"""Files on their way into memory: what was dropped waits its turn, and remembered folders are followed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.message import Message

from secondme.tui.messages import IngestEnded, IngestStep
from secondme.tui.tally import IngestView, Mailbox, newest, views
from secondme.types import CancelCheck, IngestEvent

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs, Running


class Adding:
    """Adds what the owner dropped, one batch after the other, and follows folders in between.

    Following pauses while files are added: both would write the same files, and new folders join when it restarts.
    """

    def __init__(self, node: DOMNode, jobs: Jobs, project: str) -> None:
        self._node = node
        self._jobs = jobs
        self._project = project
        self._assistant: Assistant | None = None
        self._waiting: list[Path] = []
        self._batch: list[Path] = []
        self._running: Running | None = None
        self._following: Running | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def open(self, assistant: Assistant) -> None:
        """The store is open: start with what was dropped before, or follow the folders."""
        self._assistant = assistant
        self._next()

    def add(self, paths: Sequence[Path]) -> None:
        self._waiting += [path for path in paths if path not in self._waiting]
        if self._running is None:
            self._next()

    def stop(self) -> bool:
        """Stop after the current file and drop what waits; False if nothing is being added."""
        self._waiting.clear()
        self._batch = []
        if self._running is None:
            return False
        self._running.stop()
        return True

    def pause(self) -> None:
        """Memory is being locked: stop after the current file, and begin the batch again once it is open."""
        self._assistant = None
        self._waiting = [*self._batch, *(path for path in self._waiting if path not in self._batch)]
        for running in (self._running, self._following):
            if running is not None:
                running.stop()

    def ended(self, running: Running) -> bool:
        """A job is over; True if it was the one adding files."""
        if running is self._following:
            self._following = None
        if running is not self._running:
            return False
        self._running = None
        self._batch = []
        self._next()
        return True

    def _next(self) -> None:
        if self._assistant is None:
            return
        if self._waiting:
            if self._following is not None:
                self._following.stop()
            self._batch, self._waiting = self._waiting, []
            job = adding_job(self._assistant, self._batch, self._project)
            self._running = self._jobs.start(self._node, "adding", job)
        else:
            self._following = self._jobs.start(self._node, "following", following_job(self._assistant, self._project))


def adding_job(assistant: Assistant, paths: list[Path], project: str) -> Job:
    """Bring paths into memory."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        yield from _steps(assistant.ingest(paths, project=project, cancelled=cancelled), watching=False)

    return job


def following_job(assistant: Assistant, project: str) -> Job:
    """Follow remembered folders; ends at once, and loads no model, when there are none."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        if not any(folder.watch for folder in assistant.folders(project)):
            return
        yield from _steps(assistant.watch(project=project, cancelled=cancelled), watching=True)

    return job


def _steps(events: Iterator[IngestEvent], *, watching: bool) -> Iterator[Message]:
    mailbox: Mailbox[IngestView] = Mailbox(newest)
    for view in views(events):
        if view.done is not None:
            mailbox.drain()
            yield IngestEnded(view, watching=watching)
        elif mailbox.put(view):
            yield IngestStep(mailbox, watching=watching)
