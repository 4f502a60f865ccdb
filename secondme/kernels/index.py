"""Nearest-neighbour search over unit vectors in memory: the face of the native index (native/include/index).

Vectors are kept as 16-bit fixed point in two planes of bytes: the first is scanned, the second completes the scores of
the candidates that the scan leaves, which orders them as float32 does. Nothing is ever written to a disk; the memory is
kept out of core dumps, locked where that is allowed, and zeroed when vectors leave it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import capabilities

if TYPE_CHECKING:
    from secondme.kernels import _native

_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]

ExactRows = Callable[[Ids], "NDArray[np.float32] | None"]

MAX_DIMS = 4096
MAX_K = 65_536
MAX_REMEMBERED = 65_536
MAX_ASKED = 16
FLAT_LIMIT = 100_000
"""Vectors below which an exact scan takes no longer than people notice, and lists are not worth their upkeep."""
LEAST_RECALL = 0.98

_SPARE = 8  # results beyond those wanted, to see how clear the cut between them is


class Mode(IntEnum):
    """How the candidates are found.

    EXACT: every vector's int8 plane. SIGNS: every vector's sign bits first, then the int8 plane of the nearest of them.
    LISTS: of the lists that `VectorIndex.maintain` keeps, those whose centroids are nearest. AUTO: EXACT while there
    are no lists; then as many lists as the measured recall asks for, and more where a filter lets few vectors pass.
    """

    EXACT = 0
    SIGNS = 1
    LISTS = 2
    AUTO = 3


@dataclass(frozen=True, slots=True)
class Attributes:
    """What filters ask about, each [n] or one value for all: `project` and `source` are row ids of the store, below
    2^31, `trust` is 0 to 255, `time` is in Unix seconds."""

    project: NDArray[np.int32] | int = 0
    source: NDArray[np.int32] | int = 0
    trust: NDArray[np.uint8] | int = 0
    time: NDArray[np.int64] | int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """n_rows: vectors. n_fine: those that both planes hold fully. n_waiting: changes that a running search may not have
    noticed yet. held_bytes: memory for vectors, locked_bytes of which cannot be swapped out. n_remembered: queries kept
    since the last change; n_repeats and n_near: searches answered from them, as the same query or as one near.

    n_lists, with `fewest`, `median` and `most` vectors; n_tail: vectors in none of them, which every search scans.
    n_probes: lists that AUTO scans on average, which on the latest sample of vectors found the part `recall` of each
    one's ten nearest (0.0: not measured yet). n_splits and n_merges: lists divided and given up so far."""

    n_rows: int
    n_fine: int
    held_bytes: int
    locked_bytes: int
    n_waiting: int
    n_remembered: int
    n_repeats: int
    n_near: int
    n_lists: int
    n_tail: int
    fewest: int
    median: int
    most: int
    n_probes: int
    recall: float
    n_splits: int
    n_merges: int


def available() -> bool:
    """Whether the compiled extension is here and in use; without it the store searches in other ways."""
    return capabilities().isa != "numpy"


class VectorIndex:
    """Any number of threads may search while one writes; none of them waits.

    Scores are dot products divided by the query's length: cosines, as the vectors are of unit length.
    """

    def __init__(
        self,
        n_dims: int,
        *,
        fine: bool = True,
        signs: bool = False,
        lock: bool = True,
        isa: str | None = None,
        n_remembered: int = 0,
        flat_limit: int = FLAT_LIMIT,
        least_recall: float = LEAST_RECALL,
    ) -> None:
        """`fine` keeps the second plane, `signs` that of sign bits, `lock` asks that the memory is never swapped out.

        `n_remembered` recent queries are kept with what they found, until the next change: the same query again, and
        one so near that nothing else can have come closer, are answered without a scan. From `flat_limit` vectors on
        (0: never) `maintain` keeps lists, and chooses how many of them Mode.AUTO scans so that at least the part
        `least_recall` of the ten nearest is found. Raises ValueError for n_dims outside 1 to MAX_DIMS, n_remembered
        outside 0 to MAX_REMEMBERED, a negative flat_limit, least_recall outside 0 to 1 or an unknown `isa`.
        """
        if not 1 <= n_dims <= MAX_DIMS:
            raise ValueError(f"n_dims must be 1 to {MAX_DIMS}, not {n_dims}")
        if not 0 <= n_remembered <= MAX_REMEMBERED:
            raise ValueError(f"n_remembered must be 0 to {MAX_REMEMBERED}, not {n_remembered}")
        if flat_limit < 0:
            raise ValueError(f"flat_limit must not be negative: {flat_limit}")
        native = importlib.import_module("secondme.kernels._native")
        self.n_dims = n_dims
        self._native: _native.VectorIndex = native.VectorIndex(
            n_dims,
            fine=fine,
            signs=signs,
            lock=lock,
            isa=isa,
            n_remembered=n_remembered,
            flat_limit=flat_limit,
            least_recall=least_recall,
        )
        # Five deviations of the difference of two scores, each with the rounding of a query and a row (uniform, so
        # 1 / sqrt(12) of a step for a component) in it.
        step = min(1.0, 8.0 / n_dims**0.5) / (127 * 254)
        self._doubt = np.float32(5 * 2**0.5 * (2 / 12) ** 0.5 * step)
        self._search = self._native.search  # looked up once: it is called for every question
        self._filter: type[_native.Filter] = native.Filter

    def add(self, ids: Ids, rows: NDArray[np.float32] | NDArray[np.int8], attributes: Attributes | None = None) -> None:
        """Add the vectors `rows` [n, n_dims], or replace those whose ids [n] are there.

        float32 fills both planes; int8 (`secondme.memory.vectors.quantize`) the first one alone, and adding the same
        vector as float32 later completes it. Raises ValueError for shapes that do not fit or a value that is not
        finite, TypeError for other element types.
        """
        kind = attributes or Attributes()
        n = len(ids)
        columns = (
            _column(kind.project, n, np.int32),
            _column(kind.source, n, np.int32),
            _column(kind.trust, n, np.uint8),
            _column(kind.time, n, np.int64),
        )
        if rows.dtype == np.float32:
            self._native.add_f32(np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(rows), *columns)
        elif rows.dtype == np.int8:
            self._native.add_i8(np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(rows), *columns)
        else:
            raise TypeError(f"float32 or int8 rows are needed, not {rows.dtype}")

    def remove(self, ids: Ids) -> int:
        """Take vectors away; returns how many of `ids` [n] were there. No search that starts afterwards finds them."""
        return self._native.remove(np.ascontiguousarray(ids, np.int64))

    def clear(self) -> None:
        """Zero everything; waits for searches that are running."""
        self._native.clear()

    def filter(
        self,
        *,
        projects: Collection[int] | None = None,
        sources: Collection[int] | None = None,
        least_trust: int = 0,
        since: int | None = None,
        until: int | None = None,
    ) -> _native.Filter:
        """What a search may return: all that is asked for must hold. Times are Unix seconds, both ends included."""
        limits = {k: v for k, v in (("since", since), ("until", until)) if v is not None}
        wanted = (None if projects is None else list(projects), None if sources is None else list(sources))
        return self._filter(projects=wanted[0], sources=wanted[1], least_trust=least_trust, **limits)

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        where: _native.Filter | None = None,
        *,
        mode: Mode = Mode.EXACT,
        oversample: int = 4,
        threads: int = 1,
        slack: float | None = 0.0,
        probes: int = 0,
    ) -> tuple[Ids, Scores, bool]:
        """The `k` vectors nearest to `query` [n_dims], best first, equal ones by id: ids, cosines, and whether they
        were rescored.

        If they were not (vectors without the second plane, or with components too large for it), these are the best by
        the first plane; take more of them by `candidates` and rescore them with the original vectors.

        What the index remembers gives the same answer. With `slack` above 0 more near repeats are answered from it, and
        may miss vectors whose cosine by the first plane is at most so much better than that of the last result; None
        neither asks nor adds to it.

        `probes` is how many lists Mode.LISTS and Mode.AUTO scan; 0 leaves that to the index. LISTS keeps to it, so with
        few probes it may find fewer than k vectors; AUTO goes on until there are enough. Raises ValueError for another
        shape, values that are not finite, negative probes, or k outside 0 to MAX_K.
        """
        ids, scores = np.empty(k, _INT64), np.empty(k, _FLOAT32)
        margin = -1.0 if slack is None else slack
        n = self._search(query, ids, scores, where, mode, oversample, threads, margin, probes)
        if n == k:
            return ids, scores, True
        return (ids[:n], scores[:n], True) if n >= 0 else (ids[:~n], scores[:~n], False)

    def search_exactly(
        self,
        query: NDArray[np.float32],
        k: int,
        exact_rows: ExactRows,
        where: _native.Filter | None = None,
        *,
        mode: Mode = Mode.EXACT,
    ) -> tuple[Ids, Scores, bool] | None:
        """As `search`, but which rows are among the `k` is settled by float32 vectors where 16 bits leave a doubt.

        Few searches ask for any: scores of both planes are within some 4e-5 of the exact ones. `exact_rows` is given
        ids [n] and returns their unit vectors [n, n_dims], which are overwritten after use, or None if some are gone;
        then the result is None as well.
        """
        n = min(k + _SPARE, MAX_K)
        ids, scores, rescored = self.search(query, n, where, mode=mode)
        if not rescored or k == 0 or len(ids) <= k or scores[k] < scores[k - 1] - self._doubt:
            return ids[:k], scores[:k], rescored
        if len(ids) == n and scores[-1] >= scores[k - 1] - self._doubt:
            # Of still more that are as good as equal, any will do.
            ids, scores, rescored = self.search(query, min(4 * n, MAX_K), where, mode=mode)
            if not rescored:
                # Among the further candidates is one that the second plane does not hold; asking again would not help.
                return ids[:k], scores[:k], False
            if len(ids) < k:
                return None
        cut = scores[k - 1]
        sure = scores > cut + self._doubt
        doubtful = ids[~sure & (scores >= cut - self._doubt)]
        rows = exact_rows(doubtful)
        if rows is None:
            return None
        cosines = (rows @ query) / np.float32(np.linalg.norm(query) or 1.0)
        rows.fill(0)
        best = np.lexsort((doubtful, -cosines))[: k - np.count_nonzero(sure)]
        return np.concatenate((ids[sure], doubtful[best])), np.concatenate((scores[sure], cosines[best])), True

    def candidates(
        self,
        query: NDArray[np.float32],
        k: int,
        where: _native.Filter | None = None,
        *,
        mode: Mode = Mode.EXACT,
        threads: int = 1,
        probes: int = 0,
    ) -> tuple[Ids, Scores]:
        """The `k` best by the first plane alone: ids and their approximate cosines. Raises as `search` does."""
        ids, scores = np.empty(k, _INT64), np.empty(k, _FLOAT32)
        n = self._native.candidates(query, ids, scores, where, mode, threads, probes)
        return ids[:n], scores[:n]

    def candidates_each(
        self, asked: Sequence[tuple[NDArray[np.float32], int]], where: _native.Filter | None = None
    ) -> list[tuple[Ids, Scores]]:
        """What `candidates` gives for each (query, k) of `asked`, at most MAX_ASKED, in one reading of the vectors.

        It takes little longer than one of them, because reading takes the time. Raises as `search` does.
        """
        if not asked:
            return []
        ids = [np.empty(k, _INT64) for _, k in asked]
        scores = [np.empty(k, _FLOAT32) for _, k in asked]
        found = self._native.candidates_each([query for query, _ in asked], ids, scores, where)
        return [(i[:n], s[:n]) for i, s, n in zip(ids, scores, found, strict=True)]

    def maintain(self, budget_us: int = 1000) -> bool:
        """Work on the lists for about `budget_us` microseconds: train them on a sample, move vectors into them, split
        and merge them, measure recall. True if more is left to do, or waits for running searches to end.

        Made for a thread that calls it while there is nothing else to do. Searches never wait for it, other writers for
        about a millisecond. Below `flat_limit` vectors there is nothing to do.
        """
        return self._native.maintain(budget_us)

    def measure_recall(self, n_sample: int = 100, k: int = 10, probes: int = 0) -> float:
        """The part of the exact `k` nearest that Mode.LISTS finds with `probes` (0: the chosen number).

        Averaged over `n_sample` random vectors of the index as queries, none of which counts as its own neighbour; 1.0
        if there is nothing to find. Queries that are unlike all vectors can fare worse. Raises ValueError for k outside
        1 to MAX_K - 1, or a negative number.
        """
        if not 1 <= k < MAX_K or n_sample < 0 or probes < 0:
            raise ValueError(
                f"k must be 1 to {MAX_K - 1}, n_sample and probes 0 or more, not {k}, {n_sample}, {probes}"
            )
        return self._native.measure_recall(n_sample, k, probes)

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._native.version()

    def stats(self) -> Stats:
        return Stats(**self._native.stats())

    def __len__(self) -> int:
        return self.stats().n_rows


def _column(values: object, n: int, kind: type) -> NDArray[np.generic]:
    """`values` as a contiguous array [n]; one value is repeated."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, kind), n))
