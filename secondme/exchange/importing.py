"""The way back in: what a file or folder holds becomes memory, all of it or nothing, and each item only once.

Rows are stored without vectors, which `ingest.reindex.embed_missing` makes afterwards; until then words find them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from secondme.crypto.age import Opened, open_header
from secondme.crypto.erase import erase
from secondme.errors import Cancelled
from secondme.exchange import bundle, chatgpt, claude, incoming, lines, memories, texts, vault
from secondme.exchange.bundle import Item
from secondme.exchange.incoming import open_to_read
from secondme.exchange.recognize import Recognized
from secondme.memory.arrivals import Arrivals
from secondme.memory.item_transfer import PortableItem, PortableLink
from secondme.memory.portable import (
    PortableConversation,
    PortableEdge,
    PortableFolder,
    PortablePassage,
    PortableProject,
    PortableSource,
    PortableTurn,
)
from secondme.memory.store import Store
from secondme.runtime.base import Embedder
from secondme.types import CancelCheck, never_cancelled

NEEDS_EMBEDDER = frozenset({"markdown", "jsonl"})
"""Formats whose texts are cut into passages, for which an embedder counts the tokens."""


@dataclass(frozen=True, slots=True, repr=False)
class ImportRequest:
    """`project` is where items from other programs go; an export of secondme brings its own. `passphrase` opens a
    sealed export. `again` brings back what was forgotten. With `dry_run` everything is done and then undone."""

    found: Recognized
    project: str
    passphrase: str | None = None
    embedder: Embedder | None = None
    again: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Items so far; in the first pass over an export they are only verified."""

    n_items: int
    verified: bool


@dataclass(frozen=True, slots=True)
class ImportLeftOut:
    """Something that was not taken; the rest goes on."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportCounts:
    n_files: int
    n_passages: int
    n_conversations: int
    n_turns: int
    n_links: int
    n_folders: int
    n_items: int


@dataclass(frozen=True, slots=True)
class ImportDone:
    """The last event. `known` files, conversations and memories were here already; `kept` ones differ from those that
    came, or have their place, and stay as they are; `forgotten` ones do not come back."""

    form: str
    new: ImportCounts
    n_known: int
    n_kept: int
    n_forgotten: int
    n_left_out: int
    dry_run: bool


ImportEvent = ImportProgress | ImportLeftOut | ImportDone


class _DryRun(Exception):
    """Undoes the transaction of a dry run."""


def import_(store: Store, request: ImportRequest, *, cancelled: CancelCheck = never_cancelled) -> Iterator[ImportEvent]:
    """Bring in what was recognized, in one transaction; the last event is ImportDone.

    Raises WrongPassphrase, CorruptRecord, SchemaTooNew and ParseFailed for what cannot be read, Cancelled, and what
    writing the store raises; then nothing was changed.
    """
    form = "secondme" if request.found.form == "sealed" else request.found.form
    adding = _Adding(cancelled)
    opened = _opened(request)
    try:
        if form == "secondme":
            yield from adding.verify(_own(request, opened))
        with store.arriving(f"import:{form}", again=request.again) as arrivals:
            yield from adding.run(_items(request, opened), arrivals)
            if request.dry_run:
                raise _DryRun
            if adding.is_new:
                arrivals.finish(adding.detail(form))
    except _DryRun:
        pass
    finally:
        erase(opened.key if opened else None)
    yield adding.done(form, dry_run=request.dry_run)


def _opened(request: ImportRequest) -> Opened | None:
    """The key of a sealed export: derived once, as that is made to take its time."""
    if request.passphrase is None:
        return None
    with open_to_read(request.found.path) as file:
        return open_header(file, request.passphrase)


def _own(request: ImportRequest, opened: Opened | None) -> Iterator[Item]:
    with open_to_read(request.found.path) as file:
        yield from bundle.items(file, opened)


def _items(request: ImportRequest, opened: Opened | None) -> Iterator[Item | ImportLeftOut]:
    now = time.time()
    match request.found.form:
        case "chatgpt":
            for talk in chatgpt.talks(request.found.data):
                yield from incoming.portable(talk, chatgpt.FORM, request.project, now)
        case "claude":
            for talk in claude.talks(request.found.data):
                yield from incoming.portable(talk, claude.FORM, request.project, now)
        case "markdown" | "jsonl":
            yield from _notes(request, now)
        case "mem0":
            for one in memories.items(request.found.data, request.project, now):
                yield ImportLeftOut(one, "it is too long for a memory") if isinstance(one, str) else one
        case _:
            yield from _own(request, opened)


def _notes(request: ImportRequest, now: float) -> Iterator[Item | ImportLeftOut]:
    assert request.embedder is not None
    found = vault.notes(request.found.path) if request.found.form == "markdown" else lines.notes(request.found.path)
    for note in found:
        match note:
            case vault.LeftOut(path, reason):
                yield ImportLeftOut(path, reason)
            case PortableEdge():
                yield note
            case texts.Note():
                yield from texts.portable(note, request.project, request.embedder, now)


class _Adding:
    """Adds items as they come; it owns the counts."""

    def __init__(self, cancelled: CancelCheck) -> None:
        self._cancelled = cancelled
        self._new: Counter[str] = Counter()
        self._n_known = self._n_kept = self._n_forgotten = self._n_left_out = 0

    @property
    def is_new(self) -> bool:
        return any(self._new.values())

    def detail(self, form: str) -> dict[str, int | float | str | None]:
        return {"form": form, **{what: n for what, n in self._new.items() if n}}

    def done(self, form: str, *, dry_run: bool) -> ImportDone:
        new = ImportCounts(
            n_files=self._new["files"],
            n_passages=self._new["passages"],
            n_conversations=self._new["conversations"],
            n_turns=self._new["turns"],
            n_links=self._new["links"],
            n_folders=self._new["folders"],
            n_items=self._new["items"],
        )
        return ImportDone(form, new, self._n_known, self._n_kept, self._n_forgotten, self._n_left_out, dry_run)

    def verify(self, items: Iterator[Item]) -> Iterator[ImportProgress]:
        """Read everything once, so that nothing is begun with what is not sound."""
        for n, _ in enumerate(items):
            self._check_cancelled()
            if n % 256 == 0:
                yield ImportProgress(n, verified=False)

    def run(self, items: Iterator[Item | ImportLeftOut], arrivals: Arrivals) -> Iterator[ImportEvent]:
        n = 0
        for (kind, _), group in groupby(items, _group):
            self._check_cancelled()
            found = list(group)
            n += len(found)
            if kind == "left out":
                self._n_left_out += len(found)
                yield from (item for item in found if isinstance(item, ImportLeftOut))
                continue
            self._add(found, arrivals)
            if n // 256 != (n - len(found)) // 256:
                yield ImportProgress(n, verified=True)

    def _add(self, found: list[Item | ImportLeftOut], arrivals: Arrivals) -> None:
        """Add what belongs together: a file's passages, a conversation with its turns, or a single item."""
        match found[0]:
            case PortablePassage(source=uid):
                passages = [p for p in found if isinstance(p, PortablePassage)]
                self._new["passages"] += arrivals.add_passages(uid, passages)
            case PortableConversation() as conversation:
                turns = [t for t in found if isinstance(t, PortableTurn)]
                outcome, n_turns = arrivals.add_conversation(conversation, turns)
                self._new["turns"] += n_turns
                self._count("conversations", outcome)
            case PortableSource() as source:
                self._count("files", arrivals.add_source(source))
            case PortableProject() as project:
                self._new["projects"] += arrivals.add_project(project) == "new"
            case PortableFolder() as folder:
                self._new["folders"] += arrivals.add_folder(folder) == "new"
            case PortableItem() as item:
                self._count("items", arrivals.add_item(item))
            case PortableEdge() as edge:
                self._new["links"] += arrivals.add_edge(edge) == "new"
            case PortableLink() as link:
                self._new["links"] += arrivals.add_link(link) == "new"

    def _count(self, what: str, outcome: str) -> None:
        self._new[what] += outcome == "new"
        self._n_known += outcome == "known"
        self._n_kept += outcome == "kept"
        self._n_forgotten += outcome == "forgotten"

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled("stopped; nothing was imported", hint="run the same command again")


def _group(item: Item | ImportLeftOut) -> tuple[str, object]:
    """What belongs together has the same key; `id` sets single items apart."""
    match item:
        case PortablePassage(source=uid):
            return "passages", uid
        case PortableConversation(uid=uid) | PortableTurn(conversation=uid):
            return "conversation", uid
        case ImportLeftOut():
            return "left out", None
    return "single", id(item)
