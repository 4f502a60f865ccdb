"""Opened keys: those of the projects, and that nothing of them is left after erasing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from secondme.crypto import keyslots, slots
from secondme.crypto.keys import Keys, StoreKeys
from secondme.errors import CorruptRecord, StoreError
from tests.keyfiles import with_passphrase

ONE, TWO = bytes(16), bytes(range(16))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    file, master = with_passphrase()
    keyslots.save(tmp_path, file)
    return Keys(tmp_path, file, master)


def loaded(folder: Path) -> keyslots.KeySlots:
    file = keyslots.load(folder)
    assert file is not None
    return file


def test_a_projects_key_is_made_once_and_kept(keys: Keys, tmp_path: Path) -> None:
    first = bytes(keys.project(ONE))
    assert keys.project(ONE) == first != keys.project(TWO) and len(first) == 32
    assert loaded(tmp_path).sequence == 3 == keys.store.epoch
    again = Keys(tmp_path, loaded(tmp_path), bytearray(keys.master))
    assert again.project(ONE) == first
    assert loaded(tmp_path).sequence == 3


def test_a_destroyed_projects_key_is_gone_and_the_next_is_another(keys: Keys, tmp_path: Path) -> None:
    held = keys.project(ONE)
    first, other = bytes(held), bytes(keys.project(TWO))
    wrapped = loaded(tmp_path).keys[f"project:{ONE.hex()}"]
    with (tmp_path / keyslots.FILE).open("rb") as earlier:
        assert keys.destroy_project(ONE)
        assert not earlier.read().strip(b"\0")
    assert wrapped not in loaded(tmp_path).keys.values()
    assert not any(held)
    assert keys.project(ONE) != first and keys.project(TWO) == other
    assert keys.destroy_project(ONE) and not keys.destroy_project(ONE)


def test_a_projects_key_that_was_never_opened_is_destroyed_as_well(keys: Keys, tmp_path: Path) -> None:
    keys.project(ONE)
    again = Keys(tmp_path, loaded(tmp_path), bytearray(keys.master))
    assert again.destroy_project(ONE)
    assert f"project:{ONE.hex()}" not in loaded(tmp_path).keys


def test_a_rotation_under_way_does_not_bring_a_destroyed_key_back(keys: Keys, tmp_path: Path) -> None:
    keys.project(ONE)
    keys.save(slots.with_next(keys.file, keys.master))
    assert keys.destroy_project(ONE)
    file = loaded(tmp_path)
    assert file.next is not None and f"project:{ONE.hex()}" not in file.keys | file.next


def test_a_key_that_cannot_be_saved_is_not_given_out(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / (keyslots.FILE + ".new")).mkdir()
    with pytest.raises(StoreError):
        keys.project(ONE)
    assert loaded(tmp_path).sequence == 1 == keys.store.epoch
    (tmp_path / (keyslots.FILE + ".new")).rmdir()
    assert len(keys.project(ONE)) == 32


def test_there_is_an_end_to_projects(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyslots, "MAX_KEYS", 4)
    keys.project(ONE)
    with pytest.raises(StoreError, match="too many"):
        keys.project(TWO)
    assert keys.project(ONE)


def test_the_most_keys_there_may_be_fit_into_the_file() -> None:
    file, _ = with_passphrase()
    names = [f"project:{i:032x}" for i in range(keyslots.MAX_KEYS - len(keyslots.USES))]
    wrapped = file.keys["db"]
    many = dict.fromkeys(names, wrapped) | file.keys
    full = keyslots.KeySlots(file.store_id, file.slots, many, file.mac, 1, many)
    assert keyslots.parse(keyslots.serialize(full)) == full
    assert len(keyslots.serialize(full)) < keyslots.MAX_FILE_BYTES


def test_a_project_has_a_uid_of_16_bytes(keys: Keys) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        keys.project(b"short")


def test_many_threads_get_one_key(keys: Keys) -> None:
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(bytes(keys.project(ONE)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len(set(got)) == 1


def test_nothing_is_left_after_erasing(keys: Keys) -> None:
    store, project, master, export = keys.store, keys.project(ONE), keys.master, keys.export
    views = [store.db, store.watermark, project, master, export]
    with keys:
        assert all(len(v) == 32 and any(v) for v in views)
    assert all(len(v) == 0 for v in views)
    with pytest.raises(CorruptRecord):
        Keys(Path("nowhere"), keys.file, bytearray(32))


def test_erased_bytes_are_overwritten_before_they_are_let_go(keys: Keys) -> None:
    import ctypes

    db = keys.store.db
    assert isinstance(db, bytearray)
    address = ctypes.addressof((ctypes.c_char * len(db)).from_buffer(db))
    secret = bytes(db)
    keys.erase()
    assert ctypes.string_at(address, 32) != secret


def test_keys_of_a_temporary_store_are_made_from_one() -> None:
    made = StoreKeys.derived(bytes(32))
    assert made == StoreKeys.derived(bytes(32)) != StoreKeys.derived(b"\1" * 32)
    assert made.db != made.watermark and made.epoch == 0
