"""Writes items: adds, closes, edits, decides about and takes out, so that in a slot at most one holds at any time.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import replace

import apsw

from secondme.errors import StoreError, UsageError
from secondme.memory import intervals, item_rows, lineage, oplog, slots
from secondme.memory.intervals import Claim
from secondme.memory.rows import Row, pack_text, unpack_text
from secondme.memory.slots import HOLDING, Slot
from secondme.memory.sources import ensure_project
from secondme.types import ItemChanges, ItemState, MemoryItem, NewItem, Span, Trust

# Adding --------------------------------------------------------------------------------------------------------


def add(connection: apsw.Connection, new: NewItem, actor: str, now: float | None = None) -> int:
    """Store an item and settle its slot; return its id.

    Raises UsageError if a time is not a number or its end comes before its beginning, StoreError if a turn or passage
    where it was said is gone: what was forgotten must not come back as something learned from it.
    """
    now = time.time() if now is None else now
    _check_places(connection, new.spans)
    project = ensure_project(connection, new.project)
    slot = Slot(project, new.slot)
    claims = slots.claims_of(connection, slot) if new.state in HOLDING else []
    start = intervals.start_now(now, claims) if new.valid_from is None else new.valid_from
    created = max(now, start) if new.valid_from is None else now
    return _store(connection, slot, new, Claim(0, start, new.valid_to, 0, new.valid_to is not None, created), actor)


def _store(connection: apsw.Connection, slot: Slot, new: NewItem, claim: Claim, actor: str) -> int:
    """Without a place in the slot it gets the last one."""
    _check_times(claim.start, claim.told_to)
    if new.state in HOLDING and not claim.place:
        claim = replace(claim, place=slots.next_place(connection, slot))
    item_id = _insert(connection, slot.project, new, claim)
    slots.settle(connection, slot, actor, silent=item_id)
    slots.log(connection, "item-added", item_id, actor)
    return item_id


def _check_places(connection: apsw.Connection, spans: Iterable[Span]) -> None:
    tables = {"turn": "turn", "passage": "chunk"}
    for kind, ref_id in {(span.kind, span.ref_id) for span in spans}:
        sql = f"select 1 from {tables[kind]} where id = ?"  # noqa: S608  named above
        if connection.execute(sql, (ref_id,)).get is None:
            raise StoreError("what this was learned from is gone", hint="it may have been forgotten meanwhile")


def _check_times(start: float, end: float | None) -> None:
    if not math.isfinite(start) or (end is not None and not math.isfinite(end)):
        raise UsageError("the time of an item is not a number", hint="give Unix seconds, or leave it out")
    if end is not None and end < start:
        raise UsageError("the item would end before it begins", hint="give an end that comes later, or none")


def _insert(connection: apsw.Connection, project: int, new: NewItem, claim: Claim) -> int:
    texts = [pack_text(text) for text in (new.slot, new.subject, new.attribute, new.value, new.text)]
    sql = """insert into item(uid, project_id, kind, slot, subject, attribute, value, text, trust, made_by, state,
                 created_at, valid_from, valid_to, told_to, place, interrupts, strength_days, used_at, n_uses,
                 n_helpful, n_harmful)
             values(randomblob(16), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0) returning id"""
    made = (new.trust.value, new.made_by, new.state)
    times = (claim.created, claim.start, claim.told_to, claim.told_to, claim.place, int(claim.interrupts))
    values = (project, new.kind, *texts, *made, *times, new.strength_days, claim.created)
    item_id = int(connection.execute(sql, values).get)
    connection.executemany(
        "insert or ignore into item_span values(?, ?, ?, ?, ?)",
        ((item_id, s.kind, s.ref_id, s.byte_start, s.byte_end) for s in new.spans),
    )
    return item_id


# Changing ------------------------------------------------------------------------------------------------------


def close(connection: apsw.Connection, item_id: int, at: float | None, actor: str, now: float | None = None) -> int:
    """It is so no longer, from `at` (None: now) on; at or before its beginning means that it never was.

    What was told to end earlier stays as it is. Returns the item's id, which is another if this one continues it.
    Raises StoreError if it is gone, UsageError for a time that is no number.
    """
    slot, _, claim = slots.found(connection, item_id)
    end = intervals.close_at(claim, at, time.time() if now is None else now)
    _check_times(claim.start, end)
    connection.execute("update item set told_to = ?1, valid_to = ?1 where id = ?2", (end, claim.id))
    slots.settle(connection, slot, actor, silent=claim.id)
    slots.log(connection, "item-closed", claim.id, actor)
    return claim.id


def set_state(connection: apsw.Connection, item_id: int, state: ItemState, actor: str) -> int:
    """Activate, archive or quarantine an item, or leave it to the owner. Returns its id, as `close` does.

    One that is activated takes its place in the slot, as if it had been added now with the times it was told; one that
    is taken out of use gives its time back. Raises StoreError if it is gone.
    """
    slot, before, claim = slots.found(connection, item_id)
    if state == before:
        return claim.id
    enters = state in HOLDING and before not in HOLDING
    place = slots.next_place(connection, slot) if enters else claim.place
    sql = "update item set state = ?, place = ?, valid_to = told_to where id = ?"
    connection.execute(sql, (state, place, claim.id))
    rows: list[Row] = connection.execute("select id from item where continues = ?", (claim.id,)).fetchall()
    for (piece,) in rows:
        connection.execute("update item set state = ?, place = ? where id = ?", (state, place, piece))
        if state in HOLDING:
            slots.log(connection, "item-changed", piece, actor, state=state)
    slots.settle(connection, slot, actor, silent=claim.id)
    slots.log(connection, "item-changed", claim.id, actor, state=state)
    return claim.id


def change(
    connection: apsw.Connection, item_id: int, changes: ItemChanges, actor: str, now: float | None = None
) -> int:
    """Store an edit as a new item in the place of this one, which is closed; return the new one's id.

    The edit holds from now on, or, of an item that holds no longer or never did, in its place and time. An edit by the
    owner is the owner's word. Raises StoreError if the item is gone.
    """
    now = time.time() if now is None else now
    slot, _, claim = slots.found(connection, item_id)
    old = item_rows.by_ids(connection, [item_id])[0]
    is_past = claim.is_empty or _last_end(connection, claim) <= now
    start = claim.start if is_past else max(now, math.nextafter(claim.start, math.inf))
    new = _edited(old, changes, actor)
    connection.execute("update item set told_to = ?1, valid_to = ?1 where id = ?2", (start, claim.id))
    place = claim.place if is_past and new.slot == slot.name else 0
    told = replace(claim, start=start, place=place, created=now if is_past else max(now, start))
    edited = _store(connection, Slot(slot.project, new.slot), new, told, actor)
    if new.slot != slot.name:
        slots.settle(connection, slot, actor, silent=claim.id)
    slots.log(connection, "item-closed", claim.id, actor)
    connection.execute("insert into item_link values(?, ?, 'replaces', 1.0)", (edited, claim.id))
    return edited


def _last_end(connection: apsw.Connection, claim: Claim) -> float:
    """When an item holds for the last time; infinity if it holds until further notice."""
    sql = "select max(coalesce(valid_to, 9e999)) from item where id = ?1 or continues = ?1"
    return float(connection.execute(sql, (claim.id,)).get)


def _edited(old: MemoryItem, changes: ItemChanges, actor: str) -> NewItem:
    is_owner = actor == oplog.OWNER
    return NewItem(
        kind=changes.kind or old.kind,
        text=old.text if changes.text is None else changes.text,
        project=old.project,
        subject=old.subject if changes.subject is None else changes.subject,
        attribute=old.attribute if changes.attribute is None else changes.attribute,
        value=old.value if changes.value is None else changes.value,
        slot=old.slot if changes.slot is None else changes.slot,
        trust=Trust.OWNER if is_owner else old.trust,
        made_by=actor,
        state="active" if old.state == "archived" else old.state,
        strength_days=old.strength_days,
        spans=old.spans,
    )


# Taking out ----------------------------------------------------------------------------------------------------


def purge(connection: apsw.Connection, ids: Iterable[int], actor: str = oplog.OWNER) -> list[int]:
    """Take items out with their words, spans, links and vectors; their slots are settled without them.

    One that continues another goes with it. Returns the ids of all that went; the caller logs them.
    """
    gone: list[int] = []
    touched: set[Slot] = set()
    for first in slots.firsts(connection, ids):
        sql = "select id, project_id, slot from item where id = ?1 or continues = ?1 order by id"
        rows: list[Row] = connection.execute(sql, (first,)).fetchall()
        gone += [int(row[0]) for row in rows]
        touched |= {Slot(row[1], unpack_text(row[2])) for row in rows}
        connection.execute("delete from item where id = ?1 or continues = ?1", (first,))
    for slot in sorted(touched, key=lambda s: (s.project, s.name)):
        slots.settle(connection, slot, actor)
    return gone


def remove(connection: apsw.Connection, ids: Iterable[int], actor: str) -> list[int]:
    """Take items out, and log it; returns the ids of what went."""
    gone = purge(connection, ids, actor)
    if gone:
        oplog.append(connection, "item-removed", [f"item:{i}" for i in gone], actor=actor)
    return gone


def undo(connection: apsw.Connection, kind: lineage.Kind, ref_id: int, actor: str) -> list[int]:
    """Take out what was made from a turn, passage, conversation or file; an item said elsewhere too keeps that.

    Returns the ids of the items that went.
    """
    return list(lineage.leave(connection, lineage.places_of(connection, [(kind, ref_id)]), actor))
