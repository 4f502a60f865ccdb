"""Search by words and by vectors, and the change of the embedding model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.errors import StoreError, UsageError
from secondme.memory import search
from secondme.memory.store import Store
from tests.storing import N_DIMS, chunks_of, put, source_of, texts_found, unit_vectors


def test_words_are_found_in_any_inflection_and_accent(store: Store) -> None:
    put(store, "/a.txt", ["the caf\u00e9 was painting walls", "nothing of it"])
    for word in ("cafe", "CAF\u00c9", "painted", "wall"):
        assert texts_found(store, word) == ["the caf\u00e9 was painting walls"], word


def test_text_outweighs_headings_and_headings_outweigh_titles(store: Store) -> None:
    store.set_embedder("test", N_DIMS)
    other = ["filler words of no interest"]
    store.put_source(source_of("/title", title="quince"), chunks_of(other), unit_vectors(1))
    store.put_source(source_of("/heading"), chunks_of(other, headings=("quince",)), unit_vectors(1))
    store.put_source(source_of("/text"), chunks_of(["filler quince of no interest"]), unit_vectors(1))
    found = store.search_text("quince", 10, None)
    assert [store.chunks([i])[0].path for i, _ in found] == ["/text", "/heading", "/title"]
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0


def test_text_search_keeps_to_k_and_project(store: Store) -> None:
    for i in range(6):
        put(store, f"/{i}", [f"apple {i}"], project="even" if i % 2 == 0 else "odd")
    assert len(store.search_text("apple", 4, None)) == 4
    assert sorted(texts_found(store, "apple", "odd")) == ["apple 1", "apple 3", "apple 5"]
    assert store.search_text("apple", 10, "unknown") == []
    assert store.search_text("absent", 10, None) == []


@pytest.mark.parametrize("match", ['"', "AND", "a NEAR", "title:", "^", "", "nosuchcolumn: x", 'x\0y"'])
def test_a_malformed_expression_is_a_clear_error_or_finds_nothing(store: Store, match: str) -> None:
    put(store, "/a.txt", ["apple"])
    try:
        assert store.search_text(match, 5, None) == []
    except UsageError as error:
        assert error.message == "the search cannot be understood"


def test_document_frequencies_follow_the_stems(store: Store) -> None:
    put(store, "/a.txt", ["he paints", "she painted twice, painting", "a wall", "don't"])
    found = store.term_df(["paint", "painting", "wall", "absent", "don't", '"', "", "a\0b"])
    assert found == {"paint": 2, "painting": 2, "wall": 1, "absent": 0, "don't": 1, '"': 0, "": 0, "a\0b": 0}


def test_chunks_are_counted_anew_after_each_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are kept between questions; what a transaction wrote counts inside it, and not once it was taken back."""
    put(store, "/a.txt", ["a zeppelin"])
    assert store.term_df(["zeppelin", "balloon"]) == {"zeppelin": 1, "balloon": 0}
    second = put(store, "/b.txt", ["a zeppelin and a balloon"])
    assert store.term_df(["zeppelin", "balloon"]) == {"zeppelin": 2, "balloon": 1}
    with pytest.raises(ZeroDivisionError), store._database.writing() as connection:
        connection.execute("insert into word(rowid, text, title, headings) values(99, 'zeppelin', '', '')")
        assert store.term_df(["zeppelin"]) == {"zeppelin": 3}
        raise ZeroDivisionError
    assert store.term_df(["zeppelin"]) == {"zeppelin": 2}
    store.remove_source(second)
    assert store.term_df(["balloon", "zeppelin"]) == {"balloon": 0, "zeppelin": 1}
    monkeypatch.setattr(search, "_MOST_KNOWN", 2)
    for _ in range(2):
        assert store.term_df(["a", "b", "c", "zeppelin"]) == {"a": 1, "b": 0, "c": 0, "zeppelin": 1}


def test_vector_search_agrees_with_a_scan_of_all_float32(store: Store) -> None:
    n, n_dims, k = 3000, 64, 10
    rng = np.random.default_rng(7)
    # Clustered, as embeddings are, so that neighbours are close to one another.
    rows = rng.standard_normal((n, n_dims)) * 0.35 + rng.standard_normal((30, n_dims))[rng.integers(0, 30, n)]
    matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    store.set_embedder("test", n_dims)
    source_id = store.put_source(source_of("/a"), chunks_of([f"t{i}" for i in range(n)]), matrix)
    row_of = {c.id: c.chunk.ordinal for c in store.source_chunks(source_id)}
    hits = 0
    for query in unit_vectors(20, n_dims, seed=3) + matrix[:20]:
        query = query / np.linalg.norm(query)
        exact = matrix @ query
        found = store.search_vectors(query, k, None)
        assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
        np.testing.assert_allclose([s for _, s in found], [exact[row_of[i]] for i, _ in found], atol=1e-5)
        hits += len({row_of[i] for i, _ in found} & set(np.argsort(-exact)[:k].tolist()))
    assert hits / (20 * k) >= 0.99


def test_vector_search_keeps_to_the_project(store: Store) -> None:
    put(store, "/a", [f"a{i}" for i in range(50)], project="one", seed=1)
    put(store, "/b", [f"b{i}" for i in range(50)], project="two", seed=2)
    query = unit_vectors(50, seed=2)[7]
    assert store.chunks([store.search_vectors(query, 1, None)[0][0]])[0].chunk.text == "b7"
    mine = store.chunks([i for i, _ in store.search_vectors(query, 100, "one")])
    assert len(mine) == 50 and {c.project for c in mine} == {"one"}
    assert store.search_vectors(query, 10, "unknown") == []
    assert len(store.search_vectors(query, 5000, None)) == 100


def test_vector_search_of_an_empty_store_finds_nothing(store: Store) -> None:
    assert store.search_vectors(unit_vectors(1)[0], 5, None) == []
    store.set_embedder("test", N_DIMS)
    assert store.search_vectors(unit_vectors(1)[0], 5, None) == []


def test_a_query_of_another_shape_is_refused(store: Store) -> None:
    put(store, "/a", ["x"])
    with pytest.raises(StoreError):
        store.search_vectors(unit_vectors(1, N_DIMS + 1)[0], 5, None)
    with pytest.raises(StoreError):
        store.search_vectors(np.full(N_DIMS, np.nan, np.float32), 5, None)


def test_the_embedder_is_remembered(store: Store) -> None:
    assert store.embedder() is None
    store.set_embedder("first", 4)
    assert store.embedder() == ("first", 4)
    store.set_embedder("second", N_DIMS)
    assert store.embedder() == ("second", N_DIMS)


def test_vectors_are_replaced_for_all_passages(store: Store) -> None:
    source_id = put(store, "/a", ["one", "two"], project="p")
    ids = [c.id for c in store.source_chunks(source_id)]
    fresh = unit_vectors(2, 16, seed=9)
    # A passage that was forgotten while the others were embedded is passed over.
    store.replace_vectors([*zip(ids, fresh, strict=True), (10**6, fresh[0])], "other", 16)
    assert store.embedder() == ("other", 16)
    assert texts_found(store, "two") == ["two"]
    assert [i for i, _ in store.search_vectors(fresh[1], 1, "p")] == [ids[1]]
    assert store.stats().n_vectors == 2


@pytest.mark.parametrize("fault", ["one missing", "wrong shape", "stopped"])
def test_replacing_vectors_is_all_or_nothing(store: Store, fault: str) -> None:
    source_id = put(store, "/a", ["one", "two"])
    ids = [c.id for c in store.source_chunks(source_id)]
    old = unit_vectors(2)
    fresh = list(zip(ids, unit_vectors(2, 16), strict=True))

    def stopping() -> Iterator[tuple[int, NDArray[np.float32]]]:
        yield fresh[0]
        raise KeyboardInterrupt

    batches: dict[str, Iterable[tuple[int, NDArray[np.float32]]]] = {
        "one missing": fresh[:1],
        "wrong shape": [fresh[0], (ids[1], unit_vectors(1)[0])],
        "stopped": stopping(),
    }
    with pytest.raises(KeyboardInterrupt if fault == "stopped" else StoreError):
        store.replace_vectors(batches[fault], "other", 16)
    assert store.embedder() == ("test", N_DIMS)
    assert [i for i, _ in store.search_vectors(old[1], 1, None)] == [ids[1]]
    with pytest.raises(StoreError):
        store.set_embedder("other", 16)
    assert store.stats().n_vectors == 2


def test_many_replacements_do_not_let_the_store_grow(store: Store) -> None:
    texts = [f"text {i}" for i in range(40)]
    for i in range(30):
        put(store, f"/{i}", texts)
    store.compact_wal()
    before = store.stats().size_bytes
    for i in [*range(30)] * 4:
        put(store, f"/{i}", texts)
    store.compact_wal()
    assert store.stats().size_bytes <= 2 * before
