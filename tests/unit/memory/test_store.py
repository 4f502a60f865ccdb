"""Files and their passages: stored, replaced, moved, removed, and read back as they were."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.errors import StoreError
from secondme.memory.store import Store
from secondme.types import Chunk, FileStamp, SourceFile, Trust, WatchedFolder
from tests.storing import N_DIMS, chunks_of, put, source_of, texts_found, unit_vectors

AWKWARD = [
    "/notes/plain.txt",
    "/notes/two\nlines\t.txt",
    "/notes/\x1b[31mred.txt",
    "/notes/caf\u00e9 \U0001f600.txt",
    "/notes/not utf-8 \udcff\udc80.txt",
]


def test_a_source_reads_back_as_it_was_put(store: Store) -> None:
    store.set_embedder("test", N_DIMS)
    stamp = FileStamp(2**40, 1_700_000_000_123_456_789, 2**64 - 1)
    source = SourceFile("/a.pdf", "work", "application/pdf", "A title", b"\0" * 32, stamp, Trust.IMPORTED)
    before = time.time()
    source_id = store.put_source(source, chunks_of(["one", "two"]), unit_vectors(2))
    found = store.source("work", "/a.pdf")
    assert found is not None
    assert (found.id, found.path, found.project, found.media_type) == (source_id, "/a.pdf", "work", "application/pdf")
    assert (found.title, found.content_hash, found.stamp) == ("A title", b"\0" * 32, stamp)
    assert (found.trust, found.n_chunks, found.skip_reason) == (Trust.IMPORTED, 2, None)
    assert before - 1 <= found.ingested_at <= time.time() + 1
    assert store.sources() == store.sources("work") == store.sources_by_hash("work", b"\0" * 32) == [found]
    assert store.source("other", "/a.pdf") is None
    assert store.sources("other") == store.sources_by_hash("other", b"\0" * 32) == []


def test_chunks_read_back_exactly_and_in_the_order_asked(store: Store) -> None:
    store.set_embedder("test", N_DIMS)
    chunks = [
        Chunk(0, "first \0 nul, \u00e9\u0301\n", 0, 20, 1, 1, 7, ("Top", 'a "quoted" part', "\u2028")),
        Chunk(1, "", 20, 20, 2, 2, None, ()),
        Chunk(2, "third\r\n", 20, 27, 2, 3, 8, ()),
    ]
    source_id = store.put_source(source_of("/a.txt", title="T"), chunks, unit_vectors(3))
    stored = store.source_chunks(source_id)
    assert [c.chunk for c in stored] == chunks
    assert {(c.source_id, c.path, c.title, c.project, c.trust) for c in stored} == {
        (source_id, "/a.txt", "T", "default", Trust.DOCUMENT)
    }
    ids = [c.id for c in stored]
    assert [c.id for c in store.chunks([ids[2], 10**9, ids[0], ids[1]])] == [ids[2], ids[0], ids[1]]
    assert store.chunk(ids[1]) == stored[1]
    assert store.chunk(10**9) is None
    assert store.chunks([]) == []


def test_many_ids_at_once(store: Store) -> None:
    put(store, "/a.txt", ["one"])
    known = store.source_chunks(store.sources()[0].id)[0]
    assert store.chunks([*range(10**6, 10**6 + 2000), known.id]) == [known]


@pytest.mark.parametrize("path", AWKWARD)
def test_a_path_is_bytes(store: Store, path: str) -> None:
    source_id = put(store, path, ["text"])
    found = store.source("default", path)
    assert found is not None and found.path == path
    assert store.source_chunks(source_id)[0].path == path
    store.add_folder(WatchedFolder(path, "default", True, 1.5))
    assert store.folders() == [WatchedFolder(path, "default", True, 1.5)]


def test_text_that_is_no_unicode_is_stored_all_the_same(store: Store) -> None:
    """Titles and headings can come from file names, which need not be text."""
    store.set_embedder("test", N_DIMS)
    lone = "half \udcff"
    source_id = store.put_source(source_of("/a.txt", title=lone), chunks_of([lone], headings=(lone,)), unit_vectors(1))
    stored = store.source_chunks(source_id)[0]
    assert (stored.title, stored.chunk.text, stored.chunk.heading_path) == (lone, lone, (lone,))
    store.put_skip(source_of("/b.txt", title=lone), lone)
    conversation = store.new_conversation("default", lone)
    store.rename_conversation(conversation, lone)
    assert store.conversations()[0].title == lone
    assert store.search_text('"half \udcff"', 5, None)
    assert store.term_df([lone])[lone] == 1


def test_putting_a_file_again_replaces_it(store: Store) -> None:
    first = put(store, "/a.txt", ["old apple", "old pear"], seed=1)
    old_ids = [c.id for c in store.source_chunks(first)]
    second = put(store, "/a.txt", ["new quince"], seed=2)
    assert second == first
    assert len(store.sources()) == 1
    assert texts_found(store, "apple OR pear") == []
    assert texts_found(store, "quince") == ["new quince"]
    assert store.chunks(old_ids) == []
    # Ids are never given again: a citation of an old passage must not point at a new one.
    assert min(c.id for c in store.source_chunks(second)) > max(old_ids)
    assert store.stats().n_chunks == store.stats().n_vectors == 1


def test_the_same_path_in_two_projects_is_two_sources(store: Store) -> None:
    put(store, "/a.txt", ["apple here"], project="one")
    put(store, "/a.txt", ["apple there"], project="two")
    assert texts_found(store, "apple", "one") == ["apple here"]
    assert sorted(texts_found(store, "apple")) == ["apple here", "apple there"]
    store.remove_source(store.sources("one")[0].id)
    assert texts_found(store, "apple") == ["apple there"]


def test_a_skip_takes_the_place_of_the_earlier_version(store: Store) -> None:
    put(store, "/a.txt", ["apple"])
    store.put_skip(source_of("/a.txt"), "not text")
    found = store.source("default", "/a.txt")
    assert found is not None
    assert (found.skip_reason, found.n_chunks) == ("not text", 0)
    assert texts_found(store, "apple") == []
    assert (store.stats().n_sources, store.stats().n_skipped, store.stats().n_vectors) == (0, 1, 0)
    put(store, "/a.txt", ["apple again"])
    assert store.sources()[0].skip_reason is None


def test_touching_changes_the_stamp_alone(store: Store) -> None:
    source_id = put(store, "/a.txt", ["apple"])
    store.touch_source(source_id, FileStamp(1, 2, 3))
    found = store.source("default", "/a.txt")
    assert found is not None and found.stamp == FileStamp(1, 2, 3)
    assert found.content_hash == source_of("/a.txt").content_hash
    assert texts_found(store, "apple") == ["apple"]


def test_moving_keeps_passages_and_takes_the_place_of_what_was_there(store: Store) -> None:
    moved = put(store, "/a.txt", ["apple"])
    put(store, "/b.txt", ["pear"])
    put(store, "/b.txt", ["plum"], project="other")
    ids = [c.id for c in store.source_chunks(moved)]
    store.move_source(moved, "/b.txt", FileStamp(4, 5, 6))
    assert [(s.id, s.path, s.stamp) for s in store.sources("default")] == [(moved, "/b.txt", FileStamp(4, 5, 6))]
    assert [c.id for c in store.source_chunks(moved)] == ids
    assert store.chunks(ids)[0].path == "/b.txt"
    assert texts_found(store, "pear") == [] and texts_found(store, "plum") == ["plum"]
    store.move_source(moved, "/b.txt", FileStamp(7, 8, 9))
    assert texts_found(store, "apple") == ["apple"]


def test_moving_with_a_title_finds_the_new_one_alone(store: Store) -> None:
    store.set_embedder("test", N_DIMS)
    moved = store.put_source(source_of("/a.txt", title="apple"), chunks_of(["one", "two"]), unit_vectors(2))
    store.move_source(moved, "/b.txt", FileStamp(4, 5, 6), title="quince")
    assert texts_found(store, "apple") == [] and sorted(texts_found(store, "quince")) == ["one", "two"]
    assert [(s.path, s.title) for s in store.sources()] == [("/b.txt", "quince")]
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


def test_a_source_that_is_gone_cannot_be_touched_or_moved(store: Store) -> None:
    with pytest.raises(StoreError):
        store.touch_source(7, FileStamp(1, 2, 3))
    with pytest.raises(StoreError):
        store.move_source(7, "/b.txt", FileStamp(1, 2, 3), title="quince")


def test_removing_takes_everything_and_again_does_nothing(store: Store) -> None:
    source_id = put(store, "/a.txt", ["apple", "pear"])
    put(store, "/b.txt", ["apple too"])
    store.remove_source(source_id)
    store.remove_source(source_id)
    assert [s.path for s in store.sources()] == ["/b.txt"]
    assert texts_found(store, "apple") == ["apple too"]
    assert store.source_chunks(source_id) == []
    assert len(store.search_vectors(unit_vectors(1)[0], 10, None)) == 1


BIG = 70
"""So many passages at once that the word index is built anew."""


def big_texts(word: str) -> list[str]:
    return [f"{word} number {i}" for i in range(BIG)]


def test_a_big_file_is_replaced_renamed_and_removed_like_a_small_one(store: Store) -> None:
    put(store, "/small.txt", ["pear and quince"])
    store.put_source(source_of("/big.txt", title="plum"), chunks_of(big_texts("apple")), unit_vectors(BIG))
    big = store.put_source(source_of("/big.txt", title="plum"), chunks_of(big_texts("pear")), unit_vectors(BIG, seed=2))
    assert texts_found(store, "apple") == [] and len(texts_found(store, "pear")) == BIG + 1
    vectors = unit_vectors(BIG, seed=2)
    for n in (0, 33, BIG - 1):
        (found,) = store.chunks([store.search_vectors(vectors[n], 1, None)[0][0]])
        assert found.chunk.text == f"pear number {n}"
    store.move_source(big, "/moved.txt", FileStamp(1, 2, 3), title="medlar")
    assert texts_found(store, "plum") == [] and len(texts_found(store, "title : medlar")) == BIG
    assert {c.status for c in store.check(read_data=True)} == {"ok"}
    store.remove_source(big)
    assert texts_found(store, "pear OR medlar") == ["pear and quince"]
    assert store.stats().n_chunks == store.stats().n_vectors == 1
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


def test_a_prefix_keeps_what_is_at_or_below_a_folder(store: Store) -> None:
    for path in ("/d/a", "/d/sub/b", "/d2/c", "/d", "/dd"):
        put(store, path, ["x"])
    assert [s.path for s in store.sources(prefix="/d")] == ["/d", "/d/a", "/d/sub/b"]
    assert store.sources(prefix="/d/") == store.sources(prefix="/d")
    assert len(store.sources(prefix="/")) == 5
    assert store.sources("none", prefix="/d") == []


def test_a_file_without_text_is_a_source(store: Store) -> None:
    source_id = put(store, "/empty.txt", [])
    assert store.source_chunks(source_id) == []
    assert store.stats().n_sources == 1


@pytest.mark.parametrize(
    "matrix",
    [
        unit_vectors(1),
        unit_vectors(2, N_DIMS + 1),
        np.full((2, N_DIMS), np.nan, np.float32),
        np.full((2, N_DIMS), np.inf, np.float32),
    ],
)
def test_vectors_that_do_not_fit_store_nothing(store: Store, matrix: NDArray[np.float32]) -> None:
    put(store, "/a.txt", ["apple"])
    with pytest.raises(StoreError):
        store.put_source(source_of("/a.txt"), chunks_of(["pear", "plum"]), matrix)
    assert texts_found(store, "apple OR pear OR plum") == ["apple"]


def test_without_an_embedder_nothing_is_stored(store: Store) -> None:
    with pytest.raises(StoreError, match="embedding model"):
        store.put_source(source_of("/a.txt"), chunks_of(["apple"]), unit_vectors(1))
    assert store.sources() == []


def test_two_passages_of_one_number_are_refused_whole(store: Store) -> None:
    put(store, "/a.txt", ["apple"])
    twice = [*chunks_of(["pear"]), *chunks_of(["plum"])]
    with pytest.raises(StoreError):
        store.put_source(source_of("/a.txt"), twice, unit_vectors(2))
    assert texts_found(store, "apple OR pear OR plum") == ["apple"]


def test_folders_are_remembered_by_project(store: Store) -> None:
    store.add_folder(WatchedFolder("/b", "one", False, 1.0))
    store.add_folder(WatchedFolder("/a", "two", True, 2.0))
    store.add_folder(WatchedFolder("/b", "one", True, 3.0))
    assert store.folders() == [WatchedFolder("/b", "one", True, 1.0), WatchedFolder("/a", "two", True, 2.0)]
    assert store.folders("one") == [WatchedFolder("/b", "one", True, 1.0)]
    store.remove_folder("/b", "two")
    store.remove_folder("/b", "one")
    assert store.folders() == [WatchedFolder("/a", "two", True, 2.0)]


def test_stats_count_what_is_there(store: Store) -> None:
    put(store, "/a.txt", ["one", "two"])
    store.put_skip(source_of("/b.bin"), "binary")
    conversation = store.new_conversation("default", "t")
    store.add_turn(conversation, "user", "hello", ())
    found = store.stats()
    assert (found.n_sources, found.n_skipped, found.n_chunks, found.n_vectors) == (1, 1, 2, 2)
    assert (found.n_conversations, found.n_turns) == (1, 1)
    assert found.size_bytes > 4096
