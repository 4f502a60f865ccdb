"""A store written anew under other keys: all is there, the old keys open nothing, a crash leaves one of the two."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme import durable
from secondme.crypto.keys import StoreKeys
from secondme.errors import StoreError, WrongPassphrase
from secondme.memory import install, oplog, watermark
from secondme.memory import rekey as rekeying
from secondme.memory.store import Store
from tests.storing import KEY, holding, put, texts_found

NEW = StoreKeys(KEY.store_id, b"n" * 32, b"w" * 32, epoch=1)


def filled(folder: Path) -> Path:
    path = folder / "data" / "store.db"
    path.parent.mkdir()
    store = Store.open(path, KEY, folder / "witness")
    put(store, "/a", ["apple", "pear"])
    conversation = store.new_conversation("default", "A title")
    store.add_turn(conversation, "user", "a question", ())
    put(store, "/gone", ["a forgotten plum"])
    source = store.source("default", "/gone")
    assert source is not None
    store.remove_source(source.id)
    store.close()
    return path


def rekey(path: Path) -> None:
    rekeying.rekey(path, KEY, NEW, path.parent.parent / "witness")


def reopened(path: Path, keys: StoreKeys = NEW) -> Store:
    store = Store.open(path, keys, path.parent.parent / "witness")
    assert texts_found(store, "apple") == ["apple"]
    assert [t.text for t in store.turns(1)] == ["a question"]
    assert {c.status for c in store.check(read_data=True)} == {"ok"}
    return store


def test_everything_is_there_under_the_new_keys_and_nothing_opens_with_the_old(tmp_path: Path) -> None:
    path = filled(tmp_path)
    rekey(path)
    assert not rekeying.opens_with(path, KEY.db) and rekeying.opens_with(path, NEW.db)
    with pytest.raises(WrongPassphrase):
        Store.open(path, KEY)
    store = reopened(path)
    with store._database.reading() as connection:
        assert oplog.verify(connection, NEW.store_id) == oplog.head(connection)
        assert holding(connection, b"plum") == []
    assert store.log()[-1].kind == "rekeyed"
    store.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["store.db", "store.db-watermark"]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("n_moves", range(4))
def test_stopped_between_two_steps_the_store_opens_with_one_of_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_moves: int
) -> None:
    path = filled(tmp_path)
    done: list[Path] = []

    def failing(old: Path, new: Path) -> None:
        if len(done) == n_moves:
            raise OSError(5, "Input/output error")
        done.append(new)
        durable.sync_folder(old.replace(new).parent)

    monkeypatch.setattr(install, "move_file", failing)
    if n_moves < 2:
        with pytest.raises(StoreError):
            rekey(path)
    else:
        rekey(path)
    monkeypatch.undo()
    moved = path in done
    assert rekeying.opens_with(path, NEW.db) == moved
    store = reopened(path, NEW if moved else KEY)
    put(store, "/b", ["cherry"])
    store.close()
    assert not watermark.next_path_for(path).exists()
    reopened(path, NEW if moved else KEY).close()


def test_leftovers_of_an_interrupted_try_are_replaced(tmp_path: Path) -> None:
    path = filled(tmp_path)
    for name in ("store.db.next", "store.db.next-journal", "store.db-watermark.next"):
        (path.parent / name).write_bytes(b"half")
    reopened(path, KEY).close()
    rekey(path)
    reopened(path).close()


def test_an_empty_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        rekeying.opens_with(tmp_path / "store.db", KEY.db)
