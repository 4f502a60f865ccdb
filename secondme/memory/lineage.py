"""What items rest on: turns and passages come and go, and what was made of them goes along.

An item rests on the places where it was said. A place that goes takes its spans, and the item with them if it has no
other. An item also goes if it repeats what goes, whatever it rests on; so do the topics that were made of it, which are
made again of the rest. When a file changes, spans follow the wording they stand for to where it is now.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import apsw

from secondme.memory import oplog, search
from secondme.memory.digests import item_digest
from secondme.memory.redaction import Gone, runs_of
from secondme.memory.rows import Row, passage_uid, unpack_text
from secondme.memory.tombstones import (
    DISTINCT_WORDS,
    all_wordings,
    is_distinct,
    item_hashes,
    salt,
    undone_hash,
    wording,
)
from secondme.types import NewItem

Kind = Literal["turn", "conversation", "passage", "source"]
"""What items are learned from."""

_TABLES = {"turn": "turn", "passage": "chunk"}
_PLACES_OF: Mapping[Kind, str] = {
    "turn": "select 'turn', id from turn where id = ?",
    "conversation": "select 'turn', id from turn where conversation_id = ?",
    "passage": "select 'passage', id from chunk where id = ?",
    "source": "select 'passage', id from chunk where source_id = ?",
}


@dataclass(frozen=True, slots=True, repr=False)
class Words:
    """The text of a record, which is looked for when it is gone. Of secrets no index ever held a word."""

    id: int
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class GoingItems:
    """Items that go, with their words, and those that only lose what lies in `places`, ids of turns and passages."""

    items: tuple[Words, ...] = ()
    loosened: tuple[int, ...] = ()
    n_links: int = 0
    places: Mapping[str, Collection[int]] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(item.id for item in self.items)


# Finding -----------------------------------------------------------------------------------------------------


def distinct_of_items(connection: apsw.Connection, ids: Iterable[int], passages: Collection[int]) -> frozenset[str]:
    """Wordings of items that are nobody else's by chance, and that neither a passage nor the owner goes on saying.

    `passages` are those that go.
    """
    rows = [row for i in ids for row in connection.execute("select text from item where id = ?", (i,))]
    found = {words for (text,) in rows for words in all_wordings(unpack_text(text)) if is_distinct(words)}
    return frozenset(words for words in found if not _is_said(connection, words, passages, ()))


def distinct_of_turns(connection: apsw.Connection, ids: Collection[int], passages: Collection[int]) -> frozenset[str]:
    """The same of turns that go, as far as items repeat them."""
    rows = [row for i in ids for row in connection.execute("select text from turn where id = ?", (i,))]
    said = {words for (text,) in rows for words in all_wordings(unpack_text(text)) if is_distinct(words)}
    found = _repeated(connection, said) if said else set()
    return frozenset(words for words in found if not _is_said(connection, words, passages, ids))


def _repeated(connection: apsw.Connection, wordings: Iterable[str]) -> set[str]:
    """Those of which an item repeats all, or as many words in a row as are nobody else's: a pass over the items."""
    of: defaultdict[str, set[str]] = defaultdict(set)
    for words in wordings:
        for part in (words, *runs_of(words)):
            of[part].add(words)
    found: set[str] = set()
    for row in connection.execute("select text, value from item"):
        for text in map(unpack_text, row):
            for part in (*all_wordings(text), *runs_of(wording(text))):
                found |= of.get(part, set())
    return found


def _is_said(connection: apsw.Connection, words: str, passages: Collection[int], turns: Collection[int]) -> bool:
    """Whether a passage or a turn of the owner's that stays has this wording."""
    start = words.split(" ")[:DISTINCT_WORDS]
    for chunk_id in search.by_phrase(connection, start):
        text = connection.execute("select text from chunk where id = ?", (chunk_id,)).get
        if chunk_id not in passages and text is not None and words in all_wordings(unpack_text(text)):
            return True
    sql = """select t.id, t.text from turn_word w join turn t on t.id = w.rowid
             where w.turn_word match ? and t.role = 'user'"""
    rows = connection.execute(sql, (search.phrase(start),))
    return any(i not in turns and words in all_wordings(unpack_text(text)) for i, text in rows)


def places_of(connection: apsw.Connection, learned_from: Iterable[tuple[Kind, int]]) -> dict[str, frozenset[int]]:
    """Ids of the turns and the passages that these are or hold."""
    rows = [row for kind, i in learned_from for row in connection.execute(_PLACES_OF[kind], (i,))]
    return {kind: frozenset(i for k, i in rows if k == kind) for kind in _TABLES}


def words_of_turns(connection: apsw.Connection, ids: Iterable[int]) -> Iterator[Words]:
    """What turns say now."""
    for i in ids:
        for (text,) in connection.execute("select text from turn where id = ?", (i,)):
            yield Words(i, unpack_text(text))


def going(connection: apsw.Connection, named: Iterable[int], places: Mapping[str, Collection[int]]) -> GoingItems:
    """The items that go with `named` ones and with `places`."""
    gone = {i for i in named if connection.execute("select 1 from item where id = ?", (i,)).get}
    touched = {i for kind, ids in places.items() for i in _resting_on(connection, kind, ids)}
    gone |= {i for i in touched if not _other_places(connection, i, places)}
    gone |= _topics_of(connection, gone)
    gone |= {piece for i in gone for piece in _pieces(connection, i)}
    loosened = tuple(sorted(touched - gone))
    return GoingItems(
        tuple(_words(connection, sorted(gone))),
        loosened,
        _count_links(connection, gone),
        places,
    )


def _resting_on(connection: apsw.Connection, kind: str, ids: Iterable[int]) -> Iterator[int]:
    sql = "select distinct item_id from item_span where kind = ? and ref_id = ?"
    for ref_id in ids:
        for (item_id,) in connection.execute(sql, (kind, ref_id)):
            yield int(item_id)


def _spans(connection: apsw.Connection, item_id: int) -> list[Row]:
    sql = "select kind, ref_id, byte_start, byte_end from item_span where item_id = ?"
    return connection.execute(sql, (item_id,)).fetchall()


def _going_spans(connection: apsw.Connection, item_id: int, places: Mapping[str, Collection[int]]) -> list[Row]:
    return [row for row in _spans(connection, item_id) if row[1] in places.get(row[0], ())]


def _other_places(connection: apsw.Connection, item_id: int, places: Mapping[str, Collection[int]]) -> bool:
    return len(_going_spans(connection, item_id, places)) < len(_spans(connection, item_id))


def repeating(connection: apsw.Connection, wordings: frozenset[str]) -> frozenset[int]:
    """Items in whose text or value a distinct wording stands, or as many of its words in a row as are nobody else's."""
    runs = frozenset(run for words in wordings for run in runs_of(words))
    hunt = Gone(frozenset(), (), frozenset(), wordings, runs)
    rows = connection.execute("select id, text, value from item") if wordings else ()
    return frozenset(
        int(i) for i, text, value in rows if hunt.is_repeated(unpack_text(text)) or hunt.is_repeated(unpack_text(value))
    )


def _pieces(connection: apsw.Connection, item_id: int) -> Iterator[int]:
    """An item, what it continues after an interruption, and what else continues that."""
    sql = """with first(id) as (select coalesce(continues, id) from item where id = ?)
             select i.id from item i join first f on f.id in (i.id, i.continues)"""
    for (piece,) in connection.execute(sql, (item_id,)):
        yield int(piece)


def _topics_of(connection: apsw.Connection, ids: Iterable[int]) -> set[int]:
    """Topics that sum up one of the items, and topics of those."""
    sql = """select t.id from item_link l join item t on t.id in (l.from_id, l.to_id)
             where l.kind = 'member' and t.kind = 'topic' and t.id != ?1 and (l.from_id = ?1 or l.to_id = ?1)"""
    found: set[int] = set()
    waiting = list(ids)
    while waiting:
        item_id = waiting.pop()
        # A topic's members stay when it goes, so only from a member to its topic, and never back.
        new = {int(row[0]) for row in connection.execute(sql, (item_id,))} - found
        found |= new
        waiting += new
    return found


def _words(connection: apsw.Connection, ids: Iterable[int]) -> Iterator[Words]:
    for i in ids:
        for (text,) in connection.execute("select text from item where id = ?", (i,)):
            yield Words(i, unpack_text(text))


def _count_spans(connection: apsw.Connection, ids: Iterable[int]) -> int:
    return sum(int(connection.execute("select count(*) from item_span where item_id = ?", (i,)).get) for i in ids)


def _count_links(connection: apsw.Connection, ids: Iterable[int]) -> int:
    sql = "select from_id, to_id, kind from item_link where from_id = ?1 or to_id = ?1"
    return len({row for i in ids for row in connection.execute(sql, (i,))})


def tombstones_of(connection: apsw.Connection, ids: Iterable[int]) -> frozenset[bytes]:
    """What the items that were named leave behind, see `tombstones`."""
    found: set[bytes] = set()
    sql = "select uid, subject, attribute, value, text from item where id = ?"
    for item_id in ids:
        for uid, *claim in connection.execute(sql, (item_id,)):
            places = {place_uid(connection, kind, ref_id) for kind, ref_id, *_ in _spans(connection, item_id)}
            found.update(item_hashes(salt(connection), uid, places - {b""}, *map(unpack_text, claim)))
            found.update(undone_hash(salt(connection), place) for place in places - {b""})
    return frozenset(found)


def undone(connection: apsw.Connection, turn_ids: Iterable[int]) -> frozenset[int]:
    """Those of the turns from which something was learned that the owner forgot again."""
    sql, key = "select 1 from tombstone where hash = ? and kind = 'item'", salt(connection)
    uids = {turn_id: place_uid(connection, "turn", turn_id) for turn_id in turn_ids}
    return frozenset(
        turn_id for turn_id, uid in uids.items() if connection.execute(sql, (undone_hash(key, uid),)).get is not None
    )


def is_forgotten(connection: apsw.Connection, new: NewItem) -> bool:
    """Whether the owner forgot what this item claims, as it was learned from the same turn or passage."""
    places = {place_uid(connection, span.kind, span.ref_id) for span in new.spans} - {b""}
    if not places:
        return False
    hashes = item_hashes(salt(connection), b"", places, new.subject, new.attribute, new.value, new.text)
    sql = "select 1 from tombstone where hash = ? and kind = 'item'"
    return any(connection.execute(sql, (digest,)).get is not None for digest in hashes)


def place_uid(connection: apsw.Connection, kind: str, ref_id: int) -> bytes:
    """What names a turn or a passage the same in every store; b"" if it is not there."""
    if kind == "turn":
        return bytes(connection.execute("select uid from turn where id = ?", (ref_id,)).get or b"")
    sql = "select s.uid, c.ordinal, c.text from chunk c join source s on s.id = c.source_id where c.id = ?"
    row = connection.execute(sql, (ref_id,)).fetchone()
    return b"" if row is None else passage_uid(row[0], row[1], unpack_text(row[2]))


# Taking out --------------------------------------------------------------------------------------------------


def purge(connection: apsw.Connection, ids: Iterable[int]) -> None:
    """Take items out with their words, spans, links and vectors; the caller logs it."""
    from secondme.memory import items  # which need files, which need this module

    items.purge(connection, ids)


def loosen(connection: apsw.Connection, found: GoingItems) -> None:
    """Take the spans that go away from items that stay, and log what is left of them.

    Before anything is purged: what holds again in its place is made with the spans of what it continues.
    """
    for item_id in found.loosened:
        for kind, ref_id, start, end in _going_spans(connection, item_id, found.places):
            connection.execute(
                """delete from item_span
                   where item_id = ? and kind = ? and ref_id = ? and byte_start = ? and byte_end = ?""",
                (item_id, kind, ref_id, start, end),
            )
        log_spans(connection, item_id)


def log_spans(connection: apsw.Connection, item_id: int) -> None:
    digest = item_digest(connection, item_id)
    oplog.append(connection, "item-respanned", [f"item:{item_id}"], digest=digest)


def leave(
    connection: apsw.Connection, places: Mapping[str, Collection[int]], actor: str = oplog.OWNER
) -> tuple[int, ...]:
    """Before turns or passages are taken out for another reason than forgetting: what rested on them goes along.

    Returns the items that went.
    """
    found = going(connection, (), places)
    loosen(connection, found)
    purge(connection, found.ids)
    if found.ids:
        oplog.append(connection, "item-removed", [f"item:{i}" for i in found.ids], actor=actor)
    return found.ids


def leave_source(connection: apsw.Connection, source_id: int) -> None:
    """`leave` of all passages of a file."""
    leave(connection, places_of(connection, [("source", source_id)]))


# Following a file --------------------------------------------------------------------------------------------


def follow(connection: apsw.Connection, source_id: int, last_id: int) -> None:
    """Let spans on a source's passages up to `last_id` follow their wording into the later ones.

    What is no longer said goes as with `leave`.
    """
    sql = """select p.item_id, p.ref_id, p.byte_start, p.byte_end, c.text
             from item_span p join chunk c on c.id = p.ref_id
             where p.kind = 'passage' and c.source_id = ? and c.id <= ? order by p.item_id, p.ref_id"""
    spans: list[Row] = connection.execute(sql, (source_id, last_id)).fetchall()
    if not spans:
        return
    sql = "select id, text from chunk where source_id = ? and id > ? order by ordinal"
    rows: list[Row] = connection.execute(sql, (source_id, last_id)).fetchall()
    later = [(int(i), _bytes(text)) for i, text in rows]
    for item_id, ref_id, start, end, text in spans:
        place = _place_of(_bytes(text)[start:end], later)
        if place is not None:
            sql = """update or replace item_span set ref_id = ?, byte_start = ?, byte_end = ? where item_id = ?
                     and kind = 'passage' and ref_id = ? and byte_start = ? and byte_end = ?"""
            connection.execute(sql, (*place, item_id, ref_id, start, end))
    sql = "select id from chunk where source_id = ? and id <= ?"
    old = frozenset(int(row[0]) for row in connection.execute(sql, (source_id, last_id)))
    gone = leave(connection, {"passage": old})
    for item_id in sorted({row[0] for row in spans}.difference(gone)):
        # Where another part took over, settling the slot took this one out.
        if connection.execute("select 1 from item where id = ?", (item_id,)).get:
            log_spans(connection, item_id)


def _bytes(text: str | bytes) -> bytes:
    return unpack_text(text).encode("utf-8", "surrogatepass")


def _place_of(said: bytes, passages: Sequence[tuple[int, bytes]]) -> tuple[int, int, int] | None:
    for chunk_id, text in passages:
        at = text.find(said)
        if said and at >= 0:
            return chunk_id, at, at + len(said)
    return None


# Reading back ------------------------------------------------------------------------------------------------


def left(connection: apsw.Connection, found: GoingItems) -> Iterator[tuple[str, int]]:
    """What is still there of items that went, and of the places that they rested on."""
    yield "items", _count(connection, "select count(*) from item where id = ?", found.ids)
    yield "words of items", words_left(connection, "item_word", found.items)
    yield "links of items", _count_links(connection, found.ids)
    yield (
        "places of items",
        _count_spans(connection, found.ids)
        + sum(
            _count(connection, f"select count(*) from item_span where kind = '{kind}' and ref_id = ?", ids)  # noqa: S608
            for kind, ids in found.places.items()
        ),
    )


def _count(connection: apsw.Connection, sql: str, ids: Iterable[int]) -> int:
    return sum(int(connection.execute(sql, (i,)).get) for i in ids)


_WORDS_A_QUERY = 200


def words_left(connection: apsw.Connection, index: str, records: Iterable[Words]) -> int:
    """Records that an index still finds by any word that they have no more. `index` is a name of this program's own."""
    n_left = 0
    for record in records:
        words = sorted({word for word in wording(record.text).split(" ") if word})
        for start in range(0, len(words), _WORDS_A_QUERY):
            match = " OR ".join(search.phrase([word]) for word in words[start : start + _WORDS_A_QUERY])
            sql = f"select 1 from {index} where {index} match ? and rowid = ?"  # noqa: S608
            if connection.execute(sql, (match, record.id)).get is not None:
                n_left += 1
                break
    return n_left


def drop_broken(connection: apsw.Connection) -> None:
    """Drop spans on what is not there, or beyond its end, and links of items that are not there; nothing is logged."""
    for item_id in dangling(connection):
        for kind, ref_id, start, end in _spans(connection, item_id):
            text = connection.execute(f"select text from {_TABLES[kind]} where id = ?", (ref_id,)).get  # noqa: S608
            if text is None or end > len(_bytes(text)):
                sql = """delete from item_span
                         where item_id = ? and kind = ? and ref_id = ? and byte_start = ? and byte_end = ?"""
                connection.execute(sql, (item_id, kind, ref_id, start, end))
    connection.execute("update item set continues = null where continues not in (select id from item)")
    connection.execute("delete from item_span where item_id not in (select id from item)")
    connection.execute(
        "delete from item_link where from_id not in (select id from item) or to_id not in (select id from item)"
    )


def dangling(connection: apsw.Connection) -> list[int]:
    """Items with a span on a turn or a passage that is not there, or beyond its end."""
    found = set()
    for kind, table in _TABLES.items():
        sql = f"""select p.item_id, p.byte_end, r.text from item_span p left join {table} r on r.id = p.ref_id
                  where p.kind = '{kind}'"""  # noqa: S608  names of this program's own
        for item_id, end, text in connection.execute(sql):
            if text is None or end > len(_bytes(text)):
                found.add(int(item_id))
    return sorted(found)
