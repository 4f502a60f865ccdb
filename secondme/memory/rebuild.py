"""Writes a store anew from what can be read of a damaged one and still be vouched for, beside it.

The trace comes first, row by row: projects, files with their passages, conversations, folders, and what was learned
from them with its places and links. Then the operation log as far as its chain is whole, with a step for each item that
it does not vouch for any more. Words and the vectors of passages are made again; what turns and memories are searched
by and cartridges are left to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.memory import derived, digests, lineage, oplog, scavenge, settings
from secondme.memory.database import connect
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.migrations import MIGRATIONS, migrate
from secondme.memory.rows import Row
from secondme.memory.scavenge import Gap, tolerant

ACTOR = "repair"
LEFT_OUT = "its text in memory was damaged; add it again"
"""Reason of a file of which nothing is left but its name."""

_UNLOGGED = frozenset({"migration", "op", "op_subject"})
_DERIVED = frozenset({"cartridge", "turn_trace", "turn_token", "turn_untraced"})
"""Not taken over: a text that is not vouched for any more may be another than they were made of."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What of the damaged store is not taken over, by ids.

    Of `emptied` files only the name stays, `partial` ones lack passages; `conversations` lose their title, the turns in
    `uncited` their citations; the rest goes. `vectors` are of passages that will be embedded again.
    """

    emptied: frozenset[int] = frozenset()
    partial: frozenset[int] = frozenset()
    sources: frozenset[int] = frozenset()
    turns: frozenset[int] = frozenset()
    uncited: frozenset[int] = frozenset()
    conversations: frozenset[int] = frozenset()
    folders: frozenset[int] = frozenset()
    items: frozenset[int] = frozenset()
    vectors: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Copying:
    old: apsw.Connection
    new: apsw.Connection
    verdict: Verdict
    whole: int
    recovered: set[str] = field(default_factory=set)


def rebuild(old: apsw.Connection, version: int, fresh: Path, keys: StoreKeys, verdict: Verdict, whole: int) -> None:
    """Write `fresh` from `old`, which has schema `version` and a log that is whole up to step `whole`.

    Raises StoreFull or StoreError; the file is of no use then.
    """
    with os_errors():
        fresh.touch(mode=0o600, exist_ok=False)
    with closing(connect(fresh, keys.db)) as new, store_errors(new):
        new.pragma("foreign_keys", False)
        # Until it is whole and synced nobody reads the file.
        new.pragma("synchronous", "off")
        migrate(new, MIGRATIONS[:version])
        copying = _Copying(old, new, verdict, whole)
        new.execute("begin immediate")
        _copy_tables(copying)
        _mend_links(copying)
        new.execute("commit")
        migrate(new, MIGRATIONS[version:])
        new.execute("begin immediate")
        _make_derived(copying)
        _write_log(copying, keys.store_id)
        new.execute("commit")
        new.pragma("synchronous", "full")


# Tables --------------------------------------------------------------------------------------------------------


def _copy_tables(copying: _Copying) -> None:
    sql = """select name, wr from pragma_table_list where schema = 'main' and type = 'table'
             and name not like 'sqlite\\_%' escape '\\'"""
    for name, without_rowid in copying.new.execute(sql).fetchall():
        if name not in _UNLOGGED | _DERIVED:
            _copy_table(copying, str(name), bool(without_rowid))
    bounds: list[Row] = []
    with tolerant():
        bounds = copying.old.execute("select name, seq from sqlite_sequence").fetchall()
    for name, last in bounds:
        # An id that was given once is never given again.
        copying.new.execute("update sqlite_sequence set seq = max(seq, ?2) where name = ?1", (name, last))
        copying.new.execute(
            """insert into sqlite_sequence select ?1, ?2
               where not exists (select 1 from sqlite_sequence where name = ?1)""",
            (name, last),
        )


def _copy_table(copying: _Copying, table: str, without_rowid: bool) -> None:
    columns = [str(row[1]) for row in copying.new.execute(f"pragma table_info({table})")]
    marks = ", ".join("?" * len(columns))
    # A value that stands where only one may stand came from an older page: the first one found stays.
    verb = "insert or replace" if table == "setting" else "insert or ignore"
    sql = f"{verb} into {table}({', '.join(columns)}) values({marks})"
    kept = _kept(copying.verdict, table, columns)
    copying.new.executemany(sql, (r for row in _rows(copying.old, table, columns, without_rowid) if (r := kept(row))))


def _rows(old: apsw.Connection, table: str, columns: list[str], without_rowid: bool) -> Iterator[Row]:
    if without_rowid:
        yield from scavenge.keyed_rows(old, table, ", ".join(columns[:3]))[0]
        return
    for row in scavenge.rows(old, table, ", ".join(columns)):
        if not isinstance(row, Gap):
            yield row[1:]


def _kept(verdict: Verdict, table: str, columns: list[str]) -> Callable[[Row], Row | None]:
    """What becomes of a row: itself, another one in its place, or None."""

    def changed(row: Row, **values: object) -> Row:
        return tuple(values.get(name, value) for name, value in zip(columns, row, strict=True))

    def source(row: Row) -> Row | None:
        if row[0] in verdict.sources:
            return None
        # Without its hash the file counts as another version when it is added again.
        if row[0] in verdict.emptied:
            return changed(row, content_hash=b"", mtime_ns=0, n_chunks=0, skip_reason=LEFT_OUT)
        return changed(row, content_hash=b"", mtime_ns=0) if row[0] in verdict.partial else row

    def chunk(row: Row) -> Row | None:
        of = row[columns.index("source_id")]
        return None if of in verdict.emptied or of in verdict.sources else row

    def turn(row: Row) -> Row | None:
        if row[0] in verdict.turns:
            return None
        return changed(row, citations="[]") if row[0] in verdict.uncited else row

    def conversation(row: Row) -> Row | None:
        return changed(row, title=_UNTITLED) if row[0] in verdict.conversations else row

    def folder(row: Row) -> Row | None:
        return None if row[0] in verdict.folders else row

    def item(row: Row) -> Row | None:
        return None if row[0] in verdict.items else changed(row, vector=None)

    def item_part(row: Row) -> Row | None:
        return None if verdict.items.intersection(row[:2] if table == "item_link" else row[:1]) else row

    choices = {"source": source, "chunk": chunk, "turn": turn, "conversation": conversation, "folder": folder}
    choices |= {"item": item, "item_span": item_part, "item_link": item_part}
    return choices.get(table, lambda row: row)


# What is missing between the rows ------------------------------------------------------------------------------

_UNTITLED = "(title lost)"


def _mend_links(copying: _Copying) -> None:
    """Put rows in the place of those that others need, from the indexes of the old store as far as they can be read."""
    new = copying.new
    tables = ("source", "chunk", "folder", "conversation", "item")
    for project_id in _dangling(new, "project_id", "project", tables):
        name = _indexed(copying.old, "project", "name", "sqlite_autoindex_project_1", project_id)
        new.execute(
            """insert into project(id, name)
               select ?1, coalesce((select ?2 where ?2 not in (select name from project)), ?3)""",
            (project_id, name, f"recovered-{project_id}"),
        )
        _give_uid(copying, "project", project_id)
    for source_id in _dangling(new, "source_id", "source", ("chunk",)):
        _restore_source(copying, source_id)
    for conversation_id in _dangling(new, "conversation_id", "conversation", ("turn",)):
        new.execute(
            """insert into conversation(id, project_id, title, created_at, updated_at)
               select ?1, (select min(id) from project), ?2, min(created_at), max(created_at)
               from turn where conversation_id = ?1""",
            (conversation_id, _UNTITLED),
        )
        _give_uid(copying, "conversation", conversation_id)
    if new.table_exists(None, "item"):
        lineage.drop_broken(new)
    new.execute("update source set n_chunks = (select count(*) from chunk c where c.source_id = source.id)")


def _dangling(new: apsw.Connection, column: str, target: str, tables: tuple[str, ...]) -> list[int]:
    found: set[int] = set()
    for table in tables:
        if not new.table_exists(None, table):
            continue
        sql = f"select distinct {column} from {table} where {column} not in (select id from {target})"  # noqa: S608
        found |= {int(row[0]) for row in new.execute(sql)}
    return sorted(found)


def _indexed(old: apsw.Connection, table: str, column: str, index: str, row_id: int) -> object:
    """A column of an unreadable row, from an index that holds it; None if that is not to be had either."""
    sql = f"select {column} from {table} indexed by {index} where +id = ?"  # noqa: S608  names of this program's own
    rows: list[Row] = []
    with tolerant():
        rows = old.execute(sql, (row_id,)).fetchall()
    return rows[0][0] if rows else None


def _restore_source(copying: _Copying, source_id: int) -> None:
    """A file's row, of which passages are left."""
    path = _indexed(copying.old, "source", "path", "sqlite_autoindex_source_1", source_id)
    copying.new.execute(
        """insert into source(id, project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode,
               trust, n_chunks, ingested_at)
           select ?1, min(project_id), ?2, 'text/plain', '', x'', 0, 0, 0, 'imported', 0, 0
           from chunk where source_id = ?1""",
        (source_id, path or f"/recovered/s{source_id}".encode()),
    )
    _give_uid(copying, "source", source_id)


def _give_uid(copying: _Copying, table: str, row_id: int) -> None:
    if "uid" in [row[1] for row in copying.new.execute(f"pragma table_info({table})")]:
        uid = _indexed(copying.old, table, "uid", f"{table}_uid", row_id)
        copying.new.execute(f"update {table} set uid = coalesce(?, randomblob(16)) where id = ?", (uid, row_id))  # noqa: S608


# What is derived, and the log ----------------------------------------------------------------------------------


def _make_derived(copying: _Copying) -> None:
    derived.rebuild_words(copying.new)
    known = settings.embedder(copying.new)
    if known:
        derived.copy_vectors(copying.old, copying.new, known[1], copying.verdict.vectors)


def _write_log(copying: _Copying, store_id: str) -> None:
    new = copying.new
    new.execute("delete from setting where name = 'oplog_genesis'")
    oplog.set_genesis(new, store_id)
    if copying.whole:
        _copy_log(copying)
    vouched = oplog.last_digests(new)
    oplog.append(new, "repaired", ["store"], actor=ACTOR, detail={"whole": copying.whole})
    found = set()
    for kind, digest in digests.OF_KIND.items():
        rows: list[Row] = new.execute(f"select id from {kind} order by id").fetchall()  # noqa: S608
        for (record_id,) in rows:
            subject = f"{kind}:{record_id}"
            found.add(subject)
            now = digest(new, int(record_id))
            if vouched.get(subject) != now:
                oplog.append(new, "repaired", [subject], digest=now, actor=ACTOR)
    lost = sorted(set(vouched) - found)
    if lost:
        oplog.append(new, "lost", lost, actor=ACTOR)


def _copy_log(copying: _Copying) -> None:
    sql = "select seq, at, kind, actor, subjects, digest, detail, hash from op order by seq limit ?"
    for row in copying.old.execute(sql, (copying.whole,)):
        copying.new.execute("insert into op values(?, ?, ?, ?, ?, ?, ?, ?)", row)
    for op in oplog.several(copying.new):
        copying.new.executemany("insert or ignore into op_subject values(?, ?)", ((s, op.seq) for s in op.subjects))
