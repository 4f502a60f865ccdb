"""What memory does while nobody waits for it: at low priority, and standing still while an answer is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from secondme.types import CancelCheck

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts
    from secondme.reflect.consolidate import ConsolidateEvent

_POLL_S = 0.05


def reflect(parts: Parts, *, cancelled: CancelCheck) -> Iterator[ConsolidateEvent]:
    """Embed what was said and learned, and consolidate it; the last event is a Consolidated.

    What is done is kept when it is cancelled. Raises ModelError, and StoreError if the vectors in memory were made by
    another embedding model.
    """
    from secondme.projects.background import at_low_priority
    from secondme.reflect.consolidate import consolidate

    parts.check_embedder()
    store, embedder = parts.store, parts.embedder

    def work(stop: CancelCheck) -> Iterator[ConsolidateEvent]:
        return consolidate(store, embedder, now=time.time(), cancelled=_standing_still(parts, stop))

    yield from at_low_priority(work, cancelled)


def catch_up(parts: Parts, limit: int = 32) -> None:
    """Embed up to `limit` turns and items that are new, for those who search without ever being idle."""
    from secondme.reflect.learn import embed
    from secondme.runtime.traces import traces

    store, embedder = parts.store, parts.embedder
    if store.embedder() is None:
        store.set_embedder(embedder.fingerprint, embedder.n_dims)
    if turns := store.turns_without_trace(limit):
        store.put_traces(traces(turns, embedder))
    embed(store, store.items_without_vector(limit), embedder)


def _standing_still(parts: Parts, stop: CancelCheck) -> CancelCheck:
    """A check that lasts as long as the owner waits for an answer."""

    def check() -> bool:
        while parts.opener.is_waited_for and not stop():
            time.sleep(_POLL_S)
        return stop()

    return check
