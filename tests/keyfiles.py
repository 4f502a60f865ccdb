"""Key files for tests: of the least work that a file may ask for, and of the first version."""

from __future__ import annotations

from dataclasses import replace

from secondme.crypto import keyslots, slots
from secondme.crypto.calibrate import Work
from secondme.crypto.envelope import Secret, random_key, wrap
from secondme.crypto.keyslots import Kdf, KeySlots, Slot

CHEAP = Work(keyslots.MIN_MEMORY_KIB, 1, 1)
ENTRY = "0123456789abcdef"
SECRET, DEVICE = bytes(range(32)), bytes(range(32, 64))


def with_passphrase(passphrase: str = "one") -> tuple[KeySlots, bytearray]:
    """A file with a passphrase's slot, and its master key."""
    store_id, master = slots.new_store_id(), random_key()
    return slots.fresh(passphrase_slot(store_id, passphrase, master), master, store_id), master


def with_keyring(secret: Secret = SECRET, device: Secret = DEVICE) -> tuple[KeySlots, bytearray]:
    """A file with a keyring's slot, and its master key."""
    store_id, master = slots.new_store_id(), random_key()
    slot = slots.close_slot(store_id, Slot("keyring", ENTRY, b""), slots.keyring_key(secret, device), master)
    return slots.fresh(slot, master, store_id), master


def with_recovery(code: Secret) -> tuple[KeySlots, bytearray]:
    """A file with a recovery code's slot, and its master key."""
    store_id, master = slots.new_store_id(), random_key()
    slot = slots.close_slot(store_id, Slot("recovery", ENTRY, b""), slots.recovery_key(code), master)
    return slots.fresh(slot, master, store_id), master


def of_version_1(slot: Slot, key: Secret) -> tuple[KeySlots, bytearray]:
    """A file as the first version wrote it, `key` being what its slot is wrapped with; and its master key."""
    store_id, master = slots.new_store_id(), random_key()
    keys = {"db": wrap(master, random_key(), keyslots.key_context(store_id, "db"))}
    file = KeySlots(store_id, (slots.close_slot(store_id, slot, key, master),), keys, version=1)
    return slots.sign(file, master), master


def passphrase_slot(store_id: str, passphrase: str, master: Secret) -> Slot:
    kdf = CHEAP.kdf()
    return slots.close_slot(
        store_id, Slot("passphrase", slots.new_id(), b"", kdf), slots.stretch(passphrase, kdf), master
    )


def cheap_kdf() -> Kdf:
    return CHEAP.kdf()


def added(file: KeySlots, master: Secret, slot: Slot) -> KeySlots:
    """The file with one more slot."""
    return slots.sign(replace(file, slots=(*file.slots, slot)), master)
