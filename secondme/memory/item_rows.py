"""Reads items: one, several, those of a slot, those that came from somewhere, and those that words find.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import apsw

from secondme.errors import UsageError
from secondme.memory import search
from secondme.memory.rows import Row, pack_text, unpack_text
from secondme.memory.sources import project_id
from secondme.types import ItemKind, ItemLink, ItemState, MemoryItem, Span, Trust

Origin = Literal["turn", "passage", "conversation", "source"]

ACTIVE: tuple[ItemState, ...] = ("active",)
KINDS: tuple[ItemKind, ...] = get_args(ItemKind)

_SELECT = """select i.id, i.uid, p.name, i.kind, i.slot, i.subject, i.attribute, i.value, i.text, i.trust, i.made_by,
    i.state, i.created_at, i.valid_from, i.valid_to, i.strength_days, i.used_at, i.n_uses, i.n_helpful, i.n_harmful
    from item i join project p on p.id = i.project_id"""

# The item's own words say most; subject and attribute are of many items.
_WEIGHTS = "bm25(1.0, 0.5, 0.5)"

_FROM = {
    "turn": "select item_id from item_span where kind = 'turn' and ref_id = ?",
    "passage": "select item_id from item_span where kind = 'passage' and ref_id = ?",
    "conversation": """select s.item_id from turn t join item_span s on s.kind = 'turn' and s.ref_id = t.id
                       where t.conversation_id = ?""",
    "source": """select s.item_id from chunk c join item_span s on s.kind = 'passage' and s.ref_id = c.id
                 where c.source_id = ?""",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: all that is set must hold. `at` is a moment, in Unix seconds, at which they held.

    `below` is an id, and of those `most` are read: a page of a long list.
    """

    kinds: Collection[ItemKind] | None = None
    states: Collection[ItemState] | None = ACTIVE
    holding: bool | None = None
    at: float | None = None
    slot: str | None = None
    subject: str | None = None
    below: int | None = None
    most: int | None = None


def by_ids(connection: apsw.Connection, ids: Sequence[int]) -> list[MemoryItem]:
    """Items in the order asked for; those that are gone are left out."""
    wanted = list(dict.fromkeys(ids))
    found = {item.id: item for item in _items(connection, "i.id in (select value from json_each(?))", _json(wanted))}
    return [found[i] for i in wanted if i in found]


def several(connection: apsw.Connection, project: str | None, wanted: Wanted) -> list[MemoryItem]:
    """The items that are wanted, those stored last first."""
    conditions = ["true"]
    values: list[str | bytes | int | float | None] = []
    if project is not None:
        # A page is read in the order of ids; an index would have all that are wanted sorted for each page.
        conditions.append("i.project_id = ?" if wanted.most is None else "+i.project_id = ?")
        values.append(project_id(connection, project))
    kinds = wanted.kinds
    if kinds is None and wanted.slot is None and wanted.subject is None:
        kinds = KINDS  # an index leads by kinds to the items of a state
    for column, one_of in (("kind", kinds), ("state", wanted.states)):
        if one_of is not None:
            conditions.append(f"i.{column} in (select value from json_each(?))")  # noqa: S608  named above
            values.append(_json(sorted(one_of)))
    for column, name in (("slot", wanted.slot), ("subject", wanted.subject)):
        if name is not None:
            conditions.append(f"i.{column} = ?")
            values.append(pack_text(name))
    if wanted.holding is not None:
        conditions.append("i.valid_to is null" if wanted.holding else "i.valid_to is not null")
    if wanted.at is not None:
        conditions.append("i.valid_from <= ? and (i.valid_to is null or i.valid_to > ?)")
        values += [wanted.at, wanted.at]
    if wanted.below is not None:
        conditions.append("i.id < ?")
        values.append(wanted.below)
    values.append(-1 if wanted.most is None else wanted.most)
    return _items(connection, f"{' and '.join(conditions)} order by i.id desc limit ?", *values)


def history(connection: apsw.Connection, item_id: int) -> list[MemoryItem]:
    """All items of the slot that `item_id` is of, and what it was edited from and to; the one that began first first.

    Empty if the item is gone.
    """
    ids = _versions(connection, item_id)
    found = by_ids(connection, sorted(ids))
    slots = {(item.project, item.slot) for item in found if item.slot}
    for project, slot in slots:
        found += several(connection, project, Wanted(states=None, slot=slot))
    unique = {item.id: item for item in found}
    return sorted(unique.values(), key=lambda item: (item.valid_from, item.id))


def _versions(connection: apsw.Connection, item_id: int) -> set[int]:
    """The ids of an item's earlier and later versions, and its own."""
    sql = """with recursive version(id) as (select coalesce(continues, id) from item where id = ?
                 union select case when l.from_id = v.id then l.to_id else l.from_id end
                 from version v join item_link l on v.id in (l.from_id, l.to_id) where l.kind = 'replaces')
             select id from version"""
    return {int(row[0]) for row in connection.execute(sql, (item_id,))}


def made_from(connection: apsw.Connection, kind: Origin, ref_id: int) -> list[MemoryItem]:
    """The items that were said in a turn or a passage, or in any of a conversation or a file, in order of storing."""
    ids = sorted({int(row[0]) for row in connection.execute(_FROM[kind], (ref_id,))})
    return by_ids(connection, ids)


def links(connection: apsw.Connection, item_id: int) -> list[ItemLink]:
    """The links from and to an item, or the one that it continues."""
    first = connection.execute("select coalesce(continues, id) from item where id = ?", (item_id,)).get
    sql = """select from_id, to_id, kind, weight from item_link where from_id = ?1 or to_id = ?1
             order by kind, from_id, to_id"""
    return [ItemLink(*row) for row in connection.execute(sql, (first,))]


def by_words(
    connection: apsw.Connection, match: str, k: int, project: str | None, states: Collection[ItemState]
) -> list[tuple[int, float]]:
    """The `k` items with the best BM25, best first and higher is better; secrets and lessons have no words.

    Of more than search.MOST_RANKED that fit, only the newest are looked at. Raises UsageError if `match` is not an FTS5
    expression.
    """
    if not match:
        return []
    sql = """select i.id, -w.rank from item_word w join item i on i.id = w.rowid
             where w.item_word match ? and w.rank match ? and i.state in (select value from json_each(?))
                 and w.rowid > ?"""
    match = search.clean(match)
    values: list[str | int | None] = [match, _WEIGHTS, _json(sorted(states))]
    try:
        values.append(search.last_left_out(connection, "item_word", match))
        if project is not None:
            sql += " and i.project_id = ?"
            values.append(project_id(connection, project))
        rows = connection.execute(f"{sql} order by w.rank limit ?", (*values, k))
        return [(int(i), float(score)) for i, score in rows]
    except apsw.SQLError:
        raise UsageError("the search cannot be understood", hint="put the words in double quotes") from None


def _items(connection: apsw.Connection, condition: str, *values: str | bytes | int | float | None) -> list[MemoryItem]:
    rows: list[Row] = connection.execute(f"{_SELECT} where {condition}", values).fetchall()
    spans = _spans(connection, [int(row[0]) for row in rows]) if rows else {}
    return [_to_item(row, tuple(spans[row[0]])) for row in rows]


def _spans(connection: apsw.Connection, ids: Iterable[int]) -> defaultdict[int, list[Span]]:
    sql = """select item_id, kind, ref_id, byte_start, byte_end from item_span
             where item_id in (select value from json_each(?)) order by item_id, kind, ref_id, byte_start"""
    found = defaultdict(list)
    for row in connection.execute(sql, (_json(list(ids)),)):
        found[row[0]].append(Span(*row[1:]))
    return found


def _to_item(row: Row, spans: tuple[Span, ...]) -> MemoryItem:
    slot, subject, attribute, value, text = (unpack_text(stored) for stored in row[4:9])
    made_by, state, created_at, valid_from, valid_to, strength_days, used_at, n_uses, n_helpful, n_harmful = row[10:]
    return MemoryItem(
        id=row[0],
        uid=row[1],
        project=unpack_text(row[2]),
        kind=row[3],
        slot=slot,
        subject=subject,
        attribute=attribute,
        value=value,
        text=text,
        trust=Trust(row[9]),
        made_by=made_by,
        state=state,
        created_at=created_at,
        valid_from=valid_from,
        valid_to=valid_to,
        strength_days=strength_days,
        used_at=used_at,
        n_uses=n_uses,
        n_helpful=n_helpful,
        n_harmful=n_harmful,
        spans=spans,
    )


def _json(values: Sequence[object]) -> str:
    return json.dumps(values)
