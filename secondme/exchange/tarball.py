"""The container of an export: a tar (POSIX.1-1988 ustar, sizes above 8 GiB as GNU tar writes them), as a stream.

Any tar program unpacks it. What is read must be byte for byte what `header` and `END` would write: no links, no
folders, no extensions, nothing after the end. So no change goes unseen, and nothing is ever unpacked to a path.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from secondme.errors import CorruptRecord
from secondme.exchange.canonical import TAKE_ANOTHER

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_NAME = 100


def header(name: str, size_bytes: int) -> bytes:
    """The 512 bytes before a member's content: no date, no owner, readable by its owner alone."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "ascii")


def padding(size_bytes: int) -> bytes:
    """What fills a member's last block."""
    return bytes(-size_bytes % BLOCK)


class Member:
    """A member's content, read in order; `read` never goes beyond it."""

    def __init__(self, file: BinaryIO, name: str, size_bytes: int) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self._file = file
        self._left = size_bytes
        self._n_padding = -size_bytes % BLOCK
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._hash.hexdigest()

    def read(self, n_bytes: int) -> bytes:
        data = _exactly(self._file, min(n_bytes, self._left))
        self._left -= len(data)
        self._hash.update(data)
        return data

    def lines(self, limit_bytes: int) -> Iterator[bytes]:
        """Lines without their ends. Raises CorruptRecord for one that is longer than the limit or has no end."""
        rest = b""
        while self._left:
            rest += self.read(1 << 20)
            *whole, rest = rest.split(b"\n")
            yield from whole
            if len(rest) > limit_bytes:
                raise CorruptRecord("a record of the export is too long", hint=TAKE_ANOTHER)
        if rest:
            raise CorruptRecord("a record of the export is cut off", hint=TAKE_ANOTHER)

    def finish(self) -> None:
        """Go to the end of the member's last block; doing so again does nothing."""
        while self._left:
            self.read(1 << 20)
        n_padding, self._n_padding = self._n_padding, 0
        if _exactly(self._file, n_padding).strip(b"\0"):
            raise CorruptRecord("the export is damaged", hint=TAKE_ANOTHER)


def members(file: BinaryIO) -> Iterator[Member]:
    """The members, one after the other. Raises CorruptRecord for whatever `header` would not have written."""
    while True:
        block = _exactly(file, BLOCK)
        if block == bytes(BLOCK):
            if _exactly(file, BLOCK) != bytes(BLOCK) or file.read(1):
                raise CorruptRecord("the export goes on after its end", hint=TAKE_ANOTHER)
            return
        member = Member(file, *_name_and_size(block))
        yield member
        member.finish()


def _name_and_size(block: bytes) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        same = header(info.name, info.size) == block
    except (tarfile.TarError, ValueError, UnicodeError, IndexError):
        same = False
    if not same:
        raise CorruptRecord("the file is damaged, or is not an export of secondme", hint=TAKE_ANOTHER)
    return info.name, info.size


def _exactly(file: BinaryIO, n_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < n_bytes:
        piece = file.read(n_bytes - len(data))
        if not piece:
            raise CorruptRecord("the export is cut off", hint=TAKE_ANOTHER)
        data += piece
    return bytes(data)
