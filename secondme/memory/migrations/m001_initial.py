"""The first schema: sources and their passages, full-text index, folders, conversations.

Paths are BLOBs: a file name is bytes and need not be text. The vector table is made when the embedder is known.
"""

from __future__ import annotations

import os

import apsw

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE project (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE source (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    path BLOB NOT NULL,
    media_type TEXT NOT NULL,
    title TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL,
    trust TEXT NOT NULL,
    n_chunks INTEGER NOT NULL,
    ingested_at REAL NOT NULL,
    skip_reason TEXT,
    UNIQUE (project_id, path)
);
CREATE INDEX source_by_hash ON source (project_id, content_hash);

CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    title TEXT NOT NULL,
    headings TEXT NOT NULL,
    byte_start INTEGER NOT NULL,
    byte_end INTEGER NOT NULL,
    line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL,
    page INTEGER,
    UNIQUE (source_id, ordinal)
);

CREATE VIRTUAL TABLE chunk_fts USING fts5 (
    text, title, headings, content = 'chunk', content_rowid = 'id', tokenize = "porter unicode61 remove_diacritics 2"
);
INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER chunk_inserted AFTER INSERT ON chunk BEGIN
    INSERT INTO chunk_fts (rowid, text, title, headings) VALUES (new.id, new.text, new.title, new.headings);
END;
CREATE TRIGGER chunk_deleted AFTER DELETE ON chunk BEGIN
    INSERT INTO chunk_fts (chunk_fts, rowid, text, title, headings)
    VALUES ('delete', old.id, old.text, old.title, old.headings);
END;

CREATE TABLE folder (
    project_id INTEGER NOT NULL REFERENCES project (id),
    path BLOB NOT NULL,
    watch INTEGER NOT NULL,
    added_at REAL NOT NULL,
    PRIMARY KEY (project_id, path)
) WITHOUT ROWID;

CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES project (id),
    title TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE TABLE turn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    citations TEXT NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX turn_by_conversation ON turn (conversation_id, id);
"""


def apply(connection: apsw.Connection) -> None:
    """Create everything, and give the store an identity of its own."""
    connection.execute(_SCHEMA)
    connection.execute("INSERT INTO meta VALUES ('store_id', ?)", (os.urandom(16),))
