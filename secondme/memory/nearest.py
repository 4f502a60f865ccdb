"""Finds the vectors nearest to another, in the best of three ways that agree up to ties:

in memory    the native index, once it is built (`resident.py`)
in SQL       the native kernels over sqlite-vec's blocks, and the float32 rows of the candidates
sqlite-vec   its own scan, where the kernels are not built or the blocks have another layout than is known
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import apsw

from secondme.memory import settings, vectors
from secondme.memory.database import Database
from secondme.memory.resident import Held, Resident, Status
from secondme.types import Trust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secondme.kernels._native import Filter
    from secondme.memory.vectors import FloatMatrix

    Ids = NDArray[np.int64]
    Scores = NDArray[np.floating]

Found = list[tuple[int, float]]
Selection = tuple[str, tuple[int | str, ...]]

# The scores of the int8 scan differ from the exact ones by an error of 0.41 steps per step of length, by the rounding
# of both vectors (uniform, so 1 / sqrt(12) each). What scores lower than the k-th by five deviations of a difference
# of two such errors cannot be among the best k.
_MARGIN = 5 * 0.41 * 2**0.5


@dataclass(frozen=True, slots=True)
class Within:
    """Which passages a search may return; all that is set must hold.

    `sources` are ids; `least_trust` also allows all that is more trusted; `since` and `until` are Unix seconds of the
    moment when a file was taken in, both included.
    """

    sources: frozenset[int] | None = None
    least_trust: Trust | None = None
    since: int | None = None
    until: int | None = None

    def selection(self) -> Selection | None:
        """A statement that selects the ids of these passages, and its values; None if that is all of them."""
        conditions: list[str] = []
        values: list[int | str] = []
        if self.sources is not None:
            conditions.append("s.id in (select value from json_each(?))")
            values.append(json.dumps(sorted(self.sources)))
        if self.least_trust is not None:
            allowed = list(Trust)[: list(Trust).index(self.least_trust) + 1]
            conditions.append("s.trust in (select value from json_each(?))")
            values.append(json.dumps([trust.value for trust in allowed]))
        for limit, sign in ((self.since, ">="), (self.until, "<=")):
            if limit is not None:
                conditions.append(f"cast(s.ingested_at as integer) {sign} ?")
                values.append(limit)
        if not conditions:
            return None
        where = " and ".join([*conditions, "c.source_id = s.id"])
        sql = f"select c.id from source s cross join chunk c where {where}"  # noqa: S608  made of the words above
        return sql, tuple(values)


EVERYTHING = Within()


class Nearest:
    """The searches of one open store. Thread-safe; only searches in SQL wait for one another."""

    def __init__(self, database: Database, limit_bytes: int | None = None) -> None:
        """`limit_bytes` bounds the index in memory; None is a share of the machine's memory, 0 means none."""
        self._database = database
        self._resident = Resident(database, limit_bytes)
        self._kernels_fit: bool | None = None
        self._n_searches = 0
        database.after_write.append(self._resident.catch_up)

    def search(self, vector: FloatMatrix, k: int, project_id: int | None, within: Within = EVERYTHING) -> Found:
        """The `k` chunks nearest to `vector` [n_dims], with their cosines, best first; at most MAX_CANDIDATES.

        Raises StoreError for another shape, CorruptRecord.
        """
        k = min(k, vectors.MAX_CANDIDATES)
        while True:
            with self._database.reading() as connection:
                known = settings.embedder(connection)
                if known is None or k < 1:
                    return []
                row = vectors.as_matrix(vector.reshape(1, -1), known[1])[0]
                held = None if connection.in_transaction else self._held(connection, known[1])
                if held is None:
                    return self._in_sql(connection, row, k, project_id, within)
            found = self._in_memory(held, row, k, _filter(held, project_id, within))
            if found is not None:
                return found

    def rows(self, ids: Sequence[int]) -> tuple[Ids, FloatMatrix]:
        """The vectors of those `ids` that have one, as float32 [n, n_dims] of length 1, and which these are."""
        from secondme.memory import blocks

        with self._database.reading() as connection:
            known = settings.embedder(connection)
            n_dims = known[1] if known is not None else 0
            wanted = ids if known is not None else ()
            read = blocks.exact_rows if wanted and self._use_kernels(connection) else vectors.exact_rows
            found, rows = read(connection, wanted, n_dims)
        return found, vectors.unit(rows)

    def warm(self) -> None:
        """Begin to build the index in memory, if the store is large enough for one."""
        with self._database.reading() as connection:
            known = settings.embedder(connection)
            if known is not None:
                self._resident.ready(connection, known[1], build=self._use_kernels(connection))

    def status(self) -> Status | None:
        """What the index in memory holds; None while there is none."""
        return self._resident.status()

    def close(self) -> None:
        """Overwrite the index in memory, and wait for the thread that builds it."""
        self._resident.close()

    def _held(self, connection: apsw.Connection, n_dims: int) -> Held | None:
        # A command that asks once is answered before an index could be built.
        self._n_searches += 1
        return self._resident.ready(connection, n_dims, build=self._n_searches > 1 and self._use_kernels(connection))

    def _in_memory(self, held: Held, row: FloatMatrix, k: int, where: Filter | None) -> Found | None:
        """None if the index was given up meanwhile, or some of what it found was deleted."""
        from secondme.kernels.index import Mode

        if held.whole:
            found = held.index.search_exactly(row, k, partial(self._exact_rows, held), where, mode=Mode.AUTO)
            if found is None:
                return None
            ids, cosines, exact = found
            if exact:
                return list(zip(ids.tolist(), cosines.tolist(), strict=True)) if self._resident.holds(held) else None
        ids, cosines = held.index.candidates(row, _n_candidates(k), where, mode=Mode.AUTO)
        with self._database.reading() as connection:
            # The store may hold vectors of another model by now.
            return _rescored(connection, row, k, ids, cosines) if self._resident.holds(held) else None

    def _exact_rows(self, held: Held, ids: Ids) -> FloatMatrix | None:
        from secondme.memory import blocks

        with self._database.reading() as connection:
            if not self._resident.holds(held):
                return None
            found, rows = blocks.exact_rows(connection, ids.tolist(), held.index.n_dims)
            return vectors.unit(rows) if len(found) == len(ids) else None

    def _in_sql(
        self, connection: apsw.Connection, row: FloatMatrix, k: int, project_id: int | None, within: Within
    ) -> Found:
        selection = within.selection()
        if not self._use_kernels(connection):
            return vectors.search(connection, row, k, project_id, selection)
        from secondme.kernels import sql

        with vectors.blocks_read():
            ids = None
            if selection is not None:
                ids = connection.execute(f"select sm_ids(id) from ({selection[0]})", selection[1]).get  # noqa: S608
            query = vectors.quantize(row[None, :])[0]
            found = sql.nearest(connection, query, _n_candidates(k), partition=project_id, ids=ids)
        best = _rescored(connection, row, k, found["id"], found["score"] / vectors.steps(len(row)) ** 2)
        assert best is not None, "nothing can be deleted under the same lock"
        return best

    def _use_kernels(self, connection: apsw.Connection) -> bool:
        """Looks once: the layout belongs to sqlite-vec's version."""
        if self._kernels_fit is None:
            from secondme.kernels import sql

            self._kernels_fit = sql.load(connection) and sql.readable(connection)
        return self._kernels_fit


def _filter(held: Held, project_id: int | None, within: Within) -> Filter | None:
    """What the index is asked for, in its own terms; None if that is everything."""
    if project_id is None and within == EVERYTHING:
        return None
    from secondme.memory.blocks import TRUST_LEVELS

    sources = within.sources
    return held.index.filter(
        projects=None if project_id is None else [project_id],
        sources=None if sources is None else [i for i in sources if 0 <= i < 2**31],
        least_trust=0 if within.least_trust is None else TRUST_LEVELS[within.least_trust.value],
        since=within.since,
        until=within.until,
    )


def _n_candidates(k: int) -> int:
    return min(k * vectors.OVERSAMPLING, vectors.MAX_CANDIDATES)


def _rescored(connection: apsw.Connection, row: FloatMatrix, k: int, ids: Ids, scores: Scores) -> Found | None:
    """The best `k` of the candidates `ids` [n], best first by `scores`, with their exact cosines.

    None if one of them is gone: what would stand in its place is not known here.
    """
    import numpy as np

    from secondme.memory import blocks

    steps = vectors.steps(len(row))
    # A component that was cut has an error of its own, alike in query and rows where a model has outlier dimensions.
    if len(ids) > k and float(np.abs(row).max()) * steps <= vectors.MOST:
        ids = ids[scores >= scores[k - 1] - _MARGIN / steps]
    wanted = np.sort(ids)
    found, rows = blocks.exact_rows(connection, wanted.tolist(), len(row))
    if len(found) < len(wanted):
        return None
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    cosines = (rows @ row) / np.where(lengths > 0, lengths, 1)
    rows.fill(0)
    # Ties in the order of storing, so that the same question gives the same answer.
    order = np.lexsort((found, -cosines))[:k]
    return list(zip(found[order].tolist(), cosines[order].tolist(), strict=True))
