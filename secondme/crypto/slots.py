"""What wraps what: a slot's key wraps the master key, and the master key wraps each use's own.

    keyring       HKDF(secret in the keyring || this device's key): neither alone opens anything
    passphrase    Argon2id of the passphrase
    recovery      HKDF of the recovery code, which has 256 random bits and so needs no stretching

Every function returns new values; what is on the disk changes in `keyslots.save` only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from secondme.crypto import keyslots
from secondme.crypto.envelope import KEY_BYTES, Secret, derive, random_key, unwrap, wrap
from secondme.crypto.erase import erase, freed_is_cleared
from secondme.crypto.keyslots import USES, Kdf, KeySlots, Slot
from secondme.errors import CorruptRecord, NoKey, StoreError

_KEYRING = b"secondme keyring slot 2"
_RECOVERY = b"secondme recovery slot 1"
_MAC = b"secondme keyslots mac"


def fresh(slot: Slot, master: Secret, store_id: str) -> KeySlots:
    """A new file with one slot and a new key for each use."""
    return sign(KeySlots(store_id, (slot,), new_keys(store_id, master), sequence=1), master)


def new_id() -> str:
    """A name for a slot, and for the keyring's entry that belongs to it."""
    return os.urandom(8).hex()


def new_store_id() -> str:
    return os.urandom(16).hex()


# Slots ---------------------------------------------------------------------------------------------------------


def stretch(passphrase: str, kdf: Kdf) -> bytearray:
    """The 32-byte key of a passphrase, normalised to NFC (RFC 8265).

    Raises NoKey for an empty one, StoreError if the memory for it is not free.
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    text = unicodedata.normalize("NFC", passphrase)
    if not text:
        raise NoKey("the passphrase is empty", hint="choose one of several words")
    derivation = Argon2id(
        salt=kdf.salt, length=KEY_BYTES, iterations=kdf.iterations, lanes=kdf.lanes, memory_cost=kdf.memory_kib
    )
    key = bytearray(KEY_BYTES)
    spelled = text.encode("utf-8", "surrogatepass")
    try:
        with freed_is_cleared():  # OpenSSL hands the passphrase on in blocks that it frees as they are
            derivation.derive_into(spelled, key)
    except MemoryError:
        raise StoreError(
            f"checking a passphrase takes {kdf.memory_kib // 1024} MiB of memory, which is not free",
            hint="close other programs and try again",
        ) from None
    finally:
        erase(spelled, text if text is not passphrase else None)
    return key


def keyring_key(secret: Secret, device: Secret) -> bytearray:
    """What wraps the master key in a keyring's slot, from the keyring's secret and this device's key."""
    both = bytearray(secret) + device
    try:
        return derive(both, _KEYRING)
    finally:
        erase(both)


def recovery_key(code: Secret) -> bytearray:
    """What wraps the master key in a recovery code's slot."""
    return derive(code, _RECOVERY)


def close_slot(store_id: str, slot: Slot, key: Secret, master: Secret) -> Slot:
    """The slot with the master key wrapped in it."""
    return replace(slot, wrapped=wrap(key, master, keyslots.slot_context(store_id, slot)))


def open_slot(slots: KeySlots, slot: Slot, key: Secret) -> bytearray | None:
    """The master key, or None if `key` is not this slot's. Raises CorruptRecord if the file was changed."""
    master = unwrap(key, slot.wrapped, keyslots.slot_context(slots.store_id, slot))
    if master is not None and not hmac.compare_digest(slots.mac, _mac(slots, master)):
        raise CorruptRecord("the key file was changed by something else", hint="put a copy of keyslots.json back")
    return master


def sign(slots: KeySlots, master: Secret) -> KeySlots:
    """The file with the mac that vouches for it."""
    return replace(slots, mac=_mac(slots, master))


def _mac(slots: KeySlots, master: Secret) -> bytes:
    return hmac.digest(derive(master, _MAC), keyslots.authenticated(slots), hashlib.sha256)


# The keys of the uses ------------------------------------------------------------------------------------------


def new_keys(store_id: str, master: Secret, uses: Iterable[str] = USES) -> dict[str, bytes]:
    """A random key for each use, wrapped."""
    return {use: close_key(store_id, master, use, random_key()) for use in uses}


def close_key(store_id: str, master: Secret, use: str, key: Secret) -> bytes:
    """One use's own key, wrapped."""
    return wrap(master, key, keyslots.key_context(store_id, use))


def open_key(slots: KeySlots, master: Secret, use: str, *, of_next: bool = False) -> bytearray:
    """One use's own key; with `of_next` the one that a rotation will put in its place.

    Raises CorruptRecord if it is missing or damaged.
    """
    table = (slots.next or {}) if of_next else slots.keys
    name = _next(use) if of_next else use
    key = unwrap(master, table.get(use, b""), keyslots.key_context(slots.store_id, name))
    if key is None:
        raise keyslots.damaged()
    return key


def with_next(slots: KeySlots, master: Secret) -> KeySlots:
    """The file with a second key for each use, which a rotation will put in the first one's place."""
    coming = {use: close_key(slots.store_id, master, _next(use), random_key()) for use in slots.keys}
    return replace(slots, next=coming)


def promoted(slots: KeySlots, master: Secret, new_master: Secret) -> KeySlots:
    """The file with the next keys only, wrapped by `new_master`; its slots are still those of the old one."""
    keys = {}
    for use in slots.next or {}:
        key = open_key(slots, master, use, of_next=True)
        keys[use] = close_key(slots.store_id, new_master, use, key)
        erase(key)
    return replace(slots, keys=keys, next=None)


def _next(use: str) -> str:
    return f"next {use}"
