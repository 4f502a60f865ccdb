"""Quantized blocks of a GGUF file as MLX packs them: to the last bit, Q6_K excepted (`mlx_kquants.py`).

Blocks become groups of 32: element = scale * level + bias, with levels unsigned and packed from the low bits of
little-endian 32-bit words, across their borders where the width does not divide 32 (MLX, `quantize`). ggml
(`ggml-quants.c`) has element = d * q + m for Q4_1 and Q5_1, and q minus the middle for Q4_0, Q5_0 and Q8_0, where
d * middle is exact in a half unless it overflows. IQ4_NL looks 16 uneven levels up in a table of signed bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.gguf_header import BLOCKS
from secondme.runtime.mlx_gguf import BITS, GROUP, IQ4_NL, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0
from secondme.runtime.mlx_kquants import Bytes, Groups, halves, q4_k, q5_k, q6_k

Scales = NDArray[np.float16] | NDArray[np.float32]

_UNEVEN = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]) + 128
"""The levels of IQ4_NL, counted from -128."""


@dataclass(frozen=True, slots=True)
class Packed:
    """weight: uint32 [n_rows, n_in * bits / 32]; scales and biases: [n_rows, n_in / 32], float16 unless that loses."""

    weight: NDArray[np.uint32]
    scales: Scales
    biases: Scales


def pack(kind: int, raw: bytes, n_rows: int, n_in: int) -> Packed:
    """The blocks of whole rows of a matrix of type `kind`, in MLX's order. `n_in` is a multiple of a block.

    Scales and biases may be infinite or no numbers: nothing is checked here.
    """
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, BLOCKS[kind][1])
    with np.errstate(invalid="ignore"):  # damaged scales: whoever calls looks
        levels, scales, biases = _READERS[kind](blocks)
    weight = _bits_together(levels, BITS[kind]).reshape(n_rows, n_in * BITS[kind] // 8).view("<u4")
    return Packed(weight, scales.reshape(n_rows, n_in // GROUP), biases.reshape(n_rows, n_in // GROUP))


def _bits_together(levels: Bytes, bits: int) -> Bytes:
    """Levels below 2 ** `bits` without the empty bits between them: [..., 32] becomes [..., 4 * bits].

    Eight levels are one number of 64 bits, in which neighbours are pushed together: two, then four, then eight.
    """
    eights = np.ascontiguousarray(levels).view("<u8")
    lane, used = 8, bits
    while lane < 64 and bits < 8:
        mask = np.uint64(sum((1 << used) - 1 << at for at in range(0, 64, 2 * lane)))
        eights = eights & mask | (eights >> np.uint64(lane) & mask) << np.uint64(used)
        lane, used = 2 * lane, 2 * used
    return np.ascontiguousarray(eights.view(np.uint8).reshape(-1, 8)[:, :bits])


def _q4_0(blocks: Bytes) -> Groups:
    return _nibbles(blocks[:, 2:]), *_counted_from_middle(halves(blocks, 0), 8)


def _q4_1(blocks: Bytes) -> Groups:
    return _nibbles(blocks[:, 4:]), halves(blocks, 0), halves(blocks, 2)


def _q5_0(blocks: Bytes) -> Groups:
    return _with_fifth(blocks[:, 2:6], blocks[:, 6:]), *_counted_from_middle(halves(blocks, 0), 16)


def _q5_1(blocks: Bytes) -> Groups:
    return _with_fifth(blocks[:, 4:8], blocks[:, 8:]), halves(blocks, 0), halves(blocks, 2)


def _q8_0(blocks: Bytes) -> Groups:
    return blocks[:, 2:] ^ np.uint8(0x80), *_counted_from_middle(halves(blocks, 0), 128)


def _iq4_nl(blocks: Bytes) -> Groups:
    levels = _UNEVEN.astype(np.uint8)[_nibbles(blocks[:, 2:])]
    return levels, *_counted_from_middle(halves(blocks, 0), 128)


_READERS = {
    Q4_0: _q4_0,
    Q4_1: _q4_1,
    Q5_0: _q5_0,
    Q5_1: _q5_1,
    Q8_0: _q8_0,
    Q4_K: q4_k,
    Q5_K: q5_k,
    Q6_K: q6_k,
    IQ4_NL: _iq4_nl,
}


def _nibbles(data: Bytes) -> Bytes:
    """ggml keeps element i and i + 16 in one byte."""
    return np.concatenate([data & 0x0F, data >> 4], axis=1)


def _with_fifth(fifth: Bytes, data: Bytes) -> Bytes:
    """Nibbles, and their upper bits in the order of the elements."""
    return _nibbles(data) | np.unpackbits(np.ascontiguousarray(fifth), axis=1, bitorder="little") << np.uint8(4)


def _counted_from_middle(scales: NDArray[np.float16], middle: int) -> tuple[Scales, Scales]:
    """Scales and biases of levels that were signed."""
    exact = scales.astype(np.float32) * np.float32(-middle)
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)
    if np.array_equal(half.astype(np.float32), exact):
        return scales, half
    return scales.astype(np.float32), exact


def unturned(rows: NDArray[np.generic], n_heads: int) -> NDArray[np.generic]:
    """Rows of a query or key matrix, from a head's rotated dimensions side by side to halves apart.

    Works on anything with one row for each output, so on packed weights too.
    """
    n_rows = rows.shape[0]
    halves = rows.reshape(n_heads, n_rows // n_heads // 2, 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
