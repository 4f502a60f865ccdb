"""Record hashes: SHA-256 over all that a record says, as it is stored.

The operation log keeps the newest of each record, so that a full check can tell a record that was changed, put back or
lost behind the log's back. What changes without meaning is left out: file stamps, the time of the last turn, and how
often an item was used. A record without what a later schema added has the digest that it had before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import apsw

_SOURCE = """select s.uid, p.name, s.path, s.media_type, s.title, s.content_hash, s.trust, s.n_chunks, s.ingested_at,
    s.skip_reason, s.origin from source s join project p on p.id = s.project_id where s.id = ?"""
_CHUNKS = """select ordinal, byte_start, byte_end, line_start, line_end, page, headings, text
    from chunk where source_id = ? order by ordinal"""
_CONVERSATION = """select c.uid, p.name, c.title, c.created_at, c.origin
    from conversation c join project p on p.id = c.project_id where c.id = ?"""
_TURN = """select t.uid, c.uid, t.role, t.text, t.created_at, t.citations, t.origin
    from turn t join conversation c on c.id = t.conversation_id where t.id = ?"""
# Where there is no such column, in stores of before, the name means the null beside it.
_SPEAKER = """select said from (select (select speaker from turn where id = ?) as said from (select null as speaker))
    where said is not null"""
_ITEM = """select i.uid, p.name, i.kind, i.slot, i.subject, i.attribute, i.value, i.text, i.trust, i.made_by, i.state,
    i.created_at, i.valid_from, i.valid_to, i.told_to, i.place, i.interrupts, i.continues,
    i.origin
    from item i join project p on p.id = i.project_id where i.id = ?"""
_SPANS = """select kind, ref_id, byte_start, byte_end from item_span where item_id = ?
    order by kind, ref_id, byte_start, byte_end"""
_FOLDER = """select p.name, f.path, f.watch, f.added_at
    from folder f join project p on p.id = f.project_id where f.id = ?"""


def source_digest(connection: apsw.Connection, source_id: int) -> bytes:
    """Of a source with its passages, in order."""
    return _digest(connection, source_id, _SOURCE, _CHUNKS)


def conversation_digest(connection: apsw.Connection, conversation_id: int) -> bytes:
    """Of a conversation without its turns, which have their own."""
    return _digest(connection, conversation_id, _CONVERSATION)


def turn_digest(connection: apsw.Connection, turn_id: int) -> bytes:
    return _digest(connection, turn_id, _TURN, _SPEAKER)


def item_digest(connection: apsw.Connection, item_id: int) -> bytes:
    """Of an item with where it was said, but not of its uses, its ratings, its vector and its links."""
    return _digest(connection, item_id, _ITEM, _SPANS)


def folder_digest(connection: apsw.Connection, folder_id: int) -> bytes:
    return _digest(connection, folder_id, _FOLDER)


OF_KIND: Mapping[str, Callable[[apsw.Connection, int], bytes]] = {
    "source": source_digest,
    "conversation": conversation_digest,
    "turn": turn_digest,
    "folder": folder_digest,
    "item": item_digest,
}
"""Of the records that steps of the operation log vouch for, by the first part of their subjects."""


def _digest(connection: apsw.Connection, record_id: int, *queries: str) -> bytes:
    hasher = hashlib.sha256()
    for sql in queries:
        for row in connection.execute(sql, (record_id,)):
            # A list ends where it ends, so no two different rows are hashed from the same bytes.
            hasher.update(json.dumps([_plain(value) for value in row]).encode("ascii"))
    return hasher.digest()


def _plain(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value
