"""The SMKV file: a document's coded keys and values, layer by layer, in a sealed file of `crypto/stream.py`.

    offset  bytes  field, little endian
    0       4      magic "SMKV"
    4       2      version, 1
    6       2      0
    8       ...    sections, one behind the other, as the manifest lists them: token ids first, then layer by layer
    ...     ...    manifest: canonical JSON, see `manifest.py`
    -8      4      bytes of the manifest
    -4      4      magic "SMKE"

The manifest stands at the end, so that a cartridge is written in one go while its sections are made; opening a sealed
file decrypts its last chunk anyway. Each section has its own digest beside the seal of the chunks it lies in, so that
a layer can be checked when it is read, and one taken from elsewhere is noticed even by those who hold the key.

Everything is sealed under a key of this one file: HKDF of the project's key and of 32 random bytes, which the file's
row in the store holds. Without the row the project's key opens nothing.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.cartridges import manifest as manifests
from secondme.cartridges.manifest import TOKENS, WHOLE, Manifest, Section, pack, pack_tokens, parse
from secondme.crypto.envelope import KEY_BYTES, Secret, derive
from secondme.crypto.erase import erase
from secondme.crypto.stream import CHUNK_BITS, SealedInfo, SealedReader, open_sealed, sealing
from secondme.errors import (
    CartridgeIncompatible,
    CartridgeStale,
    CorruptCartridge,
    CorruptRecord,
    SchemaTooNew,
    StoreError,
)

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import ReadableBuffer
    from numpy.typing import NDArray

MAGIC = b"SMKV"
END_MAGIC = b"SMKE"
SECRET_BYTES = 32

_HEAD = struct.Struct("<4sHH")
_TAIL = struct.Struct("<I4s")
_CONTEXT = b"secondme cartridge 1"
_PURPOSE = b"secondme cartridge key 1"
_REMEDY = "nothing is lost: the document's text is read instead, and the cartridge is made again"


@dataclass(frozen=True, slots=True)
class SectionData:
    """A section to be written: of a layer, or of the whole cartridge (`WHOLE`)."""

    kind: str
    layer: int
    data: ReadableBuffer


def token_section(tokens: Sequence[int]) -> SectionData:
    """The section that every cartridge begins with. Raises ValueError for what is no token id."""
    return SectionData(TOKENS, WHOLE, pack_tokens(tokens))


def file_key(project_key: Secret, secret: Secret) -> bytearray:
    """The key of one cartridge, 32 bytes. Raises StoreError once the project's key was overwritten by locking."""
    if len(project_key) != KEY_BYTES or len(secret) != SECRET_BYTES:
        raise StoreError("there is no key for cartridges: the memory is locked", hint="unlock it, then try again")
    both = bytearray(project_key) + secret
    try:
        return derive(both, _PURPOSE)
    finally:
        erase(both)


# Writing -------------------------------------------------------------------------------------------------------


def write_cartridge(
    path: Path, key: Secret, manifest: Manifest, sections: Iterable[SectionData], *, chunk_bits: int = CHUNK_BITS
) -> tuple[Manifest, SealedInfo]:
    """Write a cartridge in the place of the file at `path`, in one step; on the disk when it returns.

    `manifest` comes without sections, and is returned with them. Raises ValueError for sections that do not fit it,
    StoreFull, StoreError, and what `sections` raises; then the file at `path` is what it was before.
    """
    with sealing(path, key, _CONTEXT, chunk_bits=chunk_bits) as writer:
        writer.write(_HEAD.pack(MAGIC, manifests.FORMAT, 0))
        table = []
        for section in sections:
            view = memoryview(section.data).cast("B")
            table.append(Section(section.kind, section.layer, len(view), hashlib.sha256(view).digest()))
            writer.write(view)
        whole = replace(manifest, sections=tuple(table))
        if not table:
            raise ValueError("a cartridge without sections")
        packed = pack(whole)
        writer.write(packed + _TAIL.pack(len(packed), END_MAGIC))
    return whole, writer.finish()


# Reading -------------------------------------------------------------------------------------------------------


def open_cartridge(path: Path, key: Secret) -> CartridgeReader:
    """Open the cartridge at `path`; see CartridgeReader for what it raises."""
    with _reading(path):
        sealed = open_sealed(path, key, _CONTEXT)
    try:
        return CartridgeReader(sealed, path)
    except BaseException:
        sealed.close()
        raise


class CartridgeReader:
    """An open cartridge. Opening checks the key, the manifest and that its sections fill the file to the byte.

    Thread-safe; closing it overwrites its key. Every method raises CorruptCartridge for bytes that are not those that
    were written, or cannot be read, CartridgeStale if the file was removed meanwhile, and StoreError if it was closed.
    """

    def __init__(self, sealed: SealedReader, path: Path) -> None:
        """Owns `sealed`. Raises CartridgeIncompatible too, for one that a newer version wrote."""
        self._sealed = sealed
        self._path = path
        self._lock = threading.Lock()
        with _reading(path):
            self.manifest = self._manifest()
        self._places: dict[tuple[str, int], tuple[int, Section]] = {}
        at = _HEAD.size
        for section in self.manifest.sections:
            self._places[section.kind, section.layer] = (at, section)
            at += section.size_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of the sections and the manifest, without the seal."""
        return self._sealed.size

    def has(self, kind: str, layer: int = WHOLE) -> bool:
        return (kind, layer) in self._places

    def section(self, kind: str, layer: int = WHOLE) -> memoryview:
        """The bytes of a section, checked against its digest."""
        if (kind, layer) not in self._places:
            raise CorruptCartridge("the cartridge lacks a part of what its kind has", hint=_REMEDY)
        offset, section = self._places[kind, layer]
        data = bytearray(section.size_bytes)
        with self._lock:
            if self._sealed.closed:
                raise StoreError("the cartridge is closed", hint="memory was locked or closed: open it again")
            with _reading(self._path):
                n_read = self._sealed.read_into(offset, data)
        if n_read != len(data) or hashlib.sha256(data).digest() != section.digest:
            raise CorruptCartridge("a part of the cartridge is not what was written", hint=_REMEDY)
        return memoryview(data)

    def tokens(self) -> NDArray[np.int32]:
        """The ids of the tokens it stands for, int32 [n_tokens], none negative."""
        import numpy as np

        ids = np.frombuffer(self.section(TOKENS), "<i4")
        if (ids < 0).any():
            raise CorruptCartridge("the cartridge holds what is no token", hint=_REMEDY)
        return ids.astype(np.int32, copy=False)

    def verify(self) -> None:
        """Read everything and check every digest; what it means is checked by decoding it."""
        self.tokens()
        for section in self.manifest.sections:
            self.section(section.kind, section.layer)

    def close(self) -> None:
        with self._lock:
            self._sealed.close()

    def __enter__(self) -> CartridgeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _manifest(self) -> Manifest:
        sealed = self._sealed
        if sealed.size < _HEAD.size + _TAIL.size:
            raise CorruptCartridge("the file is no cartridge", hint=_REMEDY)
        magic, version, zero = _HEAD.unpack(sealed.read_at(0, _HEAD.size))
        n_manifest, end_magic = _TAIL.unpack(sealed.read_at(sealed.size - _TAIL.size, _TAIL.size))
        if magic != MAGIC:
            raise CorruptCartridge("the file is no cartridge", hint=_REMEDY)
        if version > manifests.FORMAT:
            raise CartridgeIncompatible("a newer version of secondme wrote the cartridge", hint="update secondme")
        room = sealed.size - _HEAD.size - _TAIL.size
        if (version, zero, end_magic) != (manifests.FORMAT, 0, END_MAGIC):
            raise CorruptCartridge("the cartridge's first or last bytes are wrong", hint=_REMEDY)
        if n_manifest > min(room, manifests.MAX_MANIFEST_BYTES):
            raise CorruptCartridge("the cartridge's description of itself is too long", hint=_REMEDY)
        found = parse(sealed.read_at(_HEAD.size + room - n_manifest, n_manifest))
        if not found.sections or sum(s.size_bytes for s in found.sections) != room - n_manifest:
            raise CorruptCartridge("the cartridge's parts do not add up to its length", hint=_REMEDY)
        return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of a cartridge what is said of sealed files."""
    try:
        yield
    except CorruptRecord as error:
        if not path.exists():
            raise _removed() from None
        raise CorruptCartridge(f"the cartridge cannot be used: {error.message}", hint=_REMEDY) from None
    except SchemaTooNew:
        raise CartridgeIncompatible("a newer version of secondme wrote the cartridge", hint="update secondme") from None
    except StoreError as error:
        if not path.exists():
            raise _removed() from None
        # A disk that fails at this file is no reason to do without its text.
        raise CorruptCartridge(f"the cartridge cannot be used: {error.message}", hint=_REMEDY) from None


def _removed() -> CartridgeStale:
    return CartridgeStale("the cartridge is gone: its document was changed or forgotten", hint=_REMEDY)
