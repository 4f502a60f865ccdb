"""Forgets: takes items out with everything that came from them, and reads back that nothing of them is left.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apsw

from secondme.errors import CorruptRecord
from secondme.memory import cartridges, conversations, lineage, oplog, search, sources, tombstones, vectors
from secondme.memory.cartridge_files import path_of
from secondme.memory.digests import source_digest, turn_digest
from secondme.memory.forgetting import Plan, Target, examine
from secondme.memory.lineage import Words
from secondme.memory.redaction import REMOVED_ANSWER
from secondme.memory.rows import pack_citations, pack_text
from secondme.memory.sources import project_id
from secondme.memory.wordings import Passage, by_source

_WORDS_A_QUERY = 200
_STEM = 3
"""Letters that words of one stem have in common at least."""


def forget(connection: apsw.Connection, target: Target) -> Plan:
    """Carry out what `examine` finds. Steps of the log name ids and counts only."""
    plan = examine(connection, target)
    shown = plan.shown
    whole = [s.id for s in shown.sources]
    single = [p for p in plan.passages if p.source_id not in set(whole)]
    _remove_links(connection, plan.uids)
    lineage.loosen(connection, plan.items)
    lineage.purge(connection, shown.items)
    _change_turns(connection, target, plan)
    sources.purge(connection, whole)
    sources.purge_chunks(connection, [p.id for p in single])
    for names in plan.names:
        sources.rename_parts(connection, names.source_id, names.title, names.headings)
    for folder in shown.folders:
        conversations.remove_folder(connection, folder.path, folder.project)
    for kind, hashes in plan.tombstones:
        tombstones.bury(connection, hashes, kind)
    if not shown.is_empty:
        _log(connection, plan, single)
    return plan


def forget_project(connection: apsw.Connection, name: str) -> Plan | None:
    """Take a whole project out, its row and followed folders too; None if there is none. Leaves no tombstones."""
    number = project_id(connection, name)
    if number is None:
        return None
    target = Target(
        sources=_ids(connection, "select id from source where project_id = ?", number),
        conversations=_ids(connection, "select id from conversation where project_id = ?", number),
        items=_ids(connection, "select id from item where project_id = ?", number),
        for_good=False,
    )
    plan = forget(connection, target)
    for folder in conversations.folders(connection, name):
        conversations.remove_folder(connection, folder.path, folder.project)
    connection.execute("delete from project where id = ?", (number,))
    oplog.append(connection, "project-removed", [f"project:{number}"])
    return plan


def _ids(connection: apsw.Connection, sql: str, project: int) -> tuple[int, ...]:
    return tuple(row[0] for row in connection.execute(sql, (project,)))


def _remove_links(connection: apsw.Connection, uids: Iterable[bytes]) -> None:
    connection.executemany("delete from edge where from_uid = ?1 or to_uid = ?1", ((uid,) for uid in uids))


def _change_turns(connection: apsw.Connection, target: Target, plan: Plan) -> None:
    connection.executemany("delete from conversation where id = ?", ((i,) for i in target.conversations))
    connection.executemany("delete from turn where id = ?", ((i,) for i in plan.shown.turns))
    connection.executemany(
        "update turn set text = ?, citations = ? where id = ?",
        ((pack_text(r.text), pack_citations(r.citations), r.turn_id) for r in plan.redactions),
    )


def _log(connection: apsw.Connection, plan: Plan, single: Sequence[Passage]) -> None:
    shown = plan.shown
    subjects = [f"source:{s.id}" for s in shown.sources]
    subjects += [f"passage:{p.id}" for p in single]
    subjects += [f"conversation:{c.id}" for c in shown.conversations]
    subjects += [f"turn:{i}" for i in shown.turns]
    subjects += [f"item:{i}" for i in shown.items]
    counts: dict[str, int | float | str | None] = {
        "passages": len(shown.passages),
        "answers": len(shown.answers),
        "citations": shown.n_citations,
        "items": len(shown.items),
        "links": shown.n_links,
        "cartridges": shown.n_cartridges,
        "tombstones": sum(len(hashes) for _, hashes in plan.tombstones),
    }
    oplog.append(connection, "forgotten", subjects, detail=counts)
    for source_id in dict.fromkeys(p.source_id for p in single):
        digest = source_digest(connection, source_id)
        oplog.append(connection, "source-redacted", [f"source:{source_id}"], digest=digest)
    for redaction in plan.redactions:
        digest = turn_digest(connection, redaction.turn_id)
        detail = {
            "text": "removed" if redaction.text == REMOVED_ANSWER else "kept",
            "citations": len(redaction.citations),
        }
        oplog.append(connection, "turn-redacted", [f"turn:{redaction.turn_id}"], digest=digest, detail=detail)


# Reading back ------------------------------------------------------------------------------------------------


def verify(connection: apsw.Connection, plan: Plan) -> None:
    """Look for what `plan` took out. Raises CorruptRecord if a row, word, vector, trace, citation or link is left."""
    left = [what for what, n in _left(connection, plan) if n]
    if left:
        raise CorruptRecord(
            f"something of what was forgotten is still in the store: {', '.join(left)}",
            hint="run: secondme doctor --read-data, then forget it again",
        )


def verify_files(data: Path, plan: Plan) -> None:
    """The files of cartridges must be gone from the store's folder. Raises CorruptRecord."""
    left = [path for named in plan.files if (path := path_of(data, named)).exists()]
    if left:
        raise CorruptRecord(
            f"{len(left)} cartridges of what was forgotten cannot be deleted, though nothing opens them any more",
            hint=f"check the permissions of {left[0].parent}, then delete {left[0].name}",
        )


def verify_log(store: Path) -> None:
    """The write-ahead log, where earlier versions of rows live on, must be empty. Raises CorruptRecord."""
    log = store.with_name(store.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise CorruptRecord(
            "the write-ahead log still holds what was forgotten", hint="close secondme and open it again, which cuts it"
        )


def _left(connection: apsw.Connection, plan: Plan) -> Iterator[tuple[str, int]]:
    shown = plan.shown
    yield "files", _count(connection, "select count(*) from source where id = ?", (s.id for s in shown.sources))
    yield "passages", _count(connection, "select count(*) from chunk where id = ?", shown.passages)
    yield "words", _words_left(connection, plan.passages)
    yield "vectors", sum(vectors.has(connection, i) for i in shown.passages)
    yield "turns", _count(connection, "select count(*) from turn where id = ?", shown.turns)
    ids = (c.id for c in shown.conversations)
    yield "conversations", _count(connection, "select count(*) from conversation where id = ?", ids)
    yield "words of turns", lineage.words_left(connection, "turn_word", _said_no_more(plan))
    yield "traces of turns", sum(_count(connection, sql, shown.turns) for sql in _TRACES)
    yield from lineage.left(connection, plan.items)
    yield "citations", _citations_left(connection, plan)
    left = {name for _, name in cartridges.files(connection)}
    yield "cartridges", sum(name in left for _, name in plan.files)
    yield "links", _count(connection, "select count(*) from edge where from_uid = ?1 or to_uid = ?1", plan.uids)


_TRACES = ("select count(*) from turn_trace where turn_id = ?", "select count(*) from turn_token where turn_id = ?")


def _count(connection: apsw.Connection, sql: str, values: Iterable[int | bytes]) -> int:
    return sum(int(connection.execute(sql, (value,)).get) for value in values)


def _words_left(connection: apsw.Connection, passages: Sequence[Passage]) -> int:
    """Passages that the word index still finds by any of their own words."""
    n_left = 0
    for of_source in by_source(passages).values():
        ids = {p.id for p in of_source}
        words = sorted({word for p in of_source for word in tombstones.wording(p.text).split(" ") if word})
        sql = "select rowid from word where word match ? and rowid between ? and ?"
        for start in range(0, len(words), _WORDS_A_QUERY):
            match = " OR ".join(search.phrase([word]) for word in words[start : start + _WORDS_A_QUERY])
            rows = connection.execute(sql, (match, min(ids), max(ids)))
            n_left += len(ids.intersection(row[0] for row in rows))
    return n_left


def _citations_left(connection: apsw.Connection, plan: Plan) -> int:
    shown = plan.shown
    gone = {"chunk_id": frozenset(shown.passages), "turn_id": frozenset(shown.turns), "item_id": frozenset(shown.items)}
    rows = connection.execute("select citations from turn where citations != '[]'") if any(gone.values()) else ()
    citations = (citation for (packed,) in rows for citation in json.loads(packed))
    return sum(any(c.get(name) in ids for name, ids in gone.items()) for c in citations)


def _said_no_more(plan: Plan) -> Iterator[Words]:
    """Turns with the words that were theirs, but for those that the index may take for words of the notice."""
    notice = tuple(word[:_STEM] for word in tombstones.wording(REMOVED_ANSWER).split(" "))
    emptied = {r.turn_id for r in plan.redactions}
    for turn in plan.turns:
        words = tombstones.wording(turn.text).split(" ")
        yield Words(turn.id, " ".join(w for w in words if turn.id not in emptied or not w.startswith(notice)))
