"""Finds pages that fail their tag, and sets a single bit right that turned over by itself.

The tag of a page is Poly1305 (RFC 8439) over its ciphertext and nonce, under a one-time key that ChaCha20 makes of the
store's key, the nonce and the page's number (SQLite3 Multiple Ciphers, chacha20). A page with one wrong bit is found by
trying each: what then fits the tag is what was written, by the same proof as any other page. Pages lie in the store's
file and in its write-ahead log, encrypted alike.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from secondme.memory.pages import LOCK_PAGE, PAGE_BYTES, TAIL_BYTES, WAL_FRAME, log_bytes, log_frames

_TAG_BYTES = 16
_NONCE_BYTES = TAIL_BYTES - _TAG_BYTES
_SIGNED_BYTES = PAGE_BYTES - _TAG_BYTES
_COUNTER = slice(12, 16)
_BLOCK_BYTES = 16
_PRIME = (1 << 130) - 5
_MASK = (1 << 128) - 1
# More bad pages than this are no bits that turned over; looking for one costs a tenth of a second each.
_MAX_PAGES = 64


@dataclass(frozen=True, slots=True)
class Bit:
    """A bit of a file that has to be turned over, in a page with this number; `at` counts from the file's beginning."""

    page: int
    at: int


def failing(path: Path, key: bytes | bytearray) -> Iterator[int]:
    """Numbers, from 1, of the whole pages of a store's file whose tag does not fit. Raises OSError."""
    return (number for _, number, _ in _failing(path, key, _in_store(path)))


def turned(path: Path, key: bytes | bytearray) -> list[Bit]:
    """The bits that make failing pages of a store's file fit again, as far as there is one each. Raises OSError."""
    return _turned(path, key, _in_store(path))


def turned_in_log(wal: Path, key: bytes | bytearray) -> list[Bit]:
    """The same for the pages in a write-ahead log. Raises OSError."""
    return _turned(wal, key, _in_log(wal))


def _turned(path: Path, key: bytes | bytearray, places: Iterator[tuple[int, int]]) -> list[Bit]:
    found = list(islice(_failing(path, key, places), _MAX_PAGES + 1))
    if len(found) > _MAX_PAGES:
        return []
    bits = ((start, number, _wrong_bit(page, number, key)) for start, number, page in found)
    return [Bit(number, 8 * start + at) for start, number, at in bits if at is not None]


def _failing(path: Path, key: bytes | bytearray, places: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int, bytes]]:
    """Where each failing page begins, its number and its bytes."""
    with path.open("rb") as file:
        for start, number in places:
            file.seek(start)
            page = file.read(PAGE_BYTES)
            if len(page) == PAGE_BYTES and not _fits(page, number, key):
                yield start, number, page


def _in_store(path: Path) -> Iterator[tuple[int, int]]:
    """Where each page of a store's file begins, and its number."""
    for number in range(1, path.stat().st_size // PAGE_BYTES + 1):
        if number != LOCK_PAGE:
            yield (number - 1) * PAGE_BYTES, number


def _in_log(wal: Path) -> Iterator[tuple[int, int]]:
    """Where each page in a write-ahead log begins, and its number (SQLite file format, section 4)."""
    with wal.open("rb") as file:
        for i in range(log_frames(wal.stat().st_size)):
            start = log_bytes(i + 1) - PAGE_BYTES
            file.seek(start - WAL_FRAME.size)
            yield start, int.from_bytes(file.read(4), "big")


def set_right(path: Path, bits: list[Bit]) -> None:
    """Turn the bits over, in place: a byte is written or not, and what is not is found again. Raises OSError."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        for bit in bits:
            os.lseek(fd, bit.at // 8, os.SEEK_SET)
            (byte,) = os.read(fd, 1)
            os.lseek(fd, bit.at // 8, os.SEEK_SET)
            os.write(fd, bytes([byte ^ 1 << bit.at % 8]))
        os.fsync(fd)
    finally:
        os.close(fd)


def _one_time_key(nonce: bytes, number: int, key: bytes | bytearray) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    counter = int.from_bytes(nonce[_COUNTER], "little") ^ number
    cipher = Cipher(ChaCha20(key, counter.to_bytes(4, "little") + nonce[: _COUNTER.start]), mode=None)
    return cipher.encryptor().update(bytes(32))


def _tag(signed: bytes | bytearray, one_time_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    return Poly1305.generate_tag(one_time_key, signed)


def _fits(page: bytes, number: int, key: bytes | bytearray) -> bool:
    signed, tag = page[:_SIGNED_BYTES], page[_SIGNED_BYTES:]
    return hmac.compare_digest(_tag(signed, _one_time_key(signed[-_NONCE_BYTES:], number, key)), tag)


def _wrong_bit(page: bytes, number: int, key: bytes | bytearray) -> int | None:
    """Which single bit, from 0, of a page keeps it from fitting its tag; None if it is not that."""
    for at in _candidates(page, number, key):
        tried = bytearray(page)
        tried[at // 8] ^= 1 << at % 8
        if _fits(bytes(tried), number, key):
            return at
    return None


def _candidates(page: bytes, number: int, key: bytes | bytearray) -> Iterator[int]:
    """Bits that may be the wrong one: of the tag, of the ciphertext, and all of the nonce, which changes the key."""
    nonce = page[_SIGNED_BYTES - _NONCE_BYTES : _SIGNED_BYTES]
    one_time_key = _one_time_key(nonce, number, key)
    tag = int.from_bytes(page[_SIGNED_BYTES:], "little")
    differing = int.from_bytes(_tag(page[:_SIGNED_BYTES], one_time_key), "little") ^ tag
    if differing.bit_count() == 1:
        yield 8 * _SIGNED_BYTES + differing.bit_length() - 1
    yield from _of_text(page[:_SIGNED_BYTES], one_time_key, tag)
    yield from range(8 * (_SIGNED_BYTES - _NONCE_BYTES), 8 * _SIGNED_BYTES)


def _of_text(signed: bytes, one_time_key: bytes, tag: int) -> Iterator[int]:
    """Bits that give the tag when they are turned over.

    Poly1305 is a polynomial of its 16-byte blocks, so that a bit adds or takes away a known amount.
    """
    r = int.from_bytes(one_time_key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(one_time_key[16:], "little")
    n_blocks = len(signed) // _BLOCK_BYTES
    blocks = [int.from_bytes(signed[_BLOCK_BYTES * i : _BLOCK_BYTES * (i + 1)], "little") for i in range(n_blocks)]
    total = 0
    for block in blocks:
        total = (total + block + (1 << 128)) * r % _PRIME
    factor = 1
    for i in range(n_blocks - 1, -1, -1):
        factor = factor * r % _PRIME
        for b in range(128):
            sign = -1 if blocks[i] >> b & 1 else 1
            if ((total + sign * (factor << b)) % _PRIME + s) & _MASK == tag:
                yield 128 * i + b
