"""Portable items as the objects of an export's JSON lines, and back. What comes back was validated by its schema."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from secondme.memory.portable import (
    NO_CHUNK,
    PortableCitation,
    PortableConversation,
    PortableEdge,
    PortableFolder,
    PortablePassage,
    PortableProject,
    PortableSource,
    PortableTurn,
    whole,
)
from secondme.types import Chunk, Citation, FileStamp, Trust

Record = dict[str, Any]

PART_OF = "part_of"
CITES = "cites"

# Sources ---------------------------------------------------------------------------------------------------------


def project_record(project: PortableProject) -> Record:
    return {"type": "project", "uid": project.uid.hex(), "name": project.name}


def to_project(record: Record) -> PortableProject:
    return PortableProject(bytes.fromhex(record["uid"]), record["name"])


def folder_record(folder: PortableFolder) -> Record:
    return {
        "type": "folder",
        "project": folder.project,
        "path": folder.path,
        "watch": folder.watch,
        "added_at": folder.added_at,
    }


def to_folder(record: Record) -> PortableFolder:
    return PortableFolder(record["project"], record["path"], record["watch"], float(record["added_at"]))


def source_record(source: PortableSource) -> Record:
    return {
        "type": "source",
        "uid": source.uid.hex(),
        "project": source.project,
        "path": source.path,
        "media_type": source.media_type,
        "title": source.title,
        "sha256": source.content_hash.hex(),
        "size_bytes": source.stamp.size_bytes,
        "mtime_ns": source.stamp.mtime_ns,
        "inode": source.stamp.inode,
        "trust": source.trust.value,
        "n_passages": source.n_passages,
        "ingested_at": source.ingested_at,
        "skip_reason": source.skip_reason,
        "origin": source.origin,
    }


def to_source(record: Record) -> PortableSource:
    return PortableSource(
        uid=bytes.fromhex(record["uid"]),
        project=record["project"],
        path=record["path"],
        media_type=record["media_type"],
        title=record["title"],
        content_hash=bytes.fromhex(record["sha256"]),
        stamp=FileStamp(record["size_bytes"], record["mtime_ns"], record["inode"]),
        trust=Trust(record["trust"]),
        n_passages=record["n_passages"],
        ingested_at=float(record["ingested_at"]),
        skip_reason=record["skip_reason"],
        origin=record["origin"],
    )


# Passages --------------------------------------------------------------------------------------------------------


def passage_record(passage: PortablePassage, source: PortableSource) -> Record:
    chunk = passage.chunk
    return {
        "type": "resource",
        "uid": passage.uid.hex(),
        "source": source.uid.hex(),
        "project": source.project,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "byte_start": chunk.byte_start,
        "byte_end": chunk.byte_end,
        "line_start": chunk.line_start,
        "line_end": chunk.line_end,
        "page": chunk.page,
        "headings": list(chunk.heading_path),
        "trust": source.trust.value,
        "provenance": {"path": source.path, "sha256": source.content_hash.hex(), "origin": source.origin},
    }


def to_passage(record: Record) -> PortablePassage:
    chunk = Chunk(
        ordinal=record["ordinal"],
        text=record["text"],
        byte_start=record["byte_start"],
        byte_end=record["byte_end"],
        line_start=record["line_start"],
        line_end=record["line_end"],
        page=record["page"],
        heading_path=tuple(record["headings"]),
    )
    return PortablePassage(bytes.fromhex(record["source"]), chunk)


# Conversations ---------------------------------------------------------------------------------------------------


def conversation_record(conversation: PortableConversation) -> Record:
    return {
        "type": "conversation",
        "uid": conversation.uid.hex(),
        "project": conversation.project,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "n_turns": conversation.n_turns,
        "origin": conversation.origin,
    }


def to_conversation(record: Record) -> PortableConversation:
    return PortableConversation(
        uid=bytes.fromhex(record["uid"]),
        project=record["project"],
        title=record["title"],
        created_at=float(record["created_at"]),
        updated_at=float(record["updated_at"]),
        n_turns=record["n_turns"],
        origin=record["origin"],
    )


def turn_record(turn: PortableTurn) -> Record:
    # Most turns have none, and a record says it only then.
    speaker = {"speaker": turn.speaker} if turn.speaker else {}
    return speaker | {
        "type": "turn",
        "uid": turn.uid.hex(),
        "conversation": turn.conversation.hex(),
        "role": turn.role,
        "text": turn.text,
        "created_at": turn.created_at,
        "citations": [_citation_record(c) for c in turn.citations],
        "origin": turn.origin,
    }


def to_turn(record: Record) -> PortableTurn:
    return PortableTurn(
        uid=bytes.fromhex(record["uid"]),
        conversation=bytes.fromhex(record["conversation"]),
        role=record["role"],
        text=record["text"],
        created_at=float(record["created_at"]),
        citations=tuple(_to_citation(c) for c in record["citations"]),
        origin=record["origin"],
        speaker=record.get("speaker", ""),
    )


# What a citation has here and in an export alike; ids are local, `heading_path` is called `headings`.
_OWN = frozenset({"chunk_id", "heading_path", "kind", "turn_id", "item_id", "at"})
_SAME = tuple(f.name for f in fields(Citation) if f.name not in _OWN)


def _citation_record(cited: PortableCitation) -> Record:
    citation = cited.citation
    record = {name: getattr(citation, name) for name in _SAME}
    record |= {name: whole(value) for name, value in record.items() if isinstance(value, str)}
    of = None if cited.passage is None else cited.passage.hex()
    if citation.kind != "passage":
        record |= {"kind": citation.kind, "of": of, "at": citation.at}
    return record | {
        "passage": of if citation.kind == "passage" else None,
        "headings": [whole(h) for h in citation.heading_path],
        # JSON has no infinity; a score only ever served to order one answer's passages.
        "score": citation.score if math.isfinite(citation.score) else 0.0,
    }


def _to_citation(record: Record) -> PortableCitation:
    same = {name: record[name] for name in _SAME}
    kind = record.get("kind", "passage")
    at = float(record.get("at", 0.0))
    citation = Citation(chunk_id=NO_CHUNK, heading_path=tuple(record["headings"]), kind=kind, at=at, **same)
    of = record["passage"] if kind == "passage" else record.get("of")
    return PortableCitation(None if of is None else bytes.fromhex(of), citation)


# Links -----------------------------------------------------------------------------------------------------------


def edge_record(edge: PortableEdge) -> Record:
    return {"from": edge.from_uid.hex(), "to": edge.to_uid.hex(), "kind": edge.kind, "at": edge.at}


def to_edge(record: Record) -> PortableEdge | None:
    """None for a link that follows from the records themselves, or one between items."""
    if "at" not in record:
        return None
    return PortableEdge(bytes.fromhex(record["from"]), bytes.fromhex(record["to"]), record["kind"], float(record["at"]))


def part_of(passage: PortablePassage) -> Record:
    return {"from": passage.uid.hex(), "to": passage.source.hex(), "kind": PART_OF}


def cites(turn: PortableTurn) -> list[Record]:
    """A turn's links, each passage, turn or item once."""
    cited = dict.fromkeys(c.passage for c in turn.citations if c.passage is not None)
    return [{"from": turn.uid.hex(), "to": uid.hex(), "kind": CITES} for uid in cited]
