"""What is in an export: its members, one after the other, in an order and a spelling of which there is only one.

    manifest.json                   schema, counts, size and SHA-256 of every other member
    schemas/*.schema.json           JSON Schemas (2020-12) of what follows
    sources.jsonl memories.jsonl conversations.jsonl items.jsonl edges.jsonl
    markdown/                       the same for reading

A tar needs each size before the content, so everything is read twice, and no more than a file's text is held in memory.
Equal content gives equal bytes in all members but the manifest.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from secondme import __version__
from secondme.errors import Cancelled, StoreError
from secondme.exchange import canonical, item_records, readable, records, schema, tarball
from secondme.memory.portable import Portable, PortableConversation, PortablePassage, PortableSource, PortableTurn
from secondme.types import CancelCheck

SCHEMA = "secondme-export/2"
MANIFEST = "manifest.json"
JSONL = ("sources", "memories", "conversations", "items", "edges")
COUNTED = ("projects", "folders", "sources", "memories", "conversations", "turns", "items", "edges")
MAX_LINE = 64 * 1024 * 1024
"""Longest record in bytes; a text of 10 MB fits whatever it is made of."""

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """Bytes written so far; `n_total` is 0 while they are still counted."""

    n_done: int
    n_total: int


class Sink(Protocol):
    """Where the tar goes: a file, or a seal around one."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class _Measured:
    name: str
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Content:
    """The members of one export, as often as they are asked for; it owns the counts."""

    portable: Portable
    cancelled: CancelCheck
    _counts: Counter[str] = field(default_factory=Counter)
    _measured: list[_Measured] = field(default_factory=list)
    _n_shown: int = -_PIECE

    def counts(self) -> dict[str, int]:
        return {name: self._counts[name] for name in COUNTED}

    def measure(self) -> Iterator[ExportProgress]:
        """Read everything once, for sizes and hashes."""
        n_done = 0
        for name, pieces in self._members():
            hasher, size = hashlib.sha256(), 0
            for piece in pieces:
                hasher.update(piece)
                size += len(piece)
                n_done += len(piece)
                yield from self._progress(n_done, 0)
            self._measured.append(_Measured(name, size, hasher.hexdigest()))

    def write(self, sink: Sink) -> Iterator[ExportProgress]:
        """Read everything again, and write it."""
        counted = self.counts()
        manifest = self._manifest(counted)
        self._counts.clear()
        sink.write(tarball.header(MANIFEST, len(manifest)) + manifest + tarball.padding(len(manifest)))
        n_done, n_total = 0, sum(m.size_bytes for m in self._measured)
        for measured, (name, pieces) in zip(self._measured, self._members(), strict=True):
            sink.write(tarball.header(name, measured.size_bytes))
            before = n_done
            for piece in pieces:
                sink.write(piece)
                n_done += len(piece)
                yield from self._progress(n_done, n_total)
            assert (name, n_done - before) == (measured.name, measured.size_bytes), "the store changed under its lock"
            sink.write(tarball.padding(measured.size_bytes))
        assert self.counts() == counted, "the store changed under its lock"
        sink.write(tarball.END)

    def _progress(self, n_done: int, n_total: int) -> Iterator[ExportProgress]:
        """Now and then an event. Raises Cancelled."""
        if self.cancelled():
            raise Cancelled("stopped; nothing was written")
        if n_done == n_total or not 0 <= n_done - self._n_shown < _PIECE:
            self._n_shown = n_done
            yield ExportProgress(n_done, n_total)

    def _manifest(self, counts: dict[str, int]) -> bytes:
        manifest: records.Record = {
            "schema": SCHEMA,
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "program": f"secondme {__version__}",
            "store": self.portable.store_hash(),
            "counts": counts,
            "members": {m.name: {"bytes": m.size_bytes, "sha256": m.sha256} for m in self._measured},
        }
        return canonical.dumps(manifest | {"digest": hashlib.sha256(canonical.dumps(manifest)).hexdigest()}) + b"\n"

    # Members ---------------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(name, pieces of content); the pieces of one have to be used up before the next is asked for."""
        for name in schema.NAMES:
            yield f"schemas/{name}.schema.json", iter([schema.schema_bytes(name)])
        writers: dict[str, Callable[[], Iterator[records.Record]]] = {
            "sources": self._sources,
            "memories": self._memories,
            "conversations": self._conversations,
            "items": self._items,
            "edges": self._edges,
        }
        for name in JSONL:
            yield f"{name}.jsonl", _pieces(writers[name]())
        for conversation, turns in with_turns(self.portable.conversations()):
            text = readable.conversation_markdown(conversation, turns)
            yield readable.conversation_name(conversation), iter([text])
        for source, passages in self._with_passages():
            if passages:
                yield readable.source_name(source), iter([readable.source_markdown(source, passages)])
        uids = {project.name: project for project in self.portable.projects()}
        for name, items in groupby(self.portable.items(), lambda item: item.project):
            yield readable.items_name(uids[name]), iter([readable.items_markdown(name, items)])

    def _sources(self) -> Iterator[records.Record]:
        for project in self.portable.projects():
            self._counts["projects"] += 1
            yield records.project_record(project)
        for folder in self.portable.folders():
            self._counts["folders"] += 1
            yield records.folder_record(folder)
        for source in self.portable.sources():
            self._counts["sources"] += 1
            yield records.source_record(source)

    def _memories(self) -> Iterator[records.Record]:
        for source, passages in self._with_passages():
            for passage in passages:
                self._counts["memories"] += 1
                yield records.passage_record(passage, source)

    def _conversations(self) -> Iterator[records.Record]:
        for item in self.portable.conversations():
            if isinstance(item, PortableConversation):
                self._counts["conversations"] += 1
                yield records.conversation_record(item)
            else:
                self._counts["turns"] += 1
                yield records.turn_record(item)

    def _items(self) -> Iterator[records.Record]:
        for item in self.portable.items():
            self._counts["items"] += 1
            yield item_records.item_record(item)

    def _edges(self) -> Iterator[records.Record]:
        for edge in self._all_edges():
            self._counts["edges"] += 1
            yield edge

    def _all_edges(self) -> Iterator[records.Record]:
        yield from (records.part_of(passage) for passage in self.portable.passages())
        for item in self.portable.conversations():
            if isinstance(item, PortableTurn):
                yield from records.cites(item)
        yield from (records.edge_record(edge) for edge in self.portable.edges())
        yield from (item_records.link_record(link) for link in self.portable.links())

    def _with_passages(self) -> Iterator[tuple[PortableSource, list[PortablePassage]]]:
        """Each source with its passages: both are read in the same order."""
        groups = groupby(self.portable.passages(), lambda p: p.source)
        for source in self.portable.sources():
            passages = list(next(groups)[1]) if source.n_passages else []
            yield source, passages


def with_turns(
    items: Iterator[PortableConversation | PortableTurn],
) -> Iterator[tuple[PortableConversation, list[PortableTurn]]]:
    """Each conversation with the turns that follow it."""
    conversation: PortableConversation | None = None
    turns: list[PortableTurn] = []
    for item in items:
        if isinstance(item, PortableTurn):
            turns.append(item)
            continue
        if conversation is not None:
            yield conversation, turns
        conversation, turns = item, []
    if conversation is not None:
        yield conversation, turns


def _pieces(found: Iterator[records.Record]) -> Iterator[bytes]:
    """Lines, several at a time."""
    piece = bytearray()
    for record in found:
        line = canonical.dumps(record)
        if len(line) > MAX_LINE:
            raise StoreError("a text in memory is too long to be exported", hint="delete the conversation it is in")
        piece += line + b"\n"
        if len(piece) > _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
