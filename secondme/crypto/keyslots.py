"""`keyslots.json`: the wrapped keys and what is needed to unwrap them, and nothing that opens anything by itself.

    format, version     what this file is
    store_id            random, bound into every wrapping, so that parts of two files do not mix
    sequence            grows with every saving; the store remembers it, and so notices an old key file put back
    slots               each wraps the master key: for the keyring, a passphrase, or a recovery code
    keys                each use's own key, wrapped by the master key: db, watermark, export, project:<uid>
    next                while a rotation is under way, the keys that will replace them
    mac                 HMAC-SHA256 of all the rest under the master key: a changed file is refused after unlocking

Version 1 had no sequence, no recovery codes and one key, `db`; it is read, and rewritten after unlocking. The file is
parsed strictly and its work factors are bounded before any work is done, because it may have been changed.
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from secondme.durable import NEW, remove_file, replace_file
from secondme.errors import CorruptRecord, SchemaTooNew, StoreError, StoreFull

FILE = "keyslots.json"
FORMAT = "secondme-keyslots"
VERSION = 2
USES = ("db", "watermark", "export")
MAX_FILE_BYTES = 1024 * 1024
MAX_KEYS = 3000
MAX_SLOTS = 16
MIN_MEMORY_KIB, MAX_MEMORY_KIB = 19 * 1024, 1024 * 1024
MAX_ITERATIONS, MAX_LANES = 10, 16
MAX_SEQUENCE = 2**63 - 1

_USE = re.compile(r"db|watermark|export|project:[0-9a-f]{32}")
_FIELDS = {1: {"format", "version", "store_id", "slots", "keys", "mac"}}
_FIELDS[2] = _FIELDS[1] | {"sequence"}

Kind = Literal["keyring", "passphrase", "recovery"]


@dataclass(frozen=True, slots=True)
class Kdf:
    """Argon2id (RFC 9106) work factors; the defaults are the least that a new passphrase gets."""

    salt: bytes
    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to the master key. `id` names the entry of a keyring's slot; `kdf` belongs to a passphrase's."""

    kind: Kind
    id: str
    wrapped: bytes
    kdf: Kdf | None = None


@dataclass(frozen=True, slots=True)
class KeySlots:
    """The whole file. `next` holds the keys of a rotation that has not ended."""

    store_id: str
    slots: tuple[Slot, ...]
    keys: dict[str, bytes]
    mac: bytes = b""
    sequence: int = 0
    next: dict[str, bytes] | None = None
    version: int = VERSION

    def of(self, kind: Kind) -> list[Slot]:
        """The slots of one kind."""
        return [s for s in self.slots if s.kind == kind]


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


def save(folder: Path, slots: KeySlots, *, scrub: bool = False) -> None:
    """Replace the file in one step; on the disk when it returns. Raises StoreFull or StoreError.

    With `scrub` the earlier file's bytes are overwritten as well, because they hold a key that was taken out.
    """
    earlier = _open_earlier(folder / FILE) if scrub else None
    try:
        replace_file(folder / FILE, serialize(slots))
        if earlier is not None:
            _overwrite(earlier)
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else StoreError
        raise kind(f"the key file cannot be written ({error.strerror})", hint="check the disk and the folder") from None
    finally:
        if earlier is not None:
            os.close(earlier)


def sweep(folder: Path) -> None:
    """Remove what an interrupted saving left beside the file: it may hold a slot that was since taken out."""
    with suppress(OSError):
        remove_file(folder / (FILE + NEW))


def _open_earlier(path: Path) -> int | None:
    """The file as it is now, to be overwritten once it has no name; not if a backup shares its bytes (a hard link)."""
    if os.name != "posix":  # pragma: no cover  Windows replaces no file that is open
        return None
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return None
    if os.fstat(fd).st_nlink == 1:
        return fd
    os.close(fd)
    return None


def _overwrite(fd: int) -> None:
    # The new file is in its place already: a failure here is no failure to save.
    with suppress(OSError):
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)


def serialize(slots: KeySlots) -> bytes:
    return json.dumps(_document(slots) | {"mac": _b64(slots.mac)}, indent=1).encode("ascii")


def authenticated(slots: KeySlots) -> bytes:
    """What the mac covers: all but itself, in one spelling."""
    return canonical(_document(slots))


def slot_context(store_id: str, slot: Slot) -> bytes:
    """What a slot's wrapping is bound to: its store and everything about it. The number is the wrapping's own."""
    return canonical({"use": "slot", "version": 1, "store_id": store_id} | _slot_fields(slot))


def key_context(store_id: str, use: str) -> bytes:
    """What the wrapping of one use's key is bound to."""
    return canonical({"use": "key", "version": 1, "store_id": store_id, "name": use})


def canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def damaged() -> CorruptRecord:
    return CorruptRecord(
        "the key file is damaged", hint="put a copy of keyslots.json back: without it nothing opens the store"
    )


# Reading -------------------------------------------------------------------------------------------------------


def parse(data: bytes) -> KeySlots:
    """Check everything about the file's bytes. Raises CorruptRecord or SchemaTooNew, and nothing else."""
    if len(data) > MAX_FILE_BYTES:
        raise damaged()
    try:
        document = json.loads(data)
        _require(type(document["version"]) is int)
        if document["format"] == FORMAT and document["version"] > VERSION:
            raise SchemaTooNew("a newer version of secondme wrote the key file", hint="update secondme")
        found = _parse(document)
        # Not a byte may differ: no second spelling of the same JSON or base64, and no member named twice.
        _require(serialize(found) == data)
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise damaged() from None


def _parse(document: dict[str, Any]) -> KeySlots:
    version = document["version"]
    _require(document["format"] == FORMAT and document.keys() - {"next"} == _FIELDS[version])
    slots = tuple(_parse_slot(slot) for slot in document["slots"])
    _require(0 < len(slots) <= MAX_SLOTS and len({s.id for s in slots}) == len(slots))
    store_id, mac, keys = _hex(document["store_id"], 32), _bytes(document["mac"]), _parse_keys(document["keys"])
    if version == 1:
        _require("next" not in document and not any(s.kind == "recovery" for s in slots))
        return KeySlots(store_id, slots, keys, mac, version=1)
    sequence = document["sequence"]
    _require(type(sequence) is int and 0 < sequence <= MAX_SEQUENCE)
    coming = _parse_keys(document["next"]) if "next" in document else None
    _require(all(use in k for use in USES for k in (keys, coming) if k is not None))
    return KeySlots(store_id, slots, keys, mac, sequence, coming)


def _parse_keys(table: dict[str, Any]) -> dict[str, bytes]:
    _require(len(table) <= MAX_KEYS and all(_USE.fullmatch(use) for use in table))
    return {use: _bytes(key) for use, key in table.items()}


def _parse_slot(slot: dict[str, Any]) -> Slot:
    kind, slot_id, wrapped = slot["kind"], _hex(slot["id"], 16), _bytes(slot["wrapped"])
    if kind in ("keyring", "recovery"):
        _require(slot.keys() == {"kind", "id", "wrapped"})
        return Slot(kind, slot_id, wrapped)
    _require(kind == "passphrase" and slot.keys() == {"kind", "id", "wrapped", "kdf"})
    table = slot["kdf"]
    _require(table.keys() == {"name", "salt", "memory_kib", "iterations", "lanes"} and table["name"] == "argon2id")
    kdf = Kdf(_bytes(table["salt"]), table["memory_kib"], table["iterations"], table["lanes"])
    _require(all(type(n) is int for n in (kdf.memory_kib, kdf.iterations, kdf.lanes)) and len(kdf.salt) == 16)
    _require(MIN_MEMORY_KIB <= kdf.memory_kib <= MAX_MEMORY_KIB)
    _require(1 <= kdf.iterations <= MAX_ITERATIONS and 1 <= kdf.lanes <= MAX_LANES)
    return Slot("passphrase", slot_id, wrapped, kdf)


def _document(slots: KeySlots) -> dict[str, Any]:
    keys = {"keys": _keys_document(slots.keys)}
    if slots.next is not None:
        keys["next"] = _keys_document(slots.next)
    return {
        "format": FORMAT,
        "version": slots.version,
        "store_id": slots.store_id,
        **({"sequence": slots.sequence} if slots.version > 1 else {}),
        "slots": [_slot_fields(s) | {"wrapped": _b64(s.wrapped)} for s in slots.slots],
        **keys,
    }


def _keys_document(keys: dict[str, bytes]) -> dict[str, str]:
    return {use: _b64(key) for use, key in sorted(keys.items())}


def _slot_fields(slot: Slot) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": slot.kind, "id": slot.id}
    if slot.kdf is not None:
        kdf = slot.kdf
        table = {"name": "argon2id", "salt": _b64(kdf.salt), "memory_kib": kdf.memory_kib}
        fields["kdf"] = table | {"iterations": kdf.iterations, "lanes": kdf.lanes}
    return fields


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
