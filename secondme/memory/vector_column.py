"""Finds the nearest of the int8 vectors of a column: in a copy of them in memory, or by reading them all.

The copy is built by whoever searches first, or by a thread that `warm` starts, in slices that hold the database's lock
for a few milliseconds. From before the first row is read temporary triggers note what changes, and what they noted is
carried over at the end of the transaction that changed it: what was deleted is out of memory, and zeroed, when the
deleting call returns. Where the kernels are not built, where memory does not allow the copy, and inside a transaction,
the rows are read instead.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import apsw

from secondme.errors import SecondMeError
from secondme.memory import settings, vectors
from secondme.memory.database import Database
from secondme.memory.resident import limit_bytes
from secondme.memory.rows import Row

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from secondme.kernels.index import Ids, Scores, Stats, VectorIndex
    from secondme.memory.vectors import FloatMatrix

Found = list[tuple[int, float]]
Search = Callable[[], "list[tuple[Ids, Scores]]"]
Wanted = tuple["FloatMatrix", int]
"""A vector, float32 [n_dims], and how many of the rows nearest to it."""

_ROWS_A_SLICE = 2048
_MOST_NOTED = 65_536
_ROW_BYTES = 112  # of a vector, beside itself: id, attributes, place, and what memory taken in large pieces leaves over
_JOIN_S = 2.0
_WORTH_A_THREAD = 20_000  # rows; reading fewer takes no longer than waking a thread and waiting for it
_SHARE = 2  # of the memory that the passages' vectors may take


@dataclass(frozen=True, slots=True)
class Column:
    """A column of vectors: `table`(`key`, `vector`), and what else of the table searches ask about.

    `select` gives (id, vector, project id, tag) of its rows, with a condition on `key` to follow; a tag is a small
    number that a search may ask for. `count` tells how many there are at most, without reading them. `watched` are the
    columns of which a change counts.
    """

    table: str
    key: str
    vector: str
    select: str
    count: str
    watched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search may return; None is everything."""

    project: int | None = None
    tags: frozenset[int] | None = None

    def allows(self, project: int, tag: int) -> bool:
        return (self.project is None or project == self.project) and (self.tags is None or tag in self.tags)


class VectorColumn:
    """The searches of one column of an open store. Thread-safe; a search in memory waits for nothing."""

    def __init__(self, database: Database, column: Column, most_bytes: int | None = None) -> None:
        """`most_bytes` bounds the copy in memory; None is a share of the machine's memory, 0 means none."""
        self._database = database
        self._column = column
        self._most_bytes = limit_bytes(most_bytes) // _SHARE
        self._index: VectorIndex | None = None
        self._is_whole = False
        self._refused = False
        self._closing = threading.Event()
        self._building = threading.Lock()
        self._thread: threading.Thread | None = None
        self._searching: ThreadPoolExecutor | None = None
        database.after_write.append(self._catch_up)

    def search(self, vector: FloatMatrix, k: int, asked: Asked) -> Found:
        """The `k` rows nearest to `vector` (float32 [n_dims]): (id, cosine), best first and equal ones by id.

        Cosines are of the int8 vectors, exact to about .002. Raises StoreError for another shape.
        """
        return self.search_each([(vector, k)], asked)[0]

    def search_each(self, wanted: Sequence[Wanted], asked: Asked) -> list[Found]:
        """What `search` finds for each vector and k, in little more than the time of one of them."""
        return self.begin(wanted, asked)()

    def begin(self, wanted: Sequence[Wanted], asked: Asked) -> Callable[[], list[Found]]:
        """Begin what `search_each` does, and return what waits for it.

        A large copy is searched in a thread, which asks for no lock, beside whatever the caller does meanwhile.
        """
        with self._database.reading() as connection:
            known = settings.embedder(connection)
            if known is None or all(k < 1 for _, k in wanted):
                return lambda: [[] for _ in wanted]
            rows = [(vectors.as_matrix(v.reshape(1, -1), known[1])[0], max(0, k)) for v, k in wanted]
            is_inside = connection.in_transaction
        index = None if is_inside else self._ready(known[1])
        if index is None:
            return lambda: self._scan(rows, asked)
        projects = None if asked.project is None else [asked.project]
        where = index.filter(projects=projects, sources=asked.tags)
        search = self._beside(partial(index.candidates_each, rows, where), len(index))

        def found() -> list[Found]:
            pairs = search()
            if self._index is not index:
                return self.search_each(wanted, asked)
            return [list(zip(ids.tolist(), cosines.tolist(), strict=True)) for ids, cosines in pairs]

        return found

    def _beside(self, search: Search, n_rows: int) -> Search:
        """What waits for `search`, which runs in a thread if that is worth while."""
        if n_rows < _WORTH_A_THREAD or self._searching is None:
            return search
        try:
            return self._searching.submit(search).result
        except RuntimeError:  # closed meanwhile, or Python ends
            return search

    def warm(self) -> None:
        """Begin to build the copy."""
        with self._database.reading() as connection:
            known = settings.embedder(connection)
        if known is not None and self._thread is None:
            # A daemon: a process that ends without closing the store does not wait for it.
            self._thread = threading.Thread(target=self._work, args=(known[1],), name="vector column", daemon=True)
            self._thread.start()

    def stats(self) -> Stats | None:
        """What the copy holds; None while there is none."""
        index = self._index
        return index.stats() if index is not None and self._is_whole else None

    def close(self) -> None:
        """Zero the copy; doing so again does nothing."""
        self._closing.set()
        with suppress(SecondMeError), self._database.reading() as connection:
            self._refused = True
            self._give_up(connection)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        if self._searching is not None:
            self._searching.shutdown()

    # The copy --------------------------------------------------------------------------------------------------

    def _work(self, n_dims: int) -> None:
        # A closed store, or a damaged one: searches then meet the damage themselves.
        with suppress(SecondMeError, MemoryError):
            self._ready(n_dims)

    def _ready(self, n_dims: int) -> VectorIndex | None:
        """The copy, built if it is not there; None if it cannot be, or another thread is building it."""
        index = self._index
        if index is not None and self._is_whole and index.n_dims == n_dims:
            return index
        # Waiting could be for ever: the other thread may wait for a lock that this one holds.
        if self._refused or not self._building.acquire(blocking=False):
            return None
        try:
            return self._build(n_dims)
        except (SecondMeError, MemoryError) as error:
            with suppress(SecondMeError), self._database.reading() as connection:
                self._refused = isinstance(error, MemoryError)
                self._give_up(connection)
            if not self._refused:
                raise
            return None
        finally:
            self._building.release()

    def _build(self, n_dims: int) -> VectorIndex | None:
        from concurrent.futures import ThreadPoolExecutor

        from secondme.kernels.index import VectorIndex, available

        last: int | None = -(2**63)
        with self._database.reading() as connection:
            if self._index is not None and self._is_whole and self._index.n_dims == n_dims:
                return self._index
            self._give_up(connection)
            n_rows = int(connection.execute(self._column.count).get)
            if not available() or not self._has_room(n_rows, n_dims):
                self._refused = True
                return None
            self._begin_noting(connection)
            index = self._index = VectorIndex(n_dims, fine=False, flat_limit=0)
            self._searching = self._searching or ThreadPoolExecutor(1, thread_name_prefix="vector search")
            self._is_whole = False
        while last is not None:
            with self._database.reading() as connection:
                # It is given up where too much changed, and when the store closes.
                if self._index is not index:
                    return None
                last = self._take_slice(connection, index, last)
                self._is_whole = last is None
        return index

    def _take_slice(self, connection: apsw.Connection, index: VectorIndex, after: int) -> int | None:
        """Copy the rows that follow the key `after`; the last key, None behind the end."""
        rows = self._slice(connection, after)
        _add(index, rows)
        return int(rows[-1][0]) if len(rows) == _ROWS_A_SLICE else None

    def _slice(self, connection: apsw.Connection, after: int) -> list[Row]:
        key = f"{self._column.table}.{self._column.key}"
        return self._rows(connection, f"{key} > ? order by {key} limit ?", (after, _ROWS_A_SLICE))

    def _rows(self, connection: apsw.Connection, condition: str, values: tuple[int | str, ...]) -> list[Row]:
        rows: list[Row] = connection.execute(f"{self._column.select} {condition}", values).fetchall()
        return rows

    def _has_room(self, n_rows: int, n_dims: int) -> bool:
        return n_rows * (n_dims + _ROW_BYTES) <= self._most_bytes

    def _give_up(self, connection: apsw.Connection) -> None:
        index, self._index, self._is_whole = self._index, None, False
        if index is not None:
            index.clear()
        with suppress(apsw.Error):
            self._end_noting(connection)

    # What changes ----------------------------------------------------------------------------------------------

    @property
    def _noted(self) -> str:
        return f"{self._column.table}_noted"

    def _begin_noting(self, connection: apsw.Connection) -> None:
        self._end_noting(connection)
        of, noted = self._column, self._noted
        watched = ", ".join(of.watched)
        connection.execute(f"create temp table {noted}(id integer)")
        events = (("came", "insert", "new"), ("went", "delete", "old"), ("moved", f"update of {watched}", "new"))
        for name, event, row in events:
            connection.execute(
                f"""create temp trigger {of.table}_{name} after {event} on main.{of.table}
                    begin insert into {noted} values({row}.{of.key}); end"""
            )

    def _end_noting(self, connection: apsw.Connection) -> None:
        connection.execute(f"drop table if exists temp.{self._noted}")
        for name in ("came", "went", "moved"):
            connection.execute(f"drop trigger if exists temp.{self._column.table}_{name}")

    def _catch_up(self, connection: apsw.Connection) -> None:
        """Carry over what was committed. On a failure the copy goes; the store itself is whole."""
        if self._index is None:
            return
        try:
            if connection.execute(f"select 1 from temp.{self._noted} limit 1").get is not None:  # noqa: S608
                self._carry_over(connection, self._index)
        except (SecondMeError, apsw.Error, MemoryError):
            self._refused = True
            self._give_up(connection)

    def _carry_over(self, connection: apsw.Connection, index: VectorIndex) -> None:
        import numpy as np

        sql = f"select distinct id from temp.{self._noted} order by id limit ?"  # noqa: S608
        ids = [int(row[0]) for row in connection.execute(sql, (_MOST_NOTED,))]
        known = settings.embedder(connection)
        is_other = known is None or known[1] != index.n_dims
        if len(ids) == _MOST_NOTED or is_other or not self._has_room(len(index) + len(ids), index.n_dims):
            self._give_up(connection)
            return
        among = " in (select value from json_each(?))"
        rows = self._rows(connection, f"{self._column.table}.{self._column.key}{among}", (json.dumps(ids),))
        gone = set(ids).difference(int(row[0]) for row in rows)
        if gone:
            index.remove(np.array(sorted(gone), np.int64))
        _add(index, rows)
        connection.execute(f"delete from temp.{self._noted}")  # noqa: S608

    # Without it ------------------------------------------------------------------------------------------------

    def _scan(self, wanted: Sequence[Wanted], asked: Asked) -> list[Found]:
        """Reading takes the time, and so all are looked for in one reading."""
        import numpy as np

        best: list[Found] = [[] for _ in wanted]
        n_dims = len(wanted[0][0])
        after = -(2**63)
        with self._database.reading() as connection:
            while True:
                rows = self._slice(connection, after)
                allowed = [r for r in rows if asked.allows(r[2], r[3])]
                ids = [int(r[0]) for r in allowed]
                matrix = vectors.joined((r[1] for r in allowed), n_dims).astype(np.float32)
                for n, (row, k) in enumerate(wanted):
                    scores = matrix @ row / np.float32(vectors.steps(n_dims))
                    best[n] = _best([*best[n], *zip(ids, scores.tolist(), strict=True)], k)
                if len(rows) < _ROWS_A_SLICE:
                    return best
                after = int(rows[-1][0])


def _best(found: Found, k: int) -> Found:
    return sorted(found, key=lambda one: (-one[1], one[0]))[:k]


def _add(index: VectorIndex, rows: Sequence[Row]) -> None:
    import numpy as np

    from secondme.kernels.index import Attributes

    if rows:
        ids, blobs, projects, tags = zip(*rows, strict=True)
        matrix = vectors.joined(blobs, index.n_dims)
        kinds = Attributes(project=np.array(projects, np.int32), source=np.array(tags, np.int32))
        index.add(np.array(ids, np.int64), matrix, kinds)


TURNS = Column(
    table="turn_trace",
    key="turn_id",
    vector="pooled",
    select="""select turn_trace.turn_id, turn_trace.pooled, c.project_id, 0
              from turn_trace cross join turn t on t.id = turn_trace.turn_id
              cross join conversation c on c.id = t.conversation_id where""",
    count="select (select count(*) from turn) - (select count(*) from turn_untraced)",
    watched=("pooled",),
)

STATES = ("active", "archived", "pending", "quarantined")
"""Of items; a state's place here is its tag."""

ITEMS = Column(
    table="item",
    key="id",
    vector="vector",
    select="""select item.id, item.vector, item.project_id, case item.state when 'active' then 0 when 'archived' then 1
              when 'pending' then 2 else 3 end
              from item where item.vector is not null and item.kind not in ('vault', 'lesson') and""",
    count="select count(*) from item",
    watched=("vector", "state", "kind"),
)


def tags_of(states: Collection[str]) -> frozenset[int]:
    """The tags of items in these states."""
    return frozenset(STATES.index(state) for state in states)
