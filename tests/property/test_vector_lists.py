"""The lists of the index against NumPy: whatever is written and however far the upkeep is, scanning all lists is exact,
scanning few finds most, and no search misses a row that was there all the time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from secondme.kernels.index import Attributes, Mode, VectorIndex, available
from tests.fault.soak import n as count

N_DIMS = 24
FLAT_LIMIT = 128
N_IDS = 1500
ALL = N_IDS
LOW_STEPS = 254

Vectors = NDArray[np.float32]


@pytest.fixture(autouse=True, scope="module")
def _extension() -> None:
    assert available(), "the compiled extension is missing"


def clustered(random: np.random.Generator, n_rows: int, centres: Vectors, spread: float = 0.8) -> Vectors:
    """[n_rows, d] unit vectors around random ones of `centres` [c, d]."""
    noise = random.standard_normal((n_rows, centres.shape[1])) / np.sqrt(centres.shape[1])
    rows = centres[random.integers(0, len(centres), n_rows)] + spread * noise
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def unit(random: np.random.Generator, n_rows: int, n_dims: int) -> Vectors:
    rows = random.standard_normal((n_rows, n_dims))
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def fixed_point(rows: Vectors) -> NDArray[np.int64]:
    """What both planes of the index hold of `rows` [n, d]; see native/include/index/quantize.h."""
    steps = np.float32(127 / min(1.0, 8 / np.sqrt(rows.shape[1])))
    scaled = rows * steps
    high = np.clip(np.rint(scaled), -127, 127)
    low = np.clip(np.rint((scaled - high) * np.float32(LOW_STEPS)), -127, 127)
    return np.asarray(LOW_STEPS * high + low, np.int64)


def nearest(query: Vectors, ids: NDArray[np.int64], rows: Vectors, k: int) -> list[int]:
    scores = fixed_point(rows) @ fixed_point(query[None])[0]
    return [int(i) for i in ids[np.lexsort((ids, -scores))][:k]]


_random = np.random.default_rng(5)
POOL = clustered(_random, 3000, unit(_random, 8, N_DIMS))


class Lists(RuleBasedStateMachine):
    """An index with lists beside a dict of rows."""

    @initialize(fine=st.booleans())
    def begin(self, fine: bool) -> None:
        self.index = VectorIndex(N_DIMS, lock=False, flat_limit=FLAT_LIMIT, signs=fine)
        self.rows: dict[int, int] = {}  # id to row of POOL

    @rule(
        first=st.integers(0, N_IDS - 1),
        n=st.integers(1, 250),
        shift=st.integers(0, len(POOL) - 1),
        budget=st.integers(0, 300),
    )
    def add(self, first: int, n: int, shift: int, budget: int) -> None:
        """New rows, rows in the place of others, and rows that are there as they are, with upkeep in between."""
        ids = np.arange(first, min(first + n, N_IDS))
        at = (ids + shift) % len(POOL)
        for part in np.array_split(np.arange(len(ids)), 5):
            self.index.add(ids[part], POOL[at[part]])
            self.index.maintain(budget)
        self.rows.update(zip(ids.tolist(), at.tolist(), strict=True))

    @rule(first=st.integers(0, N_IDS - 1), n=st.integers(1, 600), budget=st.integers(0, 300))
    def remove(self, first: int, n: int, budget: int) -> None:
        ids = np.arange(first, min(first + n, N_IDS))
        known = [i for i in ids.tolist() if i in self.rows]
        n_removed = 0
        for part in np.array_split(ids, 5):
            n_removed += self.index.remove(part)
            self.index.maintain(budget)
        assert n_removed == len(known)
        for i in known:
            del self.rows[i]

    @rule(budget=st.integers(0, 5000))
    def maintain(self, budget: int) -> None:
        self.index.maintain(budget)

    @rule()
    def settle(self) -> None:
        finish(self.index)
        stats = self.index.stats()
        assert stats.n_waiting == 0
        assert (stats.n_lists > 0) == (len(self.rows) >= FLAT_LIMIT) or FLAT_LIMIT // 2 <= len(self.rows) < FLAT_LIMIT
        assert stats.n_tail == (0 if stats.n_lists else len(self.rows))

    @invariant()
    def all_lists_are_exact(self) -> None:
        if not hasattr(self, "rows"):
            return
        assert len(self.index) == len(self.rows)
        ids = np.array(list(self.rows), np.int64)
        rows = POOL[list(self.rows.values())] if self.rows else POOL[:0]
        query = POOL[len(self.rows) % len(POOL)]
        expected = nearest(query, ids, rows, 10)
        for mode, probes in ((Mode.EXACT, 0), (Mode.LISTS, ALL), (Mode.AUTO, ALL)):
            found, scores, fine = self.index.search(query, 10, mode=mode, probes=probes, oversample=N_IDS // 10)
            assert fine and found.tolist() == expected
            assert np.allclose(scores, [POOL[self.rows[i]] @ query for i in found.tolist()], atol=1e-4)


Lists.TestCase.settings = settings(
    max_examples=count(12, 2000),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestLists = Lists.TestCase


def finish(index: VectorIndex) -> None:
    for _ in range(100_000):
        if not index.maintain(5000):
            return
    raise AssertionError("the upkeep has no end")


def recall_of(index: VectorIndex, queries: Vectors, k: int = 10) -> float:
    hits = 0
    for query in queries:
        exact, _, _ = index.search(query, k)
        found, _, _ = index.search(query, k, mode=Mode.AUTO)
        hits += len(set(exact.tolist()) & set(found.tolist()))
    return hits / (k * len(queries))


def test_few_lists_hold_most_of_what_is_near() -> None:
    random = np.random.default_rng(1)
    centres = unit(random, 100, 64)
    index = VectorIndex(64, lock=False, flat_limit=512)
    index.add(np.arange(8000), clustered(random, 8000, centres))
    finish(index)
    stats = index.stats()
    assert 8000 / 4 / 89 < stats.n_lists < 8000 / 32 and stats.fewest * 4 >= 64
    assert stats.recall >= 0.98 and 3 * stats.n_probes < stats.n_lists
    assert recall_of(index, clustered(random, 100, centres)) >= 0.95
    assert index.measure_recall(100) >= 0.95
    assert index.measure_recall(50, probes=stats.n_lists) == 1.0
    assert index.measure_recall(100, probes=1) < index.measure_recall(100)


def test_recall_holds_while_clusters_arrive_one_after_another() -> None:
    random = np.random.default_rng(2)
    centres = unit(random, 30, 64)
    index = VectorIndex(64, lock=False, flat_limit=512)
    at = 0
    for n_centres in range(1, 31):
        for batch in np.array_split(clustered(random, 300, centres[n_centres - 1 : n_centres]), 30):
            index.add(np.arange(at, at + len(batch)), batch)
            at += len(batch)
            index.maintain(300)
        if n_centres % 10 == 0:
            finish(index)
            assert recall_of(index, clustered(random, 60, centres[:n_centres])) >= 0.9
    assert index.stats().n_splits > 10 and index.stats().n_lists > 30


def test_filters_find_what_passes_however_little_that_is() -> None:
    random = np.random.default_rng(3)
    rows = clustered(random, 4000, unit(random, 40, 64))
    index = VectorIndex(64, lock=False, flat_limit=512)
    index.add(np.arange(4000), rows)
    index.add(np.arange(100), rows[:100], Attributes(project=7))
    finish(index)
    where = index.filter(projects=[7])
    for query in rows[3000:3020]:
        found, _, _ = index.search(query, 10, where, mode=Mode.AUTO)
        assert len(found) == 10 and set(found.tolist()) <= set(range(100))
        assert len(set(found.tolist()) & set(index.search(query, 10, where)[0].tolist())) >= 8


def writes(random: np.random.Generator, index: VectorIndex, rows: Vectors) -> Iterator[None]:
    ids = np.arange(1000, 1000 + len(rows))
    for part in np.array_split(np.arange(len(rows)), 60):
        index.add(ids[part], rows[part])
        yield
    for part in np.array_split(random.permutation(len(rows)), 60):
        index.remove(ids[part])
        yield


def test_no_search_misses_or_repeats_a_row_while_lists_are_split_and_merged() -> None:
    random = np.random.default_rng(4)
    centres = unit(random, 12, 32)
    planted = clustered(random, 200, centres)
    index = VectorIndex(32, lock=False, flat_limit=256)
    index.add(np.arange(200), planted)
    over = threading.Event()
    wrong: list[str] = []
    n_searches = [0, 0]

    def read(seed: int) -> None:
        own = np.random.default_rng(seed)
        while not over.is_set():
            at = int(own.integers(0, 200))
            mode = (Mode.EXACT, Mode.LISTS)[int(own.integers(0, 2))]
            found, _, _ = index.search(planted[at], 10, mode=mode, probes=ALL, oversample=1)
            n_searches[seed] += 1
            if at not in found or len(set(found.tolist())) != len(found):
                wrong.append(f"{mode.name}: {at} among {found.tolist()}")

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(count(2, 200)):
            for _ in writes(random, index, clustered(random, 3000, centres)):
                for _ in range(20):
                    if not index.maintain(500):
                        break
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert min(n_searches) > 50 and index.stats().n_splits > 5 and index.stats().n_merges > 5
    finish(index)


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="flat_limit"):
        VectorIndex(4, flat_limit=-1)
    with pytest.raises(ValueError, match="least_recall"):
        VectorIndex(4, least_recall=0.0)
    index = VectorIndex(4, lock=False)
    with pytest.raises(ValueError, match="k must be"):
        index.measure_recall(k=0)
    with pytest.raises(ValueError, match="probes"):
        index.search(np.zeros(4, np.float32), 1, mode=Mode.LISTS, probes=-1)
    assert not index.maintain() and index.measure_recall() == 1.0
