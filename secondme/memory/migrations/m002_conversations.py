"""Conversations, their turns, and each turn's citations as they were when the answer was given."""

from __future__ import annotations

import apsw

_SCHEMA = """
create table conversation(
    id integer primary key autoincrement,
    project_id integer not null references project(id),
    title any not null,
    created_at real not null,
    updated_at real not null) strict;

create table turn(
    id integer primary key autoincrement,
    conversation_id integer not null references conversation(id) on delete cascade,
    role text not null check(role in ('system', 'user', 'assistant')),
    text any not null,
    created_at real not null,
    citations text not null) strict;
create index turn_conversation on turn(conversation_id, id);
"""


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
