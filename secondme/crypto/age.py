"""Files sealed for a passphrase in the age format, version 1 (https://age-encryption.org/v1), as streams.

The format is spoken here, and not only through a library, because those at hand want the whole file in memory. What is
written opens with `age --decrypt`, and the other way round. A header may ask for at most MAX_LOG_N: 1 GiB of memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from secondme.crypto.erase import erase
from secondme.errors import CorruptRecord, WrongPassphrase

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = b"age-encryption.org/v1\n"
LOG_N = 18
"""The work for one guess at the passphrase: 2^18 with r = 8 is 256 MiB and about a second."""
MAX_LOG_N = 20

_CHUNK = 64 * 1024
_TAG = 16
_LABEL = b"age-encryption.org/v1/scrypt"
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n"
    rb"--- ([A-Za-z0-9+/]{43})\n"
)
_MAX_HEADER = 200


class AgeWriter:
    """Seals what is written to it; what is in the file is whole only after `finish`."""

    def __init__(self, file: BinaryIO, passphrase: str, *, log_n: int = LOG_N) -> None:
        file_key, salt = os.urandom(16), os.urandom(16)
        wrap_key = _wrap_key(_normal(passphrase), salt, log_n)
        wrapped = _aead(wrap_key).encrypt(bytes(12), file_key, None)
        head = MAGIC + b"-> scrypt %s %d\n%s\n---" % (_base64(salt), log_n, _base64(wrapped))
        nonce = os.urandom(16)
        file.write(head + b" " + _base64(_mac(file_key, head)) + b"\n" + nonce)
        self._file = file
        payload_key = _hkdf(file_key, nonce, b"payload")
        self._aead = _aead(payload_key)
        erase(wrap_key, file_key, payload_key)
        self._waiting = bytearray()
        self._n = 0

    def write(self, data: bytes) -> None:
        self._waiting += data
        # The last chunk is marked as such, so one is always held back.
        while len(self._waiting) > _CHUNK:
            self._seal(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]

    def finish(self) -> None:
        """Write the last chunk; the file itself stays open."""
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._aead.encrypt(_nonce(self._n, last), chunk, None))
        self._n += 1


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """An opened header: the key of the content, and where in the file that begins. Never shown."""

    key: bytes
    start: int


def open_header(file: BinaryIO, passphrase: str) -> Opened:
    """Read the header of `file`, from its start, and open it.

    Raises WrongPassphrase, and CorruptRecord for a header that is damaged, asks for too much work, or is not one for a
    passphrase.
    """
    file.seek(0)
    match = _HEADER.match(file.read(_MAX_HEADER))
    if match is None:
        raise CorruptRecord(
            "the file is in the age format, but not sealed for a passphrase, or its header is damaged",
            hint="open it with the age program and the right key first, or take another copy",
        )
    salt, wrapped, mac = (_unbase64(match[i]) for i in (1, 3, 4))
    if int(match[2]) > MAX_LOG_N:
        raise CorruptRecord(
            "the file asks for more than 1 GiB of memory to be opened", hint="open it with the age program first"
        )
    file_key = _file_key(passphrase, salt, int(match[2]), wrapped)
    if file_key is None:
        raise WrongPassphrase(
            "the passphrase does not open the file", hint="try again; if it is right, the file's header is damaged"
        )
    head = match[0][: match[0].rindex(b"--- ") + 3]
    if not hmac.compare_digest(_mac(file_key, head), mac):
        raise _damaged()
    nonce_at = match.end()
    file.seek(nonce_at)
    nonce = file.read(16)
    if len(nonce) != 16:
        raise _damaged()
    key = _hkdf(file_key, nonce, b"payload")
    erase(file_key)
    return Opened(key, nonce_at + 16)


class AgeReader(io.RawIOBase):
    """The content, verified as it is read: not a byte is handed out that was changed, and no end but the right one.

    Reading raises CorruptRecord at the chunk that does not fit.
    """

    def __init__(self, file: BinaryIO, opened: Opened) -> None:
        file.seek(opened.start)
        self._file = file
        self._aead = _aead(opened.key)
        self._chunk = b""
        self._at = 0
        self._n = 0
        self._ended = False
        self._ahead = file.read(_CHUNK + _TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # RawIOBase knows more kinds
        if self._at == len(self._chunk) and not self._ended:
            self._next()
        piece = self._chunk[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _next(self) -> None:
        sealed, self._ahead = self._ahead, self._file.read(_CHUNK + _TAG)
        last = not self._ahead
        chunk = _decrypt(self._aead, _nonce(self._n, last), sealed)
        # An empty chunk stands for an empty file and for nothing else.
        if chunk is None or (not chunk and self._n > 0):
            raise _damaged()
        self._chunk, self._at, self._ended = chunk, 0, last
        self._n += 1


def _normal(passphrase: str) -> str:
    """NFC (RFC 8265): the same bytes however a keyboard composes a letter."""
    return unicodedata.normalize("NFC", passphrase)


def _file_key(passphrase: str, salt: bytes, log_n: int, wrapped: bytes) -> bytes | None:
    """The unwrapped key; None if the passphrase is wrong. Other programs take a passphrase as it was typed."""
    for typed in dict.fromkeys((_normal(passphrase), passphrase)):
        wrap_key = _wrap_key(typed, salt, log_n)
        found = _decrypt(_aead(wrap_key), bytes(12), wrapped)
        erase(wrap_key)
        if found is not None and len(found) == 16:
            return found
    return None


def _wrap_key(passphrase: str, salt: bytes, log_n: int) -> bytes:
    secret = passphrase.encode("utf-8", "surrogateescape")
    memory = 128 * 8 << log_n
    try:
        return hashlib.scrypt(secret, salt=_LABEL + salt, n=1 << log_n, r=8, p=1, maxmem=memory + 2**20, dklen=32)
    finally:
        erase(secret)


def _mac(file_key: bytes, head: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), head, hashlib.sha256)


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(key)


def _aead(key: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key)


def _decrypt(aead: ChaCha20Poly1305, nonce: bytes, sealed: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    if len(sealed) < _TAG:
        return None
    try:
        return aead.decrypt(nonce, sealed, None)
    except InvalidTag:
        return None


def _nonce(n: int, last: bool) -> bytes:
    return n.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unbase64(text: bytes) -> bytes:
    """Exactly what `_base64` writes: other spellings of the same bytes count as damage."""
    data = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    if _base64(data) != text:
        raise _damaged()
    return data


def _damaged() -> CorruptRecord:
    return CorruptRecord("the sealed file is damaged, cut off or was changed", hint="take another copy of it")
