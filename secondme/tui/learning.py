"""What was learned from the owner's words: shown under the answer, undone on request, and worked on in idle time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.message import Message

from secondme.tui import show
from secondme.tui.messages import Unlearned
from secondme.types import CancelCheck, Learned, MemoryItem

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs, Running

LINE_CHARS = 160
UNDO_HINT = "ctrl+z or /undo takes it back"
MORE_AT_ONCE = 4
"""Items of one turn that get a line each."""


class Learning:
    """Remembers what the newest turn taught, and runs idle work between questions."""

    def __init__(self, node: DOMNode, jobs: Jobs) -> None:
        self._node = node
        self._jobs = jobs
        self._assistant: Assistant | None = None
        self._newest = Learned()
        self._reflecting: Running | None = None

    def open(self, assistant: Assistant) -> None:
        """The models are loaded."""
        self._assistant = assistant
        self.reflect()

    def pause(self) -> None:
        """Memory is being locked."""
        self._assistant = None
        self._newest = Learned()
        if self._reflecting is not None:
            self._reflecting.stop()

    def learned(self, event: Learned) -> None:
        """What `undo` would take back; what was only said again stays."""
        self._newest = event

    def undo(self) -> bool:
        """Forget what was learned last; False if there is nothing."""
        if self._assistant is None or not (self._newest.items or self._newest.pending):
            return False
        learned, self._newest = self._newest, Learned()
        self._jobs.start(self._node, "undo", undo_job(self._assistant, learned))
        return True

    def reflect(self) -> None:
        """Work on what is new, if that is not being done."""
        if self._assistant is not None and self._reflecting is None:
            self._reflecting = self._jobs.start(self._node, "reflecting", reflect_job(self._assistant))

    def ended(self, running: Running) -> None:
        if running is self._reflecting:
            self._reflecting = None


def undo_job(assistant: Assistant, learned: Learned) -> Job:
    """Forget what a turn taught."""

    def job(_: CancelCheck) -> Iterator[Message]:
        again = assistant.memories.undo_learned(learned)
        yield Unlearned([item_line(item) for item in again])

    return job


def reflect_job(assistant: Assistant) -> Job:
    """Idle work; what comes of it is seen in answers, not on the screen."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        for _ in assistant.reflect(cancelled=cancelled):
            pass
        yield from ()  # a generator, as every job is

    return job


def learned_lines(learned: Learned) -> list[str]:
    """`remembered: ...`, `no longer: ...`, and what waits for the owner's word; the values of secrets are left out."""
    lines = [f"remembered: {item_line(item)}" for item in learned.items[:MORE_AT_ONCE]]
    if len(learned.items) > MORE_AT_ONCE:
        lines.append(f"remembered: {show.count(len(learned.items) - MORE_AT_ONCE, 'thing')} more")
    lines += [f"no longer: {item_line(item)}" for item in learned.closed[:MORE_AT_ONCE]]
    lines += [f"your word is needed: {item_line(item)}  (/memory)" for item in learned.pending[:MORE_AT_ONCE]]
    return lines


def item_line(item: MemoryItem, limit: int = LINE_CHARS) -> str:
    """An item on one line; of a secret its name."""
    if item.kind == "vault":
        return f"{show.one_line(item.attribute or item.subject, 60)} (a secret)"
    return show.one_line(item.text, limit)
