"""Searches files for canaries: words that must not be readable anywhere, in each spelling they could be left in.

A canary is a random word of letters and digits. `spellings` gives the bytes it could stand as, `Scanner` finds any of
thousands of such byte strings in one pass over a file: the eight bytes at every place are hashed into a table with
NumPy, and only the places that fall on a mark are compared. What a file holds compressed is unpacked and searched too,
wherever in the file it begins.
"""

from __future__ import annotations

import base64
import bz2
import importlib
import lzma
import mmap
import random
import re
import string
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secondme.memory.vectors import quantize

Tokenize = Callable[[str], Sequence[int]]

_HIDDEN = 3
"""An index of words stores what a word shares with the one before it only once: so many letters are not looked for."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Bytes that give `name` away, and how they are spelled."""

    name: str
    spelling: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """`place` is a file's path, and how its content was unpacked."""

    place: str
    name: str
    spelling: str


def words(n: int, seed: int) -> list[str]:
    """Canaries: 20 letters and digits in turns, so that no stemmer cuts them and no two share a beginning by design."""
    chance = random.Random(seed)
    return ["".join(chance.choice(a) for a in (string.ascii_lowercase, string.digits) * 10) for _ in range(n)]


# How a canary could be spelled ---------------------------------------------------------------------------------


def spellings(word: str, tokenizers: Sequence[tuple[str, Tokenize]] = ()) -> Iterator[Pattern]:
    """All spellings of a word; `tokenizers` are named and give the ids that a model would read."""
    text = word[_HIDDEN:]
    yield Pattern(word, "utf-8", text.encode())
    yield Pattern(word, "utf-16 le", text.encode("utf-16-le"))
    yield Pattern(word, "utf-16 be", text.encode("utf-16-be"))
    yield from secrets(word, text.encode())
    for pattern in secrets(word, text.encode("utf-16-le")):
        yield Pattern(word, f"{pattern.spelling} of utf-16", pattern.data)
    for name, tokenize in tokenizers:
        for ids in _token_runs(word, tokenize):
            yield Pattern(word, f"{name} tokens", ids)


def secrets(name: str, data: bytes) -> Iterator[Pattern]:
    """Bytes such as a key as text: hex in both cases, base64 at each alignment and in both alphabets."""
    yield Pattern(name, "hex", data.hex().encode())
    yield Pattern(name, "hex capitals", data.hex().upper().encode())
    for phase in range(3):
        # The characters at both ends hold bits of the neighbours.
        end = (phase + len(data)) // 3 * 4
        for alphabet, encode in (("", base64.b64encode), (" url-safe", base64.urlsafe_b64encode)):
            coded = encode(bytes(phase) + data + bytes(3))[4 if phase else 0 : end]
            yield Pattern(name, f"base64{alphabet} phase {phase}", coded)


def _token_runs(word: str, tokenize: Tokenize) -> Iterator[bytes]:
    """The ids of the word as int32, little endian, however the text before it shifts the pieces.

    The first pieces depend on what stands before the word and the last on what follows, so they are left out.
    """
    runs = {tuple(tokenize(before + word + after)) for before in (" ", "", "(", "xy") for after in ("", ".", " y")}
    inner = {run[3:-2] for run in runs}
    for run in inner:
        packed = np.asarray(run, "<i4").tobytes()
        if len(packed) >= 12:
            yield packed


def vector_rows(name: str, rows: NDArray[np.float32]) -> Iterator[Pattern]:
    """Pieces of each row of `rows` [n, n_dims] as float32 and as int8, where they say most; two a row, as pages cut."""
    for row, coarse in zip(rows, quantize(rows), strict=True):
        for half in (slice(None, len(row) // 2), slice(len(row) // 2, None)):
            yield from _window(name, "float32 row", row[half].astype("<f4"), 24)
            yield from _window(name, "int8 row", coarse[half], 48)


def _window(name: str, spelling: str, values: NDArray[Any], n: int) -> Iterator[Pattern]:
    """The `n` neighbouring values with the fewest zeros; none if there are too many all the same."""
    n = min(n, len(values))
    filled = np.convolve(values != 0, np.ones(n), "valid")
    start = int(filled.argmax())
    if filled[start] >= 6:
        yield Pattern(name, spelling, values[start : start + n].tobytes())


# Searching -----------------------------------------------------------------------------------------------------

_KEY_BYTES = 8
_TABLE_BITS = 22
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BLOCK_BYTES = 1 << 21


class Scanner:
    """Finds any of the patterns. Building it costs as much as searching a few megabytes."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._by_key: dict[int, list[tuple[int, Pattern]]] = {}
        self.n_patterns = 0
        for pattern in dict.fromkeys(patterns):
            offset = _telling(pattern.data)
            key = int.from_bytes(pattern.data[offset : offset + _KEY_BYTES], "little")
            self._by_key.setdefault(key, []).append((offset, pattern))
            self.n_patterns += 1
        self._longest = max((len(p.data) for same in self._by_key.values() for _, p in same), default=0)
        self._table = np.zeros(1 << _TABLE_BITS, bool)
        self._table[_places(np.array(list(self._by_key), np.uint64))] = True

    def within(self, data: bytes | memoryview) -> set[tuple[str, str]]:
        """(name, spelling) of what stands in `data` as it is."""
        found: set[tuple[str, str]] = set()
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK_BYTES):
            # Blocks overlap by the longest pattern on both sides: its key may lie anywhere in it.
            self._block(view[max(0, start - self._longest) : start + _BLOCK_BYTES + self._longest], found)
        return found

    def _block(self, view: memoryview, found: set[tuple[str, str]]) -> None:
        for shift in range(min(_KEY_BYTES, len(view) - _KEY_BYTES + 1)):
            column = np.frombuffer(view, "<u8", (len(view) - shift) // _KEY_BYTES, shift)
            marked = np.flatnonzero(self._table[_places(column)])
            for n in marked.tolist():
                self._compare(view, n * _KEY_BYTES + shift, int(column[n]), found)

    def _compare(self, view: memoryview, at: int, key: int, found: set[tuple[str, str]]) -> None:
        for offset, pattern in self._by_key.get(key, ()):
            if at >= offset and view[at - offset : at - offset + len(pattern.data)] == pattern.data:
                found.add((pattern.name, pattern.spelling))

    def content(self, place: str, data: bytes | memoryview) -> list[Found]:
        """What stands in `data`, or in what is compressed in it, and in what is compressed in that."""
        found = [Found(place, *each) for each in sorted(self.within(data))]
        for _ in range(2):
            # Searched together, with gaps, as most of what unpacks by chance is a few bytes long.
            data = bytes(self._longest).join(unpacked(data))
            place += " unpacked"
            found += [Found(place, *each) for each in sorted(self.within(data))]
        return found

    def file(self, path: Path, name: str) -> list[Found]:
        """What stands in a file, and in its name."""
        found = [Found(f"the name of {name}", *each) for each in sorted(self.within(name.encode("utf-8", "replace")))]
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return found
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                return found + self.content(name, view)

    def tree(self, *folders: Path, without: Sequence[Path] = ()) -> list[Found]:
        """What stands in any file below `folders`, those below `without` left out. Links are not followed."""
        found: list[Found] = []
        for path in files_below(*folders, without=without):
            found += self.file(path, str(path))
        return found


def files_below(*folders: Path, without: Sequence[Path] = ()) -> list[Path]:
    below = (p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())
    return [p for p in below if not any(p.is_relative_to(left_out) for left_out in without)]


def _places(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where the table marks a key: the upper bits of a product (Knuth's multiplicative hashing)."""
    return (keys * _FACTOR) >> np.uint64(64 - _TABLE_BITS)


def _telling(data: bytes) -> int:
    """Where the eight bytes of `data` begin that are least alike, and so stand least often elsewhere."""
    if len(data) < _KEY_BYTES:
        raise ValueError("a pattern must have eight bytes")
    return max(range(len(data) - _KEY_BYTES + 1), key=lambda i: len(set(data[i : i + _KEY_BYTES])))


# Unpacking -----------------------------------------------------------------------------------------------------

_MAX_BYTES = 64 << 20
_ZIP_HEADER = struct.Struct("<4s5H3I2H")
_RAW_STARTS = 64

# RFC 1950: the method 8 and a window of up to 32 KiB, no dictionary, and the two bytes a multiple of 31.
_ZLIB = [bytes([m, f]) for m in range(8, 0x80, 16) for f in range(256) if (m * 256 + f) % 31 == 0 and not f & 0x20]
_MAGIC = re.compile(
    b"(?P<gzip>\x1f\x8b\x08)|(?P<zip>PK\x03\x04)|(?P<bz2>BZh[1-9])|(?P<xz>\xfd7zXZ\0)|(?P<zstd>[(]\xb5\x2f\xfd)|(?P<zlib>"
    + b"|".join(map(re.escape, _ZLIB))
    + b")",
    re.DOTALL,
)


class Inflator(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


def unpacked(data: bytes | memoryview) -> Iterator[bytes]:
    """What each compressed stream in `data` holds, as far as it can be unpacked.

    Streams with a magic number are found wherever they begin, members of zip files and archives within a tar among
    them; a raw deflate stream has none and is tried at the first places only, as after a short header.
    """
    for start in range(min(_RAW_STARTS, len(data))):
        yield _inflated(zlib.decompressobj(-zlib.MAX_WBITS), data, start)
    for match in _MAGIC.finditer(data):
        start, kind = match.start(), match.lastgroup
        if kind == "zip":
            yield _zip_member(data, start)
        elif kind == "gzip":
            yield _inflated(zlib.decompressobj(16 + zlib.MAX_WBITS), data, start)
        elif kind == "zlib":
            yield _inflated(zlib.decompressobj(), data, start)
        elif kind == "bz2":
            yield _inflated(bz2.BZ2Decompressor(), data, start)
        elif kind == "xz":
            yield _inflated(lzma.LZMADecompressor(), data, start)
        elif (zstd := zstd_module()) is not None:
            yield _inflated(zstd.ZstdDecompressor(), data, start, (zstd.ZstdError,))


def zstd_module() -> Any:
    """Python's own from 3.14 on; None before."""
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return None


def _zip_member(data: bytes | memoryview, start: int) -> bytes:
    """A member's content by its local header; what is stored uncompressed stands in the file as it is."""
    header = bytes(data[start : start + _ZIP_HEADER.size])
    if len(header) < _ZIP_HEADER.size:
        return b""
    *_, n_name, n_extra = _ZIP_HEADER.unpack(header)
    return _inflated(zlib.decompressobj(-zlib.MAX_WBITS), data, start + _ZIP_HEADER.size + n_name + n_extra)


_FAULTS: tuple[type[Exception], ...] = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def _inflated(
    stream: Inflator, data: bytes | memoryview, start: int, faults: tuple[type[Exception], ...] = _FAULTS
) -> bytes:
    """What was unpacked until the stream's end or its first fault; most starts by chance fail in their first bytes."""
    out: list[bytes] = []
    n_out, step = 0, 64
    while start < len(data) and n_out < _MAX_BYTES and not getattr(stream, "eof", False):
        try:
            out.append(stream.decompress(bytes(data[start : start + step])))
        except faults:
            break
        n_out += len(out[-1])
        start, step = start + step, min(step * 2, 1 << 20)
    return b"".join(out)
