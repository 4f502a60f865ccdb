"""Work on a store whose vectors are held in memory, in a process that is killed, and what must be there afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest.mock import patch

from secondme.memory import blocks, resident
from secondme.memory.store import Store
from tests.fault.killing import Say
from tests.fault.workload import open_store
from tests.searching import assert_all_ways_agree, until_whole
from tests.storing import put, unit_vectors

N_FILES, N_EACH, N_STEPS = 6, 150, 40

LISTS_FROM = 200
"""In the place of resident.EXACT_UP_TO: even a few vectors are divided among lists."""


@contextmanager
def _small(exact_up_to: int) -> Iterator[None]:
    """An index for any store, in slices of which even this one has many."""
    with (
        patch.object(resident, "BUILD_FROM", 1),
        patch.object(resident, "EXACT_UP_TO", exact_up_to),
        patch.object(blocks, "_BLOCKS_A_SLICE", 1),
        patch.object(blocks, "_ROWS_A_SLICE", 50),
    ):
        yield


def lay_out(root: Path) -> None:
    root.mkdir(exist_ok=True)
    with closing(open_store(root)) as store:
        for n in range(N_FILES):
            put(store, f"/{n}", ["t"] * N_EACH, seed=n)


def act(root: Path, say: Say) -> None:
    """Build the index, and write and search while it is built and afterwards, and while its lists are kept in order."""
    with _small(LISTS_FROM), closing(open_store(root)) as store:
        store.warm_vectors()
        chance = random.Random(store.n_chunks)
        for n in range(N_STEPS):
            if n == N_STEPS // 2:
                until_whole(store)
            if n % 3 == 2 and store.sources():
                store.remove_source(chance.choice(store.sources()).id)
            else:
                put(store, f"/{chance.randrange(2 * N_FILES)}", ["t"] * chance.randrange(30), seed=n)
            store.search_vectors(unit_vectors(1, seed=n)[0], 5, None)
            say(f"{len(store.sources())}")


def verify(root: Path, said: list[str], ended: bool) -> None:
    """Every way finds what a full scan of the stored rows finds."""
    with _small(resident.EXACT_UP_TO), closing(open_store(root)) as store:
        assert_sound(store)


def assert_sound(store: Store) -> None:
    bad = [f"{c.name}: {c.detail}" for c in store.check(read_data=True) if c.status == "failed"]
    assert not bad, bad
    for seed in range(3):
        assert_all_ways_agree(store, unit_vectors(1, seed=100 + seed)[0], 10)
