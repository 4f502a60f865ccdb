"""The copy of the vectors in memory under threads, in a damaged file, and after it is gone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from secondme.errors import CorruptRecord
from secondme.memory import blocks, resident
from secondme.memory.pages import PAGE_BYTES
from secondme.memory.store import Store
from secondme.memory.vectors import quantize
from tests.fault.soak import n
from tests.fault.vectors_in_memory import LISTS_FROM, assert_sound
from tests.reading_memory import hits
from tests.searching import until_whole
from tests.storing import KEY, chunks_of, put, source_of, unit_vectors

ROOT = Path(__file__).parents[2]
N_DIMS = 384


def give_up(store: Store) -> None:
    with store._database.reading() as connection:
        store._nearest._resident._give_up(connection)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BUILD_FROM", 1)
    monkeypatch.setattr(blocks, "_BLOCKS_A_SLICE", 1)
    monkeypatch.setattr(blocks, "_ROWS_A_SLICE", 50)


@pytest.mark.parametrize("form", ["flat", "lists"])
def test_threads_search_while_another_writes(store: Store, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found was there at some moment of the search, and no thread meets an error."""
    exact = resident.EXACT_UP_TO
    if form == "lists":
        monkeypatch.setattr(resident, "EXACT_UP_TO", LISTS_FROM)
    for i in range(8):
        put(store, f"/kept{i}", ["t"] * 100, seed=i)
    alive: dict[int, tuple[float, float]] = {
        c.id: (0.0, float("inf")) for s in store.sources() for c in store.source_chunks(s.id)
    }
    seconds = n(2, 1200)
    deadline = time.monotonic() + seconds
    seen: list[tuple[float, float, list[int]]] = []
    failures: list[BaseException] = []

    def search(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < deadline:
                query = unit_vectors(1, seed=chance.randrange(40))[0]
                started = time.monotonic()
                found = store.search_vectors(query, chance.choice((1, 10, 50)), chance.choice((None, "default")))
                scores = [score for _, score in found]
                assert found and scores == sorted(scores, reverse=True) and max(scores) < 1 + 1e-4
                seen.append((started, time.monotonic(), [i for i, _ in found]))
        except BaseException as error:  # noqa: BLE001  looked at below
            failures.append(error)

    threads = [threading.Thread(target=search, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    chance = random.Random(1)
    n_writes = 0
    while time.monotonic() < deadline:
        path = f"/moving{chance.randrange(6)}"
        old = store.source("default", path)
        doomed = [c.id for c in store.source_chunks(old.id)] if old else []
        began = time.monotonic()
        if old is not None and chance.random() < 0.4:
            store.remove_source(old.id)
        else:
            source_id = put(store, path, ["t"] * chance.randrange(60), seed=chance.randrange(40))
            ended = time.monotonic()
            alive |= {c.id: (began, float("inf")) for c in store.source_chunks(source_id)}
        ended = time.monotonic()
        alive |= {i: (alive[i][0], ended) for i in doomed}
        n_writes += 1
        if n_writes % 40 == 0:
            # The index is built anew, under the eyes of all.
            give_up(store)
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(seen) > 8 and n_writes > 5
    for started, ended, ids in seen:
        for i in ids:
            assert alive[i][0] <= ended and started <= alive[i][1], i
    # Lists may miss what a full scan finds.
    monkeypatch.setattr(resident, "EXACT_UP_TO", exact)
    give_up(store)
    assert_sound(store)


def test_a_damaged_page_is_told_and_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(path, KEY)
    store.set_embedder("test", N_DIMS)
    rows = unit_vectors(1500, N_DIMS)
    store.put_source(source_of("/a"), chunks_of(["t"] * 1500), rows)
    store.close()
    n_pages = path.stat().st_size // PAGE_BYTES
    chance = random.Random(3)
    n_told = 0
    for _ in range(n(6, 300)):
        store = Store.open(path, KEY)
        at = chance.randrange(n_pages // 2, n_pages) * PAGE_BYTES + chance.randrange(PAGE_BYTES)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
        try:
            store.warm_vectors()
            thread = store._nearest._resident._thread
            if thread is not None:
                thread.join(10)
            found = store.search_vectors(rows[700], 3, None)
            assert found[0][0] == 701
        except CorruptRecord:
            n_told += 1
            assert store.vector_status() is None
        finally:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(byte)
            store.close()
    assert n_told


HOLDING = """
import ctypes, os, sys
from pathlib import Path
from secondme.memory import resident
from secondme.memory.store import Store
from tests.searching import until_whole
from tests.storing import KEY, unit_vectors

def stage(name):
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable: so that a user who is not root may look as well
    print(name, flush=True)
    os.read(0, 100)

resident.BUILD_FROM = 1
store = Store.open(Path(sys.argv[1]), KEY)
if sys.argv[2] != "in SQL":
    assert until_whole(store)
if sys.argv[2] == "while it is written":
    store.remove_source(store.sources()[1].id)
for seed in range(1 if sys.argv[2] == "in SQL" else 4):
    store.search_vectors(unit_vectors(1, 384, seed=1000)[0], 50, None)
stage("open")
store.close()
stage("closed")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["in memory", "in SQL", "while it is written"])
def test_no_vector_is_left_in_memory(tmp_path: Path, how: str) -> None:
    """Of none of some rows, near and far, as float32, as int8 or as the index keeps them, after the store is closed."""
    path = tmp_path / "store.db"
    store = Store.open(path, KEY)
    store.set_embedder("test", N_DIMS)
    rows = unit_vectors(2000, N_DIMS)
    for i in range(4):
        store.put_source(source_of(f"/{i}"), chunks_of(["t"] * 500), rows[500 * i : 500 * i + 500])
    store.close()
    query = unit_vectors(1, N_DIMS, seed=1000)[0]
    markers = [0, 499, 501, 700, 1999, *np.argsort(-(rows @ query))[:3].tolist()]
    needles: dict[str, bytes] = {}
    for i in markers:
        coarse = quantize(rows[i : i + 1])[0]
        needles[f"{i} float32"] = rows[i].tobytes()[256:320]
        needles[f"{i} int8"] = coarse.tobytes()[128:160]
        needles[f"{i} biased"] = (coarse.view(np.uint8) ^ 0x80).tobytes()[128:160]
    command = [sys.executable, "-c", HOLDING, str(path), how]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "open\n"
        held = hits(child.pid, needles)
        kind = "int8" if how == "in SQL" else "biased"
        assert held[f"1999 {kind}"], held
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "closed\n"
        left = hits(child.pid, needles)
        assert not any(left.values()), left
        child.stdin.write("go on\n")


def test_the_index_follows_a_store_that_is_wiped_of_everything(store: Store) -> None:
    for i in range(3):
        put(store, f"/{i}", ["t"] * 50, seed=i)
    assert until_whole(store)
    store.remove_sources([s.id for s in store.sources()])
    status = store.vector_status()
    assert status is not None and status.stats.n_rows == 0 and status.stats.n_waiting == 0
    assert store.search_vectors(unit_vectors(1)[0], 5, None) == []
