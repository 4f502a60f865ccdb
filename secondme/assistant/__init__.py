"""The one place where the parts are wired together; `cli/` and `tui/` talk to this and to nothing below it.

Nothing heavy happens before it is needed: the store opens on `unlock`, a model loads on first use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from secondme.assistant.memory import Credentials, Memory
from secondme.assistant.models import Models
from secondme.assistant.projects import Projects
from secondme.config import Config
from secondme.errors import SecondMeError, StoreFull, UsageError
from secondme.paths import absolute
from secondme.types import (
    AnswerEvent,
    CancelCheck,
    Citation,
    ContextUsage,
    Conversation,
    EmbedProgress,
    IngestEvent,
    Opened,
    ProjectRow,
    ProjectStatus,
    StoredChunk,
    StoredSource,
    StoreStats,
    Turn,
    WatchedFolder,
    never_cancelled,
)

if TYPE_CHECKING:
    from secondme.cartridges.events import BuildEvent
    from secondme.cartridges.files import Collected
    from secondme.crypto.keys import Keys
    from secondme.exchange.export import ExportEvent, ExportOptions
    from secondme.exchange.importing import ImportEvent, ImportRequest
    from secondme.memory.cartridges import StoredCartridge
    from secondme.memory.forgetting import Forgetting, Target
    from secondme.memory.store import Store
    from secondme.projects.open import OpenEvent
    from secondme.runtime.base import Embedder, Generator

DEFAULT_PROJECT = "default"

__all__ = ["DEFAULT_PROJECT", "Assistant", "Credentials"]


class Assistant:
    """A memory and its models. Thread-safe: the store, the embedder and the generator lock themselves.

    `generator` and `embedder` replace the configured models.
    """

    def __init__(
        self,
        config: Config,
        credentials: Credentials | None = None,
        *,
        generator: Generator | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.config = config
        self._memory = Memory(config, credentials or Credentials())
        self._models = Models(config, generator, embedder)
        self._projects = Projects(self._memory, self._models, config.cartridge_tier)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # The parts, each opened when first needed ------------------------------------------------------------------

    def unlock(self, credentials: Credentials | None = None) -> None:
        """Open the store, for the first time or after `lock`.

        Raises StoreLocked, NoKey, WrongPassphrase and what opening a store raises.
        """
        self._memory.unlock(credentials)

    def lock(self) -> None:
        """Close the store, overwrite its keys and empty the models' buffers; the models themselves stay loaded.

        From here on another process may open the store, and whatever needs memory fails until `unlock` is called.
        """
        self._projects.close()
        self._memory.lock()
        self._models.forget()

    @property
    def store(self) -> Store:
        return self._memory.store

    @property
    def keys(self) -> Keys:
        """The opened keys; they are overwritten when memory is closed or locked."""
        return self._memory.keys

    @property
    def embedder(self) -> Embedder:
        return self._models.embedder

    @property
    def generator(self) -> Generator:
        return self._models.generator

    def load_models(self) -> None:
        """Load both models now, and begin to copy the vectors into memory, so that no question waits for either."""
        store = self._memory.opened
        if store is not None:
            with suppress(SecondMeError):  # it is being locked, or damaged, which the search will tell
                store.warm_vectors()
        _ = self.embedder
        _ = self.generator

    @property
    def usage(self) -> ContextUsage | None:
        """The context meter; None while no language model is loaded."""
        generator = self._models.loaded_generator
        return generator.usage if generator is not None else None

    def close(self) -> None:
        """Close everything that was opened; the lock goes last."""
        self._projects.close()
        self._models.close()
        self._memory.close()

    # Documents -------------------------------------------------------------------------------------------------

    def ingest(
        self,
        paths: list[Path],
        *,
        project: str = DEFAULT_PROJECT,
        rehash: bool = False,
        again: bool = False,
        cancelled: CancelCheck = never_cancelled,
    ) -> Iterator[IngestEvent]:
        """Bring files and folders into memory; folders are remembered, so that `watch` can follow them.

        `again` brings back passages that were forgotten; a forgotten file comes back by its own path.
        """
        from secondme.ingest.pipeline import IngestOptions, ingest

        self._check_name(project)
        yield from self.embed_missing(cancelled=cancelled)
        for path in paths:
            if path.is_dir():
                folder = WatchedFolder(str(absolute(path)), project, watch=True, added_at=time.time())
                self.store.add_folder(folder)
        limit = self.config.max_file_mb
        options = IngestOptions(project=project, max_file_mb=limit, rehash=rehash, again=again)
        yield from ingest(paths, self.store, self.embedder, options, cancelled=cancelled)

    def watch(
        self, *, project: str = DEFAULT_PROJECT, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[IngestEvent]:
        """Keep the remembered folders of a project in step with the disk until cancelled."""
        from secondme.ingest.pipeline import IngestOptions
        from secondme.ingest.watch import follow

        self._check_embedder()
        folders = [Path(f.path) for f in self.store.folders(project) if f.watch]
        options = IngestOptions(project=project, max_file_mb=self.config.max_file_mb)
        yield from follow(folders, self.store, self.embedder, options, cancelled=cancelled)

    def reindex(self, *, cancelled: CancelCheck = never_cancelled) -> Iterator[IngestEvent]:
        """Embed every stored chunk again, after a change of the embedding model; else what has no vector yet."""
        from secondme.ingest.reindex import reindex

        yield from reindex(self.store, self.embedder, cancelled=cancelled)

    def embed_missing(self, *, cancelled: CancelCheck = never_cancelled) -> Iterator[EmbedProgress]:
        """Embed the passages that have no vector yet, such as imported ones."""
        from secondme.ingest.reindex import embed_missing

        yield from embed_missing(self.store, self.embedder, cancelled=cancelled)

    # Export and import -----------------------------------------------------------------------------------------

    def export(
        self, path: Path, options: ExportOptions, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[ExportEvent]:
        """Write all of memory into one file."""
        from secondme.exchange.export import export

        yield from export(self.store, path, options, cancelled=cancelled)

    def import_(self, request: ImportRequest, *, cancelled: CancelCheck = never_cancelled) -> Iterator[ImportEvent]:
        """Bring in an export of this or another program; `embed_missing` then finishes what it stored."""
        from secondme.exchange.importing import NEEDS_EMBEDDER, import_

        if request.found.form in NEEDS_EMBEDDER:
            request = replace(request, embedder=self.embedder)
        yield from import_(self.store, request, cancelled=cancelled)

    def _check_embedder(self) -> None:
        from secondme.ingest.reindex import check_embedder

        check_embedder(self.store, self.embedder)

    def sources(self, project: str | None = None) -> list[StoredSource]:
        return self.store.sources(project)

    def folders(self, project: str | None = None) -> list[WatchedFolder]:
        return self.store.folders(project)

    def forgetting(self, target: Target) -> Forgetting:
        """What would go if `target` were forgotten."""
        return self.store.forgetting(target)

    def forget_source(self, source: StoredSource) -> Forgetting:
        from secondme.memory.forgetting import Target

        return self.forget(Target(sources=(source.id,)))

    def forget(self, target: Target) -> Forgetting:
        """Take items out of memory with everything derived from them; they do not come back by themselves."""
        gone = self.store.forget(target)
        self._projects.put_away()
        return gone

    def passage(self, chunk_id: int) -> list[StoredChunk]:
        """A chunk with the one before and the one after it, in order; empty if it is gone."""
        chunk = self.store.chunk(chunk_id)
        if chunk is None:
            return []
        around = self.store.source_chunks(chunk.source_id)
        return [c for c in around if abs(c.chunk.ordinal - chunk.chunk.ordinal) <= 1]

    def recall(self, words: str, *, k: int = 8, project: str | None = None) -> list[Citation]:
        """The passages that bear most on some words, as citations; empty when memory holds nothing about them."""
        from secondme.chat.cite import citation
        from secondme.recall.excerpt import Asked, excerpts
        from secondme.recall.retrieve import retrieve

        self._check_embedder()
        found = retrieve(words, self.store, self.embedder, k=k, project=project)
        asked = Asked(found.weights, found.question_vector)
        passages = excerpts(found.hits if found.found else (), asked, self.embedder, n_embedded=3)
        shown = [citation(n, passage, marked=True) for n, passage in enumerate(passages, start=1)]
        with suppress(StoreFull):  # what is found can be read on a full disk, too
            if shown:
                self.store.note("shown", [f"passage:{c.chunk_id}" for c in shown], detail={"by": "search"})
        return shown

    # Conversations ---------------------------------------------------------------------------------------------

    def answer(
        self,
        question: str,
        *,
        conversation_id: int | None = None,
        project: str = DEFAULT_PROJECT,
        attached: str = "",
        cancelled: CancelCheck = never_cancelled,
    ) -> Iterator[AnswerEvent]:
        """Answer a question; with a conversation, its turns are read first and both new turns are stored.

        Where `project` is open (`open_project`), its documents lie before the question.
        """
        from secondme.assistant.answering import Asked, answer
        from secondme.chat.turn import Engines

        self._check_embedder()
        with self._projects.waited_for(cancelled):
            for event in self._projects.ready(project, cancelled=cancelled):
                if not isinstance(event, Opened):
                    yield event
            asked = Asked(question, conversation_id, project, attached, self._projects.opened(project))
            yield from answer(asked, Engines(self.store, self.embedder, self.generator), cancelled=cancelled)

    def new_conversation(self, project: str = DEFAULT_PROJECT, title: str = "New conversation") -> int:
        self._check_name(project)
        return self.store.new_conversation(project, title)

    def conversations(self, project: str | None = None) -> list[Conversation]:
        return self.store.conversations(project)

    def rename_conversation(self, conversation_id: int, title: str) -> None:
        self.store.rename_conversation(conversation_id, title)

    def delete_conversation(self, conversation_id: int) -> None:
        self.store.delete_conversation(conversation_id)

    def turns(self, conversation_id: int) -> list[Turn]:
        return self.store.turns(conversation_id)

    def stats(self) -> StoreStats:
        return self.store.stats()

    # Projects --------------------------------------------------------------------------------------------------

    def projects(self) -> list[ProjectRow]:
        """All projects, the one used last first."""
        return self.store.projects()

    def new_project(self, name: str) -> str:
        """Make an empty project; returns its name. Raises UsageError for a name that cannot be, or is taken."""
        from secondme.projects.names import check_name

        name = check_name(name)
        self.store.new_project(name)
        return name

    def _check_name(self, project: str) -> None:
        """A name that is new must be one that can be shown; earlier ones stay as they are."""
        from secondme.projects.names import check_name

        if self.store.project_uid(project) is None and check_name(project) != project:
            raise UsageError("a project's name has no space at its ends", hint="leave it out")

    def open_project(
        self, name: str, *, read_texts: bool = True, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[OpenEvent]:
        """Bring a project's documents before the model, for all questions about it; the last event is an Opened.

        Without `read_texts` only cartridges are opened. At most one Notice says what is not as it could be. Raises
        UsageError if there is no such project, Cancelled, ModelError, StoreError.
        """
        with self._projects.waited_for(cancelled):
            yield from self._projects.session.open(name, read_texts=read_texts, cancelled=cancelled)

    @property
    def opened(self) -> Opened | None:
        """The project that is open; None before `open_project`, and once memory was locked."""
        return self._projects.session.opened

    def project_status(self, name: str) -> ProjectStatus:
        """How a project would open now; loads the model. Raises UsageError if there is none of that name."""
        return self._projects.status(name)

    def build_cartridges(
        self,
        projects: Sequence[str],
        *,
        tier: str | None = None,
        again: bool = False,
        background: bool = False,
        cancelled: CancelCheck = never_cancelled,
    ) -> Iterator[BuildEvent]:
        """Build the cartridges that projects lack, or all of them `again`; the last event is a BuildsDone.

        What is done is kept when it is cancelled. In the background it runs at low priority, and stands still while
        an answer or an opening project is waited for. `tier` None is the one of the settings. Raises
        CartridgeIncompatible where there can be none, Cancelled, ModelError, StoreError.
        """
        yield from self._projects.build(projects, tier=tier, again=again, background=background, cancelled=cancelled)

    def cartridges(self, project: str | None = None) -> list[StoredCartridge]:
        """The cartridges there are, in the order of project and path."""
        return self.store.cartridges(project)

    def verify_cartridge(self, row: StoredCartridge) -> None:
        """Read all of a cartridge and check it. Raises CorruptCartridge, CartridgeIncompatible, StoreError."""
        self._projects.shelf.verify(row)

    def collect_cartridges(self) -> Collected:
        """Clear away files without a row and rows without a file."""
        return self._projects.shelf.collect()
