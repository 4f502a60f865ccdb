"""Reads an export of secondme, trusting nothing: every byte is accounted for before an item is handed on.

The seal of a sealed export authenticates it. In a plain one the manifest's hashes find every accidental change; whoever
can change a plain export on purpose can change its manifest as well.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import BinaryIO, get_args

from secondme.crypto.age import AgeReader, Opened
from secondme.errors import CorruptRecord, SchemaTooNew
from secondme.exchange import canonical, item_records, readable, records, schema, tarball
from secondme.exchange.canonical import TAKE_ANOTHER
from secondme.exchange.content import JSONL, MANIFEST, MAX_LINE, SCHEMA
from secondme.memory.item_transfer import PortableItem, PortableLink
from secondme.memory.portable import (
    PortableConversation,
    PortableEdge,
    PortableFolder,
    PortablePassage,
    PortableProject,
    PortableSource,
    PortableTurn,
)
from secondme.types import LinkKind

MAX_MANIFEST = 256 * 1024 * 1024
_SCHEMAS = ("secondme-export/1", SCHEMA)
_FIRST = (*(f"schemas/{name}.schema.json" for name in schema.NAMES), *(f"{name}.jsonl" for name in JSONL))
# The first format knew nothing of what was learned.
_FIRST_OF_1 = tuple(name for name in _FIRST if "items" not in name)
_VERSION = re.compile(rb'"schema":"secondme-export/([0-9]{1,9})"')

Item = (
    PortableProject
    | PortableFolder
    | PortableSource
    | PortablePassage
    | PortableConversation
    | PortableTurn
    | PortableItem
    | PortableEdge
    | PortableLink
)
"""What comes out, in this order; passages together by source, turns behind their conversation."""


def items(file: BinaryIO, opened: Opened | None) -> Iterator[Item]:
    """Everything in the export in `file`, which is sealed if there is an `opened` header.

    Only when the last item has come, without an error, is the whole known to be sound. Raises CorruptRecord, and
    SchemaTooNew for an export of a later version.
    """
    if opened is None:
        file.seek(0)
    content = file if opened is None else BufferedReader(AgeReader(file, opened), 1 << 20)
    reading = _Reading()
    for n, member in enumerate(tarball.members(content)):
        if n == 0:
            reading.manifest = _manifest(member)
            continue
        expected = reading.expect(n - 1, member)
        name = member.name.removesuffix(".jsonl")
        if name in JSONL:
            yield from reading.read(name, member)
        member.finish()
        if member.sha256 != expected["sha256"]:
            raise _wrong("content differs from what the manifest says")
    reading.finish()


def _manifest(member: tarball.Member) -> records.Record:
    if member.name != MANIFEST or member.size_bytes > MAX_MANIFEST:
        raise _wrong("there is no manifest")
    line = member.read(member.size_bytes)
    version = _VERSION.search(line)
    if version is not None and version[0] not in [f'"schema":"{name}"'.encode() for name in _SCHEMAS]:
        raise SchemaTooNew(
            f"the export has format version {version[1].decode()}, and this secondme knows {len(_SCHEMAS)}",
            hint="update secondme",
        )
    if not line.endswith(b"\n"):
        raise _wrong("the manifest is cut off")
    manifest: records.Record = canonical.loads(line[:-1])
    if not schema.fits(manifest, "manifest"):
        raise _wrong("the manifest is not one")
    if ("items" in manifest["counts"]) != (manifest["schema"] == SCHEMA):
        raise _wrong("the manifest is not of its version")
    unsigned = {name: value for name, value in manifest.items() if name != "digest"}
    if hashlib.sha256(canonical.dumps(unsigned)).hexdigest() != manifest["digest"]:
        raise _wrong("the manifest was changed")
    return manifest


@dataclass(slots=True)
class _Reading:
    """What was read so far, to hold the rest against."""

    manifest: records.Record = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _uids: set[bytes] = field(default_factory=set)
    _projects: set[str] = field(default_factory=set)
    _places: set[tuple[str, str]] = field(default_factory=set)
    _sources: dict[bytes, PortableSource] = field(default_factory=dict)
    _n_bytes: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _cited: set[bytes] = field(default_factory=set)
    _items: set[bytes] = field(default_factory=set)
    _last: PortablePassage | None = None
    _n_passages: Counter[bytes] = field(default_factory=Counter)
    _conversation: PortableConversation | None = None
    _n_turns: int = 0
    _links: hashlib._Hash = field(default_factory=hashlib.sha256)
    _links_found: hashlib._Hash = field(default_factory=hashlib.sha256)

    def expect(self, n: int, member: tarball.Member) -> records.Record:
        """The manifest's words on the `n`th member after it."""
        first = _FIRST if self.manifest["schema"] == SCHEMA else _FIRST_OF_1
        in_place = member.name == first[n] if n < len(first) else readable.NAME.match(member.name) is not None
        expected: records.Record | None = self.manifest["members"].get(member.name)
        if not in_place or expected is None or member.name in self._seen or expected["bytes"] != member.size_bytes:
            raise _wrong("a part of it is not in its place")
        self._seen.add(member.name)
        return expected

    def read(self, name: str, member: tarball.Member) -> Iterator[Item]:
        """The items of a `.jsonl` member, each checked by its schema and against what came before."""
        for line in member.lines(MAX_LINE):
            record = canonical.loads(line)
            if not schema.fits(record, name):
                raise _wrong("a record is not what its schema says")
            item = self._item(name, record)
            if item is not None:
                yield item
        if name == "memories" and any(s.n_passages != self._n_passages[uid] for uid, s in self._sources.items()):
            raise _wrong("passages are missing")
        if name == "conversations":
            self._finish_conversation()

    def finish(self) -> None:
        if self._seen != set(self.manifest.get("members", ("",))):
            raise _wrong("parts of it are missing")
        if any(self._counts[name] != n for name, n in self.manifest["counts"].items()):
            raise _wrong("it does not hold as much as the manifest says")
        if not self._cited <= self._uids:
            raise _wrong("a turn cites something that is not there")
        if self._links.digest() != self._links_found.digest():
            raise _wrong("links do not fit the records")

    # One record ------------------------------------------------------------------------------------------------

    def _item(self, name: str, record: records.Record) -> Item | None:
        match name, record.get("type"):
            case "sources", "project":
                return self._project(records.to_project(record))
            case "sources", "folder":
                self._counts["folders"] += 1
                return records.to_folder(record)
            case "sources", _:
                return self._a_source(records.to_source(record))
            case "memories", _:
                return self._passage(records.to_passage(record), record)
            case "conversations", "conversation":
                return self._a_conversation(records.to_conversation(record))
            case "conversations", _:
                return self._turn(records.to_turn(record), record)
            case "items", _:
                return self._an_item(item_records.to_item(record))
        self._counts["edges"] += 1
        if "weight" in record:
            return self._link(item_records.to_link(record), record)
        edge = records.to_edge(record)
        if edge is None:
            self._links_found.update(canonical.dumps(record))
        return edge

    def _once(self, uid: bytes) -> None:
        if uid in self._uids:
            raise _wrong("an item comes twice")
        self._uids.add(uid)

    def _project(self, project: PortableProject) -> PortableProject:
        self._once(project.uid)
        if project.name in self._projects:
            raise _wrong("a project comes twice")
        self._projects.add(project.name)
        self._counts["projects"] += 1
        return project

    def _a_source(self, source: PortableSource) -> PortableSource:
        self._once(source.uid)
        place = (source.project, source.path)
        if place in self._places or (source.skip_reason is not None and source.n_passages):
            raise _wrong("a file comes twice, or has passages although it was left out")
        self._places.add(place)
        self._sources[source.uid] = source
        self._counts["sources"] += 1
        return source

    def _passage(self, passage: PortablePassage, record: records.Record) -> PortablePassage:
        source = self._sources.get(passage.source)
        if source is None or records.passage_record(passage, source) != record:
            raise _wrong("a passage does not fit its file")
        begun = self._n_passages[passage.source] > 0
        # There are gaps where a passage was forgotten.
        if begun and (self._last is None or self._last.source != passage.source):
            raise _wrong("passages are not with their file")
        if begun and self._last is not None and self._last.chunk.ordinal >= passage.chunk.ordinal:
            raise _wrong("passages are not in order")
        self._last = passage
        self._n_passages[passage.source] += 1
        self._n_bytes["passage", passage.uid] = len(passage.chunk.text.encode("utf-8", "surrogatepass"))
        self._counts["memories"] += 1
        self._links.update(canonical.dumps(records.part_of(passage)))
        return passage

    def _a_conversation(self, conversation: PortableConversation) -> PortableConversation:
        self._finish_conversation()
        self._once(conversation.uid)
        self._conversation, self._n_turns = conversation, 0
        self._counts["conversations"] += 1
        return conversation

    def _finish_conversation(self) -> None:
        if self._conversation is not None and self._n_turns != self._conversation.n_turns:
            raise _wrong("turns are missing")

    def _turn(self, turn: PortableTurn, record: records.Record) -> PortableTurn:
        self._once(turn.uid)
        if records.turn_record(turn) != record:
            raise _wrong("a citation is not of its kind")
        if self._conversation is None or turn.conversation != self._conversation.uid:
            raise _wrong("a turn is not with its conversation")
        for uid, kind in ((c.passage, c.citation.kind) for c in turn.citations if c.passage is not None):
            if kind == "passage" and (kind, uid) not in self._n_bytes:
                raise _wrong("a turn cites a passage that is not there")
            if kind != "passage":
                self._cited.add(uid)
        self._n_bytes["turn", turn.uid] = len(turn.text.encode("utf-8", "surrogatepass"))
        self._n_turns += 1
        self._counts["turns"] += 1
        for link in records.cites(turn):
            self._links.update(canonical.dumps(link))
        return turn

    def _an_item(self, item: PortableItem) -> PortableItem:
        self._once(item.uid)
        if item.continues is not None and item.continues not in self._items:
            raise _wrong("a part of something learned is without the rest")
        if list(item.spans) != sorted(set(item.spans)):
            raise _wrong("places are not in order")
        for span in item.spans:
            if not 0 <= span.byte_start <= span.byte_end <= self._n_bytes.get((span.kind, span.of), -1):
                raise _wrong("something was learned from a place that is not there")
        self._items.add(item.uid)
        self._counts["items"] += 1
        return item

    def _link(self, link: PortableLink, record: records.Record) -> PortableLink:
        if item_records.link_record(link) != record or link.kind not in get_args(LinkKind):
            raise _wrong("a link is not of its kind")
        if not {link.from_uid, link.to_uid} <= self._items:
            raise _wrong("a link is to something that is not there")
        return link


def _wrong(what: str) -> CorruptRecord:
    return CorruptRecord(f"the export is damaged or was changed: {what}", hint=TAKE_ANOTHER)
