"""Why something is in memory: where it came from, by which rule or model, and what became of it since.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from secondme.memory import oplog, settings
from secondme.memory.oplog import Op
from secondme.memory.rows import SELECT_CHUNK, SELECT_SOURCE, to_chunk, to_source
from secondme.types import StoredChunk, StoredSource

# Steps that concern everything that is in the store at the time.
_OF_ALL = frozenset({"exported", "reindexed", "rekeyed", "repaired", "rolled-back", "upgraded"})


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of an item. After it was forgotten only `steps` are left, with ids and hashes.

    `there` tells whether it is in memory; `source` is the file that it is or comes from; `origin` is what an import
    said of it; `embedder` the fingerprint of the model that made its vector.
    """

    subject: str
    there: bool
    source: StoredSource | None
    passage: StoredChunk | None
    origin: Mapping[str, Any] | None
    embedder: str | None
    steps: tuple[Op, ...]


def provenance(connection: apsw.Connection, kind: str, item_id: int) -> Provenance:
    """Of a `passage`, `source`, `conversation`, `turn` or `item`."""
    subject = f"{kind}:{item_id}"
    passage = _passage(connection, item_id) if kind == "passage" else None
    source_id = item_id if kind == "source" else _source_of(connection, item_id) if kind == "passage" else None
    source = _source(connection, source_id) if source_id is not None else None
    known = settings.embedder(connection)
    there = passage is not None if kind == "passage" else _is_there(connection, kind, item_id)
    steps = tuple(_steps(connection, subject, source_id, there=there))
    return Provenance(
        subject,
        there,
        source,
        passage,
        _origin(connection, "source" if kind == "passage" else kind, source_id if kind == "passage" else item_id),
        known[0] if known and there and kind in ("passage", "source") else None,
        steps,
    )


def _steps(connection: apsw.Connection, subject: str, source_id: int | None, *, there: bool) -> Iterator[Op]:
    """Steps that touched the item: its own, those of its file while it was part of it, and those of everything."""
    kind, _, number = subject.partition(":")
    own = {op.seq: op for op in oplog.several(connection, subject)}
    if kind == "passage" and source_id is not None:
        own |= _steps_of_file(connection, source_id, int(number))
    if not own:
        return
    first, last = min(own), max(own)
    for op in oplog.several(connection, "store", after=first):
        if op.kind in _OF_ALL and (there or op.seq < last):
            own[op.seq] = op
    yield from (own[seq] for seq in sorted(own))


def _steps_of_file(connection: apsw.Connection, source_id: int, passage: int) -> dict[int, Op]:
    """From the step that stored the passage to the one that stored another version of its file."""
    found: dict[int, Op] = {}
    for op in oplog.several(connection, f"source:{source_id}"):
        if passage in oplog.passages_of(op):
            found = {op.seq: op}
        elif found and op.kind != "touched":
            found[op.seq] = op
            if op.kind in ("put", "skipped"):
                break
    return found


def _source_of(connection: apsw.Connection, passage: int) -> int | None:
    """The file a passage is part of, or was, by the operation log."""
    found = connection.execute("select source_id from chunk where id = ?", (passage,)).get
    if found is not None:
        return int(found)
    for op in oplog.several(connection):
        if passage in oplog.passages_of(op):
            return int(op.subjects[0].partition(":")[2])
    return None


def _passage(connection: apsw.Connection, item_id: int) -> StoredChunk | None:
    row = connection.execute(f"{SELECT_CHUNK} where c.id = ?", (item_id,)).fetchone()
    return to_chunk(row) if row else None


def _source(connection: apsw.Connection, item_id: int) -> StoredSource | None:
    row = connection.execute(f"{SELECT_SOURCE} where s.id = ?", (item_id,)).fetchone()
    return to_source(row) if row else None


_ORIGIN = {
    "source": "select origin from source where id = ?",
    "conversation": "select origin from conversation where id = ?",
    "turn": "select origin from turn where id = ?",
    "item": "select origin from item where id = ?",
}


def _is_there(connection: apsw.Connection, kind: str, item_id: int) -> bool:
    return bool(connection.execute(_ORIGIN[kind], (item_id,)).fetchall())


def _origin(connection: apsw.Connection, kind: str, item_id: int | None) -> Mapping[str, Any] | None:
    found = connection.execute(_ORIGIN[kind], (item_id,)).get
    origin: Mapping[str, Any] | None = json.loads(found) if found else None
    return origin
