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
LOCK_PAGE = (1 << 30) // PAGE_BYTES + 1

WAL_HEADER = struct.Struct(">8I")
WAL_FRAME = struct.Struct(">6I")
_WAL_STEP = WAL_FRAME.size + PAGE_BYTES

NO_LOG = hashlib.sha256().digest()
"""Digest of a write-ahead log without a frame."""


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
        return hashlib.sha256(_tails(view, {*pages, LOCK_PAGE})).digest()


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


def log_bytes(n_frames: int) -> int:
    """Length of a write-ahead log of so many frames (SQLite file format, section 4)."""
    return WAL_HEADER.size + n_frames * _WAL_STEP if n_frames else 0


def log_frames(n_bytes: int) -> int:
    return (n_bytes - WAL_HEADER.size) // _WAL_STEP if n_bytes else 0


def pages_in_wal(wal: Path, n_bytes: int) -> frozenset[int]:
    """Numbers of the pages in the first `n_bytes` of a write-ahead log, as far as it reaches. Raises OSError."""
    if not n_bytes or not wal.exists():
        return frozenset()
    with _mapped(wal) as view:
        starts = range(WAL_HEADER.size, min(n_bytes, len(view)) - _WAL_STEP + 1, _WAL_STEP)
        return frozenset(int.from_bytes(view[start : start + 4], "big") for start in starts)


class LogDigest:
    """SHA-256 of a write-ahead log's header, its frames' headers and their pages' tails, taken as the log grows.

    A frame that is put in from an earlier time is valid to SQLite and to the cipher; this tells it.
    """

    def __init__(self) -> None:
        self.n_bytes = 0
        self._hasher = hashlib.sha256()

    def extend(self, wal: Path, n_bytes: int) -> None:
        """Take up what follows as far as `n_bytes`, or as the file reaches. Raises OSError, and then is unchanged."""
        if n_bytes <= self.n_bytes:
            return
        hasher, at = self._hasher.copy(), self.n_bytes
        with _mapped(wal) as view:
            if not at:
                at = WAL_HEADER.size
                hasher.update(view[:at])
            ends = range(at + _WAL_STEP, min(n_bytes, len(view)) + 1, _WAL_STEP)
            frames = [view[e - _WAL_STEP : e - PAGE_BYTES] + view[e - TAIL_BYTES : e] for e in ends]
            hasher.update(b"".join(frames))
        self._hasher, self.n_bytes = hasher, at + len(frames) * _WAL_STEP

    def digest(self) -> bytes:
        return self._hasher.digest()
