"""What is learned from which statement of a matter was said last: that it belongs, and nothing of where it stands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.bench.recall.learn_last import last_of
from secondme.recall.standing.order import last_that_belongs


def made(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of `n` statements some belong, told by the first feature with noise; the second tells nothing."""
    belongs = rng.random(n) < 0.4
    belongs[rng.integers(n)] = True
    rows = np.c_[belongs + rng.normal(0, 0.3, n), rng.normal(size=n)]
    return rows, np.arange(n) == np.flatnonzero(belongs)[-1]


def test_the_last_that_belongs_is_found_among_others_said_later() -> None:
    rng = np.random.default_rng(7)
    learned = [made(rng, int(rng.integers(2, 12))) for _ in range(300)]
    weights = last_of([rows for rows, _ in learned], [target for _, target in learned], 1.0)
    assert weights[0] > 3 and abs(weights[1]) < 0.1 * weights[0]
    hits = later = 0
    for rows, target in (made(rng, 8) for _ in range(300)):
        likely = last_that_belongs((rows @ weights[:-1] + weights[-1]).astype(np.float32))
        hits += bool(target[int(np.argmax(likely))])
        later += not target[-1]
    assert hits >= 255 and later > 100


def test_the_slope_is_the_losss() -> None:
    """At the minimum no weight can be moved for the better: the loss worked out by hand, row by row."""
    rng = np.random.default_rng(3)
    learned = [made(rng, 5) for _ in range(60)]
    found = last_of([rows for rows, _ in learned], [target for _, target in learned], 2.0)

    def loss(weights: NDArray[np.float64]) -> float:
        total = float(weights[:-1] @ weights[:-1])
        for rows, target in learned:
            share = 1 / (1 + np.exp(-(rows @ weights[:-1] + weights[-1])))
            likely = [share[n] * np.prod(1 - share[n + 1 :]) for n in range(len(rows))]
            total -= float(np.log(np.dot(likely, target) / np.sum(likely)))
        return total

    best = loss(found)
    for n in range(3):
        for step in (-0.05, 0.05):
            assert loss(found + step * np.eye(3)[n]) > best


def test_what_only_asks_never_belongs() -> None:
    likely = last_that_belongs(np.array([2.0, -np.inf, -4.0], np.float32))
    assert likely[1] == -np.inf and np.argmax(likely) == 0
