"""Sealed files: AES-256-GCM in the STREAM construction, for cartridges and every other file that is not the database.

A file of any length is cut into chunks of one size, each sealed under a nonce that says which one it is and whether it
is the last. So a file can be read from the middle, and none is taken for whole whose chunks were changed, exchanged,
repeated, left out, added, or cut off, be it between two of them.

    offset  bytes  field
    0       4      magic "SMSF"
    4       1      version, 1
    5       1      algorithm, 1: AES-256-GCM
    6       1      b: a chunk holds 2^b bytes of plaintext, the last one may hold fewer; 6 to 24, by default 20
    7       1      0
    8       32     salt, random
    40      32     context tag = HKDF(key, salt, "secondme sealed file 1 context" || SHA-256(context))
    72      32     commitment
    104     ...    chunks: ciphertext and 16-byte tag each

    file key (32) || commitment (32) || nonce prefix (7) = HKDF(key, salt, "secondme sealed file 1 keys" || bytes 0-71)
    nonce of chunk i (12) = nonce prefix || i as 4 bytes, big-endian || 1 if it is the last, else 0

HKDF is HKDF-SHA256(input key, salt, info) of RFC 5869. The salt gives each file its own key, so that a nonce is used
once; the header is part of the key, so that a chunk opens under the header it was written with and under no other. An
empty file is one empty last chunk; any other last chunk holds at least one byte, so that there is one way to write a
file. The lengths follow from the size of the file. At most 2^32 chunks: 4 PiB by default, well within GCM's bounds for
one key (NIST SP 800-38D). The context is whatever the file must belong to: the caller's project, kind, and hashes. Its
tag is keyed, so that the header tells nothing of it, not even whether two files share one. An older file of the same
key and context opens as well; what must not come back is told apart by its context.

GCM does not commit to its key: a file can be made that opens under two. The commitment, compared before anything is
decrypted, rules that out and tells a wrong key from damage.

Sources: Hoang, Reyhanitabar, Rogaway, Vizard, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance",
CRYPTO 2015 (STREAM); Albertini, Duong, Gueron, Kolbl, Luykx, Schmieg, "How to Abuse and Fix Authenticated Encryption
Without Key Commitment", USENIX Security 2022.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from secondme.crypto.envelope import KEY_BYTES, Secret
from secondme.crypto.erase import erase
from secondme.durable import replacing
from secondme.errors import CorruptRecord, SchemaTooNew, StoreError, StoreFull, UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _Seekable = io.RawIOBase | io.BufferedIOBase

MAGIC = b"SMSF"
VERSION = 1
ALGORITHM = 1
CHUNK_BITS = 20
MIN_CHUNK_BITS, MAX_CHUNK_BITS = 6, 24
MAX_CHUNKS = 2**32
TAG_BYTES = 16

_HEAD = struct.Struct(">4sBBBB32s32s")
HEADER_BYTES = _HEAD.size + 32
_SALT = slice(8, 40)
_PREFIX_BYTES = 7
_INFO_CONTEXT = b"secondme sealed file 1 context"
_INFO_KEYS = b"secondme sealed file 1 keys"
_REMEDY = "put a copy of it back, or let it be made anew"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class SealedInfo:
    """What was sealed: bytes of plaintext, bytes of the file, chunks."""

    n_bytes: int
    n_sealed_bytes: int
    n_chunks: int


# Writing -------------------------------------------------------------------------------------------------------


def seal(
    source: Iterable[bytes] | BinaryIO, path: Path, key: Secret, context: bytes, *, chunk_bits: int = CHUNK_BITS
) -> SealedInfo:
    """Seal all of `source` into the file at `path`, which is replaced in one step; on the disk when it returns.

    Raises StoreFull or StoreError, and what `source` raises; then the file at `path` is what it was before.
    """
    pieces = iter(partial(source.read, 1 << chunk_bits), b"") if isinstance(source, io.IOBase) else source
    with sealing(path, key, context, chunk_bits=chunk_bits) as writer:
        for piece in pieces:
            writer.write(piece)
    return writer.finish()


@contextmanager
def sealing(path: Path, key: Secret, context: bytes, *, chunk_bits: int = CHUNK_BITS) -> Iterator[SealedWriter]:
    """A writer into the file at `path`, which is replaced in one step when the block ends; on the disk after it.

    If the block raises, or the disk is full (StoreFull) or fails (StoreError), the file at `path` is what it was
    before. A process that is killed may leave its unfinished neighbour, itself sealed, for the next one to overwrite.
    """
    with ExitStack() as stack:
        with _writing(path.name):
            file = stack.enter_context(replacing(path))
        writer = SealedWriter(file, key, context, chunk_bits=chunk_bits, name=path.name)
        try:
            yield writer
            writer.finish()
        finally:
            writer.forget()
        with _writing(path.name):
            stack.close()


class SealedWriter:
    """Seals what is written to it into `file`, an open buffered binary file; `finish` writes the last chunk.

    What the file holds before `finish` opens nowhere. Not for two threads at once.
    """

    def __init__(
        self, file: BinaryIO, key: Secret, context: bytes, *, chunk_bits: int = CHUNK_BITS, name: str = "sealed file"
    ) -> None:
        if not MIN_CHUNK_BITS <= chunk_bits <= MAX_CHUNK_BITS:
            raise ValueError(f"chunk_bits must be {MIN_CHUNK_BITS} to {MAX_CHUNK_BITS}")
        salt = os.urandom(32)
        head = _HEAD.pack(MAGIC, VERSION, ALGORITHM, chunk_bits, 0, salt, _context_tag(key, salt, context))
        self._cipher, commitment = _open_cipher(key, head)
        self._file, self._name = file, name
        self._plain = bytearray(1 << chunk_bits)
        self._sealed = bytearray((1 << chunk_bits) + TAG_BYTES)
        self._n_held = 0
        self._n_chunks = 0
        self._broken = False
        self._info: SealedInfo | None = None
        with _writing(name):
            file.write(head + commitment)

    def write(self, data: ReadableBuffer) -> int:
        """Take all of `data`. Raises StoreFull, StoreError, or UsageError beyond 2^32 chunks."""
        if self._info is not None:
            raise ValueError("the sealed file is finished")
        view = memoryview(data).cast("B")
        at = 0
        while at < len(view):
            # A full chunk waits for the next byte, because only then is it known not to be the last.
            if self._n_held == len(self._plain):
                self._write_chunk(last=False)
            n = min(len(self._plain) - self._n_held, len(view) - at)
            self._plain[self._n_held : self._n_held + n] = view[at : at + n]
            self._n_held += n
            at += n
        return at

    def finish(self) -> SealedInfo:
        """Write the last chunk, once, and say what was written. Raises StoreFull or StoreError."""
        if self._info is None:
            n_bytes = self._n_chunks * len(self._plain) + self._n_held
            self._write_chunk(last=True)
            n_sealed = HEADER_BYTES + n_bytes + self._n_chunks * TAG_BYTES
            self._info = SealedInfo(n_bytes, n_sealed, self._n_chunks)
            self.forget()
        return self._info

    def forget(self) -> None:
        """Overwrite the plaintext that is held, and the file's key; nothing can be written after it."""
        self._broken = True
        self._cipher.forget()
        erase(self._plain)

    def _write_chunk(self, *, last: bool) -> None:
        if self._broken:
            raise StoreError(f"{self._name} could not be written whole", hint="seal it again")
        # Once a chunk is lost, nothing may follow it.
        self._broken = True
        if self._n_chunks >= MAX_CHUNKS:
            raise UsageError(f"{self._name} is longer than a sealed file can be", hint="split it; the limit is 4 PiB")
        sealed = memoryview(self._sealed)[: self._n_held + TAG_BYTES]
        self._cipher.seal(self._n_chunks, last, memoryview(self._plain)[: self._n_held], sealed)
        with _writing(self._name):
            self._file.write(sealed)
        self._n_chunks += 1
        self._n_held = 0
        self._broken = False


# Reading -------------------------------------------------------------------------------------------------------


def open_sealed(path: Path, key: Secret, context: bytes) -> SealedReader:
    """Open the sealed file at `path`; see SealedReader for what it raises. StoreError if there is none."""
    with _reading(path.name):
        file = path.open("rb", buffering=0)
    try:
        return SealedReader(file, key, context, name=path.name)
    except BaseException:
        file.close()
        raise


class SealedReader(io.RawIOBase):
    """The plaintext of a sealed file, as a file that can be read at any place; `size` is its length in bytes.

    `file` is an open, unbuffered, seekable binary file, and is closed with the reader. Opening it checks the key, the
    context and the last chunk, and by that the length; reading decrypts and checks the chunks it touches and no others.
    A byte is given out only once its chunk is found to be what was written. Plaintext is in memory alone, of
    two chunks at most. Not for two threads at once.

    Raises CorruptRecord (another key or context, damaged, cut off, not a sealed file), SchemaTooNew, StoreError.
    """

    def __init__(self, file: _Seekable, key: Secret, context: bytes, *, name: str = "sealed file") -> None:
        super().__init__()
        self._file, self._name = file, name
        self._held = bytearray()
        self._cipher: _Cipher | None = None
        with _reading(name):
            n_file_bytes = file.seek(0, io.SEEK_END)
            header = memoryview(bytearray(min(HEADER_BYTES, n_file_bytes)))
            self._fill(0, header)
        self._cipher, chunk_bits = _open_header(bytes(header), key, context, name)
        self._chunk_bytes = 1 << chunk_bits
        body, whole = n_file_bytes - HEADER_BYTES, self._chunk_bytes + TAG_BYTES
        self.n_chunks = max(1, -(-body // whole))
        n_last = body - (self.n_chunks - 1) * whole - TAG_BYTES
        if n_last < 0 or (n_last == 0 and self.n_chunks > 1) or self.n_chunks > MAX_CHUNKS:
            raise CorruptRecord(f"{name} is cut off or damaged at its end", hint=_REMEDY)
        self.size = body - self.n_chunks * TAG_BYTES
        self._at = 0
        self._sealed = bytearray(min(body, whole))
        self._held = bytearray(min(self.size, self._chunk_bytes))
        self._held_chunk = -1
        self._hold(self.n_chunks - 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence] + offset
        if at < 0:
            raise ValueError("the place to read from lies before the file")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        n = self.read_into(self._at, buffer)
        self._at += n
        return n

    def readall(self) -> bytes:
        data = self.read_at(self._at, self.size)
        self._at += len(data)
        return data

    def read_at(self, offset: int, n: int) -> bytes:
        """The `n` bytes from `offset` on, fewer only at the end. Raises CorruptRecord or StoreError."""
        pieces = []
        for i, start, end in self._spans(offset, n):
            self._hold(i)
            pieces.append(bytes(memoryview(self._held)[start:end]))
        return b"".join(pieces)

    def read_into(self, offset: int, buffer: WriteableBuffer) -> int:
        """Fill `buffer` from `offset` on and return how many bytes there were; only the end gives fewer.

        Whole chunks are decrypted straight into it: the way to read much. Raises CorruptRecord or StoreError; of a
        chunk that fails its check nothing is left in `buffer`.
        """
        out = memoryview(buffer).cast("B")
        done = 0
        for i, start, end in self._spans(offset, len(out)):
            into = out[done : done + end - start]
            if len(into) == self._n_plain(i) and i != self._held_chunk:
                self._decrypt(i, into)
            else:
                self._hold(i)
                into[:] = memoryview(self._held)[start:end]
            done += len(into)
        return done

    def chunks(self) -> Iterator[bytes]:
        """All of the plaintext in order, a chunk at a time."""
        for i in range(self.n_chunks):
            yield self.read_at(i * self._chunk_bytes, self._chunk_bytes)

    def verify(self) -> None:
        """Read and check every chunk, those read before as well. Raises CorruptRecord or StoreError."""
        self._held_chunk = -1
        for i in range(self.n_chunks):
            self._hold(i)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()
            erase(self._held)
            if self._cipher is not None:
                self._cipher.forget()

    def _spans(self, offset: int, n: int) -> Iterator[tuple[int, int, int]]:
        """The parts of chunks that hold the `n` bytes from `offset` on: number, start and end within the chunk."""
        if self.closed:
            raise ValueError("the sealed file is closed")
        if offset < 0:
            raise ValueError("the place to read from lies before the file")
        at, stop = offset, min(offset + n, self.size)
        while at < stop:
            i, start = divmod(at, self._chunk_bytes)
            end = min(self._n_plain(i), start + stop - at)
            yield i, start, end
            at += end - start

    def _n_plain(self, i: int) -> int:
        return min(self._chunk_bytes, self.size - i * self._chunk_bytes)

    def _hold(self, i: int) -> None:
        """Keep the plaintext of chunk `i`, so that small reads near each other decrypt it once."""
        if i != self._held_chunk:
            self._held_chunk = -1
            self._decrypt(i, memoryview(self._held)[: self._n_plain(i)])
            self._held_chunk = i

    def _decrypt(self, i: int, into: memoryview) -> None:
        last = i == self.n_chunks - 1
        sealed = memoryview(self._sealed)[: len(into) + TAG_BYTES]
        with _reading(self._name):
            self._fill(HEADER_BYTES + i * (self._chunk_bytes + TAG_BYTES), sealed)
        assert self._cipher is not None
        if not self._cipher.open(i, last, sealed, into):
            where = "at its end" if last else f"in chunk {i + 1} of {self.n_chunks}"
            raise CorruptRecord(f"{self._name} is cut off or damaged {where}", hint=_REMEDY)

    def _fill(self, offset: int, buffer: memoryview) -> None:
        self._file.seek(offset)
        done = 0
        while done < len(buffer):
            n = self._file.readinto(buffer[done:])
            if not n:
                raise CorruptRecord(f"{self._name} was cut off while it was read", hint=_REMEDY)
            done += n


# The construction ----------------------------------------------------------------------------------------------


class _Cipher:
    """AES-256-GCM under the nonces of one file."""

    def __init__(self, key: bytes, prefix: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._key, self._prefix = key, prefix
        self._aead: AESGCM | None = AESGCM(key)

    def forget(self) -> None:
        """Overwrite the key. Not before the end: some builds of the library read it anew for every chunk."""
        self._aead = None
        erase(self._key)

    def seal(self, i: int, last: bool, plain: memoryview, into: memoryview) -> None:
        assert self._aead is not None
        self._aead.encrypt_into(self._nonce(i, last), plain, None, into)

    def open(self, i: int, last: bool, sealed: memoryview, into: memoryview) -> bool:
        """False, and `into` is overwritten, if the chunk is not what was sealed as number `i`."""
        from cryptography.exceptions import InvalidTag

        assert self._aead is not None
        try:
            self._aead.decrypt_into(self._nonce(i, last), sealed, None, into)
        except InvalidTag:
            # The tag is checked last: what came out of a changed chunk is there already.
            into[:] = bytes(len(into))
            return False
        return True

    def _nonce(self, i: int, last: bool) -> bytes:
        return self._prefix + i.to_bytes(4, "big") + bytes([last])


def _open_cipher(key: Secret, head: bytes) -> tuple[_Cipher, bytes]:
    """The cipher and the commitment of a file whose header begins with `head`, 72 bytes."""
    made = _hkdf(key, head[_SALT], _INFO_KEYS + head, KEY_BYTES + 32 + _PREFIX_BYTES)
    file_key, commitment, prefix = made[:KEY_BYTES], made[KEY_BYTES:-_PREFIX_BYTES], made[-_PREFIX_BYTES:]
    erase(made)
    return _Cipher(file_key, prefix), commitment


def _context_tag(key: Secret, salt: bytes, context: bytes) -> bytes:
    return _hkdf(key, salt, _INFO_CONTEXT + hashlib.sha256(context).digest(), 32)


def _hkdf(key: Secret, salt: bytes, info: bytes, n: int) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(key) != KEY_BYTES:
        raise StoreError("there is no key for sealed files: the memory is locked", hint="unlock it, then try again")
    return HKDF(hashes.SHA256(), n, salt, info).derive(key)


def _open_header(header: bytes, key: Secret, context: bytes, name: str) -> tuple[_Cipher, int]:
    """The cipher and the chunk size's exponent; every check that needs no chunk."""
    if header[: len(MAGIC)] != MAGIC:
        raise CorruptRecord(f"{name} is not a sealed file, or is damaged at its beginning", hint=_REMEDY)
    if header[4:5] > bytes([VERSION]):
        raise SchemaTooNew(f"a newer version of secondme wrote {name}", hint="update secondme")
    if len(header) < HEADER_BYTES:
        raise CorruptRecord(f"{name} is cut off in its header", hint=_REMEDY)
    head, commitment = header[: _HEAD.size], header[_HEAD.size :]
    _, version, algorithm, chunk_bits, zero, salt, tag = _HEAD.unpack(head)
    if (version, algorithm, zero) != (VERSION, ALGORITHM, 0) or not MIN_CHUNK_BITS <= chunk_bits <= MAX_CHUNK_BITS:
        raise CorruptRecord(f"{name} is damaged in its header", hint=_REMEDY)
    cipher, expected = _open_cipher(key, head)
    if not hmac.compare_digest(commitment, expected):
        raise CorruptRecord(f"{name} was sealed with another key, or its header is damaged", hint=_REMEDY)
    if not hmac.compare_digest(tag, _context_tag(key, salt, context)):
        raise CorruptRecord(f"{name} is whole, but belongs in another place than this", hint=_REMEDY)
    return cipher, chunk_bits


# Failures of the disk ------------------------------------------------------------------------------------------


@contextmanager
def _writing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StoreFull(
                f"the disk is full, and {name} is not sealed", hint="free some space; what was there before is safe"
            ) from None
        raise StoreError(f"{name} cannot be written ({error.strerror})", hint="check the disk and the folder") from None


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"there is no file {name}", hint=_REMEDY) from None
    except OSError as error:
        raise StoreError(f"{name} cannot be read ({error.strerror})", hint="check the disk and the folder") from None
