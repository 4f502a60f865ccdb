"""The watermark: a small authenticated file beside the store that says how far it was acknowledged.

A page's tag proves that the store once wrote it, not that it is the newest. The watermark holds the number and hash of
the last acknowledged step of the operation log, and digests of the page tags in the database file and in its
write-ahead log (`pages.py`), under HMAC-SHA256. It is replaced in one step and fsynced before a transaction counts as
acknowledged.

A copy lies outside the data folder, the witness: it is written without waiting for the disk and only ever tells that
the whole data folder is an older copy.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from secondme.crypto.envelope import KEY_BYTES
from secondme.durable import replace_file
from secondme.errors import CorruptRecord, SchemaTooNew, StoreError
from secondme.memory.oplog import Head
from secondme.memory.pages import NO_LOG

MAGIC = b"SMWM"
VERSION = 1
_BODY = struct.Struct(">4sHH32sQ32sQQ32s32sQ32s")
SIZE = _BODY.size + 32

_MOVING = 1


@dataclass(frozen=True, slots=True)
class Watermark:
    """`head` is the last acknowledged step, `n_bytes` and `tags` describe the database file at rest.

    While a checkpoint moves the log into the file, `moving` is the digest of those pages that it does not touch.
    `epoch` is the number of the key file that belongs to it. `n_log_bytes` and `log` describe the write-ahead log up to
    the last acknowledged commit.
    """

    head: Head
    n_bytes: int
    tags: bytes
    moving: bytes | None = None
    epoch: int = 0
    n_log_bytes: int = 0
    log: bytes = NO_LOG


def pack(mark: Watermark, key: bytes | bytearray, store_id: str) -> bytes:
    """The file's bytes, SIZE of them. Raises StoreError if the key was erased: zeros are a key that all know."""
    if len(key) != KEY_BYTES:
        raise StoreError("memory is locked", hint="unlock it first")
    flags = _MOVING if mark.moving is not None else 0
    body = _BODY.pack(
        MAGIC,
        VERSION,
        flags,
        hashlib.sha256(store_id.encode()).digest(),
        mark.head.seq,
        mark.head.hash,
        mark.n_bytes,
        mark.epoch,
        mark.tags,
        mark.moving or bytes(32),
        mark.n_log_bytes,
        mark.log,
    )
    return body + hmac.digest(key, body, hashlib.sha256)


def unpack(data: bytes, key: bytes | bytearray, store_id: str) -> Watermark | None:
    """Read a file's bytes; None if they are not exactly what `pack` wrote for this store and key.

    Raises SchemaTooNew for a later version.
    """
    if len(data) <= 32 or not hmac.compare_digest(hmac.digest(key, data[:-32], hashlib.sha256), data[-32:]):
        return None
    # Every version ends so, and by that a later one is told from damage.
    if data[:4] == MAGIC and int.from_bytes(data[4:6], "big") > VERSION:
        raise SchemaTooNew("a newer version of secondme wrote the watermark", hint="update secondme")
    if len(data) != SIZE:
        return None
    magic, version, flags, store, seq, chain, n_bytes, epoch, tags, moving, n_log_bytes, log = _BODY.unpack(data[:-32])
    if (magic, version, store) != (MAGIC, VERSION, hashlib.sha256(store_id.encode()).digest()):
        return None
    return Watermark(Head(seq, chain), n_bytes, tags, moving if flags & _MOVING else None, epoch, n_log_bytes, log)


def path_for(store: Path) -> Path:
    return store.with_name(store.name + "-watermark")


def next_path_for(store: Path) -> Path:
    """Where the watermark of a store waits that is about to take this one's place, see `install.py`."""
    return store.with_name(store.name + "-watermark.next")


def load(store: Path, key: bytes | bytearray, store_id: str) -> Watermark | None:
    """The watermark of the store at `store`; None if there is none. Raises CorruptRecord, SchemaTooNew or OSError."""
    try:
        data = path_for(store).read_bytes()
    except FileNotFoundError:
        return None
    found = unpack(data, key, store_id)
    if found is None:
        raise CorruptRecord(
            "the watermark, which vouches for the store, is damaged or another store's",
            hint=f"put a copy of {path_for(store).name} back, or run: secondme memory repair",
        )
    return found


def save(store: Path, mark: Watermark, key: bytes | bytearray, store_id: str) -> None:
    """Replace the file; on the disk when it returns. Raises OSError."""
    replace_file(path_for(store), pack(mark, key, store_id))


class Witness:
    """The copy of the watermark outside the data folder. What goes wrong with it is nobody's loss."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self, key: bytes | bytearray, store_id: str) -> Watermark | None:
        """The last copy; None if there is none or it cannot be read."""
        if self._path is None:
            return None
        with suppress(OSError, SchemaTooNew):
            return unpack(self._path.read_bytes(), key, store_id)
        return None

    def save(self, data: bytes) -> None:
        if self._path is None:
            return
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(fd, data)
                os.ftruncate(fd, len(data))
            finally:
                os.close(fd)
