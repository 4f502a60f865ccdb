"""From cartridges to one cache: opened, checked, decoded, moved to their positions and joined behind the prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondme.cartridges import exact
from secondme.cartridges.format import CartridgeReader
from secondme.cartridges.manifest import Expected, check_manifest
from secondme.cartridges.prefix import Prefix
from secondme.errors import CartridgeIncompatible, CorruptCartridge
from secondme.kernels import kv
from secondme.runtime.kv import Cells, KvIdentity, QuantizedCells, Rope

_HINT = "nothing is lost: the document's text is read instead, and the cartridge is made again"


@dataclass(frozen=True, slots=True)
class Part:
    """A document's decoded cells, with the position of its first token when it was read."""

    cells: QuantizedCells
    start: int
    n_tokens: int


def decode(file: CartridgeReader, expected: Expected) -> Part:
    """Check an open cartridge against what it must be for, and decode it.

    Raises CartridgeIncompatible, CartridgeStale, CorruptCartridge; and CartridgeStale for one that is not complete.
    """
    manifest = file.manifest
    check_manifest(manifest, expected)
    if not manifest.complete:
        raise CartridgeIncompatible("the cartridge holds only the beginning of its document", hint=_HINT)
    file.tokens()
    if manifest.tier == "T0":
        if manifest.codec != exact.CODEC:
            raise CartridgeIncompatible("the cartridge was coded by another version", hint=_HINT)
        return Part(exact.decode(file), manifest.start, manifest.n_tokens)
    raise CorruptCartridge("the cartridge is of no known tier", hint=_HINT)


def compose(prefix: Prefix, parts: Sequence[Part], identity: KvIdentity) -> Cells | QuantizedCells:
    """One cache: the prefix, and behind it the parts one after another.

    Raises CartridgeIncompatible if one must move and the model's keys cannot.
    """
    at = len(prefix)
    if len(parts) == 1 and parts[0].start == at:
        return exact.joined([prefix.cells, parts[0].cells])
    placed = [exact.plain(prefix.cells, identity.shape)]
    for part in parts:
        cells = exact.plain(part.cells, identity.shape)
        placed.append(moved(cells, at - part.start, identity.rope))
        at += part.n_tokens
    return Cells(
        np.concatenate([p.positions for p in placed]),
        np.concatenate([p.k for p in placed], axis=1),
        np.concatenate([p.v for p in placed], axis=1),
    )


def moved(cells: Cells, distance: int, rope: Rope) -> Cells:
    """The cells as if they had been read `distance` positions later (RoFormer, Su et al. 2021: rotations add up)."""
    if distance == 0 or rope.pairs == "none":
        return Cells(cells.positions + np.int32(distance), cells.k, cells.v)
    if not rope.movable:
        raise CartridgeIncompatible("this model's keys cannot be moved to another position", hint=_HINT)
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    angles = kv.rope_angles(np.array([distance], np.int32), frequencies)
    keys = np.stack([kv.rotate_cells(layer, angles, rope.pairs) for layer in cells.k])
    return Cells(cells.positions + np.int32(distance), keys, cells.v)
