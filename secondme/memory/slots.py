"""The slots of items: who takes part in one, and the rows that say when each of them holds.

An item takes part in its slot while it is active or archived; a pending or quarantined one closes nothing. Whatever
changes a slot settles it anew by `intervals.py`, and each item of which the end moves gets a step in the log.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from secondme.errors import StoreError
from secondme.memory import intervals, oplog
from secondme.memory.digests import item_digest
from secondme.memory.intervals import Claim
from secondme.memory.rows import Row, pack_text, unpack_text
from secondme.types import ItemState

HOLDING: frozenset[ItemState] = frozenset({"active", "archived"})
"""States in which an item takes part in its slot."""

_COPIED = """project_id, kind, slot, subject, attribute, value, text, trust, made_by, state, created_at, told_to, place,
    interrupts, strength_days, used_at, n_uses, n_helpful, n_harmful, vector, origin"""


@dataclass(frozen=True, slots=True)
class Slot:
    """What items are about, in a project of this id; nothing takes another's place where `name` is ""."""

    project: int
    name: str


def claims_of(connection: apsw.Connection, slot: Slot) -> list[Claim]:
    """What takes part in a slot, as it was told."""
    if not slot.name:
        return []
    sql = """select id, valid_from, told_to, place, interrupts, created_at from item
             where project_id = ? and slot = ? and state in ('active', 'archived') and continues is null"""
    rows = connection.execute(sql, (slot.project, pack_text(slot.name)))
    return [Claim(i, start, end, place, bool(interrupts), made) for i, start, end, place, interrupts, made in rows]


def next_place(connection: apsw.Connection, slot: Slot) -> int:
    return 1 + max((c.place for c in claims_of(connection, slot)), default=0)


def settle(connection: apsw.Connection, slot: Slot, actor: str, silent: int = 0) -> None:
    """Let the items of a slot hold when they should; log those that changed, but for the item `silent`.

    An item's own row is the piece that begins when it was told to begin, or else empty. Later pieces are rows that
    continue it.
    """
    claims = claims_of(connection, slot)
    later: dict[tuple[int, float], float | None] = {}
    ends: dict[int, float | None] = {c.id: c.start for c in claims}
    starts = {c.id: c.start for c in claims}
    for piece in intervals.pieces(claims):
        if piece.start == starts[piece.id]:
            ends[piece.id] = piece.end
        else:
            later[piece.id, piece.start] = piece.end
    sql = "select id, valid_to from item where project_id = ? and slot = ? and continues is null"
    before = dict(connection.execute(sql, (slot.project, pack_text(slot.name)))) if claims else {}
    for item_id, end in sorted(ends.items()):
        if end != before[item_id]:
            _end(connection, item_id, end, actor, silent)
    _continue(connection, slot, later, actor)


def _end(connection: apsw.Connection, item_id: int, end: float | None, actor: str, silent: int = 0) -> None:
    connection.execute("update item set valid_to = ? where id = ?", (end, item_id))
    if item_id != silent:
        log(connection, "item-changed" if end is None else "item-closed", item_id, actor)


def _continue(
    connection: apsw.Connection, slot: Slot, wanted: dict[tuple[int, float], float | None], actor: str
) -> None:
    """Make the rows that continue items of a slot those that are `wanted`: (item id, beginning) and end."""
    sql = """select id, continues, valid_from, valid_to from item
             where project_id = ? and slot = ? and continues is not null"""
    rows: list[Row] = connection.execute(sql, (slot.project, pack_text(slot.name))).fetchall() if slot.name else []
    missing = dict(wanted)
    stale = []
    for item_id, of, start, before in rows:
        if (of, start) in missing:
            end = missing.pop((of, start))
            if end != before:
                _end(connection, item_id, end, actor)
        else:
            stale.append(int(item_id))
    if stale:
        connection.executemany("delete from item where id = ?", ((i,) for i in stale))
        oplog.append(connection, "item-removed", [f"item:{i}" for i in stale], actor=actor)
    for (of, start), end in sorted(missing.items()):
        _copy(connection, of, start, end, actor)


def _copy(connection: apsw.Connection, item_id: int, start: float, end: float | None, actor: str) -> None:
    sql = f"""insert into item(uid, {_COPIED}, valid_from, valid_to, continues)
              select randomblob(16), {_COPIED}, ?2, ?3, id from item where id = ?1 returning id"""  # noqa: S608
    copy = int(connection.execute(sql, (item_id, start, end)).get)
    sql = """insert into item_span select ?2, kind, ref_id, byte_start, byte_end from item_span where item_id = ?1"""
    connection.execute(sql, (item_id, copy))
    log(connection, "item-added", copy, actor, continues=item_id)


def found(connection: apsw.Connection, item_id: int) -> tuple[Slot, ItemState, Claim]:
    """Slot, state and claim of an item, or of the one that it continues. Raises StoreError if it is gone."""
    sql = """select project_id, slot, state, id, valid_from, told_to, place, interrupts, created_at from item
             where id = (select coalesce(continues, id) from item where id = ?)"""
    row: Row | None = connection.execute(sql, (item_id,)).fetchone()
    if row is None:
        raise StoreError("there is no such item", hint="it may have been forgotten; see: secondme memory list")
    project, name, state, number, start, end, place, interrupts, made = row
    return Slot(project, unpack_text(name)), state, Claim(number, start, end, place, bool(interrupts), made)


def firsts(connection: apsw.Connection, ids: Iterable[int]) -> list[int]:
    """Items, or those that they continue, each once and in order; without those that are gone."""
    sql = "select coalesce(continues, id) from item where id = ?"
    return list(dict.fromkeys(int(row[0]) for i in ids for row in connection.execute(sql, (i,))))


def log(connection: apsw.Connection, kind: oplog.Kind, item_id: int, actor: str, **detail: int | str) -> None:
    digest = item_digest(connection, item_id)
    oplog.append(connection, kind, [f"item:{item_id}"], digest=digest, actor=actor, detail=detail)
