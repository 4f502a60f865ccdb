"""The project that is open in this process, kept before the model from one question to the next.

It is opened again where that is needed and nowhere else: its texts were changed, another use of the model has emptied
the cache, or a cartridge has become ready that was missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from secondme.projects.library import Library, model_at_hand
from secondme.projects.open import OpenEvent, open_project
from secondme.types import CancelCheck, Opened, never_cancelled


class Session:
    """Thread-safe as far as what it holds; opening is for one thread at a time. `library` is asked for at each use."""

    def __init__(self, library: Callable[[], Library]) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._read_texts = True

    @property
    def opened(self) -> Opened | None:
        with self._lock:
            return self._opened

    def open(
        self, name: str, *, read_texts: bool = True, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[OpenEvent]:
        """See `open_project`. What was open before is closed, also if this one cannot be opened."""
        self.close()
        for event in open_project(self._library(), name, read_texts=read_texts, cancelled=cancelled):
            if isinstance(event, Opened):
                with self._lock:
                    self._opened, self._read_texts = event, read_texts
            yield event

    def ready(self, project: str, *, cancelled: CancelCheck = never_cancelled) -> Iterator[OpenEvent]:
        """Open again what is out of date, before a question about `project` is asked. Nothing if another is open."""
        opened = self.opened
        if opened is None or opened.project != project or self._is_current(opened):
            return
        if self._library().store.project_version(project) is None:
            self.close()
            return
        yield from self.open(project, read_texts=self._read_texts, cancelled=cancelled)

    def before(self, project: str) -> Opened | None:
        """What lies before a question about `project`: None where nothing was opened that the model reads."""
        opened = self.opened
        return opened if opened is not None and opened.project == project and opened.n_read else None

    def close(self) -> None:
        """Forget what is open; the cache is not touched."""
        with self._lock:
            self._opened = None

    def _is_current(self, opened: Opened) -> bool:
        library = self._library()
        if library.store.project_version(opened.project) != opened.version:
            return False
        if any(d.opened_as == "cartridge" for d in opened.documents):
            n = len(opened.tokens)
            if library.generator.cached_tokens[:n] != opened.tokens:
                return False
        pending = [d.source_id for d in opened.documents if d.pending]
        return not pending or not _is_any_ready(library, pending)


def _is_any_ready(library: Library, source_ids: Sequence[int]) -> bool:
    """Whether a cartridge has become ready for the model at hand; one of another model stays as useless as it was."""
    rows = [row for source_id in source_ids if (row := library.store.cartridge(source_id)) is not None and row.complete]
    return bool(rows) and any(map(model_at_hand(library).fits, rows))
