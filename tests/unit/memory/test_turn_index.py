"""Turns found by words and by vectors, read with those around them, and clocks that jump."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.errors import CorruptRecord, StoreError, UsageError
from secondme.kernels.index import VectorIndex
from secondme.memory import search, turn_index, vector_column
from secondme.memory.conversations import NewTurn
from secondme.memory.forgetting import Target
from secondme.memory.redaction import REMOVED_ANSWER
from secondme.memory.rows import Row
from secondme.memory.store import Store
from secondme.memory.vector_column import Asked, VectorColumn
from secondme.memory.vectors import quantize
from secondme.types import TurnStats
from tests.storing import KEY, N_DIMS, citation_of, unit_vectors


def talk(store: Store, *texts: str, project: str = "default") -> list[int]:
    conversation = store.new_conversation(project, "talk")
    return store.add_turns([NewTurn(conversation, "user", text) for text in texts])


def found(store: Store, match: str, project: str | None = None) -> list[int]:
    return [i for i, _ in store.search_turns(match, 50, project)]


def traced(store: Store, n: int, *, seed: int = 1, project: str = "default") -> list[int]:
    """Turns with random vectors."""
    if store.embedder() is None:
        store.set_embedder("test", N_DIMS)
    ids = talk(store, *(f"turn {i}" for i in range(n)), project=project)
    rows = unit_vectors(n, seed=seed)
    store.put_traces([(i, rows[at], b"words of %d" % i) for at, i in enumerate(ids)])
    return ids


# Words ---------------------------------------------------------------------------------------------------------


def test_turns_are_found_by_their_words_at_once(store: Store) -> None:
    first, second = talk(store, "We adopted a caf\u00e9 cat", "the dogs were barking")
    other = talk(store, "cats in Berlin", project="work")[0]
    assert found(store, "cafe") == [first] and found(store, "bark dog") == [second]
    assert set(found(store, "cat")) == {first, other}
    assert found(store, "cat", "work") == [other] and found(store, "cat", "nowhere") == []
    assert store.search_turns("", 5, None) == [] and store.search_turns("cat", 0, None) == []
    scores = [score for _, score in store.search_turns("cat OR adopted", 5, None)]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0
    assert store.turn_df(["cat", "berlin", "nobody"]) == {"cat": 2, "berlin": 1, "nobody": 0}
    with pytest.raises(UsageError):
        store.search_turns('"', 5, None)


def test_words_follow_every_change_of_a_turn(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    asked = store.add_turn(conversation, "user", "where is the zeppelin", ())
    answered = store.add_turn(conversation, "assistant", "the zeppelin is in Friedrichshafen", (citation_of(),))
    store.rename_conversation(conversation, "another title")
    assert set(found(store, "zeppelin")) == {asked, answered}
    store.forget(Target(turns=(asked,)))
    assert [t.text for t in store.turns(conversation)] == [REMOVED_ANSWER]
    assert found(store, "zeppelin") == [] and found(store, "removed") == [answered]
    store.delete_conversation(conversation)
    assert found(store, "removed") == []
    with store._database.writing() as connection:
        connection.execute("insert into turn_word(turn_word, rank) values('integrity-check', 1)")


def test_common_words_are_left_out_of_a_search(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = talk(store, *(f"the number {n}" for n in range(30)), "the rare one", "a rare one and the common")
    terms = ["the", "rare", "common", "3", "absent"]
    assert store.turn_match(terms) == '"absent" OR "3" OR "common" OR "rare" OR "the"'
    monkeypatch.setattr(search, "MOST_RANKED", 5)
    assert store.turn_match(terms) == '"absent" OR "3" OR "common" OR "rare"'
    monkeypatch.setattr(search, "MOST_RANKED", 1)
    assert store.turn_match(["rare", "the"]) == '"rare"'
    assert store.turn_match([]) == "" and store.turn_match(["the"]) == '"the"'
    # Where even the rarest is common, the newest are looked at.
    monkeypatch.setattr(search, "MOST_RANKED", 5)
    assert set(found(store, "the")) == set(ids[-5:])
    for some in (["the"], ["the", "number"], ["rare", "the"], ["absent"], []):
        for k in (3, 99):
            assert store.search_turns_any(some, k, None) == store.search_turns(store.turn_match(some), k, None)


def test_in_a_large_store_common_words_tell_turns_with_a_rare_one_apart(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [f"the balloon of day {n}" for n in range(12)]
    told[3] += " and the harbour"
    others = [f"the harbour at noon {n}" for n in range(40)] + [f"nothing at noon {n}" for n in range(99)]
    ids = talk(store, *told, *others)
    terms = ["balloon", "harbour", "absent"]
    everything = dict(store.search_turns('"balloon" OR "harbour" OR "absent"', 99, None))
    monkeypatch.setattr(search, "MOST_RANKED", 20)
    assert ids[3] not in [i for i, _ in store.search_turns_any(terms, 3, None)]  # which is the longest with a balloon
    monkeypatch.setattr(turn_index, "LARGE", 150)
    found_now = store.search_turns_any(terms, 99, None)
    assert found_now[0][0] == ids[3] and {i for i, _ in found_now} == set(ids[:12])
    assert found_now == sorted(found_now, key=lambda hit: (-hit[1], hit[0]))
    monkeypatch.setattr(search, "MOST_RANKED", 99)
    assert dict(store.search_turns_any(terms, 99, None)) == everything
    monkeypatch.setattr(search, "MOST_RANKED", 20)
    monkeypatch.setattr(turn_index, "MOST_JOINED", 30)  # the 41 with a harbour take too long
    assert found_now[0] not in store.search_turns_any(terms, 3, None)
    # A word that stands nowhere is no rare one: the newest turns with the rarest of the others are found.
    monkeypatch.setattr(search, "MOST_RANKED", 5)
    assert {i for i, _ in store.search_turns_any(["absent", "balloon"], 99, None)} == set(ids[7:12])


@pytest.mark.parametrize("term", ["!!", "", "\0", '"', "caf\udcff", "OR", "cat\0s"])
def test_any_term_can_be_asked_for(store: Store, term: str) -> None:
    (cat,) = talk(store, "a cat")
    assert found(store, store.turn_match([term, "cat"])) == [cat]
    assert store.turn_df([term, "cat"])["cat"] == 1
    assert store.search_items(store.item_match([term, "cat"]), 5, None) == []


def test_very_common_words_are_not_counted_to_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(store, *(("often " * (n % 2) + "always") for n in range(100)))
    assert store.turn_df(["often", "always", "never"]) == {"often": 50, "always": 100, "never": 0}
    monkeypatch.setattr(turn_index, "MOST_COUNTED", 20)
    counted = store.turn_df(["often", "always", "never"])
    assert abs(counted["often"] - 50) <= 2 and (counted["always"], counted["never"]) == (100, 0)


def test_terms_are_counted_anew_after_each_change(store: Store) -> None:
    """Counts are kept between questions; what a transaction wrote counts inside it, and not once it was taken back."""
    first = talk(store, "the zeppelin")[0]
    assert store.turn_df(["zeppelin"]) == {"zeppelin": 1}
    second = talk(store, "a zeppelin", "no balloon")[0]
    assert store.turn_df(["zeppelin", "balloon"]) == {"zeppelin": 2, "balloon": 1}
    assert store.turn_match(["balloon", "zeppelin"]) == '"balloon" OR "zeppelin"'

    def rewritten() -> None:
        with store._database.writing() as connection:
            connection.execute("update turn set text = 'zeppelin balloon' where id in (?, ?)", (first, second))
            assert store.turn_df(["zeppelin", "balloon"]) == {"zeppelin": 2, "balloon": 3}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rewritten()
    assert store.turn_df(["zeppelin", "balloon"]) == {"zeppelin": 2, "balloon": 1}
    store.forget(Target(turns=(first,)))
    assert store.turn_df(["zeppelin"]) == {"zeppelin": 1}
    assert len(store.turn_df([f"word {n}" for n in range(200)])) == 200


def test_what_turns_there_are(store: Store) -> None:
    assert store.turn_stats() == TurnStats(0, 0.0, 0)
    talk(store, "one two three", "four", project="one")
    talk(store, "five six", project="two")
    store.new_conversation("two", "empty")
    assert store.turn_stats() == TurnStats(3, 2.0, 3)
    assert store.turn_stats("two") == TurnStats(1, 2.0, 2)
    assert store.turn_stats("three") == TurnStats(0, 2.0, 0)


# Reading -------------------------------------------------------------------------------------------------------


def test_turns_by_ids_with_and_without_citations(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    first = store.add_turn(conversation, "user", "caf\udcc3", (), speaker="Ann\udcff", at=7.0)
    second = store.add_turn(conversation, "assistant", "b", (citation_of(),))
    turns = store.turns_by_ids([second, 99, first, second])
    assert [(t.id, t.citations) for t in turns] == [(second, ()), (first, ())]
    assert (turns[1].text, turns[1].speaker, turns[1].created_at) == ("caf\udcc3", "Ann\udcff", 7.0)
    assert store.turns_by_ids([second], citations=True) == store.turns(conversation)[1:]
    assert store.turns(conversation)[1].speaker == ""


def test_turns_around(store: Store) -> None:
    """Neighbours are those of the conversation, not of the time."""
    one, two = (store.new_conversation("default", name) for name in "ab")
    ids: dict[int, list[int]] = {one: [], two: []}
    for n in range(10):
        for conversation in (one, two):
            ids[conversation].append(store.add_turn(conversation, "user", f"{n}", ()))

    def around(wanted: list[int], reach: int) -> list[int]:
        return [turn.id for turn in store.turns_around(wanted, reach)]

    assert around([ids[one][5]], 2) == ids[one][3:8]
    assert around([ids[one][0]], 0) == [ids[one][0]]
    assert around([ids[two][9], ids[one][1], ids[one][3]], 1) == ids[one][:5] + ids[two][8:]
    assert around([99], 3) == [] and around([], 3) == []
    assert store.conversation_starts([two, one, 99]).keys() == {one, two}


def test_speakers_are_those_of_the_turns_around(store: Store) -> None:
    conversation = store.new_conversation("default", "talk")
    names = ["Ada", "Bo", "", "Cy", "D\udcff"]
    ids = [store.add_turn(conversation, "user", "x", (), speaker=name) for name in names]
    for i in range(len(ids)):
        around = {turn.speaker for turn in store.turns_around([ids[i]], 1) if turn.speaker}
        assert store.speakers_around([ids[i]], 1) - {""} == around
    assert store.speakers_around(ids, 0) - {""} == set(names) - {""} and store.speakers_around([], 1) == set()


def test_clocks_that_jump(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns stay in the order in which they were said, and conversations in that of their last use."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    first, second = store.new_conversation("default", "a"), store.new_conversation("default", "b")
    a = store.add_turn(second, "user", "before", ())
    monkeypatch.setattr(time, "time", lambda: 10.0)
    b = store.add_turn(second, "user", "after", ())
    assert [(t.id, t.created_at) for t in store.turns(second)] == [(a, 1000.0), (b, 10.0)]
    assert [t.id for t in store.turns_around([b], 1)] == [a, b]
    assert [(c.id, c.updated_at) for c in store.conversations()] == [(second, 1000.0), (first, 1000.0)]
    dated = store.new_conversation("default", "c", at=5.0)
    store.add_turn(dated, "user", "long ago", (), at=6.0)
    assert store.conversation_starts([dated]) == {dated: 5.0}
    assert store.conversations()[-1].updated_at == 6.0


# Traces --------------------------------------------------------------------------------------------------------


def test_traces_read_back(store: Store) -> None:
    ids = talk(store, "a", "b", "c")
    rows = unit_vectors(3)
    with pytest.raises(StoreError):
        store.put_traces([(ids[0], rows[0], b"")])
    store.set_embedder("test", N_DIMS)
    assert [t.id for t in store.turns_without_trace(2)] == [ids[2], ids[1]]
    with pytest.raises(StoreError):
        store.put_traces([(ids[0], rows[0], b""), (ids[1], rows[1][:4], b"")])
    assert len(store.turns_without_trace()) == 3
    store.put_traces([(ids[0], rows[0], b"words"), (ids[1], 3 * rows[1], b""), (99, rows[2], b"")])
    store.put_traces([(ids[0], rows[2], b"others")])
    assert [t.id for t in store.turns_without_trace()] == [ids[2]]
    found = store.traces([*ids, 99])
    assert found.keys() == {ids[0], ids[1]} and found[ids[0]][1] == b"others"
    for i, row in ((ids[0], rows[2]), (ids[1], rows[1])):
        pooled = found[i][0]
        assert pooled.dtype == np.float32 and np.linalg.norm(pooled) == pytest.approx(1, abs=1e-5)
        assert float(pooled @ row) == pytest.approx(1, abs=0.01)


def test_a_turn_with_another_text_waits_for_its_trace_again(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    asked = store.add_turn(conversation, "user", "where is the zeppelin", ())
    answered = store.add_turn(conversation, "assistant", "in Friedrichshafen", ())
    store.set_embedder("test", N_DIMS)
    rows = unit_vectors(2)
    store.put_traces([(asked, rows[0], b"a"), (answered, rows[1], b"b")])
    assert len(store.nearest_turns(rows[0], 5, None)) == 2
    store.forget(Target(turns=(asked,)))
    assert [t.id for t in store.turns_without_trace()] == [answered]
    assert store.nearest_turns(rows[0], 5, None) == [] and store.traces([asked, answered]) == {}


def test_another_embedder_takes_the_traces_along(store: Store) -> None:
    ids = traced(store, 3)
    assert len(store.nearest_turns(unit_vectors(1)[0], 9, None)) == 3
    store.set_embedder("wider", 2 * N_DIMS)
    assert {t.id for t in store.turns_without_trace()} == set(ids)
    query = unit_vectors(1, 2 * N_DIMS)[0]
    assert store.nearest_turns(query, 9, None) == []
    store.put_traces([(ids[1], query, b"")])
    assert [i for i, _ in store.nearest_turns(query, 9, None)] == [ids[1]]
    with pytest.raises(StoreError):
        store.nearest_turns(unit_vectors(1)[0], 9, None)


# Nearest -------------------------------------------------------------------------------------------------------


def exactly(store: Store, query: NDArray[np.float32], k: int, project: str | None) -> list[int]:
    sql = """select v.turn_id, v.pooled from turn_trace v join turn t on t.id = v.turn_id
             join conversation c on c.id = t.conversation_id join project p on p.id = c.project_id
             where ?1 is null or p.name = ?1"""
    with store._database.reading() as connection:
        rows: list[Row] = connection.execute(sql, (project,)).fetchall()
    scores = {i: float(np.frombuffer(pooled, np.int8).astype(np.float32) @ query) for i, pooled in rows}
    return sorted(scores, key=lambda i: (-scores[i], i))[:k]


@pytest.mark.parametrize("most_bytes", [None, 0])
def test_nearest_turns_in_memory_and_without_it(store: Store, most_bytes: int | None) -> None:
    store._near_turns = VectorColumn(store._database, vector_column.TURNS, most_bytes)
    assert store.nearest_turns(unit_vectors(1)[0], 3, None) == []
    one = traced(store, 300, seed=2, project="one")
    traced(store, 200, seed=3, project="two")
    for seed in range(5):
        query = quantize(unit_vectors(1, seed=50 + seed)).astype(np.float32)[0]
        for project in (None, "one", "two", "nowhere"):
            found = store.nearest_turns(query, 7, project)
            assert [i for i, _ in found] == (exactly(store, query, 7, project) if project != "nowhere" else [])
    assert (store._near_turns.stats() is None) == (most_bytes == 0)
    row = unit_vectors(300, seed=2)[17]
    best, cosine = store.nearest_turns(row, 1, None)[0]
    assert best == one[17] and cosine == pytest.approx(1, abs=0.02)
    with pytest.raises(StoreError):
        store.nearest_turns(row[:3], 1, None)
    assert store.nearest_turns(row, 0, None) == []
    wanted = [(row, 9), (unit_vectors(1, seed=60)[0], 0), (unit_vectors(1, seed=61)[0], 4)]
    for project in (None, "two", "nowhere"):
        together = store.begin_nearest_turns(wanted, project)
        assert together() == [store.nearest_turns(vector, k, project) for vector, k in wanted]


def test_a_search_beside_the_caller_finds_what_holds_when_it_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = traced(store, 40)
    rows = unit_vectors(40)
    alone = store.nearest_turns(rows[3], 5, None)
    monkeypatch.setattr(vector_column, "_WORTH_A_THREAD", 1)
    asked: list[int] = []
    real = VectorIndex.candidates_each

    def noted(self: VectorIndex, *args: Any) -> Any:
        asked.append(threading.get_ident())
        return real(self, *args)

    monkeypatch.setattr(VectorIndex, "candidates_each", noted)
    assert store.begin_nearest_turns([(rows[3], 5), (rows[4], 2)], None)()[0] == alone
    assert asked and threading.get_ident() not in asked
    with store._database.reading():
        assert store.nearest_turns(rows[3], 5, None) == alone  # the lock is held, and nobody waits for it
    begun = store.begin_nearest_turns([(rows[3], 5)], None)
    store.set_embedder("wider", 2 * N_DIMS)
    with pytest.raises(StoreError):
        begun()
    assert ids
    store.set_embedder("test", N_DIMS)
    store.put_traces([(ids[0], rows[0], b"")])
    assert [i for i, _ in store.nearest_turns(rows[0], 5, None)] == [ids[0]]
    begun = store.begin_nearest_turns([(rows[0], 5)], None)
    store.close()
    with pytest.raises(StoreError):
        begun()
    with pytest.raises(StoreError):
        store.begin_nearest_turns([(rows[0], 5)], None)


def test_the_copy_in_memory_keeps_up(store: Store) -> None:
    """Whatever changes it, also while it is built and inside a transaction."""
    ids = traced(store, 20)
    query = unit_vectors(20)[5]
    assert store.nearest_turns(query, 1, None)[0][0] == ids[5]
    conversation = store.turns_by_ids([ids[5]])[0].conversation_id
    more = traced(store, 3, seed=9)
    assert store.nearest_turns(unit_vectors(3, seed=9)[2], 1, None)[0][0] == more[2]
    store.put_traces([(more[0], query, b"")])
    assert {i for i, _ in store.nearest_turns(query, 2, None)} == {ids[5], more[0]}
    with pytest.raises(ZeroDivisionError), store._database.writing() as connection:
        connection.execute("delete from turn_trace where turn_id = ?", (more[0],))
        assert [i for i, _ in store.nearest_turns(query, 1, None)] == [ids[5]]
        raise ZeroDivisionError
    assert {i for i, _ in store.nearest_turns(query, 2, None)} == {ids[5], more[0]}
    store.delete_conversation(conversation)
    stats = store._near_turns.stats()
    assert stats is not None and stats.n_rows == 3
    assert {i for i, _ in store.nearest_turns(query, 9, None)} == set(more)


@pytest.mark.parametrize("most_bytes", [None, 0])
def test_a_damaged_vector_is_told_and_not_searched(store: Store, most_bytes: int | None) -> None:
    store._near_turns = VectorColumn(store._database, vector_column.TURNS, most_bytes)
    ids = traced(store, 5)
    with store._database.writing() as connection:
        connection.execute("update turn_trace set pooled = x'01' where turn_id = ?", (ids[2],))
    for _ in range(2):
        with pytest.raises(CorruptRecord):
            store.nearest_turns(unit_vectors(1)[0], 3, None)
    with pytest.raises(CorruptRecord):
        store.traces(ids)
    store.put_traces([(ids[2], unit_vectors(1)[0], b"")])
    assert len(store.nearest_turns(unit_vectors(1)[0], 9, None)) == len(store.traces(ids)) == 5


def test_too_many_changes_begin_the_copy_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_column, "_MOST_NOTED", 5)
    ids = traced(store, 4)
    assert len(store.nearest_turns(unit_vectors(1)[0], 99, None)) == 4
    more = traced(store, 10, seed=2)
    assert store._near_turns.stats() is None
    assert {i for i, _ in store.nearest_turns(unit_vectors(1)[0], 99, None)} == {*ids, *more}


def test_while_the_copy_is_built_others_search_and_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_column, "_ROWS_A_SLICE", 8)
    ids = traced(store, 64)
    column = store._near_turns
    real, seen = column._take_slice, []

    def with_others(*arguments: object) -> int | None:
        last = real(*arguments)  # type: ignore[arg-type]
        # This thread has the lock, and it may use the store while it builds.
        seen.append(len(store.nearest_turns(unit_vectors(1)[0], 99, None)))
        return last

    monkeypatch.setattr(column, "_take_slice", with_others)
    assert len(column.search(unit_vectors(1)[0], 99, Asked())) == len(ids) == 64
    assert seen == [64] * 9


def test_adding_turns_while_others_search(store: Store) -> None:
    """Nobody fails, and what was added before a search began is found by it."""
    traced(store, 50)
    added: list[int] = []
    failures: list[BaseException] = []
    ended = threading.Event()
    conversation = store.new_conversation("default", "busy")
    row = unit_vectors(1, seed=77)[0]

    def search() -> None:
        try:
            while not ended.is_set():
                known = list(added)
                assert set(known) <= set(found(store, "zeppelin"))
                assert set(known) <= {i for i, _ in store.nearest_turns(row, 99, "default")}
                store.turns_around(known, 2)
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        turn_id = store.add_turn(conversation, "user", "a zeppelin passes", ())
        store.put_traces([(turn_id, row, b"")])
        added.append(turn_id)
    ended.set()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_closing_ends_the_thread_and_zeroes_the_copy(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db", KEY)
    traced(store, 30)
    store.warm_vectors()
    thread = store._near_turns._thread
    assert thread is not None
    thread.join(5)
    index = store._near_turns._index
    assert index is not None and index.stats().n_rows == 30
    store.close()
    assert index.stats().n_rows == 0 and not thread.is_alive()
    with pytest.raises(StoreError):
        store.nearest_turns(unit_vectors(1)[0], 1, None)
