"""Recent queries kept by the index: the same answers as without, fewer scans, and nothing left when all is cleared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels.index import MAX_REMEMBERED, Attributes, VectorIndex

Matrix = NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> Matrix:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def random_rows(n: int, n_dims: int, seed: int) -> Matrix:
    return unit(np.random.default_rng(seed).standard_normal((n, n_dims)))


def filled(rows: Matrix, n_remembered: int) -> VectorIndex:
    index = VectorIndex(rows.shape[1], n_remembered=n_remembered)
    ids = np.arange(len(rows))
    index.add(ids, rows, Attributes(project=(ids % 3).astype(np.int32)))
    return index


@given(
    n=st.integers(0, 1500),
    noise=st.floats(0, 0.5),
    k=st.integers(1, 20),
    clustered=st.booleans(),
    project=st.none() | st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_answers_are_those_of_an_index_that_remembers_nothing(
    n: int, noise: float, k: int, clustered: bool, project: int | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, 48))
    if clustered:
        rows = 0.6 * rows + 5 * random.standard_normal((6, 48))[random.integers(0, 6, n)]
    index, plain = (filled(unit(rows), n_remembered) for n_remembered in (5, 0))
    asked = unit(random.standard_normal(48))
    for step in range(6):
        query = unit(asked + noise * step / 6 * unit(random.standard_normal(48)))
        where = None if project is None else index.filter(projects=[project])
        expected, cosines, _ = plain.search(query, k, where)
        found, scores, _ = index.search(query, k, where)
        assert len(found) == len(expected)
        # A row that the scan misses, because only its second plane makes it one of the best, is found from memory.
        assert np.all(scores >= cosines - 1e-6)
        if np.array_equal(found, expected):
            assert np.array_equal(scores, cosines)


def test_repeats_and_near_repeats_are_counted() -> None:
    index = filled(random_rows(3000, 64, 1), 10)
    asked = random_rows(2, 64, 2)
    for query in (asked[0], asked[1], asked[0], asked[0], unit(asked[0] + 1e-3 * asked[1])):
        index.search(query, 5)
    stats = index.stats()
    assert (stats.n_remembered, stats.n_repeats, stats.n_near) == (2, 2, 1)


def test_any_write_is_seen_by_the_next_search() -> None:
    rows = random_rows(2000, 64, 3)
    index = filled(rows, 10)
    query = random_rows(1, 64, 4)[0]
    before = index.search(query, 5)[0]
    index.add(np.array([9999]), query[None, :])
    assert index.search(query, 5)[0].tolist() == [9999, *before[:4].tolist()]
    assert index.remove(np.array([9999, before[0]])) == 2
    after = index.search(query, 5)[0].tolist()
    assert after[:4] == before[1:].tolist()
    index.add(before[1:2], -rows[before[1]][None, :])
    assert before[1] not in index.search(query, 5)[0]
    assert index.stats().n_repeats == 0


def test_none_asks_no_memory_and_leaves_none() -> None:
    index = filled(random_rows(500, 32, 5), 10)
    query = random_rows(1, 32, 6)[0]
    expected = index.search(query, 5, slack=None)[0]
    assert index.stats().n_remembered == 0
    assert np.array_equal(index.search(query, 5)[0], expected)
    index.search(query, 5, slack=None)
    assert (index.stats().n_remembered, index.stats().n_repeats) == (1, 0)


def test_the_number_is_bounded_and_clearing_forgets() -> None:
    index = filled(random_rows(300, 16, 7), 3)
    for query in random_rows(20, 16, 8):
        index.search(query, 3)
    assert index.stats().n_remembered == 3
    index.clear()
    assert index.stats().n_remembered == 0
    assert len(index.search(random_rows(1, 16, 8)[0], 3)[0]) == 0


@pytest.mark.parametrize("n_remembered", [-1, MAX_REMEMBERED + 1])
def test_an_impossible_number_is_refused(n_remembered: int) -> None:
    with pytest.raises(ValueError, match="n_remembered"):
        VectorIndex(8, n_remembered=n_remembered)


def test_wrong_queries_are_refused_and_not_remembered() -> None:
    index = filled(random_rows(50, 16, 9), 3)
    for wrong in (np.zeros(15, np.float32), np.full(16, np.nan, np.float32), np.full(16, np.inf, np.float32)):
        with pytest.raises(ValueError, match=r"shapes|number"):
            index.search(wrong, 3)
    assert index.stats().n_remembered == 0


def test_components_too_large_for_the_planes_are_scanned_for() -> None:
    """Such a query is not rescored here, so there is no exact answer to remember."""
    index = filled(random_rows(900, 256, 10), 3)
    spike = np.zeros(256, np.float32)
    spike[0] = 1
    for _ in range(2):
        assert not index.search(spike, 3)[2]
    assert (index.stats().n_remembered, index.stats().n_repeats) == (0, 0)
