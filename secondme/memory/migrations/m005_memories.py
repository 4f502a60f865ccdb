"""What memory makes of what it was told: items with their sources and validity, and what turns are searched by.

item           a fact, an event, a way of doing something, a profile block, a secret, a topic, a lesson
  slot         what it is about; of two current items of one slot the newer one holds. '' is about nothing in particular
  valid_to     null while it holds. A later item of the slot closes it, and both stay
  state        active; archived (faded: searched when the rest does not suffice); pending (the owner must decide);
               quarantined (shown to the owner, used for nothing)
item_span      where it was said: bytes of a turn's or a passage's text
item_link      two items that have to do with one another, or a topic and what it is of
item_word      the words of all items but secrets
turn.speaker   who said it, where the role does not tell; null else
turn_word      the words of turns
turn_trace     what the embedder makes of a turn: derived, and made again where it is missing
"""

from __future__ import annotations

import apsw

_SCHEMA = """
create table item(
    id integer primary key autoincrement,
    uid blob not null unique,
    project_id integer not null references project(id),
    kind text not null check(kind in ('core', 'episodic', 'semantic', 'procedural', 'vault', 'topic', 'lesson')),
    slot any not null,
    subject any not null,
    attribute any not null,
    value any not null,
    text any not null,
    trust text not null,
    made_by text not null,
    state text not null check(state in ('active', 'archived', 'pending', 'quarantined')),
    created_at real not null,
    valid_from real not null,
    valid_to real,
    strength_days real not null,
    used_at real not null,
    n_uses integer not null,
    n_helpful integer not null,
    n_harmful integer not null,
    vector blob,
    origin text) strict;
create index item_slot on item(project_id, slot, valid_from);

create table item_span(
    item_id integer not null references item(id) on delete cascade,
    kind text not null check(kind in ('turn', 'passage')),
    ref_id integer not null,
    byte_start integer not null,
    byte_end integer not null,
    primary key(item_id, kind, ref_id, byte_start, byte_end)) strict, without rowid;
create index item_span_ref on item_span(kind, ref_id);

create table item_link(
    from_id integer not null references item(id) on delete cascade,
    to_id integer not null references item(id) on delete cascade,
    kind text not null check(kind in ('related', 'member', 'contradicts')),
    weight real not null,
    primary key(from_id, to_id, kind)) strict, without rowid;
create index item_link_to on item_link(to_id);

create view item_words(id, text, subject, attribute) as
    select id, text, subject, attribute from item where kind not in ('vault', 'lesson');

create virtual table item_word using fts5(
    text, subject, attribute, content='item_words', content_rowid='id',
    tokenize="porter unicode61 remove_diacritics 2");

alter table turn add column speaker any;

create view turn_words(id, text) as select id, text from turn;

create virtual table turn_word using fts5(
    text, content='turn_words', content_rowid='id', tokenize="porter unicode61 remove_diacritics 2");
insert into turn_word(rowid, text) select id, text from turn;

create table turn_trace(
    turn_id integer primary key references turn(id) on delete cascade,
    pooled blob not null,
    tokens blob not null) strict;
"""

# Without it FTS5 only marks an entry as deleted, and the word stays in the index until a merge.
_SECURE_DELETE = """
insert into item_word(item_word, rank) values('secure-delete', 1);
insert into turn_word(turn_word, rank) values('secure-delete', 1);
"""


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
    connection.execute(_SECURE_DELETE)
