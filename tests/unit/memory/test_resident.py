"""The copy of the vectors in memory: when it is made, that it follows, and that nothing of it stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from secondme.errors import CorruptRecord, StoreError
from secondme.kernels.index import Ids, Scores, VectorIndex
from secondme.memory import blocks, resident, vectors
from secondme.memory.forgetting import Target
from secondme.memory.nearest import Within
from secondme.memory.resident import Resident, limit_bytes
from secondme.memory.store import Store
from secondme.types import Trust
from tests.searching import WAYS, assert_same, exact, searched, until_whole
from tests.storing import KEY, N_DIMS, put, source_of, unit_vectors


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index for any store, read in slices of which even these stores have several."""
    monkeypatch.setattr(resident, "BUILD_FROM", 1)
    monkeypatch.setattr(blocks, "_BLOCKS_A_SLICE", 1)
    monkeypatch.setattr(blocks, "_ROWS_A_SLICE", 100)
    monkeypatch.setattr(blocks, "_SOURCES_A_SLICE", 3)


@pytest.fixture
def filled(store: Store) -> Store:
    """1,000 vectors in ten files of two projects."""
    for i in range(10):
        put(store, f"/{i}", [f"t{j}" for j in range(100)], project=("even", "odd")[i % 2], seed=i)
    return store


def held(store: Store) -> set[int]:
    """Ids in the index, by a search for all of them."""
    index = store._nearest._resident._index
    assert index is not None
    ids, _ = index.candidates(unit_vectors(1, index.n_dims)[0], 5000)
    return set(ids.tolist())


def stored(store: Store) -> set[int]:
    return {c.id for s in store.sources() for c in store.source_chunks(s.id)}


# When it is made ---------------------------------------------------------------------------------------------------


def test_one_search_builds_nothing_and_the_second_does(filled: Store) -> None:
    query = unit_vectors(1)[0]
    filled.search_vectors(query, 5, None)
    assert filled.vector_status() is None
    filled.search_vectors(query, 5, None)
    assert filled.vector_status() is not None
    assert until_whole(filled)
    assert held(filled) == stored(filled)


def test_a_small_store_has_none(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "BUILD_FROM", 1001)
    assert not until_whole(filled)
    put(filled, "/more", ["one"])
    assert until_whole(filled)


def test_a_store_without_a_model_has_none(store: Store) -> None:
    store.warm_vectors()
    assert store.vector_status() is None


@pytest.mark.parametrize(("n_bytes", "planes"), [(0, 0), (390_000, 0), (410_000, 1), (550_000, 1), (810_000, 2)])
def test_memory_is_bounded(tmp_path: Path, n_bytes: int, planes: int) -> None:
    """Of 1,000 vectors: none, the first plane alone, or both."""
    store = Store.open(tmp_path / "store.db", KEY, vector_bytes=n_bytes)
    put(store, "/a", ["t"] * 1000)
    store.warm_vectors()
    status = store.vector_status()
    assert (status is None) == (planes == 0)
    query = unit_vectors(1, seed=7)[0]
    deadline = time.monotonic() + 10
    while status is not None and status.stage == "building":
        assert time.monotonic() < deadline
        status = store.vector_status()
    if status is not None:
        assert status.fine == (planes == 2)
        held_bytes = status.stats.held_bytes
        assert_same(store.search_vectors(query, 10, None), exact(store, query, 10, None))
        # One more file, and it does not fit as it is any more.
        put(store, "/b", ["t"] * 1000)
        assert store.vector_status() is None and held_bytes
        store.warm_vectors()
        status = store.vector_status()
        assert status is None if planes == 1 else status is not None and not status.fine
    assert_same(store.search_vectors(query, 10, None), exact(store, query, 10, None))
    store.close()


def test_the_share_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_bytes(5) == 5
    assert limit_bytes(None) > 100e6
    monkeypatch.delattr("os.sysconf")
    assert limit_bytes(None) == 512 << 20


def test_without_the_kernels_there_is_none(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondme.kernels.sql.load", lambda _: False)
    assert not until_whole(filled)
    query = unit_vectors(1, seed=3)[0]
    assert_same(filled.search_vectors(query, 9, "odd"), exact(filled, query, 9, "odd"))
    assert filled._nearest._kernels_fit is False


def test_another_layout_is_left_to_sqlite_vec(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondme.kernels.sql._LAYOUT", {"vector_chunks": {"valid": "BLOB"}})
    query = unit_vectors(1, seed=3)[0]
    for _ in range(3):
        assert_same(filled.search_vectors(query, 9, "odd"), exact(filled, query, 9, "odd"))
    assert filled._nearest._kernels_fit is False and filled.vector_status() is None


# It follows ----------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_out_of_memory_at_once(filled: Store) -> None:
    assert until_whole(filled)
    source = filled.sources()[3]
    doomed = {c.id for c in filled.source_chunks(source.id)}
    one, *_ = stored(filled) - doomed
    deletions: tuple[Callable[[], object], ...] = (
        lambda: filled.remove_source(source.id),
        lambda: filled.forget(Target(passages=(one,))),
        lambda: filled.forget_project("odd"),
        lambda: filled.put_skip(source_of("/4", project="even"), "gone bad"),
    )
    for delete in deletions:
        delete()
        # Before any search.
        assert held(filled) == stored(filled)
        status = filled.vector_status()
        assert status is not None and status.stats.n_waiting == 0 and status.stage == "whole"
    assert not held(filled) & doomed


def test_what_is_rolled_back_never_happened(filled: Store) -> None:
    assert until_whole(filled)
    before = stored(filled)
    query = unit_vectors(1, seed=5)[0]
    found = filled.search_vectors(query, 3, None)
    with pytest.raises(ZeroDivisionError), filled._database.writing() as connection:
        connection.execute("savepoint inner_one")
        connection.execute("delete from vector where chunk_id = ?", (found[0][0],))
        connection.execute("rollback to inner_one")
        connection.execute("delete from vector where chunk_id = ?", (found[1][0],))
        # A search inside sees what the transaction sees.
        assert [i for i, _ in filled.search_vectors(query, 2, None)] == [found[0][0], found[2][0]]
        raise ZeroDivisionError
    assert held(filled) == before
    assert filled.search_vectors(query, 3, None) == found


def test_many_changes_at_once_begin_anew(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_MOST_NOTED", 50)
    assert until_whole(filled)
    put(filled, "/few", ["t"] * 50)
    assert filled.vector_status() is not None
    filled.remove_source(filled.sources()[0].id)
    assert filled.vector_status() is None
    assert until_whole(filled)
    assert held(filled) == stored(filled)


def test_a_new_table_begins_anew(filled: Store) -> None:
    assert until_whole(filled)
    ids = sorted(stored(filled))
    fresh = unit_vectors(len(ids), 24, seed=8)
    filled.replace_vectors(zip(ids, fresh, strict=True), "other", 24)
    assert filled.vector_status() is None
    assert until_whole(filled)
    assert filled.search_vectors(fresh[17], 1, None)[0][0] == ids[17]
    with pytest.raises(ZeroDivisionError), filled._database.writing() as connection:
        vectors.create_table(connection, 24)
        raise ZeroDivisionError
    # Its triggers are back with the old table.
    filled.remove_source(filled.sources()[0].id)
    assert held(filled) == stored(filled)


def test_the_owners_of_scattered_passages(store: Store) -> None:
    """Passages of two files lie among each other after some were forgotten; the filters must not mix them up."""
    first = put(store, "/a", ["a"] * 20, seed=1)
    second = put(store, "/b", ["b"] * 20, seed=2)
    ids = [c.id for c in store.source_chunks(first)]
    store.forget(Target(passages=(ids[3], ids[4])))
    with store._database.writing() as connection:
        # No path of the code does that; what is read must be right all the same.
        connection.execute("update chunk set source_id = ?, ordinal = 1000 where id = ?", (second, ids[7]))
    wanted = {c.id for c in store.source_chunks(second)}
    assert ids[7] in wanted
    query = unit_vectors(1, seed=1)[0]
    for way in WAYS:
        with searched(store, way):
            found = store.search_vectors(query, 100, None, Within(sources=frozenset({second})))
            assert {i for i, _ in found} == wanted, way


def test_a_vector_without_a_passage_is_found_and_has_no_owner(filled: Store) -> None:
    with filled._database.writing() as connection:
        connection.execute("pragma defer_foreign_keys = on")
        connection.execute("delete from chunk where id = 5")
    query = unit_vectors(100, seed=0)[4]
    for way in WAYS:
        with searched(filled, way):
            assert filled.search_vectors(query, 1, "even")[0][0] == 5, way
            narrow = Within(least_trust=Trust.DOCUMENT)
            assert filled.search_vectors(query, 1, "even", narrow)[0][0] != 5, way
    assert until_whole(filled)
    with filled._database.writing() as connection:
        vectors.insert(connection, [(10_000, 1, -query)])
    assert filled.search_vectors(-query, 1, None)[0][0] == 10_000


def test_vectors_without_any_passage_are_found(store: Store) -> None:
    store.set_embedder("test", 8)
    with store._database.writing() as connection:
        vectors.insert(connection, [(5, 1, unit_vectors(1)[0])])
    for way in WAYS:
        with searched(store, way):
            assert [i for i, _ in store.search_vectors(unit_vectors(1)[0], 3, None)] == [5], way


def test_a_candidate_that_goes_while_it_is_rescored_makes_room_for_another(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index without its second plane asks the store for the exact rows, and others may write in between."""
    assert until_whole(filled)
    query = unit_vectors(1, seed=5)[0]
    first, *others = filled.search_vectors(query, 4, None)
    original = VectorIndex.candidates
    asked: list[int] = []

    def candidates(self: VectorIndex, *args: Any, **kwargs: Any) -> tuple[Ids, Scores]:
        found = original(self, *args, **kwargs)
        asked.append(1)
        if len(asked) == 1:
            filled.forget(Target(passages=(first[0],)))
        return found

    monkeypatch.setattr(filled._nearest._resident, "_stage", "usable")
    monkeypatch.setattr(VectorIndex, "candidates", candidates)
    assert_same(filled.search_vectors(query, 3, None), others)
    assert asked == [1, 1]


def test_no_results_are_asked_for(filled: Store) -> None:
    for k in (0, -3):
        assert filled.search_vectors(unit_vectors(1)[0], k, None) == []
    assert until_whole(filled)
    assert filled.search_vectors(unit_vectors(1)[0], 0, None) == []
    assert len(filled.search_vectors(unit_vectors(1)[0], 5000, None)) == 1000


def test_writes_while_it_is_built_are_not_missed(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slice is followed by a write, before the next one is read."""
    step = Resident._build
    log: list[int] = []
    ended = threading.Event()

    def disturbed(self: Resident, connection: apsw.Connection, index: VectorIndex) -> Iterator[str]:
        for n, stage in enumerate(step(self, connection, index)):
            yield stage
            if n % 3 == 0:
                log.append(put(filled, f"/new{n}", [f"x{n}"] * 7, seed=50 + n))
            elif n % 3 == 1:
                filled.remove_source(filled.sources()[0].id)
            else:
                put(filled, filled.sources()[-1].path, ["again"] * 3, seed=90 + n)
        ended.set()

    monkeypatch.setattr(Resident, "_build", disturbed)
    assert until_whole(filled) and ended.wait(10)
    assert len(log) > 3
    assert held(filled) == stored(filled)
    for project in (None, "odd", "default"):
        query = unit_vectors(1, seed=93)[0]
        assert_same(filled.search_vectors(query, 12, project), exact(filled, query, 12, project))


# It goes -------------------------------------------------------------------------------------------------------


def test_a_thread_whose_index_was_given_up_leaves_the_next_one_alone(filled: Store) -> None:
    assert until_whole(filled)
    own = filled._nearest._resident
    other = VectorIndex(N_DIMS)
    own._build_all(other)
    assert len(other) == 0

    def fail(index: VectorIndex) -> None:
        raise StoreError("the disk is gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(own, "_build_all", fail)
        own._work(other, threading.Event())
    assert held(filled) == stored(filled)


def test_closing_zeroes_it_and_ends_its_thread(filled: Store) -> None:
    assert until_whole(filled)
    held_index, thread = filled._nearest._resident._index, filled._nearest._resident._thread
    assert held_index is not None and thread is not None
    filled.close()
    assert len(held_index) == 0 and not thread.is_alive()
    with pytest.raises(StoreError, match="closed"):
        filled.search_vectors(unit_vectors(1)[0], 1, None)
    with pytest.raises(StoreError, match="closed"):
        filled.warm_vectors()
    filled.close()


@pytest.mark.parametrize("stage", ["building", "usable"])
def test_closing_does_not_wait_for_the_building(filled: Store, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def endless(self: Resident, connection: apsw.Connection, index: object) -> Iterator[str]:
        while True:
            yield stage

    monkeypatch.setattr(Resident, "_build", endless)
    filled.warm_vectors()
    time.sleep(0.02)
    status = filled.vector_status()
    assert status is not None and status.stage == stage
    started = time.monotonic()
    filled.close()
    assert time.monotonic() - started < 1
    assert not any(t.name == "vector index" for t in threading.enumerate())


def test_a_search_that_meets_the_end_of_its_index_is_made_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index goes between the moment a search takes hold of it and the moment it is asked."""
    assert until_whole(filled)
    query = unit_vectors(1, seed=5)[0]
    expected = exact(filled, query, 5, None)
    nearest = filled._nearest
    index = nearest._resident._index
    assert index is not None
    original = type(index).search
    asked: list[int] = []

    def incomplete(self: VectorIndex, *args: Any, **kwargs: Any) -> tuple[Ids, Scores, bool]:
        asked.append(1)
        return (*original(self, *args, **kwargs)[:2], False)

    def gone(self: VectorIndex, *args: Any, **kwargs: Any) -> tuple[Ids, Scores, bool]:
        asked.append(2)
        with filled._database.reading() as connection:
            nearest._resident._give_up(connection)
        return original(self, *args, **kwargs)

    for instead in (incomplete, gone):
        with monkeypatch.context() as patched:
            patched.setattr(type(index), "search", instead)
            assert_same(filled.search_vectors(query, 5, None), expected)
    assert asked == [1, 2]
    assert until_whole(filled)

    def none(self: VectorIndex, *args: Any, **kwargs: Any) -> tuple[Ids, Scores]:
        with filled._database.reading() as connection:
            nearest._resident._give_up(connection)
        return np.zeros(0, np.int64), np.zeros(0, np.float32)

    with monkeypatch.context() as patched:
        nearest._resident._stage = "usable"
        patched.setattr(type(index), "candidates", none)
        assert_same(filled.search_vectors(query, 5, None), expected)


# Damage --------------------------------------------------------------------------------------------------------


def damage(store: Store, statement: str) -> None:
    with store._database.reading() as connection:
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "noticed"),
    [
        ("update vector_chunks set validity = substr(validity, 2) where chunk_id = 2", "by all"),
        ("update vector_chunks set rowids = zeroblob(8) where chunk_id = 1", "by all"),
        ("update vector_chunks set partition00 = 'x' where chunk_id = 1", "by the index"),
        ("update vector_vector_chunks00 set vectors = substr(vectors, 2) where _rowid_ = 1", "by all"),
        ("delete from vector_vector_chunks00 where _rowid_ = 2", "when opened"),
        ("update vector_auxiliary set value00 = substr(value00, 2) where rowid = 50", "by all"),
        ("update vector_auxiliary set value00 = x'0000c07f' || substr(value00, 5) where rowid = 50", "by all"),
        ("delete from vector_auxiliary where rowid = 50", "by all"),
    ],
)
@pytest.mark.parametrize("first", ["a search", "the building"])
def test_blocks_that_do_not_fit_are_damage(filled: Store, statement: str, noticed: str, first: str) -> None:
    query = unit_vectors(100, seed=0)[49]
    if first == "the building":
        # The layout was found in order before.
        filled.search_vectors(query, 1, None)
    damage(filled, statement)
    filled.warm_vectors()
    for _ in range(3):
        if noticed == "by the index" or (noticed == "when opened" and first == "the building"):
            assert filled.search_vectors(query, 1, None)[0][0] == 50
        else:
            with pytest.raises(CorruptRecord):
                filled.search_vectors(query, 10, None)
    thread = filled._nearest._resident._thread
    if thread is not None:
        thread.join(10)
    assert filled.vector_status() is None


def test_damage_met_while_following_gives_the_index_up_and_the_write_stands(filled: Store) -> None:
    assert until_whole(filled)
    damage(filled, "delete from vector_auxiliary where rowid = 50")
    damage(filled, "insert into temp.vector_change values(50)")
    number = put(filled, "/new", ["x"])
    assert filled.vector_status() is None
    assert filled.source_chunks(number)
    assert not until_whole(filled)


def test_changes_are_noted_from_the_beginning_to_the_end(filled: Store) -> None:
    sql = "select count(*) from temp.sqlite_schema where name like 'vector%'"
    counts = []
    for step in (until_whole, lambda store: store._nearest.close()):
        with filled._database.reading() as connection:
            counts.append(connection.execute(sql).get)
        step(filled)
        with filled._database.reading() as connection:
            counts.append(connection.execute(sql).get)
    assert counts == [0, 3, 3, 0]
