"""Whether the database file is the one last written: a digest of its pages' tags.

The cipher ends each page with a random nonce and an authentication tag over its content and number (SQLite3 Multiple
Ciphers, chacha20: 16 + 16 bytes). A page that is put back from an older copy passes that check, but not a comparison of
all tags: 32 bytes of each 4096 are hashed, tens of milliseconds for a gigabyte in the page cache.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

PAGE_BYTES = 4096
TAIL_BYTES = 32
"""Nonce and tag at the end of a page."""

# SQLite locks by a byte at 1 GiB and never uses its page.
LOCK_PAGE = (1 << 30) // PAGE_BYTES + 1

WAL_HEADER = struct.Struct(">8I")
WAL_FRAME = struct.Struct(">6I")
_WAL_STEP = WAL_FRAME.size + PAGE_BYTES

_PAGE_WORDS, _TAIL_WORDS = PAGE_BYTES // 8, TAIL_BYTES // 8
_WINDOW_PAGES = 16 * 1024
"""Pages looked at together: no more of a large file is in this process's memory at a time."""

NO_LOG = hashlib.sha256().digest()
"""Digest of a write-ahead log without a frame."""


def digest(path: Path) -> tuple[int, bytes]:
    """Size of the file in bytes and the SHA-256 of its pages' tails, in order. Raises OSError.

    What follows the last whole page counts as well.
    """
    return Tails.of(path).digest()


def digest_without(path: Path, pages: Collection[int]) -> bytes:
    """The digest of the whole pages that are not in `pages`, counted from 1: those a checkpoint leaves alone."""
    return Tails.of(path).digest_without(pages)


class Tails:
    """The tails of a file's pages, 32 bytes each, read once and afterwards only where the file was written.

    Reading all of them brings the whole file through memory: seconds for a store of gigabytes, at every checkpoint.
    """

    def __init__(self) -> None:
        self._tails = bytearray()
        self._rest = b""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Those of the file as it is. Raises OSError."""
        tails = cls()
        tails.reread(path, frozenset())
        return tails

    def digest(self) -> tuple[int, bytes]:
        """As `pages.digest` of the file when it was last read."""
        hasher = hashlib.sha256(self._tails)
        hasher.update(self._rest)
        return len(self._tails) // TAIL_BYTES * PAGE_BYTES + len(self._rest), hasher.digest()

    def digest_without(self, pages: Collection[int]) -> bytes:
        """As `pages.digest_without` of the file when it was last read."""
        hasher, at = hashlib.sha256(), 0
        with memoryview(self._tails) as view:
            for end in (TAIL_BYTES * number for number in sorted({*pages, LOCK_PAGE})):
                hasher.update(view[at : max(at, end - TAIL_BYTES)])  # a damaged log may name page 0
                at = end
            hasher.update(view[at:])
        return hasher.digest()

    def reread(self, path: Path, written: Collection[int]) -> None:
        """Read the pages `written`, counted from 1, and those by which the file grew. Raises OSError, and then is of
        no use."""
        with path.open("rb", buffering=0) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            n_pages, n_known = n_bytes // PAGE_BYTES, len(self._tails) // TAIL_BYTES
            del self._tails[n_pages * TAIL_BYTES :]
            for number in written:
                if 0 < number <= min(n_pages, n_known):
                    file.seek(number * PAGE_BYTES - TAIL_BYTES)
                    self._tails[(number - 1) * TAIL_BYTES : number * TAIL_BYTES] = file.read(TAIL_BYTES)
            for first in range(n_known, n_pages, _WINDOW_PAGES):
                self._tails += _tails_between(file.fileno(), first, min(first + _WINDOW_PAGES, n_pages))
            file.seek(n_pages * PAGE_BYTES)
            self._rest = file.read(PAGE_BYTES)


def _tails_between(file: int, first: int, last: int) -> bytearray:
    """Of the pages from `first` to before `last`, counted from 0."""
    # A mapping begins at a multiple of what the system says, which is more than a page in some.
    start = first * PAGE_BYTES // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    tails = bytearray((last - first) * TAIL_BYTES)
    with (
        mmap.mmap(file, last * PAGE_BYTES - start, access=mmap.ACCESS_READ, offset=start) as view,
        memoryview(view)[first * PAGE_BYTES - start :].cast("Q") as words,
        memoryview(tails).cast("Q") as found,
    ):
        # Column by column: 4 of a page's 512 words of 8 bytes are its tail.
        for column in range(_TAIL_WORDS):
            found[column::_TAIL_WORDS] = words[_PAGE_WORDS - _TAIL_WORDS + column :: _PAGE_WORDS]
    return tails


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
