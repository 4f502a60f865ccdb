"""What can be made again from the stored text and the exact vectors: the word indexes, the copies for the search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw

from secondme.errors import CorruptRecord
from secondme.memory import settings, vectors
from secondme.memory.rows import Row
from secondme.memory.scavenge import DAMAGE, Gap, only_damage, rows, tolerant

if TYPE_CHECKING:
    from secondme.memory.vectors import FloatMatrix

_BATCH = 1024

_WAITING = "select count(*) from chunk c where not exists (select 1 from vector_rowids v where v.rowid = c.id)"
_STRAY = "select rowid from vector_rowids v where not exists (select 1 from chunk c where c.id = v.rowid)"


@dataclass(slots=True)
class Vectors:
    """`bad` holds chunk ids under the ids of their sources, 0 for none; `n_waiting` passages have no vector yet.

    Not `readable` if a page of the tables is damaged, or one of them is missing.
    """

    n: int = 0
    n_dims: int = 0
    n_waiting: int = 0
    bad: dict[int, tuple[int, ...]] = field(default_factory=dict)
    readable: bool = True

    @property
    def is_sound(self) -> bool:
        return self.readable and not self.bad


INDEXES = ("word", "turn_word", "item_word")
"""Of passages, and since the fifth schema of turns and items."""


def words_are_sound(connection: apsw.Connection) -> bool:
    """FTS5 compares each index with the stored text, and raises if they differ."""
    try:
        for name in _indexes(connection):
            connection.execute(f"insert into {name}({name}, rank) values('integrity-check', 1)")
    except DAMAGE as error:
        only_damage(error)
        return False
    return True


def _indexes(connection: apsw.Connection) -> list[str]:
    # The first one is in every store, so that one which is gone is missed.
    return [name for name in INDEXES if name == "word" or connection.table_exists(None, name)]


def rebuild_words(connection: apsw.Connection) -> None:
    """Index all stored text anew."""
    for name in _indexes(connection):
        connection.execute(f"insert into {name}({name}) values('rebuild')")


_OTHER_WIDTH = (
    "from item where vector is not null and length(vector) != ?",
    "from turn_trace where length(pooled) != ?",
)
"""Vectors of items and of turns that no search can read: they are as wide as those of the recorded model, in int8."""


def count_narrow(connection: apsw.Connection) -> int:
    """Vectors of items and turns of another width than they should have."""
    return sum(int(connection.execute(f"select count(*) {sql}", (_width(connection),)).get) for sql in _OTHER_WIDTH)


def drop_narrow(connection: apsw.Connection) -> None:
    """Take them out; they are made again in idle time."""
    of_items, of_turns = _OTHER_WIDTH
    connection.execute(f"update item set vector = null where id in (select id {of_items})", (_width(connection),))  # noqa: S608
    connection.execute(f"delete {of_turns}", (_width(connection),))


def _width(connection: apsw.Connection) -> int:
    known = settings.embedder(connection)
    return known[1] if known else 0


def read_vectors(connection: apsw.Connection) -> Vectors:
    """Read every vector: it has the right width, only numbers, and its copy for the search is made of it."""
    found = Vectors()
    known = None
    with tolerant():
        known = settings.embedder(connection)
    if known is None:
        with tolerant():
            found.n_waiting = int(connection.execute("select count(*) from chunk").get)
        return found
    found.n_dims = known[1]
    bad: list[int] = []
    try:
        for ids, sound in _verified(connection, known[1]):
            found.n += len(ids)
            bad += [i for i, is_sound in zip(ids, sound, strict=True) if not is_sound]
        found.n_waiting = int(connection.execute(_WAITING).get)
        bad += [int(row[0]) for row in connection.execute(_STRAY)]
    except CorruptRecord:
        found.readable = False
    except DAMAGE as error:
        only_damage(error)
        found.readable = False
    found.bad = _by_source(connection, bad)
    return found


def _verified(connection: apsw.Connection, n_dims: int) -> Iterator[tuple[list[int], list[bool]]]:
    """Chunk ids, and whether the vector of each is what it should be, some at a time. Raises CorruptRecord."""
    with vectors.blocks_read():
        batch: list[Row] = []
        for row in connection.execute("select chunk_id, coarse, fine from vector"):
            batch.append(row)
            if len(batch) == _BATCH:
                yield [int(r[0]) for r in batch], _sound(batch, n_dims)
                batch = []
        yield [int(r[0]) for r in batch], _sound(batch, n_dims)


def _sound(batch: list[Row], n_dims: int) -> list[bool]:
    import numpy as np

    whole = [isinstance(fine, bytes) and len(fine) == 4 * n_dims for _, _, fine in batch]
    blank = bytes(4 * n_dims)
    joined = b"".join(row[2] if is_whole else blank for row, is_whole in zip(batch, whole, strict=True))
    fine = np.frombuffer(joined, np.float32).reshape(len(batch), n_dims)
    numbers = np.asarray(np.isfinite(fine).all(axis=1))
    coarse = vectors.quantize(np.where(numbers[:, None], fine, 0))
    return [
        is_whole and bool(is_number) and row.tobytes() == stored[1]
        for is_whole, is_number, row, stored in zip(whole, numbers, coarse, batch, strict=True)
    ]


def _by_source(connection: apsw.Connection, chunk_ids: list[int]) -> dict[int, tuple[int, ...]]:
    found = defaultdict(list)
    for chunk_id in sorted(set(chunk_ids)):
        source_id = None
        with tolerant():
            source_id = connection.execute("select source_id from chunk where id = ?", (chunk_id,)).get
        found[int(source_id or 0)].append(chunk_id)
    return {i: tuple(ids) for i, ids in found.items()}


# Making it again -----------------------------------------------------------------------------------------------


def drop_vectors(connection: apsw.Connection, bad: dict[int, tuple[int, ...]]) -> None:
    """Remove vectors of which the two copies differ: which of them is right cannot be known, so both go."""
    for ids in bad.values():
        for chunk_id in ids:
            vectors.delete(connection, chunk_id)


def copy_vectors(old: apsw.Connection, new: apsw.Connection, n_dims: int, bad: frozenset[int]) -> int:
    """Make the vectors of `new` from the exact ones that can be read in `old`; return for how many passages.

    Only for passages that `new` has and that are not in `bad`.
    """
    import numpy as np

    projects: dict[int, int] = dict(new.execute("select id, project_id from chunk"))
    vectors.create_table(new, n_dims)

    def readable() -> Iterator[tuple[int, int, FloatMatrix]]:
        for row in rows(old, "vector_auxiliary", "value00"):
            if isinstance(row, Gap) or row[0] not in projects or row[0] in bad:
                continue
            if isinstance(row[1], bytes) and len(row[1]) == 4 * n_dims:
                vector = np.frombuffer(row[1], np.float32)
                if np.isfinite(vector).all():
                    yield int(row[0]), projects[row[0]], vector

    if old.table_exists(None, "vector_auxiliary"):
        vectors.insert(new, readable())
    return vectors.count(new)
