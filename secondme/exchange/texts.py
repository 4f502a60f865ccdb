"""Notes and other texts from elsewhere become files in memory: cut into passages, trusted as imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from secondme.ingest.chunk import chunk_document, chunk_tokens
from secondme.memory.item_transfer import Origin
from secondme.memory.portable import PortablePassage, PortableSource
from secondme.runtime.base import Embedder
from secondme.types import Document, FileStamp, Trust


@dataclass(frozen=True, slots=True)
class Note:
    """A text that becomes a file at `path`, which need not exist."""

    uid: bytes
    path: str
    document: Document
    content_hash: bytes
    stamp: FileStamp
    origin: Origin


def portable(note: Note, project: str, embedder: Embedder, now: float) -> Iterator[PortableSource | PortablePassage]:
    """The file, then its passages, in lengths that `embedder` reads."""
    chunks = chunk_document(note.document, embedder.count_tokens, chunk_tokens(embedder.n_ctx))
    yield PortableSource(
        uid=note.uid,
        project=project,
        path=note.path,
        media_type=note.document.media_type,
        title=note.document.title,
        content_hash=note.content_hash,
        stamp=note.stamp,
        trust=Trust.IMPORTED,
        n_passages=len(chunks),
        ingested_at=now,
        skip_reason=None,
        origin=note.origin,
    )
    yield from (PortablePassage(note.uid, chunk) for chunk in chunks)
