"""Documents: bringing them in, following them, finding and forgetting what is in them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.assistant.parts import Parts
from secondme.errors import StoreFull
from secondme.paths import absolute
from secondme.types import (
    CancelCheck,
    Citation,
    EmbedProgress,
    IngestEvent,
    StoredChunk,
    StoredSource,
    WatchedFolder,
    never_cancelled,
)

if TYPE_CHECKING:
    from secondme.exchange.export import ExportEvent, ExportOptions
    from secondme.exchange.importing import ImportEvent, ImportRequest
    from secondme.memory.forgetting import Forgetting, Target

DEFAULT_PROJECT = "default"


class Documents(Parts):
    """What is done with files, and with memory as a whole."""

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
        from secondme.assistant.screening import screened
        from secondme.ingest.pipeline import IngestOptions, ingest

        self.check_name(project)
        yield from self.embed_missing(cancelled=cancelled)
        for path in paths:
            if path.is_dir():
                folder = WatchedFolder(str(absolute(path)), project, watch=True, added_at=time.time())
                self.store.add_folder(folder)
        limit = self.config.max_file_mb
        options = IngestOptions(project=project, max_file_mb=limit, rehash=rehash, again=again)
        events = ingest(paths, self.store, self.embedder, options, cancelled=cancelled)
        yield from screened(events, self.store, project)

    def watch(
        self, *, project: str = DEFAULT_PROJECT, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[IngestEvent]:
        """Keep the remembered folders of a project in step with the disk until cancelled."""
        from secondme.assistant.screening import screened
        from secondme.ingest.pipeline import IngestOptions
        from secondme.ingest.watch import follow

        self.check_embedder()
        folders = [Path(f.path) for f in self.store.folders(project) if f.watch]
        options = IngestOptions(project=project, max_file_mb=self.config.max_file_mb)
        events = follow(folders, self.store, self.embedder, options, cancelled=cancelled)
        yield from screened(events, self.store, project)

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
        self.opener.put_away()
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

        self.check_embedder()
        found = retrieve(words, self.store, self.embedder, k=k, project=project)
        asked = Asked(found.weights, found.question_vector)
        passages = excerpts(found.hits if found.found else (), asked, self.embedder, n_embedded=3)
        shown = [citation(n, passage, marked=True) for n, passage in enumerate(passages, start=1)]
        with suppress(StoreFull):  # what is found can be read on a full disk, too
            if shown:
                self.store.note("shown", [f"passage:{c.chunk_id}" for c in shown], detail={"by": "search"})
        return shown
