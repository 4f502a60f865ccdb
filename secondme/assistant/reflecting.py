"""What memory does while nobody waits for it: at low priority, and standing still while an answer is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from secondme.errors import Cancelled, ModelError
from secondme.types import CancelCheck, Learned

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts
    from secondme.reflect.consolidate import ConsolidateEvent

    ReflectEvent = ConsolidateEvent | Learned

_POLL_S = 0.05


def reflect(parts: Parts, *, cancelled: CancelCheck) -> Iterator[ReflectEvent]:
    """Embed what was said and learned, let the model read what was said if the owner wants it, and consolidate.

    The last event is a Consolidated; what the model made of a turn comes as a Learned. What is done is kept when it is
    cancelled. Raises ModelError, and StoreError if the vectors in memory were made by another embedding model.
    """
    from secondme.projects.background import at_low_priority
    from secondme.reflect.consolidate import consolidate

    parts.check_embedder()
    store, embedder = parts.store, parts.embedder

    def work(stop: CancelCheck) -> Iterator[ReflectEvent]:
        yield from _read(parts, stop)
        yield from consolidate(store, embedder, now=time.time(), cancelled=_standing_still(parts, stop))

    yield from at_low_priority(work, cancelled)


def _read(parts: Parts, stop: CancelCheck) -> Iterator[Learned]:
    """Let the model read the turns of this run, newest first, until somebody waits for it."""
    from secondme.reflect.by_model import is_worth_it

    def waits() -> bool:
        return stop() or parts.opener.is_waited_for

    while parts.unread and not waits():
        if not is_worth_it(parts.generator.info, wanted=parts.config.learn_with_model):
            parts.unread.clear()
            return
        one = parts.unread[-1]
        with parts.opener.in_between(stop) as may:
            try:
                learned = _read_one(parts, one, waits) if may else Learned()
            except Cancelled:  # it is read another time
                return
            except ModelError:  # it reads none of them
                parts.unread.clear()
                raise
        if may:
            parts.unread.remove(one)
        if learned:
            yield learned


def _read_one(parts: Parts, one: tuple[int, str], waits: CancelCheck) -> Learned:
    """What the model makes of a turn, given as its id and project; nothing if it is gone."""
    from secondme.reflect.by_model import learn_by_model

    found = parts.store.turns_by_ids([one[0]])
    if not found:
        return Learned()
    return learn_by_model(
        parts.store,
        found[0],
        parts.generator,
        now=time.time(),
        embedder=parts.embedder,
        project=one[1],
        cancelled=waits,
    )


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
