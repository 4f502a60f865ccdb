"""What makes memory accountable: names that stay the same elsewhere, the operation log, links and tombstones.

uid            16 random bytes: the same item after an export and an import
origin         JSON, where an imported item came from; null for what was made here
op             the operation log: a hash chain of what was done, with ids and hashes, never with content
op_subject     which steps touched an item; derived from `op`
edge           a link between two items, by their uids
tombstone      keyed hashes of what the owner forgot, so that it does not come back by itself
"""

from __future__ import annotations

import apsw

_SCHEMA = """
create table op(
    seq integer primary key,
    at real not null,
    kind text not null,
    actor text not null,
    subjects text not null,
    digest blob,
    detail text not null,
    hash blob not null) strict;

create table op_subject(
    subject text not null,
    seq integer not null references op(seq),
    primary key(subject, seq)) strict, without rowid;

create table edge(
    from_uid blob not null,
    to_uid blob not null,
    kind text not null,
    at real not null,
    primary key(from_uid, to_uid, kind)) strict, without rowid;
create index edge_to on edge(to_uid);

create table tombstone(
    hash blob primary key,
    kind text not null,
    at real not null) strict, without rowid;

alter table project add column uid blob not null default x'';
alter table source add column uid blob not null default x'';
alter table conversation add column uid blob not null default x'';
alter table turn add column uid blob not null default x'';
update project set uid = randomblob(16);
update source set uid = randomblob(16);
update conversation set uid = randomblob(16);
update turn set uid = randomblob(16);
create unique index project_uid on project(uid);
create unique index source_uid on source(uid);
create unique index conversation_uid on conversation(uid);
create unique index turn_uid on turn(uid);

alter table source add column origin text;
alter table conversation add column origin text;
alter table turn add column origin text;

insert into setting values('tombstone_salt', randomblob(32));
"""


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
