"""Files are looked through as they come in: orders in them are set aside, claims about the owner wait for the owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from secondme.types import FileStored, IngestEvent

if TYPE_CHECKING:
    from secondme.memory.store import Store


def screened(events: Iterator[IngestEvent], store: Store, project: str) -> Iterator[IngestEvent]:
    """The events of bringing files in; each file that was stored is looked through before it is told of."""
    from secondme.reflect.screen import screen_source

    for event in events:
        if isinstance(event, FileStored) and (source := store.source(project, event.path)) is not None:
            screen_source(store, source.id)
        yield event
