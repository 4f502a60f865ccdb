"""Items as they go from store to store: with their uids, the uids of what they were learned from, and their links.

What continues an item after an interruption is a row of its own here and there, so that nothing that points to it is
lost. Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import apsw

from secondme.errors import CorruptRecord
from secondme.memory import oplog, slots
from secondme.memory.digests import item_digest
from secondme.memory.rows import Row, pack_text, unpack_text
from secondme.memory.slots import Slot
from secondme.memory.tombstones import Tombstones
from secondme.types import ItemKind, ItemState, LinkKind, Trust

Origin = dict[str, Any]
"""Where an imported item came from: `from` names the format, `id` the item there."""


@dataclass(frozen=True, slots=True, order=True)
class PortableSpan:
    """Bytes of the text of the turn or the passage that `of` names."""

    kind: Literal["turn", "passage"]
    of: bytes
    byte_start: int
    byte_end: int


@dataclass(frozen=True, slots=True)
class PortableItem:
    """As `types.MemoryItem`, with `continues` the uid of the item of which it is a later piece, and what was told of
    itself: see the schema for `told_to`, `place` and `interrupts`."""

    uid: bytes
    project: str
    kind: ItemKind
    slot: str
    subject: str
    attribute: str
    value: str
    text: str
    trust: Trust
    made_by: str
    state: ItemState
    created_at: float
    valid_from: float
    valid_to: float | None = None
    told_to: float | None = None
    place: int = 0
    interrupts: bool = False
    continues: bytes | None = None
    strength_days: float = 30.0
    used_at: float = 0.0
    n_uses: int = 0
    n_helpful: int = 0
    n_harmful: int = 0
    spans: tuple[PortableSpan, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class PortableLink:
    """A link between two items."""

    from_uid: bytes
    to_uid: bytes
    kind: LinkKind
    weight: float


_SELECT = """select i.id, i.origin, i.uid, p.name, i.kind, i.slot, i.subject, i.attribute, i.value, i.text, i.trust,
    i.made_by, i.state, i.created_at, i.valid_from, i.valid_to, i.told_to, i.place, i.interrupts,
    (select c.uid from item c where c.id = i.continues), i.strength_days, i.used_at, i.n_uses, i.n_helpful, i.n_harmful
    from item i join project p on p.id = i.project_id
    order by p.name, i.continues is not null, i.created_at, i.uid"""

_INSERT = """insert into item(project_id, uid, kind, slot, subject, attribute, value, text, trust, made_by, state,
    created_at, valid_from, valid_to, told_to, place, interrupts, continues, strength_days, used_at, n_uses, n_helpful,
    n_harmful, origin) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) returning id"""


# Out -----------------------------------------------------------------------------------------------------------


def leaving(
    connection: apsw.Connection, text: Callable[[str], str], passage: Callable[[int], bytes | None]
) -> Iterator[PortableItem]:
    """All items in an order that does not depend on that of storing, pieces behind what they continue.

    `text` is what becomes of a stored text, `passage` the uid of a passage.
    """
    rows: Iterator[Row] = connection.execute(_SELECT)
    for item_id, origin, uid, project, kind, *rest in rows:
        trust, made_by, state, created, start, end, told, place, interrupts, continues, *uses = rest[5:]
        days, used, n_uses, n_helpful, n_harmful = uses
        slot, subject, attribute, value, words = (text(unpack_text(stored)) for stored in rest[:5])
        yield PortableItem(
            uid=uid,
            project=text(unpack_text(project)),
            kind=kind,
            slot=slot,
            subject=subject,
            attribute=attribute,
            value=value,
            text=words,
            trust=Trust(trust),
            made_by=made_by,
            state=state,
            created_at=created,
            valid_from=start,
            valid_to=end,
            told_to=told,
            place=place,
            interrupts=bool(interrupts),
            continues=continues,
            strength_days=days,
            used_at=used,
            n_uses=n_uses,
            n_helpful=n_helpful,
            n_harmful=n_harmful,
            spans=tuple(sorted(set(_spans(connection, item_id, text, passage)))),
            origin=unpack_origin(origin),
        )


def _spans(
    connection: apsw.Connection, item_id: int, text: Callable[[str], str], passage: Callable[[int], bytes | None]
) -> Iterator[PortableSpan]:
    sql = "select kind, ref_id, byte_start, byte_end from item_span where item_id = ?"
    turn = "select uid from turn where id = ?"
    rows: list[Row] = connection.execute(sql, (item_id,)).fetchall()
    for kind, ref_id, start, end in rows:
        table = "turn" if kind == "turn" else "chunk"
        stored = connection.execute(f"select text from {table} where id = ?", (ref_id,)).get  # noqa: S608  one of two
        of = passage(ref_id) if kind == "passage" else connection.execute(turn, (ref_id,)).get
        if of is not None and stored is not None:
            yield PortableSpan(kind, of, _offset(stored, start, text), _offset(stored, end, text))


def _offset(stored: str | bytes, at: int, text: Callable[[str], str]) -> int:
    """Where byte `at` of a stored text is in what becomes of it: only a text that is no UTF-8 changes."""
    if isinstance(stored, str):
        return at
    try:
        return len(_bytes(text(unpack_text(stored[:at]))))
    except UnicodeDecodeError:
        return min(at, len(_bytes(text(unpack_text(stored)))))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def leaving_links(connection: apsw.Connection) -> Iterator[PortableLink]:
    """All links between items, in the order of their uids."""
    sql = """select a.uid, b.uid, l.kind, l.weight
             from item_link l join item a on a.id = l.from_id join item b on b.id = l.to_id order by 1, 2, 3"""
    for row in connection.execute(sql):
        yield PortableLink(*row)


def unpack_origin(stored: str | None) -> Origin | None:
    """Raises CorruptRecord unless it is an object's JSON."""
    if stored is None:
        return None
    try:
        found = json.loads(stored)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CorruptRecord("where an item was imported from cannot be read", hint="run: secondme doctor --read-data")
    return found


# In ------------------------------------------------------------------------------------------------------------

Outcome = Literal["new", "known", "kept", "forgotten"]
"""`known`: the same item is here; `kept`: another one is in its place, or has changed since, and stays, or what it
rests on is not here; `forgotten`: the owner forgot it, and so it does not come back."""


class ItemArrivals:
    """Items that are being imported, behind the turns and passages they rest on; links come last.

    `passages` are the ids of those that came or were here, by their uids. What was forgotten does not come back: the
    item itself, what repeats a forgotten wording, and what rested on nothing that is here. None of `stones` brings it.
    """

    def __init__(
        self, connection: apsw.Connection, actor: str, stones: Tombstones | None, passages: Mapping[bytes, int]
    ) -> None:
        self._connection = connection
        self._actor = actor
        self._stones = stones
        self._passages = passages
        self._before: dict[tuple[int, str], int] = {}

    def add(self, item: PortableItem, project: int) -> Outcome:
        """Store an item in the project of this id."""
        if self._id(item.uid) is not None:
            return "known"
        spans = [(s, ref) for s in item.spans if (ref := self._place(s)) is not None]
        continues = None if item.continues is None else self._id(item.continues)
        if self._is_hidden(item):
            return "forgotten"
        if (item.spans and not spans) or (item.continues is not None and continues is None):
            return "kept"
        item_id = self._insert(item, project, continues)
        self._connection.executemany(
            "insert or ignore into item_span values(?, ?, ?, ?, ?)",
            ((item_id, s.kind, ref, s.byte_start, s.byte_end) for s, ref in spans),
        )
        digest = item_digest(self._connection, item_id)
        oplog.append(self._connection, "imported", [f"item:{item_id}"], digest=digest, actor=self._actor)
        return "new"

    def _insert(self, item: PortableItem, project: int, continues: int | None) -> int:
        texts = [pack_text(text) for text in (item.slot, item.subject, item.attribute, item.value, item.text)]
        place = item.place + self._places_before(project, item.slot) if item.place else 0
        times = (item.created_at, item.valid_from, item.valid_to, item.told_to, place, int(item.interrupts), continues)
        uses = (item.strength_days, item.used_at, item.n_uses, item.n_helpful, item.n_harmful)
        made = (item.trust.value, item.made_by, item.state)
        values = (project, item.uid, item.kind, *texts, *made, *times, *uses, pack_origin(item.origin))
        return int(self._connection.execute(_INSERT, values).get)

    def _places_before(self, project: int, slot: str) -> int:
        """The last place in a slot before this import: what comes in is placed behind it."""
        if (project, slot) not in self._before:
            sql = "select coalesce(max(place), 0) from item where project_id = ? and slot = ?"
            found = self._connection.execute(sql, (project, pack_text(slot))).get if slot else 0
            self._before[project, slot] = int(found)
        return self._before[project, slot]

    def _is_hidden(self, item: PortableItem) -> bool:
        stones = self._stones
        if stones is None:
            return False
        claim = (item.subject, item.attribute, item.value, item.text)
        hashes = stones.item(item.uid, [s.of for s in item.spans], *claim)
        return stones.hides_item(hashes) or stones.hides_wording(item.text) or stones.hides_wording(item.value)

    def _place(self, span: PortableSpan) -> int | None:
        if span.kind == "passage":
            return self._passages.get(span.of)
        found = self._connection.execute("select id from turn where uid = ?", (span.of,)).get
        return None if found is None else int(found)

    def _id(self, uid: bytes) -> int | None:
        found = self._connection.execute("select id from item where uid = ?", (uid,)).get
        return None if found is None else int(found)

    def add_link(self, link: PortableLink) -> Outcome:
        ends = (self._id(link.from_uid), self._id(link.to_uid))
        if None in ends:
            return "kept"
        sql = "insert or ignore into item_link(from_id, to_id, kind, weight) values(?, ?, ?, ?)"
        self._connection.execute(sql, (*ends, link.kind, link.weight))
        return "new" if self._connection.changes() else "known"

    def settle(self) -> None:
        """Let what came and what was here hold when they should: at any time one of a slot."""
        for project, slot in self._before:
            slots.settle(self._connection, Slot(project, slot), self._actor)


def pack_origin(origin: Origin | None) -> str | None:
    # ASCII only: an id from elsewhere may hold what SQLite's text cannot.
    return None if origin is None else json.dumps(origin, sort_keys=True, separators=(",", ":"))
