"""Conversations, their turns, and the folders the owner dropped.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from secondme.errors import StoreError
from secondme.memory import lineage, oplog
from secondme.memory.digests import conversation_digest, folder_digest, turn_digest
from secondme.memory.rows import pack_citations, pack_path, pack_text, unpack_path, unpack_text
from secondme.memory.sources import ensure_project, project_id
from secondme.types import Citation, Conversation, Role, WatchedFolder


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to store. `speaker` is who said it where the role does not tell; `at` is Unix seconds, None for now."""

    conversation_id: int
    role: Role
    text: str
    citations: Sequence[Citation] = ()
    speaker: str = ""
    at: float | None = None


def new(connection: apsw.Connection, project: str, title: str, at: float | None = None) -> int:
    """Begin a conversation, `at` a moment in Unix seconds or now; return its id."""
    began = time.time() if at is None else at
    values = (ensure_project(connection, project), pack_text(title), began, began)
    sql = """insert into conversation(project_id, title, created_at, updated_at, uid)
             values(?, ?, ?, ?, randomblob(16)) returning id"""
    conversation_id = int(connection.execute(sql, values).get)
    _log(connection, "conversation-new", conversation_id)
    return conversation_id


def _log(connection: apsw.Connection, kind: oplog.Kind, conversation_id: int) -> None:
    digest = conversation_digest(connection, conversation_id)
    oplog.append(connection, kind, [f"conversation:{conversation_id}"], digest=digest)


def several(connection: apsw.Connection, project: str | None) -> list[Conversation]:
    """Conversations, the one used last first."""
    sql = """select c.id, c.title, p.name, c.created_at, c.updated_at,
                 (select count(*) from turn t where t.conversation_id = c.id)
             from conversation c join project p on p.id = c.project_id
             where ?1 is null or p.name = ?1 order by c.updated_at desc, c.id desc"""
    values = (None if project is None else pack_text(project),)
    return [
        Conversation(row[0], unpack_text(row[1]), unpack_text(row[2]), *row[3:])
        for row in connection.execute(sql, values)
    ]


def rename(connection: apsw.Connection, conversation_id: int, title: str) -> None:
    connection.execute("update conversation set title = ? where id = ?", (pack_text(title), conversation_id))
    _require_change(connection)
    _log(connection, "conversation-renamed", conversation_id)


def delete(connection: apsw.Connection, conversation_id: int) -> None:
    """Its turns go with it, and what was learned from them alone; one that is gone already is passed over."""
    ids = [
        int(row[0]) for row in connection.execute("select id from turn where conversation_id = ?", (conversation_id,))
    ]
    lineage.leave(connection, {"turn": frozenset(ids)})
    connection.execute("delete from conversation where id = ?", (conversation_id,))
    if connection.changes():
        subjects = [f"conversation:{conversation_id}", *(f"turn:{i}" for i in ids)]
        oplog.append(connection, "conversation-removed", subjects)


def add_turn(connection: apsw.Connection, new: NewTurn) -> int:
    """Store a turn and return its id. Raises StoreError if the conversation is gone."""
    at = time.time() if new.at is None else new.at
    # A clock that was put back does not move the conversation back.
    sql = "update conversation set updated_at = max(updated_at, ?) where id = ?"
    connection.execute(sql, (at, new.conversation_id))
    _require_change(connection)
    speaker = pack_text(new.speaker) if new.speaker else None
    values = (new.conversation_id, new.role, pack_text(new.text), at, pack_citations(new.citations), speaker)
    sql = """insert into turn(conversation_id, role, text, created_at, citations, speaker, uid)
             values(?, ?, ?, ?, ?, ?, randomblob(16)) returning id"""
    turn_id = int(connection.execute(sql, values).get)
    subjects = [f"turn:{turn_id}", f"conversation:{new.conversation_id}"]
    oplog.append(connection, "turn-added", subjects, digest=turn_digest(connection, turn_id))
    return turn_id


def _require_change(connection: apsw.Connection) -> None:
    if not connection.changes():
        raise StoreError("there is no such conversation", hint="it may have been deleted; start a new one")


# Folders -------------------------------------------------------------------------------------------------------


def add_folder(connection: apsw.Connection, folder: WatchedFolder) -> None:
    """Remember a folder; one that is known keeps its date."""
    found = connection.execute(
        """insert into folder(project_id, path, watch, added_at) values(?, ?, ?, ?)
           on conflict(project_id, path) do update set watch = excluded.watch returning id""",
        (ensure_project(connection, folder.project), pack_path(folder.path), int(folder.watch), folder.added_at),
    ).get
    folder_id = int(found)
    oplog.append(connection, "folder-added", [f"folder:{folder_id}"], digest=folder_digest(connection, folder_id))


def folders(connection: apsw.Connection, project: str | None) -> list[WatchedFolder]:
    sql = """select f.path, p.name, f.watch, f.added_at from folder f join project p on p.id = f.project_id
             where ?1 is null or p.name = ?1 order by p.id, f.path"""
    values = (None if project is None else pack_text(project),)
    return [
        WatchedFolder(unpack_path(row[0]), unpack_text(row[1]), bool(row[2]), row[3])
        for row in connection.execute(sql, values)
    ]


def remove_folder(connection: apsw.Connection, path: str, project: str) -> None:
    sql = "delete from folder where project_id = ? and path = ? returning id"
    found = connection.execute(sql, (project_id(connection, project), pack_path(path))).get
    if found is not None:
        oplog.append(connection, "folder-removed", [f"folder:{found}"])
