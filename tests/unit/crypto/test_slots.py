"""What wraps what: each way to the master key, each use's key, and the change from one set of keys to the next."""

from __future__ import annotations

import dataclasses

import pytest

from secondme.crypto import slots
from secondme.crypto.keyslots import USES, Kdf, Slot
from secondme.errors import CorruptRecord, NoKey, StoreError
from tests.keyfiles import DEVICE, SECRET, cheap_kdf, with_keyring, with_passphrase, with_recovery


def test_new_keys_open_with_the_passphrase_alone() -> None:
    file, master = with_passphrase("one")
    (slot,) = file.slots
    assert slot.kdf is not None and slot.kind == "passphrase" and file.sequence == 1
    assert slots.open_slot(file, slot, slots.stretch("one", slot.kdf)) == master
    assert slots.open_slot(file, slot, slots.stretch("two", slot.kdf)) is None
    again, other = with_passphrase("one")
    assert other != master and again.store_id != file.store_id
    assert slots.open_slot(again, slot, slots.stretch("one", slot.kdf)) is None


def test_each_use_has_a_key_of_its_own() -> None:
    file, master = with_passphrase()
    keys = [bytes(slots.open_key(file, master, use)) for use in USES]
    assert len({*keys, bytes(master)}) == 4 and {len(k) for k in keys} == {32}
    # A key opens in its own place only.
    moved = dataclasses.replace(file, keys=file.keys | {"db": file.keys["export"]})
    with pytest.raises(CorruptRecord):
        slots.open_key(moved, master, "db")
    with pytest.raises(CorruptRecord):
        slots.open_key(file, master, "project:" + "0" * 32)


def test_a_keyrings_slot_needs_the_secret_and_the_device() -> None:
    file, master = with_keyring()
    (slot,) = file.slots
    assert slots.open_slot(file, slot, slots.keyring_key(SECRET, DEVICE)) == master
    for key in (
        slots.keyring_key(SECRET, bytes(32)),
        slots.keyring_key(bytes(32), DEVICE),
        slots.keyring_key(DEVICE, SECRET),
        SECRET,
        DEVICE,
    ):
        assert slots.open_slot(file, slot, key) is None


def test_a_recovery_slot_opens_with_its_code() -> None:
    file, master = with_recovery(SECRET)
    (slot,) = file.slots
    assert slots.open_slot(file, slot, slots.recovery_key(SECRET)) == master
    assert slots.open_slot(file, slot, slots.recovery_key(DEVICE)) is None
    assert slots.open_slot(file, slot, SECRET) is None


def test_the_least_work_is_that_of_the_security_note() -> None:
    assert (Kdf(b"").memory_kib, Kdf(b"").iterations, Kdf(b"").lanes) == (65536, 3, 4)


def test_a_passphrase_gives_the_key_it_always_gave() -> None:
    """Pinned: any change would lock every owner out."""
    kdf = Kdf(b"0123456789abcdef", 19 * 1024, 1, 1)
    assert slots.stretch("golden", kdf).hex() == "5287f30660708217bf62d2a17c71139d5cb6d2b0abc44f5765cf3bdc40042f06"


def test_keyring_and_recovery_keys_are_what_they_always_were() -> None:
    """Pinned, as above."""
    assert slots.keyring_key(SECRET, DEVICE).hex() == "d8fb3596b681cf3526f78356a893475a554c1cf7263628c8ca793795597e84d0"
    assert slots.recovery_key(SECRET).hex() == "9785d2cf6c512ec9b725760faff45c3e8de1b2546993655c72bfbb090a7634bd"


def test_the_same_passphrase_typed_on_another_system_is_the_same() -> None:
    kdf = cheap_kdf()
    assert slots.stretch("caf\u00e9", kdf) == slots.stretch("cafe\u0301", kdf)
    assert slots.stretch("caf\u00e9", kdf) != slots.stretch("cafe", kdf)
    # A terminal may hand over bytes that are no UTF-8.
    assert slots.stretch("\udcff", kdf) != slots.stretch("?", kdf)


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(NoKey, match="empty"):
        slots.stretch("", cheap_kdf())


def test_memory_that_is_not_free_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives.kdf import argon2

    class Starved:
        def __init__(self, **_: object) -> None:
            pass

        def derive_into(self, text: bytes, key: bytearray) -> int:
            raise MemoryError

    monkeypatch.setattr(argon2, "Argon2id", Starved)
    with pytest.raises(StoreError, match="64 MiB") as caught:
        slots.stretch("one", Kdf(bytes(16)))
    assert caught.value.hint


def test_a_changed_file_is_refused_after_unlocking() -> None:
    file, master = with_keyring()
    key = slots.keyring_key(SECRET, DEVICE)
    changes = [
        dataclasses.replace(file, keys={**file.keys, "project:" + "0" * 32: b"x"}),
        dataclasses.replace(file, sequence=2),
        dataclasses.replace(file, slots=(*file.slots, Slot("recovery", "0" * 16, bytes(60)))),
        dataclasses.replace(file, next=file.keys),
        dataclasses.replace(file, version=1),
    ]
    for changed in changes:
        with pytest.raises(CorruptRecord, match="changed"):
            slots.open_slot(changed, changed.slots[0], key)
    # Without its mac a key still opens in its own store only.
    other, _ = with_keyring()
    with pytest.raises(CorruptRecord):
        slots.open_key(dataclasses.replace(file, keys=other.keys), master, "db")


def test_the_next_keys_take_the_place_of_the_present_ones_under_a_new_master() -> None:
    file, master = with_passphrase()
    file = dataclasses.replace(file, keys=file.keys | slots.new_keys(file.store_id, master, ["project:" + "a" * 32]))
    both = slots.with_next(file, master)
    assert both.keys == file.keys and both.next is not None and both.next.keys() == file.keys.keys()
    new_master = bytes(32)
    done = slots.promoted(both, master, new_master)
    assert done.next is None and done.keys.keys() == file.keys.keys()
    for use in file.keys:
        now, then = slots.open_key(file, master, use), slots.open_key(both, master, use, of_next=True)
        assert slots.open_key(done, new_master, use) == then != now
    # Neither set passes for the other.
    with pytest.raises(CorruptRecord):
        slots.open_key(dataclasses.replace(both, keys=both.next), master, "db")
    with pytest.raises(CorruptRecord):
        slots.open_key(file, master, "db", of_next=True)
