"""What the vector benchmark's figures rest on: the exact answer, recall, turns, and the knob of approximate peers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from secondme.bench.vectors import graphs, peers, sample
from secondme.bench.vectors.graphs import Approximate
from secondme.bench.vectors.sample import Ids, Sample, random_sample
from secondme.bench.vectors.timing import Search, in_turn


def exact(of: Sample) -> Search:
    return lambda query: np.argsort(-(of.rows @ of.queries[query]))[: of.k]


def test_the_same_vectors_every_time_of_length_one_and_unlike_the_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "BLOCK_ROWS", 64)
    first, again = random_sample(150, 24, 5, n_queries=70), random_sample(150, 24, 5, n_queries=70)
    assert np.array_equal(first.rows, again.rows) and np.array_equal(first.queries, again.queries)
    assert np.allclose(np.linalg.norm(first.rows, axis=1), 1, atol=1e-6)
    assert (first.rows @ first.queries.T).max() < 0.9999
    assert first.coarse.shape == (150, 24) and np.abs(first.coarse.astype(int)).max() > 60


def test_the_exact_answer_is_that_of_one_multiplication_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = random_sample(150, 24, 5, n_queries=20)
    expected = np.sort(whole.queries @ whole.rows.T, axis=1)[:, -5]
    assert np.allclose(whole.kth_cosines, expected, atol=1e-6) and whole.coarse.any()
    monkeypatch.setattr(sample, "BLOCK_ROWS", 64)
    in_blocks = Sample(whole.rows, whole.queries, 5)
    assert np.allclose(in_blocks.kth_cosines, expected, atol=1e-6)
    assert np.array_equal(in_blocks.coarse, whole.coarse)


def test_recall_counts_each_right_row_once() -> None:
    of = random_sample(200, 24, 5, n_queries=10)
    best = exact(of)
    assert of.recall([(q, best(q)) for q in range(10)]) == 1
    assert of.recall([(q, np.repeat(best(q)[:1], 5)) for q in range(10)]) == pytest.approx(0.2)
    assert of.recall([(q, np.array([-1, 200, 10_000])) for q in range(10)]) == 0
    worst: list[tuple[int, Ids]] = [(q, np.argsort(of.rows @ of.queries[q])[:5]) for q in range(10)]
    assert of.recall(worst) == 0


def test_recall_takes_either_of_two_equal_rows() -> None:
    of = random_sample(50, 24, 1, n_queries=1)
    nearest = int(exact(of)(0)[0])
    twin = (nearest + 1) % 50
    rows = of.rows.copy()
    rows[twin] = rows[nearest]
    twins = Sample(rows, of.queries, 1)
    assert twins.recall([(0, np.array([twin]))]) == twins.recall([(0, np.array([nearest]))]) == 1


def test_searches_take_turns_over_the_same_queries() -> None:
    asked: list[tuple[str, int]] = []

    def asking(name: str) -> Search:
        def search(query: int) -> Ids:
            asked.append((name, query))
            return np.array([query])

        return search

    ours, theirs = in_turn([asking("a"), asking("b")], 7, 0.0)
    assert asked[:2] == [("a", 0), ("b", 0)]
    assert asked[2:] == [("a", q) for q in range(5)] + [("b", q) for q in range(5)]
    assert len(ours.seconds) == len(theirs.seconds) == 5 and ours.best <= ours.median
    assert [q for q, _ in ours.found] == [0, 1, 2, 3, 4]


def test_effort_rises_until_as_much_is_found() -> None:
    of = random_sample(400, 24, 5, n_queries=50)

    def build(within: Sample) -> Callable[[int], Search]:
        def at(effort: int) -> Search:
            some = slice(0, effort)
            return lambda query: np.argsort(-(within.rows[some] @ within.queries[query]))[: within.k]

        return at

    peer = Approximate("part", "numpy", build, (50, 200, 380, 400))
    assert graphs.tuned(peer, of, 1.0).effort == 400
    half = graphs.tuned(peer, of, 0.4)
    assert half.effort == 200 and 0.4 <= half.recall < 1
    most = graphs.tuned(Approximate("part", "numpy", build, (50,)), of, 1.0)
    assert most.effort == 50 and most.recall < 1


def test_the_peers_that_are_always_there_find_what_is_exact() -> None:
    of = random_sample(300, 32, 5, n_queries=20)
    found = {p.name: p.build(of) for p in peers.flat({"sqlite-vec", "numpy"})}
    assert found.keys() == {"sqlite-vec int8", "numpy float32"}
    recalls = {name: of.recall([(q, search(q)) for q in range(20)]) for name, search in found.items()}
    assert recalls["numpy float32"] == 1 and recalls["sqlite-vec int8"] > 0.9
