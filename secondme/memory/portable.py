"""Everything a store holds, as values that mean the same in another store: no local ids, no vectors, no index.

Reading comes in an order that does not depend on the order of storing, so that two stores with the same content read
the same. Every function works on a connection inside the caller's transaction; `arrivals.py` is the other direction.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import apsw

from secondme.memory import item_transfer
from secondme.memory.item_transfer import Origin, PortableItem, PortableLink, unpack_origin
from secondme.memory.rows import (
    passage_uid,
    unpack_citations,
    unpack_headings,
    unpack_inode,
    unpack_path,
    unpack_text,
)
from secondme.types import Chunk, Citation, FileStamp, Role, Trust

UID_BYTES = 16
NO_CHUNK = 0
"""The chunk id of a citation whose passage is not in this store; no passage ever has it."""


@dataclass(frozen=True, slots=True)
class PortableProject:
    uid: bytes
    name: str


@dataclass(frozen=True, slots=True)
class PortableFolder:
    project: str
    path: str
    watch: bool
    added_at: float


@dataclass(frozen=True, slots=True)
class PortableSource:
    """A file in memory, or one that was left out; its passages come apart."""

    uid: bytes
    project: str
    path: str
    media_type: str
    title: str
    content_hash: bytes
    stamp: FileStamp
    trust: Trust
    n_passages: int
    ingested_at: float
    skip_reason: str | None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class PortablePassage:
    """A passage with the uid of the source it is part of."""

    source: bytes
    chunk: Chunk

    @property
    def uid(self) -> bytes:
        return passage_uid(self.source, self.chunk.ordinal, self.chunk.text)


@dataclass(frozen=True, slots=True)
class PortableCitation:
    """A citation with the uid of its passage, turn or item, None if that is gone; its own ids are NO_CHUNK."""

    passage: bytes | None
    citation: Citation


@dataclass(frozen=True, slots=True)
class PortableTurn:
    uid: bytes
    conversation: bytes
    role: Role
    text: str
    created_at: float
    citations: tuple[PortableCitation, ...] = ()
    origin: Origin | None = None
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class PortableConversation:
    uid: bytes
    project: str
    title: str
    created_at: float
    updated_at: float
    n_turns: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class PortableEdge:
    """A link that is stored as such; what follows from the records themselves is not among them."""

    from_uid: bytes
    to_uid: bytes
    kind: str
    at: float


class Portable:
    """A store's content, read in one go; the caller holds the store's lock meanwhile."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._passage_of = lru_cache(maxsize=10_000)(self._find_passage)

    def store_hash(self) -> str:
        """Tells one store from another and says nothing else, hexadecimal."""
        start = self._connection.execute("select value from setting where name = 'oplog_genesis'").get
        return hashlib.sha256(b"secondme export\0" + (start if isinstance(start, bytes) else b"")).hexdigest()

    def projects(self) -> Iterator[PortableProject]:
        for uid, name in self._connection.execute("select uid, name from project order by name"):
            yield PortableProject(uid, whole(unpack_text(name)))

    def folders(self) -> Iterator[PortableFolder]:
        sql = """select p.name, f.path, f.watch, f.added_at from folder f join project p on p.id = f.project_id
                 order by p.name, f.path"""
        for name, path, watch, added_at in self._connection.execute(sql):
            yield PortableFolder(whole(unpack_text(name)), whole(unpack_path(path)), bool(watch), added_at)

    def sources(self) -> Iterator[PortableSource]:
        sql = """select s.uid, p.name, s.path, s.media_type, s.title, s.content_hash, s.size_bytes, s.mtime_ns, s.inode,
                     s.trust, (select count(*) from chunk c where c.source_id = s.id), s.ingested_at, s.skip_reason,
                     s.origin
                 from source s join project p on p.id = s.project_id order by p.name, s.path"""
        for row in self._connection.execute(sql):
            yield PortableSource(
                uid=row[0],
                project=whole(unpack_text(row[1])),
                path=whole(unpack_path(row[2])),
                media_type=whole(unpack_text(row[3])),
                title=whole(unpack_text(row[4])),
                content_hash=row[5],
                stamp=FileStamp(row[6], row[7], unpack_inode(row[8])),
                trust=Trust(row[9]),
                n_passages=row[10],
                ingested_at=row[11],
                skip_reason=None if row[12] is None else whole(unpack_text(row[12])),
                origin=unpack_origin(row[13]),
            )

    def passages(self) -> Iterator[PortablePassage]:
        """All passages, in the order of their sources and of the text."""
        sql = """select s.uid, c.ordinal, c.text, c.byte_start, c.byte_end, c.line_start, c.line_end, c.page, c.headings
                 from chunk c join source s on s.id = c.source_id join project p on p.id = s.project_id
                 order by p.name, s.path, c.ordinal"""
        for row in self._connection.execute(sql):
            headings = tuple(whole(h) for h in unpack_headings(row[8]))
            text = whole(unpack_text(row[2]))
            yield PortablePassage(row[0], Chunk(row[1], text, row[3], row[4], row[5], row[6], row[7], headings))

    def conversations(self) -> Iterator[PortableConversation | PortableTurn]:
        """Each conversation, the oldest first, followed by its turns in order."""
        sql = """select c.id, c.uid, p.name, c.title, c.created_at, c.updated_at, c.origin,
                     (select count(*) from turn t where t.conversation_id = c.id)
                 from conversation c join project p on p.id = c.project_id order by c.created_at, c.uid"""
        for local_id, uid, name, title, created_at, updated_at, origin, n_turns in self._connection.execute(sql):
            yield PortableConversation(
                uid,
                whole(unpack_text(name)),
                whole(unpack_text(title)),
                created_at,
                updated_at,
                n_turns,
                unpack_origin(origin),
            )
            yield from self._turns(local_id, uid)

    def _turns(self, local_id: int, conversation: bytes) -> Iterator[PortableTurn]:
        sql = """select uid, role, text, created_at, citations, origin, coalesce(speaker, '')
                 from turn where conversation_id = ? order by id"""
        for uid, role, text, created_at, citations, origin, speaker in self._connection.execute(sql, (local_id,)):
            cited = tuple(self._citation(c) for c in unpack_citations(citations))
            texts = (whole(unpack_text(text)), whole(unpack_text(speaker)))
            yield PortableTurn(uid, conversation, role, texts[0], created_at, cited, unpack_origin(origin), texts[1])

    def _citation(self, citation: Citation) -> PortableCitation:
        found = self._cited(citation)
        return PortableCitation(found, replace(citation, chunk_id=NO_CHUNK, turn_id=NO_CHUNK, item_id=NO_CHUNK))

    def _cited(self, citation: Citation) -> bytes | None:
        if citation.kind == "passage":
            return self._passage_of(citation.chunk_id)
        sql = f"select uid from {citation.kind} where id = ?"  # noqa: S608  one of two
        found = self._connection.execute(sql, (citation.turn_id if citation.kind == "turn" else citation.item_id,)).get
        return None if found is None else bytes(found)

    def _find_passage(self, chunk_id: int) -> bytes | None:
        sql = "select s.uid, c.ordinal, c.text from chunk c join source s on s.id = c.source_id where c.id = ?"
        row = self._connection.execute(sql, (chunk_id,)).fetchone()
        return None if row is None else passage_uid(row[0], row[1], whole(unpack_text(row[2])))

    def items(self) -> Iterator[PortableItem]:
        """What was learned, project by project, the oldest first, pieces of an item behind it."""
        return item_transfer.leaving(self._connection, whole, self._passage_of)

    def links(self) -> Iterator[PortableLink]:
        return item_transfer.leaving_links(self._connection)

    def edges(self) -> Iterator[PortableEdge]:
        for row in self._connection.execute("select from_uid, to_uid, kind, at from edge order by 1, 2, 3"):
            yield PortableEdge(*row)


_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def whole(text: str) -> str:
    """`text` with each character that is held as two halves joined: JSON cannot tell the one from the other."""
    if _SPLIT_PAIR.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
