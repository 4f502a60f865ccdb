"""Puts portable items into a store, each only once: the other direction of `portable.py`.

What is here already stays as it is. Every item that is new gets its step in the operation log. Vectors come later, see
`Store.unembedded`. All works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import apsw

from secondme.memory import oplog
from secondme.memory.digests import conversation_digest, folder_digest, source_digest, turn_digest
from secondme.memory.item_transfer import ItemArrivals, Outcome, PortableItem, PortableLink, pack_origin
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
)
from secondme.memory.rows import pack_citations, pack_inode, pack_path, pack_text
from secondme.memory.sources import insert_chunk
from secondme.memory.tombstones import Place, Tombstones, wording
from secondme.types import Citation

_Value = int | float | str | bytes | None


class Arrivals:
    """What is being imported. Sources come before their passages, passages before the turns that cite them.

    `stones` are held against files and passages; None brings back what was forgotten.
    """

    def __init__(self, connection: apsw.Connection, actor: str, stones: Tombstones | None) -> None:
        self._connection = connection
        self._actor = actor
        self._stones = stones
        self._projects: dict[str, int] = {}
        self._new_sources: dict[bytes, tuple[int, PortableSource]] = {}
        self._kept_sources: dict[bytes, int] = {}
        self._passages: dict[bytes, int] = {}
        self._citing: list[tuple[int, int, tuple[PortableCitation, ...]]] = []
        self._items = ItemArrivals(connection, actor, stones, self._passages)

    # Sources ---------------------------------------------------------------------------------------------------

    def add_project(self, project: PortableProject) -> Outcome:
        """A project is its name; the uid of one that is here stays."""
        found = self._one("select id from project where name = ?", pack_text(project.name))
        outcome: Outcome = "known"
        if found is None:
            taken = self._one("select id from project where uid = ?", project.uid) is not None
            sql = "insert into project(name, uid) values(?, coalesce(?, randomblob(16))) returning id"
            found = self._insert(sql, pack_text(project.name), None if taken else project.uid)
            outcome = "new"
        self._projects[project.name] = found
        return outcome

    def _project(self, name: str) -> int:
        if name not in self._projects:
            found = self._one("select id from project where name = ?", pack_text(name))
            sql = "insert into project(name, uid) values(?, randomblob(16)) returning id"
            self._projects[name] = self._insert(sql, pack_text(name)) if found is None else found
        return self._projects[name]

    def add_folder(self, folder: PortableFolder) -> Outcome:
        key = (self._project(folder.project), pack_path(folder.path))
        if self._one("select id from folder where project_id = ? and path = ?", *key) is not None:
            return "known"
        sql = "insert into folder(project_id, path, watch, added_at) values(?, ?, ?, ?) returning id"
        local_id = self._insert(sql, *key, int(folder.watch), folder.added_at)
        self._log(f"folder:{local_id}", folder_digest(self._connection, local_id))
        return "new"

    def add_source(self, source: PortableSource) -> Outcome:
        """Make the source's row; one that is new gets its passages by `add_passages`."""
        row = self._connection.execute("select id, content_hash from source where uid = ?", (source.uid,)).fetchone()
        if row is not None:
            self._kept_sources[source.uid] = row[0]
            return "known" if row[1] == source.content_hash else "kept"
        key = (self._project(source.project), pack_path(source.path))
        taken = self._one("select id from source where project_id = ? and path = ?", *key)
        if taken is not None:
            self._kept_sources[source.uid] = taken
            return "kept"
        if self._stones is not None and self._stones.hides_path(source.project, source.path):
            return "forgotten"
        local_id = self._insert(
            """insert into source(project_id, path, uid, media_type, title, content_hash, size_bytes, mtime_ns, inode,
                   trust, n_chunks, ingested_at, skip_reason, origin)
               values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) returning id""",
            *key,
            source.uid,
            pack_text(source.media_type),
            pack_text(source.title),
            source.content_hash,
            source.stamp.size_bytes,
            source.stamp.mtime_ns,
            pack_inode(source.stamp.inode),
            source.trust.value,
            source.n_passages,
            source.ingested_at,
            None if source.skip_reason is None else pack_text(source.skip_reason),
            pack_origin(source.origin),
        )
        if source.n_passages:
            self._new_sources[source.uid] = (local_id, source)
        else:
            self._finish_source(local_id, 0)
        return "new"

    def add_passages(self, source: bytes, passages: Sequence[PortablePassage]) -> int:
        """All passages of a source at once; how many were stored: none of a source that is no new one."""
        if source not in self._new_sources:
            self._find_passages(source, passages)
            return 0
        local_id, row = self._new_sources.pop(source)
        self._kept_sources[source] = local_id
        wanted = self._wanted(passages, Place(row.project, row.path, local_id))
        for passage in wanted:
            self._passages[passage.uid] = insert_chunk(self._connection, local_id, passage.chunk)
        if len(wanted) != len(passages):
            self._connection.execute("update source set n_chunks = ? where id = ?", (len(wanted), local_id))
        self._connection.execute(
            """insert into word(rowid, text, title, headings)
               select w.id, w.text, w.title, w.headings from chunk c join chunk_words w on w.id = c.id
               where c.source_id = ?""",
            (local_id,),
        )
        self._finish_source(local_id, len(wanted))
        return len(wanted)

    def _wanted(self, passages: Sequence[PortablePassage], place: Place) -> list[PortablePassage]:
        """Without what was forgotten: spaces in its place, as ingest does it."""
        if self._stones is None or not self._stones.texts:
            return list(passages)
        masked = [
            replace(p, chunk=replace(p.chunk, text=self._stones.masked(p.chunk.text, place)))
            for p in passages
            if not self._stones.hides(p.chunk.text, place)
        ]
        return [p for p in masked if wording(p.chunk.text)]

    def _find_passages(self, source: bytes, passages: Sequence[PortablePassage]) -> None:
        """Citations of a file that is here already point at its passages, where the text is the same."""
        kept = self._kept_sources.get(source)
        for passage in passages:
            sql = "select id from chunk where source_id = ? and ordinal = ? and text = ?"
            found = self._one(sql, kept, passage.chunk.ordinal, pack_text(passage.chunk.text))
            if found is not None:
                self._passages[passage.uid] = found

    def _finish_source(self, local_id: int, n_passages: int) -> None:
        last = self._one("select coalesce(max(id), 0) from chunk where source_id = ?", local_id)
        detail = {"passages": n_passages, "last": last}
        self._log(f"source:{local_id}", source_digest(self._connection, local_id), detail)

    # Conversations ---------------------------------------------------------------------------------------------

    def add_conversation(
        self, conversation: PortableConversation, turns: Sequence[PortableTurn]
    ) -> tuple[Outcome, int]:
        """Store a conversation, or the turns that one which is here has not got yet; return how many are new."""
        found = self._one("select id from conversation where uid = ?", conversation.uid)
        local_id = self._insert_conversation(conversation) if found is None else found
        n_new = sum(self._add_turn(local_id, turn) for turn in turns)
        if found is not None and n_new:
            sql = "update conversation set updated_at = max(updated_at, ?) where id = ?"
            self._connection.execute(sql, (conversation.updated_at, local_id))
        return ("new" if found is None else "known"), n_new

    def _insert_conversation(self, conversation: PortableConversation) -> int:
        local_id = self._insert(
            """insert into conversation(project_id, uid, title, created_at, updated_at, origin)
               values(?, ?, ?, ?, ?, ?) returning id""",
            self._project(conversation.project),
            conversation.uid,
            pack_text(conversation.title),
            conversation.created_at,
            conversation.updated_at,
            pack_origin(conversation.origin),
        )
        self._log(f"conversation:{local_id}", conversation_digest(self._connection, local_id))
        return local_id

    def _add_turn(self, conversation_id: int, turn: PortableTurn) -> bool:
        if self._one("select id from turn where uid = ?", turn.uid) is not None:
            return False
        local_id = self._insert(
            """insert into turn(conversation_id, uid, role, text, created_at, citations, origin, speaker)
               values(?, ?, ?, ?, ?, ?, ?, ?) returning id""",
            conversation_id,
            turn.uid,
            turn.role,
            pack_text(turn.text),
            turn.created_at,
            pack_citations([self._local(c) for c in turn.citations]),
            pack_origin(turn.origin),
            pack_text(turn.speaker) if turn.speaker else None,
        )
        if any(c.citation.kind != "passage" for c in turn.citations):
            # What it cites may come only later.
            self._citing.append((local_id, conversation_id, turn.citations))
        else:
            self._log_turn(local_id, conversation_id)
        return True

    def _log_turn(self, local_id: int, conversation_id: int) -> None:
        subjects = (f"turn:{local_id}", f"conversation:{conversation_id}")
        digest = turn_digest(self._connection, local_id)
        oplog.append(self._connection, "imported", subjects, digest=digest, actor=self._actor)

    def _local(self, cited: PortableCitation) -> Citation:
        uid, citation = cited.passage, cited.citation
        if citation.kind == "passage":
            return replace(citation, chunk_id=self._passages.get(uid, NO_CHUNK) if uid else NO_CHUNK)
        sql = f"select id from {citation.kind} where uid = ?"  # noqa: S608  one of two
        found = (None if uid is None else self._one(sql, uid)) or NO_CHUNK
        return replace(citation, turn_id=found) if citation.kind == "turn" else replace(citation, item_id=found)

    # What was learned ------------------------------------------------------------------------------------------

    def add_item(self, item: PortableItem) -> Outcome:
        """Store what was learned, behind the passages and the turns that it was learned from."""
        return self._items.add(item, self._project(item.project))

    def add_link(self, link: PortableLink) -> Outcome:
        return self._items.add_link(link)

    def settle(self) -> None:
        """When all has come: let turns cite one another, and what was learned hold when it should."""
        for local_id, conversation_id, citations in self._citing:
            packed = pack_citations([self._local(c) for c in citations])
            self._connection.execute("update turn set citations = ? where id = ?", (packed, local_id))
            self._log_turn(local_id, conversation_id)
        self._citing.clear()
        self._items.settle()

    # Links -----------------------------------------------------------------------------------------------------

    def add_edge(self, edge: PortableEdge) -> Outcome:
        self._connection.execute(
            "insert or ignore into edge(from_uid, to_uid, kind, at) values(?, ?, ?, ?)",
            (edge.from_uid, edge.to_uid, edge.kind, edge.at),
        )
        return "new" if self._connection.changes() else "known"

    def finish(self, counts: Mapping[str, int | float | str | None]) -> None:
        """Log what the import was, as a whole."""
        oplog.append(self._connection, "imported", ["store"], actor=self._actor, detail=counts)

    # The connection --------------------------------------------------------------------------------------------

    def _log(self, subject: str, digest: bytes, detail: Mapping[str, int | float | str | None] | None = None) -> None:
        oplog.append(self._connection, "imported", [subject], digest=digest, actor=self._actor, detail=detail)

    def _one(self, sql: str, *values: _Value) -> int | None:
        found = self._connection.execute(sql, values).get
        return None if found is None else int(found)

    def _insert(self, sql: str, *values: _Value) -> int:
        return int(self._connection.execute(sql, values).get)
