"""Opens a project: its cartridges are loaded, short documents are read, and the rest is left to recall.

Whatever is wrong with a cartridge costs time and no answer: the document's text is read instead, or found by recall,
one line says so, and the cartridge is taken out, so that it is built anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from secondme.cartridges import load
from secondme.cartridges import prefix as prefixes
from secondme.cartridges.load import Part
from secondme.cartridges.manifest import Expected, hash_of_tokens
from secondme.cartridges.prefix import Prefix
from secondme.errors import CartridgeError, IntegrityError, ModelError, UsageError
from secondme.projects import documents as texts
from secondme.projects.documents import ProjectDocument
from secondme.projects.library import Library, Outlook, outlook
from secondme.projects.plan import readable_now
from secondme.runtime.kv import KvIdentity
from secondme.types import CancelCheck, Notice, Opened, OpenedAs, OpenedDocument, PrefillProgress, never_cancelled

OpenEvent = PrefillProgress | Notice | Opened

_PREFIX_N_CTX = 512


@dataclass(slots=True)
class _Chosen:
    """What becomes of the documents that fit; `broken` are reasons by source id."""

    loaded: list[ProjectDocument] = field(default_factory=list)
    read: list[ProjectDocument] = field(default_factory=list)
    left: list[ProjectDocument] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)


def open_project(
    library: Library, name: str, *, read_texts: bool = True, cancelled: CancelCheck = never_cancelled
) -> Iterator[OpenEvent]:
    """Bring the documents of a project before the model; the last event is an Opened.

    Without `read_texts` only cartridges are opened, for a question that does not pay for more. At most one Notice says
    what is not as it could be. Raises UsageError if there is no such project, Cancelled, ModelError, StoreError.
    """
    began = time.perf_counter()
    version = library.store.project_version(name)
    if version is None:
        raise UsageError("there is no project of that name", hint="make it: secondme project new NAME")
    view = outlook(library, name)
    chosen = _Chosen()
    tokens = _load(library, view, chosen)
    open_s = time.perf_counter() - began
    if not read_texts:
        chosen.left, chosen.read = [*chosen.left, *chosen.read], []
    if note := _note(view, chosen):
        yield Notice(note)
    if chosen.read:
        tokens = _tokens(view, [*chosen.loaded, *chosen.read])
        yield from library.generator.prefill(tokens, cancelled=cancelled)
    if library.store.project_version(name) is None:
        library.generator.forget()
        raise UsageError("the project was removed while it was opened", hint="see: secondme project ls")
    yield Opened(
        project=name,
        rules=texts.rules(library.generator),
        tokens=tuple(tokens),
        documents=_described(view, chosen),
        version=version,
        open_s=open_s,
    )


def _load(library: Library, view: Outlook, chosen: _Chosen) -> list[int]:
    """Load the cartridges that there are, and choose what becomes of the rest; returns what the cache stands for."""
    wanted = view.plan.fitting
    identity = view.model.identity
    if view.plan.as_text or identity is None:
        chosen.read = list(wanted)
        return []
    parts: list[Part] = []
    for document in view.loadable:
        if view.ready(document):
            part = _decoded(library, view, document, chosen)
            if part is not None:
                parts.append(part)
                chosen.loaded.append(document)
    if parts and not _placed(library, view, identity, parts, chosen):
        chosen.loaded = []
    loaded = {d.source.id for d in chosen.loaded}
    missing = [d for d in wanted if d.source.id not in loaded]
    chosen.read = list(readable_now(missing, view.room))
    now = {d.source.id for d in chosen.read}
    chosen.left = [d for d in missing if d.source.id not in now]
    return _tokens(view, chosen.loaded) if chosen.loaded else []


def _tokens(view: Outlook, documents: Sequence[ProjectDocument]) -> list[int]:
    return [*view.model.head, *(t for d in documents for t in d.tokens)]


def _decoded(library: Library, view: Outlook, document: ProjectDocument, chosen: _Chosen) -> Part | None:
    """A document's cartridge, checked; None for one that cannot be used, which is taken out to be built anew."""
    row, identity = view.rows[document.source.id], view.model.identity
    assert identity is not None
    expected = Expected(
        identity,
        document.document_hash.hex(),
        view.model.prefix_hash,
        tokens_hash=hash_of_tokens(document.tokens),
        calibration=view.model.calibration.digest if view.model.calibration is not None else None,
        n_ctx=library.generator.info.n_ctx,
    )
    try:
        with library.shelf.open(row) as file:
            return load.decode(file, expected, view.model.calibration)
    except (CartridgeError, IntegrityError) as error:
        chosen.broken[document.source.id] = error.message
        library.store.drop_cartridges([document.source.id])
        return None


def _placed(library: Library, view: Outlook, identity: KvIdentity, parts: Sequence[Part], chosen: _Chosen) -> bool:
    try:
        prefix = _prefix(library, view, identity)
        generator = library.generator
        ground = load.Ground(
            prefix, identity, generator.info.n_ctx, view.model.calibration, ragged=generator.takes_ragged
        )
        _, cells = load.compose(ground, parts)
        generator.load_cells(_tokens(view, chosen.loaded), cells)
    except (CartridgeError, ModelError) as error:
        for document in chosen.loaded:
            chosen.broken[document.source.id] = error.message
        return False
    return True


def _prefix(library: Library, view: Outlook, identity: KvIdentity) -> Prefix:
    """As it is kept; else it is read once more."""
    head = view.model.head
    found = prefixes.stored(library.store, identity, head)
    if found is not None:
        return found
    reader = library.generator.reader(min(max(_PREFIX_N_CTX, len(head)), library.generator.info.n_ctx))
    try:
        return prefixes.read(library.store, reader, head)
    finally:
        reader.close()


# What is said of it ----------------------------------------------------------------------------------------------


def _described(view: Outlook, chosen: _Chosen) -> tuple[OpenedDocument, ...]:
    """Every document that was looked at, those before the model first and in its order."""
    ways: list[tuple[OpenedAs, Sequence[ProjectDocument]]] = [
        ("cartridge", chosen.loaded),
        ("text", chosen.read),
        ("recall", chosen.left),
    ]
    found = [described(view, d, way, chosen.broken.get(d.source.id, "")) for way, group in ways for d in group]
    return (*found, *(described(view, p.document, "recall", p.why) for p in view.plan.places if not p.fits))


def described(view: Outlook, document: ProjectDocument, opened_as: OpenedAs, why: str = "") -> OpenedDocument:
    """A document with its cartridge's figures; `why` is the reason where it is none of its cartridge's."""
    row, source = view.rows.get(document.source.id), document.source
    lacks = view.lacks(document) if opened_as == "recall" and not why else ""
    return OpenedDocument(
        source_id=source.id,
        path=source.path,
        title=source.title,
        n_tokens=len(document.tokens),
        opened_as=opened_as,
        why=why or lacks,
        pending=bool(lacks),
        tier=row.tier if row else "",
        size_bytes=row.size_bytes if row else 0,
        f16_bytes=row.f16_bytes if row else 0,
        prefill_s=row.prefill_s if row else 0.0,
    )


def _note(view: Outlook, chosen: _Chosen) -> str:
    """One line about what is not as it could be; empty if all is."""
    said = []
    if chosen.broken:
        reason = next(iter(chosen.broken.values()))
        said.append(f"{_n_documents(len(chosen.broken))} could not be opened from a cartridge ({reason})")
    left = [d for d in chosen.left if d.source.id not in chosen.broken and view.lacks(d)]
    if left:
        said.append(f"{_n_documents(len(left))} still to be prepared")
    n_long = sum(not p.fits for p in view.plan.places) + view.plan.n_unread
    if n_long:
        said.append(f"{_n_documents(n_long)} that {'does' if n_long == 1 else 'do'} not fit before the model")
    if not said:
        return ""
    rest = n_long + len(left) + sum(d.source.id in chosen.broken for d in chosen.left)
    ending = "found by search" if rest else "read as text"
    return f"{'; '.join(said)}: {ending} instead"


def _n_documents(n: int) -> str:
    return f"{n} document" if n == 1 else f"{n} documents"
