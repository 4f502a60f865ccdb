"""The project that is open in this process, and the building of cartridges beside the owner's questions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from secondme.errors import Cancelled
from secondme.types import CancelCheck, Opened, ProjectStatus, never_cancelled

if TYPE_CHECKING:
    from secondme.assistant.memory import Memory
    from secondme.assistant.models import Models
    from secondme.cartridges.events import BuildEvent
    from secondme.cartridges.files import Shelf
    from secondme.projects.library import Library
    from secondme.projects.open import OpenEvent
    from secondme.projects.session import Session

_POLL_S = 0.02


class Projects:
    """Opens and builds with what `memory` and `models` hold. Thread-safe; one build runs at a time."""

    def __init__(self, memory: Memory, models: Models, tier: str) -> None:
        self._memory = memory
        self._models = models
        self._tier = tier
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._session: Session | None = None
        self._shelf: Shelf | None = None
        self._n_waiting = 0
        self._turn = threading.Lock()  # not bound to a thread: a generator may be closed by another one

    @property
    def session(self) -> Session:
        from secondme.projects.session import Session

        with self._lock:
            if self._session is None:
                self._session = Session(self.library)
            return self._session

    @property
    def shelf(self) -> Shelf:
        """The files of the cartridges. Raises what opening memory raises."""
        from secondme.cartridges.files import Shelf

        store, keys = self._memory.store, self._memory.keys
        with self._lock:
            if self._shelf is None:
                self._shelf = Shelf(store, keys)
            return self._shelf

    def library(self, tier: str | None = None) -> Library:
        """The parts, as they are open now. Raises what opening memory and loading the model raises."""
        from secondme.projects.library import Library

        return Library(self._memory.store, self.shelf, self._models.generator, tier or self._tier)

    def opened(self, project: str) -> Opened | None:
        """What lies before a question about `project`, if that is the one that is open."""
        return self._session.before(project) if self._session is not None else None

    def ready(self, project: str, *, cancelled: CancelCheck) -> Iterator[OpenEvent]:
        if self._session is not None:
            yield from self._session.ready(project, cancelled=cancelled)

    def status(self, name: str) -> ProjectStatus:
        from secondme.projects.status import project_status

        return project_status(self.library(), name)

    @contextmanager
    def waited_for(self, cancelled: CancelCheck) -> Iterator[None]:
        """While the block runs, the owner waits for the model: builds in the background stand still.

        One block at a time, for there is one cache: a question waits until its project is open. Raises Cancelled.
        """
        with self._lock:
            self._n_waiting += 1
        try:
            while not self._turn.acquire(timeout=_POLL_S):
                if cancelled():
                    raise Cancelled("stopped while the model was in use")
            try:
                yield
            finally:
                self._turn.release()
        finally:
            with self._lock:
                self._n_waiting -= 1

    @contextmanager
    def in_between(self, cancelled: CancelCheck) -> Iterator[bool]:
        """While the block runs, the model is its own, though nobody waits for it: it must stop once `is_waited_for`.

        True if that was to be had before `cancelled`.
        """
        while not (taken := self._turn.acquire(timeout=_POLL_S)) and not cancelled():
            pass
        try:
            yield taken
        finally:
            if taken:
                self._turn.release()

    def build(
        self, names: Sequence[str], *, tier: str | None, again: bool, background: bool, cancelled: CancelCheck
    ) -> Iterator[BuildEvent]:
        """See `build_pending`. In the background: at low priority, and not while anybody waits for an answer."""
        from secondme.cartridges.build import Stop
        from secondme.projects.background import at_low_priority
        from secondme.projects.builder import build_pending

        library = self.library(tier)

        def work(stop: CancelCheck) -> Iterator[BuildEvent]:
            paused = (lambda: self.is_waited_for) if background else never_cancelled
            return build_pending(library, names, Stop(stop, paused), again=again)

        with self._building:
            yield from at_low_priority(work, cancelled) if background else work(cancelled)

    @property
    def is_waited_for(self) -> bool:
        """Whether the owner waits for the model."""
        return self._n_waiting > 0

    def put_away(self) -> None:
        """What lies before the model may hold what was forgotten: empty its cache, once an answer under way is over."""
        if self._session is not None and self._session.opened is not None:
            with self.waited_for(never_cancelled):
                self._session.close()
                self._models.generator.forget()

    def close(self) -> None:
        """Forget what is open, and close the files; before the keys are erased."""
        with self._lock:
            session, self._session = self._session, None
            shelf, self._shelf = self._shelf, None
        if session is not None:
            session.close()
        if shelf is not None:
            shelf.close()
