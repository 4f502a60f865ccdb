"""What the store refuses, and what it finds missing in itself."""

from __future__ import annotations

import ctypes
import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, StoreError, StoreFull
from secondme.memory import bits, oplog, pages, sources, watermark
from secondme.memory.database import connect
from secondme.memory.digests import source_digest
from secondme.memory.failures import os_errors
from secondme.memory.forget import verify_log
from secondme.memory.forgetting import Target
from secondme.memory.oplog import Head
from secondme.memory.rekey import opener, opens_with, rekey
from secondme.memory.store import Store
from secondme.memory.watermark import Watermark
from tests.storing import KEY, chunks_of, citation_of, put, quota, source_of, texts_found, unit_vectors

OTHER = StoreKeys(KEY.store_id, bytes(32), bytes(range(32, 64)), epoch=1)


def test_a_watermark_of_another_store_is_none_of_ours() -> None:
    data = watermark.pack(Watermark(Head(3, bytes(32)), 4096, bytes(32)), KEY.watermark, "another")
    assert watermark.unpack(data, KEY.watermark, "another") is not None
    assert watermark.unpack(data, KEY.watermark, KEY.store_id) is None


def test_the_same_embedding_model_again_changes_nothing(store: Store) -> None:
    put(store, "/a", ["apple"])
    n_steps = len(store.log())
    store.set_embedder("test", 8)
    assert len(store.log()) == n_steps and store.stats().n_vectors == 1


def test_vectors_without_a_model_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no embedding model"):
        store.add_vectors([(1, unit_vectors(1)[0])])
    with pytest.raises(StoreError, match="no embedding model"):
        store.put_source(source_of("/a"), chunks_of(["apple"]), unit_vectors(1))


def test_other_headings_are_found_and_the_title_stays(store: Store) -> None:
    store.set_embedder("test", 8)
    source = source_of("/a", title="pear")
    number = store.put_source(source, chunks_of(["apple", "plum"], headings=("Quince",)), unit_vectors(2))
    first, second = (c.id for c in store.source_chunks(number))
    with store._database.writing() as connection:
        sources.rename_parts(connection, number, None, {first: ["Medlar"]})
        digest = source_digest(connection, number)
        oplog.append(connection, "source-redacted", [f"source:{number}"], digest=digest)
    assert [i for i, _ in store.search_text("medlar", 5, None)] == [first]
    assert [i for i, _ in store.search_text("quince", 5, None)] == [second]
    assert len(store.search_text("title : pear", 5, None)) == 2
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


def test_removing_nothing_is_no_step(store: Store) -> None:
    n_steps = len(store.log())
    store.remove_sources([])
    assert len(store.log()) == n_steps


def test_without_the_key_of_what_was_forgotten_nothing_is_taken_in_again(store: Store) -> None:
    with store._database.writing() as connection:
        connection.execute("delete from setting where name = 'tombstone_salt'")
    with pytest.raises(CorruptRecord, match="forgotten is missing"):
        store.tombstones()


def test_a_log_that_still_holds_something_is_told(store: Store, tmp_path: Path) -> None:
    put(store, "/a", ["apple"])
    with pytest.raises(CorruptRecord, match="still holds"):
        verify_log(tmp_path / "store.db")
    store.compact_wal()
    verify_log(tmp_path / "store.db")


def test_answers_that_are_kept_lose_their_citations_only(store: Store) -> None:
    source = put(store, "/a", ["apple"])
    put(store, "/b", ["plum"])
    talk = store.new_conversation("default", "t")
    of_a = citation_of("/a", chunk_id=store.source_chunks(source)[0].id)
    resting = store.add_turn(talk, "assistant", "an answer", (of_a,))
    other = store.add_turn(talk, "assistant", "another", (citation_of("/b", chunk_id=2),))
    shown = store.forget(Target(sources=(source,), keep_answers=True))
    assert shown.answers == (resting,) and shown.n_citations == 1
    assert {t.id: (t.text, len(t.citations)) for t in store.turns(talk)} == {
        resting: ("an answer", 0),
        other: ("another", 1),
    }


@pytest.mark.parametrize("stored", ["[", "{}", '[{"quote": "a"}]', "[7]", '"x"', "null"])
def test_citations_of_another_shape_are_damage(store: Store, stored: str) -> None:
    talk = store.new_conversation("default", "t")
    store.add_turn(talk, "assistant", "an answer", (citation_of(),))
    with store._database.writing() as connection:
        connection.execute("update turn set citations = ?", (stored,))
    if stored == "{}":
        assert store.turns(talk)[0].citations == ()
        return
    with pytest.raises(CorruptRecord, match="citation cannot be read") as caught:
        store.turns(talk)
    # What the parser quotes may be the owner's.
    assert caught.value.__cause__ is None


def test_passages_are_counted_without_reading_them(store: Store) -> None:
    put(store, "/a", ["apple", "plum"])
    put(store, "/b", ["pear"])
    assert store.n_chunks == 3


def test_holes_among_the_vectors_are_closed(store: Store) -> None:
    """A block of vectors is given back when it is empty; one row left in each would hold them all."""
    kept, gone = [], []
    for i in range(19):
        kept.append(put(store, f"/kept{i}", ["pear"], seed=i))
        gone.append(put(store, f"/gone{i}", [f"apple {j}" for j in range(255)], seed=100 + i))
    with store._database.reading() as connection:
        before = connection.execute("select count(*) from vector_chunks").get
        store.remove_sources(gone)
        store.remove_sources(kept[:1])
        after = connection.execute("select count(*) from vector_chunks").get
    assert before == 19 and after == 1
    for i in range(1, 19):
        ((chunk, score), *_) = store.search_vectors(unit_vectors(1, seed=i)[0], 1, None)
        assert store.chunks([chunk])[0].path == f"/kept{i}" and score > 0.999
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


# Disks and folders that refuse ---------------------------------------------------------------------------------


def test_a_full_disk_is_told_as_such() -> None:
    with pytest.raises(StoreFull), os_errors():
        Path("/dev/full").write_bytes(b"x")


def test_the_page_that_sqlite_locks_by_is_no_page(tmp_path: Path) -> None:
    """It lies at one GiB and holds nothing; the file here is as long, and empty."""
    path = tmp_path / "large.db"
    with path.open("wb") as file:
        file.truncate(pages.LOCK_PAGE * pages.PAGE_BYTES + 2 * pages.PAGE_BYTES)
    numbers = [number for _, number in bits._in_store(path)]
    assert numbers[-3:] == [pages.LOCK_PAGE - 1, pages.LOCK_PAGE + 1, pages.LOCK_PAGE + 2]
    assert pages.digest_without(path, set(numbers)) == hashlib.sha256().digest()


def test_a_file_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        connect(tmp_path / "none", KEY.db)


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Root passes over permissions by its capabilities (capabilities(7)); this thread does without them meanwhile."""
    libc = ctypes.CDLL(None)
    header, held = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    assert libc.capget(header, held) == 0
    (_, *rest) = struct.unpack("=6I", held.raw)
    words = [0, *rest]
    words[3] = 0
    assert libc.capset(header, struct.pack("=6I", *words)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held.raw) == 0


def test_what_may_not_be_written_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    Store.open(folder / "store.db", KEY).close()
    (folder / "store.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        with bound_by_permissions():
            for name in ("store.db", "new.db"):
                with pytest.raises(StoreError, match="cannot be written"):
                    Store.open(folder / name, KEY)
    finally:
        folder.chmod(0o755)
    assert {p.name for p in folder.iterdir()} == {"store.db", "store.db-watermark"}


def test_a_key_is_tried_on_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    opens = opener(path)
    assert not opens(KEY.db)
    Store.open(path, KEY).close()
    assert opens(KEY.db) and not opens(OTHER.db)
    path.write_bytes(b"cut off")
    assert not opens(KEY.db)


def test_new_keys_on_a_full_disk_leave_the_store_under_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "data" / "store.db"
    path.parent.mkdir()
    store = Store.open(path, KEY)
    for i in range(20):
        put(store, f"/{i}", ["apple " * 500])
    store.close()
    size = path.stat().st_size
    with quota(size * 3 // 4), pytest.raises(StoreFull):
        rekey(path, KEY, OTHER)
    assert not path.with_name("store.db.next").exists()
    assert opens_with(path, KEY.db) and not opens_with(path, OTHER.db)
    store = Store.open(path, KEY)
    assert len(texts_found(store, "apple")) == 20
    store.close()
    rekey(path, KEY, OTHER)
    assert opens_with(path, OTHER.db)
