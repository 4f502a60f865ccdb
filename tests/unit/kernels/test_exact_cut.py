"""Which rows are among the best is settled by float32 vectors where 16 bits leave a doubt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels.index import Attributes, Ids, Mode, VectorIndex

FloatMatrix = NDArray[np.float32]


def near_ties(n: int, n_dims: int, spread: float, seed: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Unit rows around a direction, `spread` apart, and a unit query near it."""
    random = np.random.default_rng(seed)
    middle = random.standard_normal(n_dims)
    rows = middle + spread * random.standard_normal((n, n_dims))
    query = middle + 0.8 * random.standard_normal(n_dims)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), (
        query / np.linalg.norm(query)
    ).astype(np.float32)


@given(
    n=st.integers(1, 300),
    n_dims=st.sampled_from([8, 48, 384]),
    spread=st.sampled_from([0.3, 1e-2, 1e-3, 1e-4]),
    k=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=120, deadline=None)
def test_the_best_rows_are_those_of_float32(n: int, n_dims: int, spread: float, k: int, seed: int) -> None:
    rows, query = near_ties(n, n_dims, spread, seed)
    index = VectorIndex(n_dims)
    index.add(np.arange(n), rows)
    asked: list[int] = []

    def exact(ids: Ids) -> FloatMatrix:
        asked.extend(ids.tolist())
        return rows[ids]

    found = index.search_exactly(query, k, exact)
    assert found is not None
    ids, cosines, rescored = found
    expected = np.sort(rows @ query)[::-1][:k]
    assert rescored and len(ids) == len(set(ids.tolist())) == min(n, k)
    assert np.allclose(cosines, rows[ids] @ query, atol=5e-5)
    # Rows closer than int8's rounding are not told apart before. 1e-6: the order in which float32 products are summed.
    if spread == 0.3 and n_dims == 384 and k:
        assert np.sort(rows[ids] @ query)[0] >= expected[-1] - 1e-6
    assert len(asked) <= 4 * (k + 8)


def test_rows_are_asked_for_only_where_the_cut_is_in_doubt() -> None:
    rows, query = near_ties(2000, 384, 0.3, 5)
    index = VectorIndex(384)
    index.add(np.arange(len(rows)), rows)
    order = np.argsort(-(rows @ query))
    gaps = np.diff(-(rows @ query)[order])
    clear, close = (int(i) + 1 for i in (np.argmax(gaps[:50]), np.argmin(gaps[:50])))

    def refuse(ids: Ids) -> FloatMatrix:
        raise AssertionError("nothing is in doubt")

    found = index.search_exactly(query, clear, refuse)
    assert found is not None and set(found[0].tolist()) == set(order[:clear].tolist())
    with pytest.raises(AssertionError, match="in doubt"):
        index.search_exactly(query, close, refuse)


def test_rows_that_are_gone_make_no_answer() -> None:
    rows, query = near_ties(50, 48, 1e-3, 7)
    index = VectorIndex(48)
    index.add(np.arange(50), rows, Attributes(project=3))
    assert index.search_exactly(query, 10, lambda ids: None) is None
    assert index.search_exactly(query, 0, lambda ids: None) is not None
    everything = index.search_exactly(query, 50, lambda ids: None, index.filter(projects=[3]), mode=Mode.EXACT)
    assert everything is not None and len(everything[0]) == 50


def test_a_row_beyond_the_planes_among_further_candidates_is_told_and_not_asked_for_again() -> None:
    """A caller that repeats a search without an answer must not do so for ever."""
    n_dims = 384
    alike = np.zeros((60, n_dims), np.float32)
    alike[:, :16] = 0.25
    beyond = np.zeros((1, n_dims), np.float32)
    beyond[0, 0] = 1.0  # far above what the planes hold
    index = VectorIndex(n_dims)
    index.add(np.arange(61), np.concatenate((alike, beyond)))
    refused: list[int] = []

    def gone(ids: Ids) -> None:
        refused.extend(ids.tolist())

    # The first 36 candidates are alike; that they are asks for more, and the last of those is the one beyond.
    assert index.search(alike[0], 9)[2] and not index.search(alike[0], 36)[2]
    found = index.search_exactly(alike[0], 1, gone)
    assert found is not None and not found[2] and len(found[0]) == 1 and not refused


def test_a_question_of_zeros_is_as_near_to_every_row() -> None:
    rows, _ = near_ties(50, 48, 0.3, 9)
    index = VectorIndex(48)
    index.add(np.arange(50), rows)
    found = index.search_exactly(np.zeros(48, np.float32), 5, rows.__getitem__)
    assert found is not None and len(found[0]) == 5 and found[1].tolist() == [0.0] * 5


def test_queries_asked_together_find_what_each_finds_alone() -> None:
    rows, query = near_ties(500, 48, 0.3, 7)
    index = VectorIndex(48, fine=False)
    index.add(np.arange(len(rows)), rows, Attributes(project=np.arange(len(rows), dtype=np.int32) % np.int32(3)))
    asked = [(query, 12), (rows[3], 0), (rows[7], 700), (rows[9], 1)]
    for where in (None, index.filter(projects=[1]), index.filter(projects=[9])):
        together = index.candidates_each(asked, where)
        for (one, k), (ids, cosines) in zip(asked, together, strict=True):
            alone = index.candidates(one, k, where)
            assert np.array_equal(ids, alone[0]) and np.array_equal(cosines, alone[1])
    assert index.candidates_each([]) == []
    for wrong in ([(query, 1)] * 17, [(query[:5], 1)], [(query, 1), (np.full(48, np.nan, np.float32), 1)]):
        with pytest.raises(ValueError):
            index.candidates_each(wrong)
