"""Embeds stored text again when the embedding model changes: vectors of two models cannot be compared."""

from __future__ import annotations

import time
from collections.abc import Iterator

from secondme.errors import Cancelled, ConfigError
from secondme.ingest.chunk import embedding_text
from secondme.memory.store import Store
from secondme.runtime.base import Embedder
from secondme.types import (
    CancelCheck,
    EmbedProgress,
    FileProgress,
    FileStarted,
    FileStored,
    IngestDone,
    IngestEvent,
    never_cancelled,
)

_BATCH = 64


def check_embedder(store: Store, embedder: Embedder) -> None:
    """Record the embedder of a new store; raise ConfigError if the store's vectors are another model's."""
    known = store.embedder()
    if known is None:
        store.set_embedder(embedder.fingerprint, embedder.n_dims)
    elif known != (embedder.fingerprint, embedder.n_dims):
        raise ConfigError(
            "the stored vectors were made by another embedding model",
            hint="run: secondme memory reindex, or set `embedder` back in the settings",
        )


def reindex(store: Store, embedder: Embedder, *, cancelled: CancelCheck = never_cancelled) -> Iterator[IngestEvent]:
    """Replace all vectors. All or nothing: until the last file is embedded the old vectors stay in use.

    Where they are this model's and some are missing only, those are made, each batch for itself.
    """
    started = time.perf_counter()
    n_missing = store.n_unembedded()
    if n_missing and store.embedder() in (None, (embedder.fingerprint, embedder.n_dims)):
        yield from embed_missing(store, embedder, cancelled=cancelled)
        elapsed_s = time.perf_counter() - started
        yield IngestDone(0, 0, 0, 0, n_missing, 0, elapsed_s, elapsed_s)
        return
    sources = [s for s in store.sources() if s.n_chunks]
    fresh = []
    embed_s = 0.0
    for n, source in enumerate(sources):
        if cancelled():
            raise Cancelled("stopped; the earlier vectors are still in use", hint="run the same command again")
        yield FileStarted(source.path, n, len(sources))
        chunks = store.source_chunks(source.id)
        mark = time.perf_counter()
        texts = [embedding_text(source.title, c.chunk, embedder.count_tokens, embedder.n_ctx) for c in chunks]
        vectors = embedder.embed(texts, cancelled=cancelled)
        embed_s += time.perf_counter() - mark
        fresh += list(zip((c.id for c in chunks), vectors, strict=True))
        yield FileProgress(source.path, len(chunks), len(chunks))
        yield FileStored(source.path, len(chunks), n + 1, len(sources))
    store.replace_vectors(fresh, embedder.fingerprint, embedder.n_dims)
    yield IngestDone(len(sources), 0, 0, 0, len(fresh), 0, time.perf_counter() - started, embed_s)


def embed_missing(
    store: Store, embedder: Embedder, *, cancelled: CancelCheck = never_cancelled
) -> Iterator[EmbedProgress]:
    """Embed the passages that have no vector yet, such as imported ones. Each batch is kept, so it can be stopped.

    Raises ConfigError if the store's vectors are another model's, and Cancelled between batches.
    """
    check_embedder(store, embedder)
    n_total = store.n_unembedded()
    n_done = last = 0
    while batch := store.unembedded(last, _BATCH):
        if cancelled():
            raise Cancelled(
                f"stopped; {n_total - n_done} passages are still found by their words only",
                hint="run: secondme memory reindex",
            )
        texts = [embedding_text(c.title, c.chunk, embedder.count_tokens, embedder.n_ctx) for c in batch]
        vectors = embedder.embed(texts, cancelled=cancelled)
        store.add_vectors(list(zip((c.id for c in batch), vectors, strict=True)))
        last = batch[-1].id
        n_done += len(batch)
        yield EmbedProgress(n_done, n_total)
