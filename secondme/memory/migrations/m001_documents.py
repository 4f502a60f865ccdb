"""Projects, sources, chunks, the word index, and what is known of the embedding model.

The vector table is not here: its width is the embedding model's, see `vectors.py`.
"""

from __future__ import annotations

import apsw

# `heading_words` beside the JSON of `headings`: FTS5 reads the view when it rebuilds or verifies itself, and from
# there a table-valued function such as json_each does not resolve.
# AUTOINCREMENT: an id is never given twice, so a citation of a forgotten chunk cannot point to another one.
_SCHEMA = """
create table setting(name text primary key, value any not null) strict, without rowid;

create table project(id integer primary key autoincrement, name any not null unique) strict;

create table source(
    id integer primary key autoincrement,
    project_id integer not null references project(id),
    path blob not null,
    media_type any not null,
    title any not null,
    content_hash blob not null,
    size_bytes integer not null,
    mtime_ns integer not null,
    inode integer not null,
    trust text not null,
    n_chunks integer not null,
    ingested_at real not null,
    skip_reason any,
    unique(project_id, path)) strict;
create index source_hash on source(project_id, content_hash);

create table chunk(
    id integer primary key autoincrement,
    project_id integer not null references project(id),
    source_id integer not null references source(id),
    ordinal integer not null,
    byte_start integer not null,
    byte_end integer not null,
    line_start integer not null,
    line_end integer not null,
    page integer,
    headings text not null,
    heading_words any not null,
    text any not null,
    unique(source_id, ordinal)) strict;

create table folder(
    id integer primary key autoincrement,
    project_id integer not null references project(id),
    path blob not null,
    watch integer not null,
    added_at real not null,
    unique(project_id, path)) strict;

create view chunk_words(id, text, title, headings) as
    select c.id, c.text, s.title, c.heading_words
    from chunk c join source s on s.id = c.source_id;

create virtual table word using fts5(
    text, title, headings, content='chunk_words', content_rowid='id',
    tokenize="porter unicode61 remove_diacritics 2");
"""

# Without it FTS5 only marks an entry as deleted, and the word stays in the index until a merge.
_SECURE_DELETE = "insert into word(word, rank) values('secure-delete', 1)"


def apply(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
    connection.execute(_SECURE_DELETE)
