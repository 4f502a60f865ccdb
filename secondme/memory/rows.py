"""How values become columns and come back exactly.

SQLite text is UTF-8, but Python names of files that are not carry lone surrogates. A path is therefore always stored
as bytes, and any other text as bytes only where it must be; both come back as the string they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from secondme.errors import CorruptRecord
from secondme.types import Chunk, Citation, FileStamp, StoredChunk, StoredSource, Trust

Row = tuple[Any, ...]

_EXACT = "surrogatepass"


def pack_path(path: str) -> bytes:
    return path.encode("utf-8", _EXACT)


def unpack_path(stored: bytes) -> str:
    return stored.decode("utf-8", _EXACT)


def pack_text(text: str) -> str | bytes:
    """`text` itself where SQLite can hold it, else its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", _EXACT)
    return text


def unpack_text(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", _EXACT)


def pack_headings(headings: Sequence[str]) -> str:
    # ASCII only: lone surrogates become escapes, which JSON reads back.
    return json.dumps(list(headings))


def unpack_headings(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))


SELECT_SOURCE = """select s.id, s.path, p.name, s.media_type, s.title, s.content_hash, s.size_bytes, s.mtime_ns,
    s.inode, s.trust, s.n_chunks, s.ingested_at, s.skip_reason
    from source s join project p on p.id = s.project_id"""


def to_source(row: Row) -> StoredSource:
    """A row of SELECT_SOURCE."""
    return StoredSource(
        id=row[0],
        path=unpack_path(row[1]),
        project=unpack_text(row[2]),
        media_type=unpack_text(row[3]),
        title=unpack_text(row[4]),
        content_hash=row[5],
        stamp=FileStamp(row[6], row[7], unpack_inode(row[8])),
        trust=Trust(row[9]),
        n_chunks=row[10],
        ingested_at=row[11],
        skip_reason=None if row[12] is None else unpack_text(row[12]),
    )


def pack_inode(inode: int) -> int:
    """SQLite integers are signed; file identities of ReFS and ZFS may use the 64th bit."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def unpack_inode(stored: int) -> int:
    return stored + (1 << 64) if stored < 0 else stored


SELECT_CHUNK = """select c.id, c.source_id, s.path, p.name, s.title, s.media_type, s.trust,
    c.ordinal, c.text, c.byte_start, c.byte_end, c.line_start, c.line_end, c.page, c.headings
    from chunk c join source s on s.id = c.source_id join project p on p.id = s.project_id"""


def to_chunk(row: Row) -> StoredChunk:
    """A row of SELECT_CHUNK."""
    return StoredChunk(
        id=row[0],
        source_id=row[1],
        path=unpack_path(row[2]),
        project=unpack_text(row[3]),
        title=unpack_text(row[4]),
        media_type=unpack_text(row[5]),
        trust=Trust(row[6]),
        chunk=Chunk(
            ordinal=row[7],
            text=unpack_text(row[8]),
            byte_start=row[9],
            byte_end=row[10],
            line_start=row[11],
            line_end=row[12],
            page=row[13],
            heading_path=unpack_headings(row[14]),
        ),
    )


def passage_uid(source_uid: bytes, ordinal: int, text: str) -> bytes:
    """16 bytes that name a passage the same in every store: of its source, its place and its text."""
    data = source_uid + ordinal.to_bytes(4, "big", signed=True) + text.encode("utf-8", _EXACT)
    return hashlib.sha256(data).digest()[:16]


_CITATION = {field.name for field in fields(Citation)}
_LATER = {field.name for field in fields(Citation) if field.default is not MISSING}
"""Fields that citations did not have when only passages were cited."""


def pack_citations(citations: Sequence[Citation]) -> str:
    return json.dumps([asdict(c) for c in citations])


def unpack_citations(stored: str) -> tuple[Citation, ...]:
    """Raises CorruptRecord unless the JSON holds citations of this version's shape."""
    try:
        return tuple(_citation(item) for item in json.loads(stored))
    except (ValueError, TypeError, KeyError):
        raise CorruptRecord(
            "a stored citation cannot be read", hint="restore the data folder from a backup, or delete the conversation"
        ) from None


def _citation(item: dict[str, Any]) -> Citation:
    if not _CITATION - _LATER <= set(item) <= _CITATION:
        raise ValueError("fields of a citation")
    return Citation(**{**item, "heading_path": tuple(item["heading_path"])})
