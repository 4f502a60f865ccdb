"""Between rows and the values of `types.py`; paths cross as bytes, citations as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from secondme.types import Chunk, Citation, Conversation, FileStamp, StoredChunk, StoredSource, Trust, Turn

Row = tuple[Any, ...]

SOURCE_COLUMNS = """source.id, source.path, project.name, media_type, source.title, content_hash, size_bytes, mtime_ns,
inode, trust, n_chunks, ingested_at, skip_reason"""

CHUNK_COLUMNS = """chunk.id, chunk.source_id, source.path, project.name, chunk.title, media_type, trust,
ordinal, chunk.text, byte_start, byte_end, line_start, line_end, page, headings"""


def path_bytes(path: str) -> bytes:
    return os.fsencode(path)


def source_row(row: Row) -> StoredSource:
    """A row of SOURCE_COLUMNS."""
    id_, path, project, media_type, title, digest, size, mtime, inode, trust, n_chunks, ingested_at, reason = row
    stamp = FileStamp(size, mtime, int(inode))
    place = os.fsdecode(path)
    return StoredSource(
        id_, place, project, media_type, title, digest, stamp, Trust(trust), n_chunks, ingested_at, reason
    )


def chunk_row(row: Row) -> StoredChunk:
    """A row of CHUNK_COLUMNS."""
    id_, source_id, path, project, title, media_type, trust, *rest, headings = row
    ordinal, text, byte_start, byte_end, line_start, line_end, page = rest
    chunk = Chunk(ordinal, text, byte_start, byte_end, line_start, line_end, page, tuple(json.loads(headings)))
    return StoredChunk(id_, source_id, os.fsdecode(path), project, title, media_type, Trust(trust), chunk)


def headings_json(chunk: Chunk) -> str:
    return json.dumps(chunk.heading_path, ensure_ascii=False)


def citations_json(citations: tuple[Citation, ...]) -> str:
    return json.dumps([asdict(c) for c in citations])


def turn_row(row: Row) -> Turn:
    id_, conversation_id, role, text, citations, created_at = row
    found = (Citation(**{**c, "heading_path": tuple(c["heading_path"])}) for c in json.loads(citations))
    return Turn(id_, conversation_id, role, text, created_at, tuple(found))


def conversation_row(row: Row) -> Conversation:
    id_, title, project, created_at, updated_at, n_turns = row
    return Conversation(id_, title, project, created_at, updated_at, n_turns)
