"""Reads everything in a store, damaged or not, and says which items are not what was stored.

The store is opened without the strictness of `open_database`: what SQLite and the cipher still give is held against
the operation log, item by item, so that one damaged record never hides another. Nothing is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import apsw

from secondme.errors import CorruptRecord, IntegrityError
from secondme.memory import derived, digests, lineage, scavenge
from secondme.memory.derived import Vectors
from secondme.memory.history import History
from secondme.memory.rows import Row, unpack_citations, unpack_path, unpack_text
from secondme.memory.scavenge import DAMAGE, Gap, only_damage, tolerant

Fault = Literal["lost", "changed", "unreadable"]
"""`lost`: the log knows the item and the store does not; `changed`: readable, but not what was stored."""

DERIVED = ("word", "vector", "cartridge", "turn_word", "turn_trace", "turn_token", "turn_untraced", "item_word")
"""Tables that can be made again from the others, by the beginning of their names."""


@dataclass(frozen=True, slots=True)
class BadSource:
    """A file that is not as it was stored. `ordinals` are its passages that are, from 0; None if that is not known."""

    id: int
    path: str | None
    fault: Fault
    n_chunks: int
    good: tuple[int, ...] | None = None
    bad: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BadItem:
    """A turn, conversation, folder or memory; `of` is a turn's conversation, `path` a folder's."""

    kind: Literal["turn", "conversation", "folder", "item"]
    id: int
    fault: Fault
    of: int | None = None
    path: str | None = None
    at: float | None = None


@dataclass(slots=True)
class Survey:
    """What was found.

    `opening` is why the store is refused; `failing` are pages that do not fit their tags, `tables` those of which a
    page cannot be read or is not in order. `unlogged` are items that no step of the log vouches for, although it
    should; `unchecked` are readable, but not what they belong to, and so they cannot be held to the log. Of the tables
    in `shortened`, which no step vouches for, rows are gone. `dangling` are memories that rest on a turn or a passage
    that is not there; `n_narrow` vectors of memories and turns are of another width than they should be.
    """

    history: History
    opening: IntegrityError | None = None
    has_log: bool = True
    failing: tuple[int, ...] = ()
    tables: tuple[str, ...] = ()
    n_broken_links: int = 0
    unchecked: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)
    n_sources: int = 0
    n_passages: int = 0
    n_turns: int = 0
    n_conversations: int = 0
    n_folders: int = 0
    n_items: int = 0
    dangling: tuple[int, ...] = ()
    n_narrow: int = 0
    sources: list[BadSource] = field(default_factory=list)
    items: list[BadItem] = field(default_factory=list)
    unlogged: list[str] = field(default_factory=list)
    n_before_log: int = 0
    incomplete: list[str] = field(default_factory=list)
    bad_citations: list[tuple[int, int]] = field(default_factory=list)
    words_are_sound: bool = True
    vectors: Vectors = field(default_factory=Vectors)

    @property
    def trace_is_sound(self) -> bool:
        """Whether all that cannot be made again is as it was stored."""
        damaged = [t for t in self.tables if not t.startswith(DERIVED)]
        found = (damaged, self.sources, self.items, self.unlogged, self.bad_citations)
        return self.history.is_sound and not self.n_broken_links and not any(found)

    @property
    def is_sound(self) -> bool:
        derived_is_sound = self.words_are_sound and self.vectors.is_sound
        pages_are_sound = not (self.tables or self.failing or self.dangling or self.n_narrow)
        return self.opening is None and self.trace_is_sound and pages_are_sound and derived_is_sound


def survey(
    connection: apsw.Connection, history: History, opening: IntegrityError | None, failing: tuple[int, ...] = ()
) -> Survey:
    """Read all. `failing` are pages that do not fit their tags. Raises apsw.Error for anything but damage."""
    found = Survey(history, opening, connection.table_exists(None, "op"), failing)
    found.tables = tuple(_damaged_tables(connection))
    with tolerant():
        rows = connection.execute("pragma foreign_key_check").fetchall()
        found.n_broken_links = sum(not str(table).startswith(DERIVED) for table, *_ in rows)
    found.shortened = [t for t, key in _UNLOGGED.items() if t in found.tables and not _is_whole(connection, t, key)]
    _read_sources(connection, found)
    _read_turns(connection, found)
    _read_items(connection, found, "conversation", digests.conversation_digest)
    _read_items(connection, found, "folder", digests.folder_digest)
    if connection.table_exists(None, "item"):
        _read_items(connection, found, "item", digests.item_digest)
        with tolerant():
            found.dangling = tuple(lineage.dangling(connection))
        with tolerant():
            found.n_narrow = derived.count_narrow(connection)
    found.words_are_sound = derived.words_are_sound(connection)
    found.vectors = derived.read_vectors(connection)
    return found


def _damaged_tables(connection: apsw.Connection) -> Iterator[str]:
    """Tables whose own pages, or those of their indexes, are unreadable or out of order."""
    sql = "select name from sqlite_schema where type = 'table' and rootpage > 0 order by rootpage"
    names = [str(row[0]) for row in connection.execute(sql)]
    for name in ("sqlite_schema", *names):
        try:
            rows = connection.execute(f"pragma integrity_check('{name}')").fetchall()
        except DAMAGE as error:
            only_damage(error)
            rows = []
        if rows != [("ok",)]:
            yield name


_UNLOGGED = {
    "setting": "name",
    "edge": "from_uid, to_uid, kind",
    "tombstone": "hash",
    "item_link": "from_id, to_id, kind",
}


def _is_whole(connection: apsw.Connection, table: str, key: str) -> bool:
    return scavenge.keyed_rows(connection, table, key)[1]


# Items and the steps that vouch for them -----------------------------------------------------------------------

_Digest = Callable[[apsw.Connection, int], bytes]

# The same ids by another way, which lies on other pages.
_BY_INDEX = {
    "source": "select id, path from source indexed by sqlite_autoindex_source_1",
    "turn": "select id, conversation_id from turn indexed by turn_conversation",
    "conversation": "select id, null from conversation indexed by conversation_uid",
    "folder": "select id, path from folder indexed by sqlite_autoindex_folder_1",
    "item": "select id, null from item indexed by item_slot",
}


def _read_table(
    connection: apsw.Connection, kind: str, columns: str, history: History, *, text: str | None = None
) -> tuple[list[Row], dict[int, object]]:
    """Rows of a table, and the ids that are in use where it cannot be read, each with what an index says of it.

    The column `text` is read and not kept: all that was ever said would not fit into memory.
    """
    rows: list[Row] = []
    gaps: list[Gap] = []
    for row in scavenge.rows(connection, kind, f"{columns}, {text}" if text else columns, "id"):
        if isinstance(row, Gap):
            gaps.append(row)
        else:
            rows.append(row[:-1] if text else row)
    if not gaps:
        return rows, {}
    known: dict[int, object] = dict.fromkeys(_ids(history, kind))
    # The first version of the store had no such index of conversations.
    with tolerant(), suppress(apsw.SQLError):
        by_index: list[Row] = connection.execute(_BY_INDEX[kind]).fetchall()
        known |= dict(by_index)
    return rows, {i: known[i] for i in sorted(known) if any(g.first <= i <= g.last for g in gaps)}


def _ids(history: History, kind: str) -> Iterator[int]:
    for subject in history.live:
        name, _, number = subject.partition(":")
        if name == kind and number.isdecimal():
            yield int(number)


def _fault(connection: apsw.Connection, found: Survey, subject: str, digest: _Digest) -> Fault | None:
    """Hold a record to the step that vouches for it."""
    step = found.history.live.get(subject)
    try:
        now = digest(connection, int(subject.partition(":")[2])) if found.has_log else _read(connection, subject)
    except DAMAGE as error:
        only_damage(error)
        return "unreadable"
    if step is None:
        if found.history.began == "created":
            found.unlogged.append(subject)
        else:
            found.n_before_log += 1
        return None
    return None if step.digest == now else "changed"


def _read(connection: apsw.Connection, subject: str) -> bytes:
    """Read a record of a store from before there were digests; what is damaged raises."""
    kind, _, number = subject.partition(":")
    connection.execute(f"select * from {kind} where id = ?", (int(number),)).fetchall()  # noqa: S608  our own names
    if kind == "source":
        connection.execute("select * from chunk where source_id = ?", (int(number),)).fetchall()
    return b""


def _lost(found: Survey, kind: str, seen: set[int]) -> list[int]:
    """Ids of items that the log knows and the store does not."""
    return sorted(set(_ids(found.history, kind)) - seen)


# Files ---------------------------------------------------------------------------------------------------------


def _read_sources(connection: apsw.Connection, found: Survey) -> None:
    rows, hidden = _read_table(connection, "source", "path, n_chunks, content_hash, skip_reason", found.history)
    unreadable: list[tuple[int, str, int]] = []
    for source_id, path, n_chunks, content_hash, skip_reason in rows:
        found.n_sources += skip_reason is None
        found.n_passages += n_chunks
        name = unpack_path(path)
        if not content_hash and n_chunks:
            found.incomplete.append(name)
        fault = _fault(connection, found, f"source:{source_id}", digests.source_digest)
        if fault == "unreadable" or (fault is None and not _has_all(connection, found, source_id, n_chunks)):
            unreadable.append((source_id, name, n_chunks))
        elif fault == "changed":
            found.sources.append(BadSource(source_id, name, fault, n_chunks, None, _suspects(connection, source_id)))
    if unreadable or hidden:
        _name_passages(connection, found, unreadable, hidden)
    seen = {int(row[0]) for row in rows} | set(hidden)
    found.sources += [BadSource(i, None, "lost", 0) for i in _lost(found, "source", seen)]


def _has_all(connection: apsw.Connection, found: Survey, source_id: int, n_chunks: int) -> bool:
    """Whether a file has its passages; where a step vouches for it, it has."""
    if f"source:{source_id}" in found.history.live:
        return True
    return bool(connection.execute("select count(*) = ? from chunk where source_id = ?", (n_chunks, source_id)).get)


def _name_passages(
    connection: apsw.Connection, found: Survey, unreadable: list[tuple[int, str, int]], hidden: dict[int, object]
) -> None:
    """Tell which passages can be read of files that cannot as a whole, or not what is recorded of them."""
    readable = _readable_passages(connection)
    for source_id, name, n_chunks in unreadable:
        good = tuple(sorted(readable.get(source_id, ())))
        bad = tuple(sorted(set(range(n_chunks)) - set(good)))
        if bad:
            found.sources.append(BadSource(source_id, name, "unreadable", n_chunks, good, bad))
        else:
            found.unchecked.append(f"source:{source_id}")
    for source_id, path in hidden.items():
        good = tuple(sorted(readable.get(source_id, ())))
        name_or_none = unpack_path(path) if isinstance(path, bytes) else None
        found.sources.append(BadSource(source_id, name_or_none, "unreadable", len(good), good))


def _readable_passages(connection: apsw.Connection) -> dict[int, set[int]]:
    """Ordinals of the passages that can be read, of each source."""
    found = defaultdict(set)
    for row in scavenge.rows(connection, "chunk", "source_id, ordinal, headings, text", "id"):
        if not isinstance(row, Gap):
            found[int(row[1])].add(int(row[2]))
    return found


def _suspects(connection: apsw.Connection, source_id: int) -> tuple[int, ...]:
    """Passages of a changed file that do not fit between their neighbours, or not to their words in the index."""
    found = set()
    position: int | None = None
    ordinal_before = -1
    rows: list[Row] = []
    sql = "select id, ordinal, byte_start, byte_end, text from chunk where source_id = ? order by ordinal"
    with tolerant():
        rows = connection.execute(sql, (source_id,)).fetchall()
    for chunk_id, ordinal, start, end, text in rows:
        size = len(unpack_text(text).encode("utf-8", "surrogatepass"))
        follows = position is None or (start == position and ordinal == ordinal_before + 1)
        if end - start != size or not follows or not _is_indexed(connection, chunk_id, unpack_text(text)):
            found.add(int(ordinal))
        position, ordinal_before = end, ordinal
    return tuple(sorted(found))


def _is_indexed(connection: apsw.Connection, chunk_id: int, text: str) -> bool:
    """Whether the word index holds this text, as a phrase, for this passage."""
    phrase = text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").replace('"', '""')
    known = True
    with tolerant():
        values = (f'text : "{phrase}"', chunk_id)
        known = connection.execute("select 1 from word where word match ? and rowid = ?", values).get is not None
    return known or not any(c.isalnum() for c in text)


# Conversations, folders and memories -----------------------------------------------------------------------------


def _read_turns(connection: apsw.Connection, found: Survey) -> None:
    columns = "conversation_id, created_at, citations"
    rows, hidden = _read_table(connection, "turn", columns, found.history, text="text")
    found.n_turns = len(rows)
    for turn_id, conversation_id, at, citations in rows:
        fault = _fault(connection, found, f"turn:{turn_id}", digests.turn_digest)
        if fault == "unreadable":
            found.unchecked.append(f"turn:{turn_id}")
        elif fault:
            found.items.append(BadItem("turn", turn_id, fault, of=conversation_id, at=at))
            continue
        try:
            unpack_citations(citations)
        except CorruptRecord:
            found.bad_citations.append((turn_id, conversation_id))
    for turn_id, of in hidden.items():
        found.items.append(_from_log(found, "turn", turn_id, "unreadable", of=of if isinstance(of, int) else None))
    seen = {int(row[0]) for row in rows} | set(hidden)
    found.items += [_from_log(found, "turn", i, "lost") for i in _lost(found, "turn", seen)]


def _from_log(found: Survey, kind: Literal["turn"], item_id: int, fault: Fault, *, of: int | None = None) -> BadItem:
    """What the log knows of a turn that cannot be read: its conversation, and when it was stored."""
    step = found.history.live.get(f"{kind}:{item_id}")
    for subject in step.beside if step else ():
        name, _, number = subject.partition(":")
        if name == "conversation" and of is None:
            of = int(number)
    return BadItem(kind, item_id, fault, of=of, at=step.at if step else None)


def _read_items(
    connection: apsw.Connection, found: Survey, kind: Literal["conversation", "folder", "item"], digest: _Digest
) -> None:
    column = {"conversation": "title", "folder": "path", "item": "text"}[kind]
    rows, hidden = _read_table(connection, kind, column, found.history)
    for item_id, path in [*rows, *hidden.items()]:
        fault = "unreadable" if item_id in hidden else _fault(connection, found, f"{kind}:{item_id}", digest)
        if fault == "unreadable" and item_id not in hidden:
            found.unchecked.append(f"{kind}:{item_id}")
        elif fault:
            name = unpack_path(path) if kind == "folder" and isinstance(path, bytes) else None
            found.items.append(BadItem(kind, item_id, fault, path=name))
    seen = {int(row[0]) for row in rows} | set(hidden)
    found.items += [BadItem(kind, i, "lost") for i in _lost(found, kind, seen)]
    match kind:
        case "folder":
            found.n_folders = len(rows)
        case "item":
            found.n_items = len(rows)
        case "conversation":
            found.n_conversations = len(rows)
