"""The project's documents: brought before the model when the app opens, and prepared in the background meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.message import Message

from secondme.cartridges.events import (
    BuildEvent,
    BuildProgress,
    BuildsDone,
    BuildSkipped,
    BuildStarted,
    CartridgeStored,
)
from secondme.errors import CartridgeIncompatible
from secondme.tui.messages import BuildEnded, BuildStep, ProjectOpened, ProjectStep
from secondme.tui.tally import Mailbox, newest
from secondme.types import CancelCheck, Opened

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs, Running


@dataclass(frozen=True, slots=True)
class BuildView:
    """Where preparing documents stands: `path` is the one under way, at `stage`; `skipped` the last one left out."""

    path: str = ""
    stage: str = ""
    n_tokens_done: int = 0
    n_tokens: int = 0
    n_done: int = 0
    n_total: int = 0
    n_stored: int = 0
    skipped: BuildSkipped | None = None
    done: BuildsDone | None = None


class Opening:
    """Opens the project when it may have changed, then builds what it lacks; one of each at a time."""

    def __init__(self, node: DOMNode, jobs: Jobs, project: str) -> None:
        self._node = node
        self._jobs = jobs
        self._project = project
        self._assistant: Assistant | None = None
        self._opening: Running | None = None
        self._building: Running | None = None
        self._again = False
        self.opened: Opened | None = None

    def open(self, assistant: Assistant) -> None:
        """The models are loaded: open the project."""
        self._assistant = assistant
        self.renew()

    def renew(self) -> None:
        """What the project holds, or what was built of it, has changed."""
        if self._assistant is None:
            return
        if self._opening is not None:
            self._again = True
            return
        self._opening = self._jobs.start(self._node, "opening", opening_job(self._assistant, self._project))

    def is_open(self, opened: Opened) -> None:
        self.opened = opened

    def pause(self) -> None:
        """Memory is being locked, or the owner wants no more building now; what is built stays."""
        self._assistant = None
        self.opened = None
        self._again = False
        for running in (self._opening, self._building):
            if running is not None:
                running.stop()

    def ended(self, running: Running) -> bool:
        """A job is over; True if it was the one that builds. Building follows opening."""
        if running is self._building:
            self._building = None
            return True
        if running is self._opening:
            self._opening = None
            if self._again:
                self._again = False
                self.renew()
            else:
                self._build()
        return False

    def _build(self) -> None:
        if self._assistant is not None and self._assistant.config.cartridge_build_in_background:
            self._building = self._jobs.start(self._node, "building", building_job(self._assistant, self._project))


def opening_job(assistant: Assistant, project: str) -> Job:
    """Bring the documents of a project before the model; one that holds nothing yet is left alone."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        if not any(row.name == project and row.n_sources for row in assistant.projects()):
            return
        for event in assistant.open_project(project, cancelled=cancelled):
            yield ProjectOpened(event) if isinstance(event, Opened) else ProjectStep(event)

    return job


def building_job(assistant: Assistant, project: str) -> Job:
    """Build the cartridges that a project lacks. A model that can have none is no error: its texts are read."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        mailbox: Mailbox[BuildView] = Mailbox(newest)
        events = assistant.build_cartridges([project], background=True, cancelled=cancelled)
        try:
            for view in build_views(events):
                if view.done is not None:
                    mailbox.drain()
                    yield BuildEnded(view)
                elif mailbox.put(view):
                    yield BuildStep(mailbox)
        except CartridgeIncompatible:
            return

    return job


def build_views(events: Iterator[BuildEvent]) -> Iterator[BuildView]:
    """Yield the state after each event."""
    view = BuildView()
    for event in events:
        view = built(view, event)
        yield view


def built(view: BuildView, event: BuildEvent) -> BuildView:
    """Return `view` brought up to date by one event."""
    match event:
        case BuildStarted(path=path, n_tokens=n_tokens, n_done=n_done, n_total=n_total):
            return replace(
                view,
                path=path,
                stage="reading",
                n_tokens_done=0,
                n_tokens=n_tokens,
                n_done=n_done,
                n_total=n_total,
            )
        case BuildProgress(stage=stage, n_done=n_done, n_total=n_total):
            return replace(view, stage=stage, n_tokens_done=n_done, n_tokens=n_total)
        case CartridgeStored(complete=complete):
            return replace(view, n_stored=view.n_stored + complete)
        case BuildSkipped():
            return replace(view, skipped=event)
        case BuildsDone():
            return replace(view, done=event)
