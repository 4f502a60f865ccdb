"""Builds the cartridges that projects lack: missing ones, those of another model, and those not yet of the wanted tier.

One after another, the documents of a project in the order in which they are opened. What is done is kept, so that a
build may be stopped at any moment and goes on at the next call.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from secondme.cartridges import build, prefix
from secondme.cartridges.build import Bench, Clock, Order, Stop
from secondme.cartridges.events import BuildEvent, BuildsDone, BuildSkipped, BuildStarted, CartridgeStored
from secondme.cartridges.manifest import Tier
from secondme.errors import CartridgeError, CartridgeIncompatible, ContextOverflow, OutOfMemory
from secondme.projects import documents
from secondme.projects.documents import ProjectDocument
from secondme.projects.library import Library, Model, Outlook, model_at_hand, outlook

_REPEATED_TOKENS = 1280
"""Room behind a document for what is read to weigh its tokens."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that is to be built, and why."""

    document: ProjectDocument
    why: str


def pending(view: Outlook) -> list[Pending]:
    """What a project lacks, in the order in which it is built."""
    return [
        Pending(d, view.lacks(d) or f"to be made smaller, as {view.model.tier}")
        for d in view.loadable
        if not view.done(d)
    ]


def build_pending(
    library: Library, projects: Sequence[str], stop: Stop, *, again: bool = False
) -> Iterator[BuildEvent]:
    """Build what these projects lack, or everything `again`; the last event is a BuildsDone.

    Raises Cancelled, StoreFull, StoreError, ModelError; what was done until then is kept. Raises CartridgeIncompatible
    where the model's cache cannot be taken apart, or cartridges are turned off.
    """
    began = time.perf_counter()
    model = model_at_hand(library)
    if model.identity is None:
        raise CartridgeIncompatible(
            f"there can be no cartridges: {model.why_not}", hint="documents are read as text, or found by search"
        )
    todo = [p for name in projects for p in _todo(outlook(library, name, model), again=again)]
    n_built = n_skipped = 0
    if todo:
        for event in _build_all(library, model, todo, stop, again=again):
            n_built += isinstance(event, CartridgeStored) and event.complete and event.tier == model.tier
            n_skipped += isinstance(event, BuildSkipped)
            yield event
    yield BuildsDone(n_built, n_skipped, time.perf_counter() - began)


def _todo(view: Outlook, *, again: bool) -> list[ProjectDocument]:
    return list(view.loadable) if again else [p.document for p in pending(view)]


def _build_all(
    library: Library, model: Model, todo: Sequence[ProjectDocument], stop: Stop, *, again: bool
) -> Iterator[BuildEvent]:
    tier: Tier = model.tier  # type: ignore[assignment]
    longest = max(len(d.tokens) for d in todo)
    n_ctx = min(len(model.head) + longest + _REPEATED_TOKENS, library.generator.info.n_ctx)
    reader = library.generator.reader(n_ctx)
    try:
        kept = prefix.stored(library.store, reader.identity, model.head)
        head = kept or prefix.read(library.store, reader, model.head)
        instruction = documents.repeat_instruction(library.generator)
        bench = Bench(reader, head, library.shelf, model.calibration, instruction, library.generator.detokenize)
        for n, document in enumerate(todo):
            source = document.source
            yield BuildStarted(source.id, source.path, len(document.tokens), n, len(todo))
            try:
                row = None if again else library.store.cartridge(source.id)
                order = Order(source, document.tokens, document.document_hash, row)
                yield from build.build(order, bench, tier, Clock(stop))
            except (CartridgeError, ContextOverflow, OutOfMemory) as error:
                yield BuildSkipped(source.id, source.path, error.message, error.hint or "")
    finally:
        reader.close()
