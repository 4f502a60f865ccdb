"""The ways to a memory's keys: added, changed, told of, and all of them made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.crypto import device, keychain, keyslots, manage, recovery
from secondme.crypto.keys import Keys
from secondme.crypto.unlock import unlock
from secondme.errors import NoKey, StoreError, UsageError, WrongPassphrase
from tests.keyfiles import CHEAP

CODE, OTHER = bytes(range(32)), bytes(range(1, 33))


def by(folder: Path, passphrase: str) -> Keys:
    return unlock(folder, passphrase=passphrase, work=CHEAP)


def opens(folder: Path, passphrase: str | None) -> bool:
    try:
        unlock(folder, passphrase=passphrase).erase()
    except (WrongPassphrase, NoKey):
        return False
    return True


def kinds(folder: Path) -> list[str]:
    status = manage.status(folder)
    assert status is not None
    return [way.kind for way in status.ways]


def test_a_passphrase_is_added_to_a_keyring_and_opens_the_same(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = unlock(tmp_path)
    manage.add_passphrase(keys, "one", work=CHEAP)
    assert by(tmp_path, "one").store == unlock(tmp_path).store == keys.store
    assert kinds(tmp_path) == ["keyring", "passphrase"]
    with pytest.raises(UsageError, match="already"):
        manage.add_passphrase(keys, "two", work=CHEAP)
    assert opens(tmp_path, "one") and not opens(tmp_path, "two")


def test_a_changed_passphrase_is_the_only_one(tmp_path: Path) -> None:
    keys = by(tmp_path, "one")
    wrapped = keys.file.slots[0].wrapped
    with (tmp_path / keyslots.FILE).open("rb") as earlier:
        manage.change_passphrase(keys, "two", work=CHEAP)
        assert not earlier.read().strip(b"\0")
    assert opens(tmp_path, "two") and not opens(tmp_path, "one")
    assert wrapped not in [s.wrapped for s in keys.file.slots] and kinds(tmp_path) == ["passphrase"]
    with pytest.raises(NoKey, match="empty"):
        manage.change_passphrase(keys, "", work=CHEAP)


def test_a_lost_passphrase_is_replaced_by_means_of_the_keyring(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = unlock(tmp_path)
    with pytest.raises(UsageError, match="no passphrase"):
        manage.change_passphrase(keys, "one", work=CHEAP)
    manage.add_passphrase(keys, "forgotten", work=CHEAP)
    manage.change_passphrase(unlock(tmp_path), "two", work=CHEAP)
    assert opens(tmp_path, "two") and opens(tmp_path, None)


def test_a_recovery_code_is_added_and_replaced(tmp_path: Path) -> None:
    keys = by(tmp_path, "one")
    manage.add_recovery(keys, CODE)
    assert opens(tmp_path, recovery.spell(CODE)) and opens(tmp_path, "one")
    manage.add_recovery(keys, OTHER)
    assert opens(tmp_path, recovery.spell(OTHER)) and not opens(tmp_path, recovery.spell(CODE))
    assert kinds(tmp_path) == ["passphrase", "recovery"]


def test_after_the_device_is_lost_the_code_brings_the_keyring_back(tmp_path: Path, ring: dict[str, bytes]) -> None:
    manage.add_recovery(unlock(tmp_path), CODE)
    device.path().unlink()
    (entry,) = ring
    assert not opens(tmp_path, None)
    status = manage.status(tmp_path)
    assert status is not None and "device" in status.ways[0].problem and not status.ways[1].problem
    manage.add_keyring(by(tmp_path, recovery.spell(CODE)))
    assert opens(tmp_path, None) and len(ring) == 1 and entry not in ring


def test_a_keyring_that_is_not_there_cannot_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = by(tmp_path, "one")
    before = keys.file
    with pytest.raises(NoKey, match="no system keyring"):
        manage.add_keyring(keys)
    assert keys.file == before


def test_an_entry_whose_slot_cannot_be_saved_is_taken_back(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = by(tmp_path, "one")
    (tmp_path / (keyslots.FILE + ".new")).mkdir()
    with pytest.raises(StoreError):
        manage.add_keyring(keys)
    assert ring == {}


def test_the_status_of_nothing_and_of_everything(tmp_path: Path, ring: dict[str, bytes]) -> None:
    assert manage.status(tmp_path) is None
    keys = unlock(tmp_path)
    manage.add_passphrase(keys, "one", work=CHEAP)
    manage.add_recovery(keys, CODE)
    keys.project(bytes(16))
    status = manage.status(tmp_path)
    assert status is not None and (status.n_projects, status.sequence, status.rotating) == (1, 4, False)
    assert [w.problem for w in status.ways] == ["", "", ""]
    assert "19 MiB, 1 passes, 1 lanes" in status.ways[1].detail
    manage.begin(keys)
    ring.clear()
    status = manage.status(tmp_path)
    assert status is not None and status.rotating
    assert status.ways[0].problem == keychain.Missing.NO_ENTRY.value


# New keys ------------------------------------------------------------------------------------------------------


def full(folder: Path) -> Keys:
    """A memory with a way of each kind, and a project."""
    keys = unlock(folder)
    manage.add_passphrase(keys, "one", work=CHEAP)
    manage.add_recovery(keys, CODE)
    keys.project(bytes(16))
    return keys


def test_all_keys_are_new_after_a_rotation_and_all_ways_lead_to_them(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = full(tmp_path)
    (entry,) = ring
    old_file = keys.file
    before = {
        bytes(k) for k in (keys.master, keys.store.db, keys.store.watermark, keys.export, keys.project(bytes(16)))
    }
    renewal = manage.prepare(keys, passphrase="one", code=OTHER, work=CHEAP)
    assert keyslots.load(tmp_path) == old_file
    following = manage.begin(keys)
    manage.finish(keys, renewal)
    for way in (None, "one", recovery.spell(OTHER)):
        new = unlock(tmp_path, passphrase=way)
        assert new.store == following
        after = {bytes(k) for k in (new.master, new.store.db, new.store.watermark, new.export, new.project(bytes(16)))}
        assert len(after) == 5 and not after & before
    assert kinds(tmp_path) == ["keyring", "passphrase", "recovery"]
    assert not opens(tmp_path, recovery.spell(CODE)) and entry not in ring and len(ring) == 1
    old, new_slots = old_file.of("passphrase")[0], manage.status(tmp_path)
    file = keyslots.load(tmp_path)
    assert file is not None and new_slots is not None and old.kdf is not None
    (slot,) = file.of("passphrase")
    assert slot.kdf is not None and slot.kdf.salt != old.kdf.salt and file.next is None


def test_a_passphrase_alone_is_enough_for_a_rotation(tmp_path: Path) -> None:
    keys = by(tmp_path, "one")
    following = manage.begin(keys)
    manage.finish(keys, manage.prepare(keys, passphrase="one", work=CHEAP))
    assert by(tmp_path, "one").store == following and kinds(tmp_path) == ["passphrase"]


def test_the_keys_of_an_unsettled_rotation_are_not_thrown_away(tmp_path: Path) -> None:
    """One of them may be what opens the store, once the owner has put it back."""
    keys = by(tmp_path, "one")
    manage.begin(keys)
    file = keys.file
    with pytest.raises(StoreError, match="interrupted"):
        manage.begin(keys)
    assert keyslots.load(tmp_path) == file


def test_what_a_rotation_lacks_is_told_before_anything_changes(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = full(tmp_path)
    file = keys.file
    for passphrase, code, error in (
        ("two", OTHER, WrongPassphrase),
        (None, OTHER, NoKey),
        (recovery.spell(CODE), OTHER, WrongPassphrase),
        ("one", None, UsageError),
    ):
        with pytest.raises(error):
            manage.prepare(keys, passphrase=passphrase, code=code, work=CHEAP)
    assert keyslots.load(tmp_path) == file and len(ring) == 1


def test_a_keyring_that_is_gone_is_left_out_of_a_rotation(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = full(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keychain, "store", lambda entry, key: False)
        renewal = manage.prepare(keys, passphrase="one", code=OTHER, work=CHEAP)
    assert [s.kind for s in renewal.slots] == ["passphrase", "recovery"]


def test_a_rotation_needs_at_least_one_way(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = unlock(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keychain, "store", lambda entry, key: False)
        with pytest.raises(NoKey):
            manage.prepare(keys)
    assert opens(tmp_path, None)


def test_a_renewal_that_is_not_used_leaves_nothing_in_the_keyring(tmp_path: Path, ring: dict[str, bytes]) -> None:
    keys = full(tmp_path)
    renewal = manage.prepare(keys, passphrase="one", code=OTHER, work=CHEAP)
    assert len(ring) == 2
    renewal.discard()
    assert len(ring) == 1 and opens(tmp_path, None)
    assert not any(renewal.master)
