"""What memory makes of what it was told: items with their sources and validity, and what turns are searched by.

item           a fact, an event, a way of doing something, a profile block, a secret, a topic, a lesson
  slot         what it is about; of two current items of one slot the newer one holds. '' is about nothing in particular
  place        its turn among the items of its slot: of two that begin at once the later one holds. 0 if it has none yet
  valid_to     null while it holds. A later item of the slot closes it, and both stay
  told_to      the end that was said of itself, by whoever made or closed it; valid_to is never later
  interrupts   whether it was told with that end: what held before in the slot holds again afterwards, as a row of its
               own that `continues` the first one, and is made anew whenever the slot changes
  state        active; archived (faded: searched when the rest does not suffice); pending (the owner must decide);
               quarantined (shown to the owner, used for nothing)
item_span      where it was said: bytes of a turn's or a passage's text
item_link      two items that have to do with one another, or a topic and what it is of, or an edit and what it replaces
item_word      the words of all items but secrets
turn.speaker   who said it, where the role does not tell; null else
turn_word      the words of turns
turn_trace     the vector of a turn, int8 steps of `vectors.quantize`, and
turn_token     those of its words, as `kernels/late.py` packs them: derived, and made again where they are missing.
               Apart from one another, since a search reads the one of all turns and the other of a few
turn_untraced  the turns that wait for them

Words and what waits follow their tables by triggers: whatever changes a text, by whatever path, changes its words,
and takes the vectors of the earlier text away.
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
    told_to real,
    place integer not null,
    interrupts integer not null check(interrupts in (0, 1)),
    continues integer references item(id) on delete cascade,
    strength_days real not null,
    used_at real not null,
    n_uses integer not null,
    n_helpful integer not null,
    n_harmful integer not null,
    vector blob,
    origin text) strict;
create index item_slot on item(project_id, slot, valid_from);
create index item_continues on item(continues) where continues is not null;
create index item_kind on item(project_id, kind, state);
create index item_subject on item(project_id, subject);
create index item_untraced on item(id) where vector is null and kind not in ('vault', 'lesson');

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
    kind text not null check(kind in ('related', 'member', 'contradicts', 'replaces')),
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
    pooled blob not null) strict;

create table turn_token(
    turn_id integer primary key references turn(id) on delete cascade,
    tokens blob not null) strict;

create table turn_untraced(turn_id integer primary key references turn(id) on delete cascade) strict;
insert into turn_untraced select id from turn;

create trigger turn_came after insert on turn begin
    insert into turn_word(rowid, text) values(new.id, new.text);
    insert or ignore into turn_untraced values(new.id);
end;
create trigger turn_went after delete on turn begin
    insert into turn_word(turn_word, rowid, text) values('delete', old.id, old.text);
end;
create trigger turn_changed after update of text, speaker on turn
when old.text is not new.text or old.speaker is not new.speaker begin
    insert into turn_word(turn_word, rowid, text) values('delete', old.id, old.text);
    insert into turn_word(rowid, text) values(new.id, new.text);
    delete from turn_trace where turn_id = old.id;
    delete from turn_token where turn_id = old.id;
end;
create trigger trace_came after insert on turn_trace begin
    delete from turn_untraced where turn_id = new.turn_id;
end;
create trigger trace_went after delete on turn_trace begin
    insert or ignore into turn_untraced select id from turn where id = old.turn_id;
end;

create trigger item_came after insert on item when new.kind not in ('vault', 'lesson') begin
    insert into item_word(rowid, text, subject, attribute) values(new.id, new.text, new.subject, new.attribute);
end;
create trigger item_went after delete on item when old.kind not in ('vault', 'lesson') begin
    insert into item_word(item_word, rowid, text, subject, attribute)
        values('delete', old.id, old.text, old.subject, old.attribute);
end;
create trigger item_changed after update of kind, text, subject, attribute on item begin
    insert into item_word(item_word, rowid, text, subject, attribute)
        select 'delete', old.id, old.text, old.subject, old.attribute where old.kind not in ('vault', 'lesson');
    insert into item_word(rowid, text, subject, attribute)
        select new.id, new.text, new.subject, new.attribute where new.kind not in ('vault', 'lesson');
    update item set vector = null where id = new.id;
end;
"""

# Without it FTS5 only marks an entry as deleted, and the word stays in the index until a merge.
_SECURE_DELETE = """
insert into item_word(item_word, rank) values('secure-delete', 1);
insert into turn_word(turn_word, rank) values('secure-delete', 1);
"""


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
    connection.execute(_SECURE_DELETE)
