"""The prefix: the head of every prompt, read once for each model, which all cartridges were read after.

Its cells are kept as a T0 cartridge's sections in one value of the encrypted store: they hold no word of the owner, but
what is put into the runtime unread must not come from a file that anybody may change. All runtimes of a model share
them, so the value says whether the one that read them rotates its blocks.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondme.cartridges import exact
from secondme.cartridges.manifest import hash_of_tokens, model_key
from secondme.memory.store import Store
from secondme.runtime.kv import KvIdentity, KvReader, QuantizedCells

_MAGIC = b"SMPX2"
_PLAIN, _ROTATED = b"\0", b"\1"
_ENTRY = struct.Struct("<HHI")
_KINDS = ("k", "k_scales", "v", "v_scales")


@dataclass(frozen=True, slots=True)
class Prefix:
    """Tokens with the cells of positions 0 .. len(tokens) - 1. `digest` is sha256 (hex) of the tokens."""

    tokens: tuple[int, ...]
    digest: str
    cells: QuantizedCells

    def __len__(self) -> int:
        return len(self.tokens)


def stored(store: Store, identity: KvIdentity, tokens: Sequence[int]) -> Prefix | None:
    """The prefix as any runtime read it for this model; None if none did, or another program version did."""
    packed = store.kept_prefix(_key(identity, tokens))
    if packed is None:
        return None
    try:
        sections, rotated = _unpack(packed)
        maker = replace(identity, dtype="q8_0" if rotated else "f16", rotated=rotated)
        cells = exact.from_sections(sections, maker, len(tokens), 0)
    except (ValueError, KeyError, struct.error):
        return None
    return Prefix(tuple(tokens), hash_of_tokens(tokens), cells)


def read(store: Store, reader: KvReader, tokens: Sequence[int]) -> Prefix:
    """Have the model read it, and keep it. The reader's cache is replaced."""
    reader.rewind(0)
    for _ in reader.read(tokens):
        pass
    cells = reader.quantized_cells()
    store.keep_prefix(_key(reader.identity, tokens), _pack(cells))
    return Prefix(tuple(tokens), hash_of_tokens(tokens), cells)


def _key(identity: KvIdentity, tokens: Sequence[int]) -> str:
    return hashlib.sha256(model_key(identity, hash_of_tokens(tokens), "")).hexdigest()


def _pack(cells: QuantizedCells) -> bytes:
    out = bytearray(_MAGIC + (_ROTATED if cells.rotated else _PLAIN))
    for section in exact.encode(cells):
        data = memoryview(section.data).cast("B")
        out += _ENTRY.pack(_KINDS.index(section.kind), section.layer, len(data)) + data
    return bytes(out)


def _unpack(packed: bytes) -> tuple[dict[tuple[str, int], bytes], bool]:
    """The sections, and whether they are rotated."""
    at = len(_MAGIC) + 1
    rotation = packed[at - 1 : at]
    if packed[: len(_MAGIC)] != _MAGIC or rotation not in (_PLAIN, _ROTATED):
        raise ValueError("no prefix")
    found: dict[tuple[str, int], bytes] = {}
    while at < len(packed):
        kind, layer, size = _ENTRY.unpack_from(packed, at)
        at += _ENTRY.size
        found[_KINDS[kind], layer] = packed[at : at + size]
        at += size
    return found, rotation == _ROTATED
