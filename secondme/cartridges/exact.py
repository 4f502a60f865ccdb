"""T0: cells as a q8_0 cache holds them, coded without loss; an f16 cache is rounded to such blocks before.

Sections per layer: `k` and `v`, int8 blocks coded channel by channel, and `k_scales` and `v_scales`, their float16.
Keys stay as they were read, after RoPE: a cartridge that is put elsewhere is turned by the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.format import CartridgeReader, SectionData
from secondme.cartridges.manifest import Manifest
from secondme.errors import CorruptCartridge
from secondme.kernels import kv
from secondme.runtime.cells import plain
from secondme.runtime.kv import VALUE_ROTATION, Cells, F16Cells, KvIdentity, QuantizedCells
from secondme.runtime.side_by_side import each_layer

CODEC = 1
_HINT = "nothing is lost: the document's text is read instead, and the cartridge is made again"

Sections = Mapping[tuple[str, int], bytes]
"""By kind and layer."""


def encode(cells: QuantizedCells) -> Iterator[SectionData]:
    """The sections of `cells`, layer by layer; what is coded does not say where they are from."""
    for layer in range(len(cells.k)):
        yield SectionData("k", layer, kv.encode_q8(cells.k[layer]))
        yield SectionData("k_scales", layer, kv.encode_scales(cells.k_scales[layer]))
        yield SectionData("v", layer, kv.encode_q8(cells.v[layer]))
        yield SectionData("v_scales", layer, kv.encode_scales(cells.v_scales[layer]))


def decode(reader: CartridgeReader) -> QuantizedCells:
    """The cells that were written. Raises CorruptCartridge, and what reading raises."""
    manifest: Manifest = reader.manifest
    sections = {
        (kind, layer): bytes(reader.section(kind, layer))
        for layer in range(manifest.identity.shape.n_layers)
        for kind in ("k", "k_scales", "v", "v_scales")
    }
    try:
        return from_sections(sections, manifest.identity, manifest.n_tokens, manifest.start)
    except ValueError:
        raise CorruptCartridge("the cartridge's cells cannot be decoded", hint=_HINT) from None


def from_sections(sections: Sections, identity: KvIdentity, n: int, start: int) -> QuantizedCells:
    """`n` cells from position `start` on. Raises ValueError for bytes that are no such cells.

    identity: of the runtime that made them, which need not be the one at hand.
    """
    shape = identity.shape
    if rotated(identity) and (shape.k_dim % VALUE_ROTATION or shape.v_dim % VALUE_ROTATION):
        raise ValueError("heads of this size cannot be rotated")
    sides: list[NDArray[np.int8] | F16Cells] = []
    for side, dim in (("k", shape.k_dim), ("v", shape.v_dim)):
        width = shape.n_kv_heads * dim
        blocks = np.empty((shape.n_layers, n, width), np.int8)
        scales = np.empty((shape.n_layers, n, width // kv.BLOCK), np.float16)
        each_layer(partial(_decode_layer, sections, side, blocks, scales), shape.n_layers)
        if not np.isfinite(scales).all():
            raise ValueError("a scale is not a finite number")
        sides += [blocks, scales]
    positions = np.arange(start, start + n, dtype=np.int32)
    return QuantizedCells(positions, rotated(identity), *sides)  # type: ignore[arg-type]


def _decode_layer(sections: Sections, side: str, blocks: NDArray[np.int8], scales: F16Cells, layer: int) -> None:
    n, width = blocks.shape[1:]
    blocks[layer] = kv.decode_q8(sections[side, layer], n, width)
    scales[layer] = kv.decode_scales(sections[f"{side}_scales", layer], n, scales.shape[2])


def rotated(identity: KvIdentity) -> bool:
    """Whether blocks of that runtime's cache are Hadamard-rotated."""
    return identity.dtype == "q8_0" and identity.rotated


def behind(prefix: QuantizedCells, document: QuantizedCells, identity: KvIdentity) -> Cells | QuantizedCells:
    """`document` behind `prefix`, for the runtime of `identity`.

    Its own blocks stay as they are, to the bit. Where others were made by a runtime that rotates otherwise, all become
    float16.
    """
    if {prefix.rotated, document.rotated} == {rotated(identity)}:
        return joined([prefix, document])
    parts = [plain(part, identity.shape) for part in (prefix, document)]
    return Cells(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.k for p in parts], axis=1),
        np.concatenate([p.v for p in parts], axis=1),
    )


def joined(parts: Sequence[QuantizedCells]) -> QuantizedCells:
    """The cells of `parts`, all of them rotated or none, one behind the other."""
    return QuantizedCells(
        np.concatenate([p.positions for p in parts]),
        parts[0].rotated,
        np.concatenate([p.k for p in parts], axis=1),
        np.concatenate([p.k_scales for p in parts], axis=1),
        np.concatenate([p.v for p in parts], axis=1),
        np.concatenate([p.v_scales for p in parts], axis=1),
    )
