"""Whether the database file is the one last written: a digest of its pages' tags.

The cipher ends each page with a random nonce and an authentication tag over its content and number (SQLite3 Multiple
Ciphers, chacha20: 16 + 16 bytes). A page that is put back from an older copy passes that check, but not a comparison of
all tags: 32 bytes of each 4096 are hashed, tens of milliseconds for a gigabyte in the page cache.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE_BYTES = 4096
TAIL_BYTES = 32
"""Nonce and tag at the end of a page."""

# SQLite locks by a byte at 1 GiB and never uses its page.
_LOCK_PAGE = (1 << 30) // PAGE_BYTES + 1

WAL_HEADER = struct.Struct(">8I")
WAL_FRAME = struct.Struct(">6I")


def digest(path: Path) -> tuple[int, bytes]:
    """Size of the file in bytes and the SHA-256 of its pages' tails, in order. Raises OSError.

    What follows the last whole page counts as well.
    """
    hasher = hashlib.sha256()
    with _mapped(path) as view:
        hasher.update(_tails(view, frozenset()))
        hasher.update(view[len(view) - len(view) % PAGE_BYTES :])
        return len(view), hasher.digest()


def digest_without(path: Path, pages: Collection[int]) -> bytes:
    """The digest of the whole pages that are not in `pages`, counted from 1: those a checkpoint leaves alone."""
    with _mapped(path) as view:
        return hashlib.sha256(_tails(view, {*pages, _LOCK_PAGE})).digest()


def _tails(view: mmap.mmap | bytes, without: Collection[int]) -> bytes:
    ends = range(PAGE_BYTES, len(view) + 1, PAGE_BYTES)
    if not without:
        return b"".join([view[end - TAIL_BYTES : end] for end in ends])
    return b"".join([view[end - TAIL_BYTES : end] for n, end in enumerate(ends, start=1) if n not in without])


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The file's bytes without copying them; an empty file cannot be mapped."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view


def pages_in_wal(wal: Path) -> frozenset[int]:
    """Numbers of the pages in a write-ahead log up to its last commit (SQLite file format, section 4).

    Frames of an earlier use of the log have other salts and do not count. None of the content is looked at.
    """
    if not wal.exists():
        return frozenset()
    with _mapped(wal) as view:
        return frozenset(_committed(view))


def _committed(view: mmap.mmap | bytes) -> set[int]:
    if len(view) < WAL_HEADER.size:
        return set()
    _, _, page_bytes, _, *salts, _, _ = WAL_HEADER.unpack(view[: WAL_HEADER.size])
    committed: set[int] = set()
    pending: set[int] = set()
    step = WAL_FRAME.size + page_bytes
    for start in range(WAL_HEADER.size, len(view) - step + 1, step):
        page, n_pages, salt1, salt2, _, _ = WAL_FRAME.unpack(view[start : start + WAL_FRAME.size])
        if [salt1, salt2] != salts:
            break
        pending.add(page)
        if n_pages:
            committed |= pending
            pending = set()
    return committed
