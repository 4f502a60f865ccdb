"""Writes items: adds, closes, edits, decides about and takes out, so that in a slot at most one holds at any time.

An item takes part in its slot while it is active or archived; a pending or quarantined one closes nothing. Whatever
changes a slot settles it anew by `intervals.py`, and each item of which the end moves gets a step in the log.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import apsw

from secondme.errors import StoreError, UsageError
from secondme.memory import intervals, item_rows, oplog
from secondme.memory.digests import item_digest
from secondme.memory.intervals import Claim
from secondme.memory.rows import Row, pack_text, unpack_text
from secondme.memory.sources import ensure_project
from secondme.types import ItemChanges, ItemLink, ItemState, MemoryItem, NewItem, Span, Trust

HOLDING: frozenset[ItemState] = frozenset({"active", "archived"})
"""States in which an item takes part in its slot."""

GROWTH = 1.6
"""What a use makes of an item's strength: the forgetting curve flattens with each recall (Ebbinghaus 1885; MemoryBank,
Zhong et al. 2023, adds a day; a factor keeps its meaning from days to years)."""

MOST_DAYS = 3650.0

_COPIED = """project_id, kind, slot, subject, attribute, value, text, trust, made_by, state, created_at, told_to, place,
    interrupts, strength_days, used_at, n_uses, n_helpful, n_harmful, vector, origin"""


def strengthened(days: float) -> float:
    """Strength S, in days, after one more use."""
    return min(MOST_DAYS, days * GROWTH)


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
    claims = _claims(connection, slot) if new.state in HOLDING else []
    start = intervals.start_now(now, claims) if new.valid_from is None else new.valid_from
    created = max(now, start) if new.valid_from is None else now
    return _store(connection, slot, new, Claim(0, start, new.valid_to, 0, new.valid_to is not None, created), actor)


def _store(connection: apsw.Connection, slot: Slot, new: NewItem, claim: Claim, actor: str) -> int:
    """Without a place in the slot it gets the last one."""
    _check_times(claim.start, claim.told_to)
    if new.state in HOLDING and not claim.place:
        claim = replace(claim, place=_next_place(connection, slot))
    item_id = _insert(connection, slot.project, new, claim)
    _settle(connection, slot, actor, silent=item_id)
    _log(connection, "item-added", item_id, actor)
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


def _log(connection: apsw.Connection, kind: oplog.Kind, item_id: int, actor: str, **detail: int | str) -> None:
    digest = item_digest(connection, item_id)
    oplog.append(connection, kind, [f"item:{item_id}"], digest=digest, actor=actor, detail=detail)


# Slots ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slot:
    """What items are about, in a project of this id; nothing takes another's place where `name` is ""."""

    project: int
    name: str


def _claims(connection: apsw.Connection, slot: Slot) -> list[Claim]:
    """What takes part in a slot, as it was told."""
    if not slot.name:
        return []
    sql = """select id, valid_from, told_to, place, interrupts, created_at from item
             where project_id = ? and slot = ? and state in ('active', 'archived') and continues is null"""
    rows = connection.execute(sql, (slot.project, pack_text(slot.name)))
    return [Claim(i, start, end, place, bool(interrupts), made) for i, start, end, place, interrupts, made in rows]


def _next_place(connection: apsw.Connection, slot: Slot) -> int:
    return 1 + max((c.place for c in _claims(connection, slot)), default=0)


def _settle(connection: apsw.Connection, slot: Slot, actor: str, silent: int = 0) -> None:
    """Let the items of a slot hold when they should; log those that changed, but for the item `silent`.

    An item's own row is the piece that begins when it was told to begin, or else empty. Later pieces are rows that
    continue it.
    """
    claims = _claims(connection, slot)
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


def settle(connection: apsw.Connection, project: int, slot: str, actor: str) -> None:
    """Let the items of a slot hold when they should, after rows came from elsewhere; log those that changed."""
    _settle(connection, Slot(project, slot), actor)


def _end(connection: apsw.Connection, item_id: int, end: float | None, actor: str, silent: int = 0) -> None:
    connection.execute("update item set valid_to = ? where id = ?", (end, item_id))
    if item_id != silent:
        _log(connection, "item-changed" if end is None else "item-closed", item_id, actor)


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
    _log(connection, "item-added", copy, actor, continues=item_id)


def _found(connection: apsw.Connection, item_id: int) -> tuple[Slot, ItemState, Claim]:
    """Slot, state and claim of an item, or of the one that it continues. Raises StoreError if it is gone."""
    sql = """select project_id, slot, state, id, valid_from, told_to, place, interrupts, created_at from item
             where id = (select coalesce(continues, id) from item where id = ?)"""
    row: Row | None = connection.execute(sql, (item_id,)).fetchone()
    if row is None:
        raise StoreError("there is no such item", hint="it may have been forgotten; see: secondme memory list")
    project, name, state, number, start, end, place, interrupts, made = row
    return Slot(project, unpack_text(name)), state, Claim(number, start, end, place, bool(interrupts), made)


# Changing ------------------------------------------------------------------------------------------------------


def close(connection: apsw.Connection, item_id: int, at: float | None, actor: str, now: float | None = None) -> int:
    """It is so no longer, from `at` (None: now) on; at or before its beginning means that it never was.

    What was told to end earlier stays as it is. Returns the item's id, which is another if this one continues it.
    Raises StoreError if it is gone, UsageError for a time that is no number.
    """
    slot, _, claim = _found(connection, item_id)
    end = intervals.close_at(claim, at, time.time() if now is None else now)
    _check_times(claim.start, end)
    connection.execute("update item set told_to = ?1, valid_to = ?1 where id = ?2", (end, claim.id))
    _settle(connection, slot, actor, silent=claim.id)
    _log(connection, "item-closed", claim.id, actor)
    return claim.id


def set_state(connection: apsw.Connection, item_id: int, state: ItemState, actor: str) -> int:
    """Activate, archive or quarantine an item, or leave it to the owner. Returns its id, as `close` does.

    One that is activated takes its place in the slot, as if it had been added now with the times it was told; one that
    is taken out of use gives its time back. Raises StoreError if it is gone.
    """
    slot, before, claim = _found(connection, item_id)
    if state == before:
        return claim.id
    enters = state in HOLDING and before not in HOLDING
    place = _next_place(connection, slot) if enters else claim.place
    sql = "update item set state = ?, place = ?, valid_to = told_to where id = ?"
    connection.execute(sql, (state, place, claim.id))
    rows: list[Row] = connection.execute("select id from item where continues = ?", (claim.id,)).fetchall()
    for (piece,) in rows:
        connection.execute("update item set state = ?, place = ? where id = ?", (state, place, piece))
        if state in HOLDING:
            _log(connection, "item-changed", piece, actor, state=state)
    _settle(connection, slot, actor, silent=claim.id)
    _log(connection, "item-changed", claim.id, actor, state=state)
    return claim.id


def change(
    connection: apsw.Connection, item_id: int, changes: ItemChanges, actor: str, now: float | None = None
) -> int:
    """Store an edit as a new item in the place of this one, which is closed; return the new one's id.

    The edit holds from now on, or, of an item that holds no longer or never did, in its place and time. An edit by the
    owner is the owner's word. Raises StoreError if the item is gone.
    """
    now = time.time() if now is None else now
    slot, _, claim = _found(connection, item_id)
    old = item_rows.by_ids(connection, [item_id])[0]
    is_past = claim.is_empty or _last_end(connection, claim) <= now
    start = claim.start if is_past else max(now, math.nextafter(claim.start, math.inf))
    new = _edited(old, changes, actor)
    connection.execute("update item set told_to = ?1, valid_to = ?1 where id = ?2", (start, claim.id))
    place = claim.place if is_past and new.slot == slot.name else 0
    told = replace(claim, start=start, place=place, created=now if is_past else max(now, start))
    edited = _store(connection, Slot(slot.project, new.slot), new, told, actor)
    if new.slot != slot.name:
        _settle(connection, slot, actor, silent=claim.id)
    _log(connection, "item-closed", claim.id, actor)
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
    slots: set[Slot] = set()
    for first in _firsts(connection, ids):
        sql = "select id, project_id, slot from item where id = ?1 or continues = ?1 order by id"
        rows: list[Row] = connection.execute(sql, (first,)).fetchall()
        gone += [int(row[0]) for row in rows]
        slots |= {Slot(row[1], unpack_text(row[2])) for row in rows}
        connection.execute("delete from item where id = ?1 or continues = ?1", (first,))
    for slot in sorted(slots, key=lambda s: (s.project, s.name)):
        _settle(connection, slot, actor)
    return gone


def remove(connection: apsw.Connection, ids: Iterable[int], actor: str) -> list[int]:
    """Take items out, and log it; returns the ids of what went."""
    gone = purge(connection, ids, actor)
    if gone:
        oplog.append(connection, "item-removed", [f"item:{i}" for i in gone], actor=actor)
    return gone


def undo(connection: apsw.Connection, kind: item_rows.Origin, ref_id: int, actor: str) -> list[int]:
    """Take out what was made from a turn, passage, conversation or file; an item said elsewhere too keeps that.

    Returns the ids of the items that went.
    """
    found = item_rows.made_from(connection, kind, ref_id)
    refs = set(_places(connection, kind, ref_id))
    resting = {item.id: [s for s in item.spans if (s.kind, s.ref_id) not in refs] for item in found}
    gone = remove(connection, [i for i, spans in resting.items() if not spans], actor)
    sql = "delete from item_span where item_id = ? and kind = ? and ref_id = ?"
    for item_id in sorted(resting.keys() - set(gone)):
        connection.executemany(sql, ((item_id, *ref) for ref in sorted(refs)))
        _log(connection, "item-respanned", item_id, actor)
    return gone


def _places(connection: apsw.Connection, kind: item_rows.Origin, ref_id: int) -> list[tuple[str, int]]:
    if kind == "conversation":
        rows = connection.execute("select id from turn where conversation_id = ?", (ref_id,))
        return [("turn", int(row[0])) for row in rows]
    if kind == "source":
        rows = connection.execute("select id from chunk where source_id = ?", (ref_id,))
        return [("passage", int(row[0])) for row in rows]
    return [(kind, ref_id)]


# Uses and links ------------------------------------------------------------------------------------------------


def use(connection: apsw.Connection, ids: Iterable[int], at: float) -> None:
    """Count a use of items at `at`, which strengthens them; those that are gone are passed over."""
    used = []
    for item_id in _firsts(connection, ids):
        days = connection.execute("select strength_days from item where id = ?", (item_id,)).get
        sql = """update item set n_uses = n_uses + 1, used_at = max(used_at, ?1), strength_days = ?2
                 where id = ?3 or continues = ?3"""
        connection.execute(sql, (at, strengthened(float(days)), item_id))
        used.append(f"item:{item_id}")
    if used:
        oplog.append(connection, "items-used", used)


def _firsts(connection: apsw.Connection, ids: Iterable[int]) -> list[int]:
    """Items, or those that they continue, each once and in order; without those that are gone."""
    sql = "select coalesce(continues, id) from item where id = ?"
    return list(dict.fromkeys(int(row[0]) for i in ids for row in connection.execute(sql, (i,))))


def rate(connection: apsw.Connection, item_id: int, helpful: bool) -> None:
    """Count that an item was of help, or did harm. Raises StoreError if it is gone."""
    item_id = _found(connection, item_id)[2].id
    sql = """update item set n_helpful = n_helpful + ?2, n_harmful = n_harmful + 1 - ?2
             where id = ?1 or continues = ?1"""
    connection.execute(sql, (item_id, int(helpful)))
    oplog.append(connection, "item-rated", [f"item:{item_id}"], detail={"helpful": int(helpful)})


def link(connection: apsw.Connection, links: Sequence[ItemLink], actor: str) -> int:
    """Store links, or their new weights; those from or to items that are gone are passed over. Returns how many.

    What continues an item is linked as that item.
    """
    sql = """insert into item_link values(?, ?, ?, ?)
             on conflict(from_id, to_id, kind) do update set weight = excluded.weight"""
    linked: set[int] = set()
    n = 0
    for one in links:
        ends = [_firsts(connection, [i]) for i in (one.from_id, one.to_id)]
        if all(ends):
            connection.execute(sql, (ends[0][0], ends[1][0], one.kind, one.weight))
            linked.update(ends[0], ends[1])
            n += 1
    if n:
        subjects = [f"item:{i}" for i in sorted(linked)]
        oplog.append(connection, "items-linked", subjects, actor=actor, detail={"links": n})
    return n


def unlink(connection: apsw.Connection, links: Iterable[ItemLink]) -> None:
    """Take links away, whatever their weight."""
    sql = "delete from item_link where from_id = ? and to_id = ? and kind = ?"
    connection.executemany(sql, ((one.from_id, one.to_id, one.kind) for one in links))
