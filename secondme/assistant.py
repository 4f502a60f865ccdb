"""The one place where the parts are wired together; `cli/` and `tui/` talk to this and to nothing below it.

Nothing heavy happens before it is needed: the store opens on `unlock`, a model loads on first use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from secondme.config import Config
from secondme.errors import ModelError, SecondMeError, StoreError, StoreFull
from secondme.paths import absolute, data_dir, private_dir, state_dir
from secondme.types import (
    Answer,
    AnswerEvent,
    CancelCheck,
    Citation,
    ContextUsage,
    Conversation,
    EmbedProgress,
    IngestEvent,
    Message,
    Notice,
    StoredChunk,
    StoredSource,
    StoreStats,
    Turn,
    WatchedFolder,
    never_cancelled,
)

if TYPE_CHECKING:
    from secondme.crypto.keys import Keys
    from secondme.crypto.unlock import AskKind
    from secondme.exchange.export import ExportEvent, ExportOptions
    from secondme.exchange.importing import ImportEvent, ImportRequest
    from secondme.memory.forgetting import Forgetting, Target
    from secondme.memory.lock import StoreLock
    from secondme.memory.store import Store
    from secondme.runtime.base import Embedder, Generator

DEFAULT_PROJECT = "default"

__all__ = ["DEFAULT_PROJECT", "Assistant", "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the store is opened: a passphrase at hand (scripts), or a way to ask the owner for one."""

    passphrase: str | None = None
    ask: Callable[[AskKind], str] | None = None


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
        self._credentials = credentials or Credentials()
        self._generator = generator
        self._embedder = embedder
        self._store: Store | None = None
        self._keys: Keys | None = None
        self._lock: StoreLock | None = None
        self._locked = False
        self._loading = threading.RLock()
        self._opening = threading.RLock()  # apart, so that locking never waits for a model that is being loaded

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # The parts, each opened when first needed ------------------------------------------------------------------

    def unlock(self, credentials: Credentials | None = None) -> None:
        """Open the store, for the first time or after `lock`.

        Raises StoreLocked, NoKey, WrongPassphrase and what opening a store raises.
        """
        from secondme.crypto.unlock import harden_process, unlock
        from secondme.memory.lock import StoreLock
        from secondme.memory.rekey import opener
        from secondme.memory.store import Store

        with self._opening:
            if self._store is not None:
                return
            credentials = credentials or self._credentials
            harden_process()
            try:
                folder = private_dir(data_dir())
            except OSError as error:
                raise StoreError(
                    f"the data folder {data_dir()} cannot be made ({error.strerror})",
                    hint="check what stands in its place and its permissions, or set SECONDME_HOME",
                ) from None
            self._lock = StoreLock(folder)
            self._lock.acquire()
            try:
                path = folder / "store.db"
                self._keys = unlock(folder, ask=credentials.ask, passphrase=credentials.passphrase, opens=opener(path))
                limit_mb = self.config.vector_index_mb
                limit = None if limit_mb < 0 else limit_mb << 20
                self._store = Store.open(path, self._keys.store, state_dir() / "witness", vector_bytes=limit)
            except BaseException:
                self._close_store()
                raise
            self._credentials = replace(self._credentials, passphrase=None)  # has done its work
            self._locked = False

    def lock(self) -> None:
        """Close the store, overwrite its keys and empty the models' buffers; the models themselves stay loaded.

        From here on another process may open the store, and whatever needs memory fails until `unlock` is called.
        """
        with self._opening:
            self._locked = True
            self._close_store()
        with self._loading:
            try:
                for model in (self._generator, self._embedder):
                    if model is not None:
                        model.forget()
            except ModelError:  # out of memory: they are loaded again when they are needed
                self._close_models()

    def _close_store(self) -> None:
        """The process lock goes last, and the keys go whatever happens to the store."""
        store, self._store = self._store, None
        try:
            if store is not None:
                store.close()
        finally:
            if self._keys is not None:
                self._keys.erase()
                self._keys = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    @property
    def store(self) -> Store:
        with self._opening:
            if self._locked:
                raise StoreError("memory is locked", hint="unlock it first")
            self.unlock()
            assert self._store is not None
            return self._store

    @property
    def keys(self) -> Keys:
        """The opened keys; they are overwritten when memory is closed or locked."""
        with self._opening:
            _ = self.store
            assert self._keys is not None
            return self._keys

    @property
    def embedder(self) -> Embedder:
        with self._loading:
            if self._embedder is None:
                from secondme.runtime.load import load_embedder

                self._embedder = load_embedder(self.config)
            return self._embedder

    @property
    def generator(self) -> Generator:
        with self._loading:
            if self._generator is None:
                from secondme.runtime.load import load_generator

                self._generator = load_generator(self.config)
            return self._generator

    def load_models(self) -> None:
        """Load both models now, and begin to copy the vectors into memory, so that no question waits for either."""
        store = self._store
        if store is not None:
            with suppress(SecondMeError):  # it is being locked, or damaged, which the search will tell
                store.warm_vectors()
        _ = self.embedder
        _ = self.generator

    @property
    def usage(self) -> ContextUsage | None:
        """The context meter; None while no language model is loaded."""
        return self._generator.usage if self._generator is not None else None

    def close(self) -> None:
        """Close everything that was opened; the lock goes last."""
        self._close_models()
        self._close_store()

    def _close_models(self) -> None:
        for model in (self._generator, self._embedder):
            if model is not None:
                model.close()
        self._generator = self._embedder = None

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
        return self.store.forget(target)

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

        The question is stored before the answer begins, so that a crash loses no word of the owner.
        """
        from secondme.chat.turn import Engines, Question, answer

        self._check_embedder()
        history: tuple[Message, ...] = ()
        if conversation_id is not None:
            history = tuple(Message(t.role, t.text) for t in self.turns(conversation_id))
            self.store.add_turn(conversation_id, "user", question, ())
        engines = Engines(self.store, self.embedder, self.generator)
        for event in answer(Question(question, project, history, attached), engines, cancelled=cancelled):
            if isinstance(event, Answer):
                turn_id = None
                if conversation_id is not None:
                    turn_id = self.store.add_turn(conversation_id, "assistant", event.text, event.citations)
                try:
                    self._note_use(event, turn_id)
                except StoreFull:
                    yield Notice("the disk is full, so that the log does not say what this answer used")
            yield event

    def _note_use(self, answer: Answer, turn_id: int | None) -> None:
        """Log which passages the model read, and which are marked in what it said."""
        read = [c for c in answer.citations if c.chunk_id]
        if read:
            marked = " ".join(str(c.chunk_id) for c in read if c.marked)
            subjects = [f"passage:{c.chunk_id}" for c in read] + ([f"turn:{turn_id}"] if turn_id else [])
            self.store.note("used" if marked else "shown", subjects, detail={"by": "answer", "marked": marked})

    def new_conversation(self, project: str = DEFAULT_PROJECT, title: str = "New conversation") -> int:
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
