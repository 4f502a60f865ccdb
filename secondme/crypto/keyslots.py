"""`keyslots.json`: the wrapped keys and what is needed to unwrap them, and nothing that opens anything by itself.

    format, version     what this file is
    store_id            random, bound into every wrapping, so that parts of two files do not mix
    slots               each wraps the master key: by a key in the keyring, or by Argon2id of a passphrase
    keys                each use's own key, wrapped by the master key
    mac                 HMAC-SHA256 of all the rest under the master key: a changed file is refused after unlocking

The file is parsed strictly and its work factors are bounded before any work is done, because it may have been changed.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import json
import os
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.crypto.envelope import KEY_BYTES, derive, random_key, unwrap, wrap
from secondme.errors import CorruptRecord, NoKey, SchemaTooNew, StoreError, StoreFull

FILE = "keyslots.json"
FORMAT = "secondme-keyslots"
VERSION = 1
USES = ("db",)
MAX_FILE_BYTES = 64 * 1024
MIN_MEMORY_KIB, MAX_MEMORY_KIB = 19 * 1024, 1024 * 1024
MAX_ITERATIONS, MAX_LANES = 10, 16


@dataclass(frozen=True, slots=True)
class Kdf:
    """Argon2id (RFC 9106) work factors; the defaults take about half a second."""

    salt: bytes
    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to the master key. `kdf` is None for a slot of the keyring, whose entry's name is `id`."""

    id: str
    kdf: Kdf | None
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class KeySlots:
    store_id: str
    slots: tuple[Slot, ...]
    keys: dict[str, bytes]
    mac: bytes


def create(*, passphrase: str | None = None, keyring_key: tuple[str, bytes] | None = None) -> tuple[KeySlots, bytes]:
    """New keys, and their master key, with one slot: of a passphrase, or of (entry id, key) in the keyring."""
    master, store_id = random_key(), os.urandom(16).hex()
    if keyring_key is not None:
        slot = _slot(store_id, keyring_key[0], None, keyring_key[1], master)
    else:
        kdf = Kdf(os.urandom(16))
        slot = _slot(store_id, os.urandom(8).hex(), kdf, stretch(passphrase or "", kdf), master)
    keys = {use: wrap(master, random_key(), _key_context(store_id, use)) for use in USES}
    fresh = KeySlots(store_id, (slot,), keys, b"")
    return KeySlots(store_id, fresh.slots, keys, _mac(fresh, master)), master


def new_entry() -> tuple[str, bytes]:
    """A name for a keyring entry, and the key to keep there."""
    return os.urandom(8).hex(), random_key()


def _slot(store_id: str, slot_id: str, kdf: Kdf | None, key: bytes, master: bytes) -> Slot:
    return Slot(slot_id, kdf, wrap(key, master, _slot_context(store_id, slot_id, kdf)))


def stretch(passphrase: str, kdf: Kdf) -> bytes:
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
    try:
        return derivation.derive(text.encode("utf-8", "surrogatepass"))
    except MemoryError:
        raise StoreError(
            f"checking a passphrase takes {kdf.memory_kib // 1024} MiB of memory, which is not free",
            hint="close other programs and try again",
        ) from None


def open_slot(slots: KeySlots, slot: Slot, key: bytes) -> bytes | None:
    """The master key, or None if `key` is not this slot's. Raises CorruptRecord if the file was changed."""
    master = unwrap(key, slot.wrapped, _slot_context(slots.store_id, slot.id, slot.kdf))
    if master is not None and not hmac.compare_digest(slots.mac, _mac(slots, master)):
        raise CorruptRecord("the key file was changed by something else", hint="put a copy of keyslots.json back")
    return master


def open_key(slots: KeySlots, master: bytes, use: str) -> bytes:
    """One use's own key. Raises CorruptRecord if it is missing or damaged."""
    key = unwrap(master, slots.keys.get(use, b""), _key_context(slots.store_id, use))
    if key is None:
        raise _damaged()
    return key


# The file ------------------------------------------------------------------------------------------------------


def load(folder: Path) -> KeySlots | None:
    """Read and check the file; None if there is none. Raises CorruptRecord, SchemaTooNew or StoreError."""
    try:
        with (folder / FILE).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"the key file cannot be read ({error.strerror})", hint="check its permissions") from None
    return parse(data)


def save(folder: Path, slots: KeySlots) -> None:
    """Replace the file in one step: temporary file, fsync, rename, fsync of the folder."""
    new = folder / (FILE + ".new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(serialize(slots))
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / FILE)
        if os.name == "posix":
            directory = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else StoreError
        raise kind(f"the key file cannot be written ({error.strerror})", hint="check the disk and the folder") from None


def serialize(slots: KeySlots) -> bytes:
    return json.dumps(_document(slots) | {"mac": _b64(slots.mac)}, indent=1).encode("ascii")


def parse(data: bytes) -> KeySlots:
    """Check everything about the file's bytes. Raises CorruptRecord or SchemaTooNew, and nothing else."""
    if len(data) > MAX_FILE_BYTES:
        raise _damaged()
    try:
        document = json.loads(data)
        _require(type(document["version"]) is int)
        if document["format"] == FORMAT and document["version"] > VERSION:
            raise SchemaTooNew("a newer version of secondme wrote the key file", hint="update secondme")
        _require(document.keys() == {"format", "version", "store_id", "slots", "keys", "mac"})
        _require(document["format"] == FORMAT and document["version"] == VERSION)
        slots = tuple(_parse_slot(slot) for slot in document["slots"])
        _require(0 < len(slots) <= 16 and len({s.id for s in slots}) == len(slots))
        keys = {_text(use): _bytes(key) for use, key in document["keys"].items()}
        found = KeySlots(_hex(document["store_id"], 32), slots, keys, _bytes(document["mac"]))
        # Not a byte may differ: no second spelling of the same JSON or base64, and no member named twice.
        _require(serialize(found) == data)
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise _damaged() from None


def _parse_slot(slot: dict[str, Any]) -> Slot:
    if slot["kind"] == "keyring":
        _require(slot.keys() == {"kind", "id", "wrapped"})
        return Slot(_hex(slot["id"], 16), None, _bytes(slot["wrapped"]))
    _require(slot["kind"] == "passphrase" and slot.keys() == {"kind", "id", "wrapped", "kdf"})
    table = slot["kdf"]
    _require(table.keys() == {"name", "salt", "memory_kib", "iterations", "lanes"} and table["name"] == "argon2id")
    kdf = Kdf(_bytes(table["salt"]), table["memory_kib"], table["iterations"], table["lanes"])
    _require(all(type(n) is int for n in (kdf.memory_kib, kdf.iterations, kdf.lanes)) and len(kdf.salt) == 16)
    _require(MIN_MEMORY_KIB <= kdf.memory_kib <= MAX_MEMORY_KIB)
    _require(1 <= kdf.iterations <= MAX_ITERATIONS and 1 <= kdf.lanes <= MAX_LANES)
    return Slot(_hex(slot["id"], 16), kdf, _bytes(slot["wrapped"]))


def _document(slots: KeySlots) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "store_id": slots.store_id,
        "slots": [_slot_document(s) | {"wrapped": _b64(s.wrapped)} for s in slots.slots],
        "keys": {use: _b64(key) for use, key in sorted(slots.keys.items())},
    }


def _slot_document(slot: Slot) -> dict[str, Any]:
    return _slot_fields(slot.id, slot.kdf)


def _slot_fields(slot_id: str, kdf: Kdf | None) -> dict[str, Any]:
    if kdf is None:
        return {"kind": "keyring", "id": slot_id}
    table = {"name": "argon2id", "salt": _b64(kdf.salt), "memory_kib": kdf.memory_kib}
    return {"kind": "passphrase", "id": slot_id, "kdf": table | {"iterations": kdf.iterations, "lanes": kdf.lanes}}


def _slot_context(store_id: str, slot_id: str, kdf: Kdf | None) -> bytes:
    return _canonical({"use": "slot", "version": VERSION, "store_id": store_id} | _slot_fields(slot_id, kdf))


def _key_context(store_id: str, use: str) -> bytes:
    return _canonical({"use": "key", "version": VERSION, "store_id": store_id, "name": use})


def _mac(slots: KeySlots, master: bytes) -> bytes:
    key = derive(master, b"secondme keyslots mac")
    return hmac.digest(key, _canonical(_document(slots)), hashlib.sha256)


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: Any) -> bytes:
    return base64.b64decode(_text(text), validate=True)


def _text(value: Any) -> str:
    _require(isinstance(value, str))
    return str(value)


def _hex(value: Any, length: int) -> str:
    text = _text(value)
    _require(len(text) == length and text == bytes.fromhex(text).hex())
    return text


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _damaged() -> CorruptRecord:
    return CorruptRecord("the key file is damaged", hint="put a copy of keyslots.json back")
