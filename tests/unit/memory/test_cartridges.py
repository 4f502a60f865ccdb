"""Rows of cartridges and their files: they come with a text and go with it, whatever becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondme.errors import CorruptRecord
from secondme.memory import cartridge_files
from secondme.memory.cartridges import NewCartridge, StoredCartridge
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.types import FileStamp
from tests.storing import KEY, chunks_of, put, source_of

STAMP = FileStamp(1, 2, 3)
SECRET = bytes(range(32))
SAID = "The pears by the third weir are ripe in the last week of September.\n"


def add(store: Store, source_id: int, *, secret: bytes = SECRET) -> StoredCartridge:
    """A row with a file of any content; nothing here looks into it."""
    row = store.put_cartridge(new(store, source_id, secret=secret))
    assert row is not None
    return row


def new(store: Store, source_id: int, *, secret: bytes = SECRET) -> NewCartridge:
    name, text_hash = cartridge_files.new_name(), store.document_hash(source_id)
    assert text_hash is not None
    source = next(s for s in store.sources() if s.id == source_id)
    uid = store.project_uid(source.project)
    assert uid is not None
    path = store.cartridge_path((uid, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 5000)
    return NewCartridge(source_id, name, secret, text_hash, b"m" * 32, "T1", True, 9, 5000, 90_000, 1.5, 4.25)


def path_of(store: Store, row: StoredCartridge) -> Path:
    return store.cartridge_path((row.project_uid, row.file))


def files(store: Store) -> list[Path]:
    return sorted(p for p in path_of_folder(store).rglob("*") if p.is_file())


def path_of_folder(store: Store) -> Path:
    return store._data / cartridge_files.FOLDER


def test_a_row_comes_back_as_it_was_stored(store: Store) -> None:
    a, b = put(store, "/b", ["pears"], project="two"), put(store, "/a", ["plums"])
    assert store.cartridges() == [] and store.cartridge(a) is None
    first, second = add(store, a), add(store, b)
    assert (first.project, first.path, second.project, second.path) == ("two", "/b", "default", "/a")
    assert (first.tier, first.complete, first.n_tokens, first.size_bytes) == ("T1", True, 9, 5000)
    assert (first.f16_bytes, first.prefill_s, first.build_s, first.secret) == (90_000, 1.5, 4.25, SECRET)
    assert store.cartridges() == [first, second] and store.cartridges("two") == [first]
    assert store.cartridge(a) == first and store.cartridges("three") == []
    assert (store.stats().n_cartridges, store.stats().cartridge_bytes) == (2, 10_000)
    assert repr(SECRET) not in repr(first)
    (built, _) = [op for op in store.log() if op.kind == "cartridge-built"]
    assert built.subjects == (f"source:{a}",) and built.detail == {"tier": "T1", "tokens": 9, "bytes": 5000}
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


def test_a_new_one_takes_the_place_of_the_earlier_one(store: Store) -> None:
    a, b = put(store, "/a", ["pears"]), put(store, "/b", ["plums"])
    first, other = add(store, a), add(store, b)
    second = add(store, a, secret=bytes(32))
    assert store.cartridges() == [second, other]
    assert files(store) == sorted([path_of(store, second), path_of(store, other)])
    assert not path_of(store, first).exists()


def test_names_and_secrets_are_checked(store: Store) -> None:
    good = new(store, put(store, "/a", ["pears"]))
    for change in ({"file": "../" + "0" * 29}, {"file": "0" * 31}, {"file": "G" * 32}, {"secret": bytes(31)}):
        with pytest.raises(ValueError, match="cartridge"):
            replace(good, **change)


CHANGES: dict[str, Callable[[Store, int], object]] = {
    "another text": lambda store, i: put(store, "/a", ["another text"]),
    "another title": lambda store, i: store.put_source(
        source_of("/a", title="T"), chunks_of(["pears", "plums"]), np.eye(2, 8, dtype=np.float32)
    ),
    "left out": lambda store, i: store.put_skip(source_of("/a"), "too large"),
    "renamed with its title": lambda store, i: store.move_source(i, "/z", STAMP, title="z"),
    "removed": lambda store, i: store.remove_source(i),
    "forgotten": lambda store, i: store.forget(Target(sources=(i,))),
    "a passage forgotten": lambda store, i: store.forget(Target(passages=(store.source_chunks(i)[0].id,))),
    "its project forgotten": lambda store, i: store.forget_project("default"),
    "dropped": lambda store, i: store.drop_cartridges([i]),
    "written over by another file": lambda store, i: store.move_source(put(store, "/c", ["figs"]), "/a", STAMP),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_goes_with_its_text_and_no_other_does(store: Store, name: str) -> None:
    a, b = put(store, "/a", ["pears", "plums"]), put(store, "/b", ["quinces"], project="two")
    gone, kept = add(store, a), add(store, b)
    CHANGES[name](store, a)
    assert store.cartridges() == [kept] and files(store) == [path_of(store, kept)]
    assert not path_of(store, gone).exists()
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


def test_it_stays_where_the_text_does(store: Store) -> None:
    a, b = put(store, "/a", ["pears"]), put(store, "/b", ["plums"])
    row = add(store, a)
    before = store.document_hash(a)
    store.touch_source(a, STAMP)
    store.move_source(a, "/z", STAMP)
    store.forget(Target(sources=(b,)))
    assert store.document_hash(a) == before
    assert [r.id for r in store.cartridges()] == [row.id] and path_of(store, row).exists()


def test_what_was_made_of_an_earlier_text_is_not_taken(store: Store) -> None:
    a = put(store, "/a", ["pears", "plums"])
    made = new(store, a)
    store.forget(Target(passages=(store.source_chunks(a)[0].id,)))
    assert store.put_cartridge(made) is None and store.cartridges() == []
    store.remove_source(a)
    assert store.put_cartridge(made) is None and store.document_hash(a) is None
    skipped = source_of("/s")
    store.put_skip(skipped, "too large")
    assert store.document_hash(store.sources()[0].id) is None


def test_the_hash_of_a_text_tells_where_it_was_divided(store: Store) -> None:
    a, b = put(store, "/a", ["ab", "c"]), put(store, "/b", ["a", "bc"])
    assert store.document_hash(a) != store.document_hash(b)
    strange = put(store, "/c", ["\ud83d half"])
    assert store.document_hash(strange) not in (None, store.document_hash(a))


def test_forgetting_shows_and_logs_how_many_go(store: Store) -> None:
    a, b = put(store, "/a", [SAID]), put(store, "/b", [SAID, "quinces"])
    add(store, a), add(store, b)
    target = Target(passages=(store.source_chunks(a)[0].id,))
    # The copy in the other file goes as well, and so the other cartridge.
    assert store.forgetting(target).n_cartridges == 2
    assert store.forget(target).n_cartridges == 2
    (op,) = (op for op in store.log() if op.kind == "forgotten")
    assert op.detail["cartridges"] == 2 and store.cartridges() == []


def test_a_file_that_cannot_be_deleted_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a = put(store, "/a", ["pears"])
    row = add(store, a)

    def refusing(path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(cartridge_files, "remove_file", refusing)
    with pytest.raises(CorruptRecord, match="cannot be deleted"):
        store.forget(Target(sources=(a,)))
    # Its beginning, where the salt of its keys is, was overwritten all the same, and its row is gone.
    assert path_of(store, row).read_bytes() == bytes(4096) + b"x" * 904
    assert store.cartridges() == []


def test_dropping_logs_what_there_was(store: Store) -> None:
    a, b = put(store, "/a", ["pears"]), put(store, "/b", ["plums"])
    add(store, a)
    assert store.drop_cartridges([a, b, 999]) == 1
    assert store.drop_cartridges([a, b, 999]) == 0
    (op,) = (op for op in store.log() if op.kind == "cartridge-dropped")
    assert op.subjects == (f"source:{a}",)


# Files without a row -------------------------------------------------------------------------------------------


def test_opening_clears_away_what_belongs_to_no_row(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(path, KEY)
    row = add(store, put(store, "/a", ["pears"]))
    empty, other = path_of_folder(store) / os.urandom(16).hex(), path_of_folder(store) / "notes"
    orphan = path_of(store, row).with_name("0" * 32 + ".smkv")
    unfinished = path_of(store, row).with_name("1" * 32 + ".smkv.new")
    foreign = path_of(store, row).with_name("mine.txt")
    for folder in (empty, other):
        folder.mkdir()
    for file in (orphan, unfinished, foreign, other / orphan.name):
        file.write_bytes(b"y")
    store.close()
    store = Store.open(path, KEY)
    assert files(store) == sorted([path_of(store, row), foreign, other / orphan.name])
    assert not empty.exists()
    store.close()


def test_collecting_spares_what_is_being_written(store: Store) -> None:
    row = add(store, put(store, "/a", ["pears"]))
    unfinished = path_of(store, row).with_name("1" * 32 + ".smkv.new")
    unfinished.write_bytes(b"y")
    assert store.collect_cartridges(keep={"1" * 32}) == 0 and unfinished.exists()
    assert store.collect_cartridges() == 1 and not unfinished.exists()
    assert store.collect_cartridges() == 0 and path_of(store, row).exists()


def test_the_whole_folder_goes_with_the_last_project(store: Store) -> None:
    add(store, put(store, "/a", ["pears"], project="one"))
    folder = path_of_folder(store)
    assert len(list(folder.iterdir())) == 1
    store.forget_project("one")
    assert not folder.exists()


def test_links_in_their_place_are_not_followed(store: Store, tmp_path: Path) -> None:
    row = add(store, put(store, "/a", ["pears"]))
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    path_of(store, row).unlink()
    path_of(store, row).symlink_to(mine)
    store.drop_cartridges([row.source_id])
    assert mine.read_bytes() == b"mine" and not os.path.lexists(path_of(store, row))
