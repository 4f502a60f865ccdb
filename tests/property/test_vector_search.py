"""Whatever happens to a store, its three ways of searching find the same, and what a full scan of it finds."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.memory import resident
from secondme.memory.forgetting import Target
from secondme.memory.nearest import EVERYTHING, Within
from secondme.memory.store import Store
from secondme.types import Trust
from tests.fault.soak import n
from tests.searching import WAYS, assert_all_ways_agree, exact, searched
from tests.storing import KEY, chunks_of, source_of, unit_vectors

PROJECTS = ("one", "two", "three")
N_DIMS = (1, 3, 8, 65, 384)


class Life:
    """A store, and steps on it that are drawn by chance."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        self.n_dims = chance.choice(N_DIMS)
        store.set_embedder("test", self.n_dims)
        self.n = 0

    def vectors(self, n: int) -> NDArray[np.float32]:
        """Unit rows, some of them equal; now and then one of another length, or of zeros."""
        rows = unit_vectors(max(n, 1), self.n_dims, self.chance.getrandbits(30))[:n]
        if n > 3:
            rows[1] = rows[0]
            rows[self.chance.randrange(n)] *= self.chance.choice((1, 1, 0, 7, 0.1))
        return rows

    def put(self) -> None:
        self.n += 1
        path = f"/{self.chance.randrange(12)}"
        source = source_of(path, project=self.chance.choice(PROJECTS), content=b"%d" % self.n)
        n_chunks = self.chance.choice((0, 1, 5, 40, 300))
        source = replace(source, trust=self.chance.choice(list(Trust)))
        clock = SimpleNamespace(time=lambda: 1000.5 + self.n)
        with patch("secondme.memory.sources.time", clock):
            self.store.put_source(source, chunks_of([f"t{i}" for i in range(n_chunks)]), self.vectors(n_chunks))

    def remove(self) -> None:
        if found := self.store.sources():
            self.store.remove_source(self.chance.choice(found).id)

    def purge(self) -> None:
        found = [c.id for s in self.store.sources() for c in self.store.source_chunks(s.id)]
        if found:
            self.store.forget(Target(passages=tuple(self.chance.sample(found, min(len(found), 5)))))

    def replace(self) -> None:
        found = [c.id for s in self.store.sources() for c in self.store.source_chunks(s.id)]
        self.n_dims = self.chance.choice(N_DIMS)
        self.store.replace_vectors(zip(found, self.vectors(len(found)), strict=True), f"m{self.n}", self.n_dims)

    def fail(self) -> None:
        """A transaction that is rolled back, in which the index must not believe."""
        with pytest.raises(ZeroDivisionError), self.store._database.writing() as connection:
            connection.execute("delete from vector where chunk_id % 2")
            self.store.search_vectors(unit_vectors(1, self.n_dims)[0], 5, None)
            raise ZeroDivisionError

    def within(self) -> Within:
        ids = [s.id for s in self.store.sources()]
        since = self.chance.choice((None, 1000 + self.chance.randint(0, self.n)))
        return Within(
            sources=self.chance.choice(
                (None, frozenset(self.chance.sample(ids, len(ids) // 2)), frozenset({-1, 2**40}))
            ),
            least_trust=self.chance.choice((None, *Trust)),
            since=since,
            until=self.chance.choice((None, (since or 1000) + self.chance.randint(0, 4))),
        )


@pytest.mark.parametrize("seed", range(n(5, 2000)))
def test_all_ways_find_what_a_full_scan_finds(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BUILD_FROM", 0)
    chance = random.Random(seed)
    store = Store.open(tmp_path / "store.db", KEY)
    try:
        life = Life(store, chance)
        life.put()
        for _ in range(6):
            for _ in range(chance.randint(1, 4)):
                chance.choice((life.put, life.put, life.put, life.remove, life.purge, life.fail, life.replace))()
            for k in (1, chance.choice((2, 10, 70))):
                query = life.vectors(1)[0]
                assert_all_ways_agree(store, query, k, chance.choice((None, *PROJECTS)), EVERYTHING)
                assert_all_ways_agree(store, query, k, chance.choice((None, *PROJECTS)), life.within())
    finally:
        store.close()


def test_a_dimension_in_which_all_stand_out_hides_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models have one: its components are cut in the int8 rows, and the float32 rows decide."""
    monkeypatch.setattr(resident, "BUILD_FROM", 0)
    rows = unit_vectors(600, 384)
    rows[:, 7] = 1.2
    store = Store.open(tmp_path / "store.db", KEY)
    try:
        store.set_embedder("test", 384)
        store.put_source(source_of("/a"), chunks_of(["t"] * 600), rows)
        for query in rows[:20]:
            assert_all_ways_agree(store, query, 10)
    finally:
        store.close()


def test_recall_on_clustered_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one in a thousand of the ten nearest is missed, by any way."""
    monkeypatch.setattr(resident, "BUILD_FROM", 0)
    random_numbers = np.random.default_rng(4)
    rows = random_numbers.standard_normal((40, 384))[random_numbers.integers(0, 40, 3000)]
    rows += 0.5 * random_numbers.standard_normal(rows.shape)
    matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    store = Store.open(tmp_path / "store.db", KEY)
    try:
        store.set_embedder("test", 384)
        store.put_source(source_of("/a"), chunks_of(["t"] * len(matrix)), matrix)
        queries = matrix[:100] + 0.02 * random_numbers.standard_normal((100, 384)).astype(np.float32)
        scores = queries @ matrix.T
        best = [{int(i) + 1 for i in row} for row in np.argsort(-scores, axis=1)[:, :10]]
        assert {i for i, _ in exact(store, queries[0], 10, None)} == best[0]
        for way in WAYS:
            with searched(store, way):
                hits = [
                    len(wanted & {i for i, _ in store.search_vectors(query, 10, None)})
                    for query, wanted in zip(queries, best, strict=True)
                ]
            assert sum(hits) >= 999, way
    finally:
        store.close()
