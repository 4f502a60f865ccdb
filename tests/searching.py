"""The three ways in which a store finds the nearest vectors, each on demand, and what all of them must find."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from secondme.memory.nearest import EVERYTHING, Nearest, Within
from secondme.memory.rows import Row
from secondme.memory.store import Store
from secondme.types import Trust

Found = list[tuple[int, float]]
WAYS = ("in memory", "in SQL", "sqlite-vec")
TOLERANCE = 5e-5
"""Of a cosine: the index holds a component as 16-bit fixed point."""


def until_whole(store: Store, *, timeout_s: float = 20) -> bool:
    """Build the index and wait until it is whole; False if there is none."""
    store.warm_vectors()
    deadline = time.monotonic() + timeout_s
    while (status := store.vector_status()) is not None:
        if status.stage == "whole":
            return True
        assert time.monotonic() < deadline, status
        time.sleep(0.001)
    return False


@contextmanager
def searched(store: Store, way: str) -> Iterator[None]:
    """Let the store's searches go that way; the index that it has stays in step meanwhile."""
    own, hooks = store._nearest, list(store._database.after_write)
    if way == "in memory":
        assert until_whole(store)
    else:
        store._nearest = Nearest(store._database, 0)
        store._nearest._kernels_fit = None if way == "in SQL" else False
        store._database.after_write = hooks
    try:
        yield
        if way == "in memory":
            status = store.vector_status()
            assert status is not None and status.stage == "whole"
    finally:
        store._nearest = own


def exact(store: Store, query: NDArray[np.float32], k: int, project: str | None, within: Within = EVERYTHING) -> Found:
    """By the float32 rows of the store alone."""
    sql = """select a.rowid, a.value00, p.name, c.source_id, s.trust, s.ingested_at from vector_auxiliary a
             join chunk c on c.id = a.rowid join source s on s.id = c.source_id join project p on p.id = c.project_id"""
    with store._database.reading() as connection:
        rows: list[Row] = connection.execute(sql).fetchall()
    found = []
    for i, packed, name, source, trust, ingested_at in rows:
        row = np.frombuffer(packed, np.float32).astype(np.float64)
        length = float(np.linalg.norm(row)) * float(np.linalg.norm(query))
        if project in (None, name) and _allowed(within, source, trust, ingested_at):
            found.append((i, float(row @ query) / length if length else 0.0))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]


def _allowed(within: Within, source: int, trust: str, ingested_at: float) -> bool:
    return (
        (within.sources is None or source in within.sources)
        and (within.least_trust is None or list(Trust).index(Trust(trust)) <= list(Trust).index(within.least_trust))
        and (within.since is None or int(ingested_at) >= within.since)
        and (within.until is None or int(ingested_at) <= within.until)
    )


def assert_same(found: Found, expected: Found) -> None:
    """The same passages, but that those with equal cosines may stand for one another."""
    assert len(found) == len(expected), (found, expected)
    assert len({i for i, _ in found}) == len(found)
    scores = np.array([score for _, score in found])
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=TOLERANCE)
    assert (np.diff(scores) <= 0).all()
    last = expected[-1][1] if expected else 0
    clear = {i for i, score in expected if score > last + 2 * TOLERANCE}
    assert clear <= {i for i, _ in found}


def assert_all_ways_agree(
    store: Store, query: NDArray[np.float32], k: int, project: str | None = None, within: Within = EVERYTHING
) -> None:
    expected = exact(store, query, k, project, within)
    for way in WAYS:
        with searched(store, way):
            assert_same(store.search_vectors(query, k, project, within), expected)
