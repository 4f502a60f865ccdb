"""What goes when something is forgotten: the items, what was derived from them, and what must not come back.

Derived are the passages of a file, their words, vectors and links, its cartridge, the items that were made of nothing
else, and the answers that rest on them: those that cite one of them, in whatever version, and those that repeat a
distinct line or sentence. A passage takes its copies in other files along; a file does not, since it may be the copy
that is not wanted. What is left standing elsewhere in memory gets no tombstone: it was not forgotten.

Nothing is changed here, `forget.py` does that. Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import apsw

from secondme.memory import cartridges, conversations, lineage, sources, vectors
from secondme.memory.cartridge_files import Named
from secondme.memory.lineage import GoingItems, Words
from secondme.memory.redaction import REMOVED_ANSWER, Gone, Redaction, chunk_ids_of, redact, runs_of
from secondme.memory.rows import SELECT_SOURCE, passage_uid, to_source, unpack_headings, unpack_text
from secondme.memory.tombstones import (
    Kind,
    Place,
    path_hash,
    salt,
    text_hashes,
    wording,
)
from secondme.memory.wordings import OF_SOURCE, ONE_PASSAGE, Passage, Wordings, passages_by, wordings_of
from secondme.types import Conversation, StoredSource, WatchedFolder


@dataclass(frozen=True, slots=True)
class Target:
    """What to forget: items by their ids, and (project, path) of files or folders with all below them.

    Of those in `learned_from`, `(kind, id)` of a turn, conversation, passage or source, only what was learned from them
    goes, and they stay. `keep_answers` leaves the text of answers and drops their citations only. Without `for_good`
    there are no tombstones: a followed folder may bring the items back.
    """

    sources: tuple[int, ...] = ()
    passages: tuple[int, ...] = ()
    conversations: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    items: tuple[int, ...] = ()
    learned_from: tuple[tuple[lineage.Kind, int], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    keep_answers: bool = False
    for_good: bool = True


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What goes. `passages` holds those of `sources` and the `copies` too; `missing` are named but not there.

    `answers` are the turns whose citations, and unless they are kept whose text, go; `turns` and `items` go as a whole.
    `loosened` items stay, as they were made of something else as well.
    """

    sources: tuple[StoredSource, ...]
    passages: tuple[int, ...]
    copies: tuple[int, ...]
    n_vectors: int
    n_links: int
    n_cartridges: int
    n_citations: int
    answers: tuple[int, ...]
    turns: tuple[int, ...]
    items: tuple[int, ...]
    loosened: tuple[int, ...]
    conversations: tuple[Conversation, ...]
    folders: tuple[WatchedFolder, ...]
    missing: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        found = (self.sources, self.passages, self.turns, self.items, self.loosened, self.conversations, self.folders)
        return not any(found)


@dataclass(frozen=True, slots=True)
class Names:
    """What a file that stays is called without the headings that go: its title, and headings by passage, if changed."""

    source_id: int
    title: str | None
    headings: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A Forgetting with all that carrying it out takes; holds text, and is never shown. `files` are of cartridges.

    `turns` are those that go or lose their text, with what they say now.
    """

    shown: Forgetting
    passages: tuple[Passage, ...]
    places: Mapping[int, Place]
    uids: frozenset[bytes]
    redactions: tuple[Redaction, ...]
    turns: tuple[Words, ...]
    items: GoingItems
    names: tuple[Names, ...]
    files: frozenset[Named]
    tombstones: tuple[tuple[Kind, frozenset[bytes]], ...]


def examine(connection: apsw.Connection, target: Target) -> Plan:
    """Find out what goes. Raises CorruptRecord if a stored citation cannot be read."""
    whole = _sources(connection, target)
    single = tuple(p for p in passages_by(connection, ONE_PASSAGE, target.passages) if p.source_id not in whole)
    of_files = passages_by(connection, OF_SOURCE, whole)
    hunt, copies = wordings_of(connection, of_files, single)
    passages = (*of_files, *single, *copies)
    places = _places(connection, passages, whole)
    going_turns = _turns(connection, target)
    going = frozenset(p.id for p in passages)
    distinct = hunt.distinct() | lineage.distinct_of_items(connection, target.items, going)
    gone = Gone(
        going,
        tuple(chunk_ids_of(connection, whole)),
        frozenset((s.project, s.path) for s in whole.values()),
        distinct,
        frozenset(run for words in distinct for run in runs_of(words)),
        frozenset(going_turns),
    )
    of_turns = lineage.distinct_of_turns(connection, going_turns, going)
    named = (*target.items, *lineage.repeating(connection, distinct | of_turns))
    redactions, n_citations, items = _derived(connection, target, gone, going_turns, named)
    uids = _uids(connection, target, passages, whole, items.ids)
    names = tuple(_names(connection, hunt, places, frozenset(p.id for p in passages)))
    changed = {p.source_id for p in passages} | whole.keys() | {n.source_id for n in names}
    files = cartridges.files(connection, changed)
    shown = Forgetting(
        sources=tuple(whole.values()),
        passages=tuple(p.id for p in passages),
        copies=tuple(p.id for p in copies),
        n_vectors=_count_vectors(connection, passages),
        n_links=_count_links(connection, uids) + items.n_links,
        n_cartridges=len(files),
        n_citations=n_citations,
        answers=tuple(r.turn_id for r in redactions),
        turns=going_turns,
        items=items.ids,
        loosened=items.loosened,
        conversations=tuple(c for c in conversations.several(connection, None) if c.id in target.conversations),
        folders=_folders(connection, target),
        missing=_missing(connection, target),
    )
    tombstones = _tombstones(connection, target, whole, hunt, places) if target.for_good else ()
    if target.for_good:
        undone = items.ids if target.learned_from else target.items
        tombstones += (("item", lineage.tombstones_of(connection, undone)),)
    turns = tuple(lineage.words_of_turns(connection, (*going_turns, *_emptied(redactions))))
    return Plan(shown, passages, places, uids, redactions, turns, items, names, files, tombstones)


def _derived(
    connection: apsw.Connection, target: Target, gone: Gone, turns: tuple[int, ...], named: Sequence[int]
) -> tuple[tuple[Redaction, ...], int, GoingItems]:
    """Answers that rest on what goes, how many citations they lose, and items. They may rest on one another."""
    stay = lineage.places_of(connection, target.learned_from)
    places = {"turn": stay["turn"].union(turns), "passage": stay["passage"] | gone.chunks}
    while True:
        items = lineage.going(connection, named, places)
        gone = replace(gone, items=frozenset(items.ids))
        redactions, n_citations = redact(connection, gone, target.turns, turns, keep_answers=target.keep_answers)
        emptied = _emptied(redactions)
        if emptied <= places["turn"]:
            return redactions, n_citations, items
        places["turn"] |= emptied


def _emptied(redactions: Iterable[Redaction]) -> frozenset[int]:
    return frozenset(r.turn_id for r in redactions if r.text == REMOVED_ANSWER)


# Files and passages ------------------------------------------------------------------------------------------


def _sources(connection: apsw.Connection, target: Target) -> dict[int, StoredSource]:
    found = {s.id: s for project, path in target.paths for s in sources.several(connection, project, path)}
    for source_id in target.sources:
        for row in connection.execute(f"{SELECT_SOURCE} where s.id = ?", (source_id,)):
            found[source_id] = to_source(row)
    return found


def _places(
    connection: apsw.Connection, passages: Sequence[Passage], whole: Mapping[int, StoredSource]
) -> dict[int, Place]:
    places = {s.id: Place(s.project, s.path, s.id) for s in whole.values()}
    for source_id in {p.source_id for p in passages} - places.keys():
        for row in connection.execute(f"{SELECT_SOURCE} where s.id = ?", (source_id,)):
            source = to_source(row)
            places[source_id] = Place(source.project, source.path, source_id)
    return places


def _names(
    connection: apsw.Connection, hunt: Wordings, places: Mapping[int, Place], going: frozenset[int]
) -> Iterator[Names]:
    """Title and headings of the files that stay, where they came from a line that goes."""

    def goes(name: str, source_id: int) -> bool:
        words = wording(name)
        return words in hunt.of_passages[source_id] and not hunt.is_alive(words, source_id)

    for source_id in hunt.of_passages:
        title = unpack_text(connection.execute("select title from source where id = ?", (source_id,)).get)
        headings = {}
        for chunk_id, stored in connection.execute("select id, headings from chunk where source_id = ?", (source_id,)):
            names = unpack_headings(stored)
            left = tuple(name for name in names if not goes(name, source_id))
            if left != names and chunk_id not in going:
                headings[chunk_id] = left
        new_title = PurePath(places[source_id].path).name if goes(title, source_id) else None
        if headings or new_title is not None:
            yield Names(source_id, new_title, headings)


# What hangs on them ------------------------------------------------------------------------------------------


def _turns(connection: apsw.Connection, target: Target) -> tuple[int, ...]:
    """Turns that go as a whole."""
    sql = "select id from turn where id = ?1 union select id from turn where conversation_id = ?2 order by id"
    found = [row[0] for i in target.turns for row in connection.execute(sql, (i, None))]
    found += [row[0] for i in target.conversations for row in connection.execute(sql, (None, i))]
    return tuple(dict.fromkeys(found))


def _folders(connection: apsw.Connection, target: Target) -> tuple[WatchedFolder, ...]:
    """Followed folders at and below the paths."""
    return tuple(
        folder
        for project, path in target.paths
        for folder in conversations.folders(connection, project)
        if folder.path == path or folder.path.startswith(path.rstrip("/") + "/")
    )


_UIDS = {
    "source": "select uid from source where id = ?",
    "conversation": "select uid from conversation where id = ?",
    "turn": "select uid from turn where id = ?",
    "item": "select uid from item where id = ?",
}


def _missing(connection: apsw.Connection, target: Target) -> tuple[str, ...]:
    """What was named and is not there, as the operation log writes it."""
    known = {
        "passage": ("select 1 from chunk where id = ?", target.passages),
        "source": (_UIDS["source"], target.sources),
        "conversation": (_UIDS["conversation"], target.conversations),
        "turn": (_UIDS["turn"], target.turns),
        "item": (_UIDS["item"], target.items),
    }
    named = [(kind, i) for kind, (_, ids) in known.items() for i in ids]
    named += list(target.learned_from)
    return tuple(f"{kind}:{i}" for kind, i in named if connection.execute(known[kind][0], (i,)).get is None)


def _uids(
    connection: apsw.Connection,
    target: Target,
    passages: Sequence[Passage],
    whole: Mapping[int, StoredSource],
    items: Iterable[int],
) -> frozenset[bytes]:
    """Names of all that goes, as links have them."""
    of_source = {i: _uid(connection, "source", i) for i in {p.source_id for p in passages} | whole.keys()}
    found = {uid for i, uid in of_source.items() if i in whole}
    found |= {passage_uid(of_source[p.source_id], p.ordinal, p.text) for p in passages}
    found |= {_uid(connection, "conversation", i) for i in target.conversations}
    found |= {_uid(connection, "turn", i) for i in _turns(connection, target)}
    found |= {_uid(connection, "item", i) for i in items}
    return frozenset(found - {b""})


def _uid(connection: apsw.Connection, kind: str, item_id: int) -> bytes:
    return bytes(connection.execute(_UIDS[kind], (item_id,)).get or b"")


def _count_links(connection: apsw.Connection, uids: Iterable[bytes]) -> int:
    sql = "select from_uid, to_uid, kind from edge where from_uid = ?1 or to_uid = ?1"
    return len({row for uid in uids for row in connection.execute(sql, (uid,))})


def _count_vectors(connection: apsw.Connection, passages: Sequence[Passage]) -> int:
    return sum(vectors.has(connection, p.id) for p in passages)


def _tombstones(
    connection: apsw.Connection,
    target: Target,
    whole: Mapping[int, StoredSource],
    hunt: Wordings,
    places: Mapping[int, Place],
) -> tuple[tuple[Kind, frozenset[bytes]], ...]:
    key = salt(connection)
    paths = {*target.paths, *((s.project, s.path) for s in whole.values() if s.id in target.sources)}
    texts = {
        kind: frozenset(
            digest
            for source_id, wordings in found.items()
            for words in wordings
            if not hunt.is_alive(words, source_id)
            for digest in text_hashes(key, words, places[source_id])
        )
        for kind, found in (("file", hunt.of_files), ("passage", hunt.of_passages))
    }
    return (
        ("path", frozenset(path_hash(key, project, path) for project, path in paths)),
        ("file", texts["file"]),
        ("passage", texts["passage"]),
    )
