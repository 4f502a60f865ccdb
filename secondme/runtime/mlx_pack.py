"""Quantized blocks of a GGUF file as MLX packs them, to the last bit: nothing is computed but the order of bits.

A block of 32 elements becomes a group of 32: element = scale * q + bias, with q unsigned and packed from the low bits
of little-endian 32-bit words (MLX, `quantize`). ggml (`ggml-quants.c`) has element = d * q + m for Q4_1, and q minus
the middle for Q4_0 and Q8_0, where scale * middle is exact in a half unless it overflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.mlx_gguf import GROUP, Q4_0, Q4_1, Q8_0

Halves = NDArray[np.float16] | NDArray[np.float32]
_BLOCK_BYTES = {Q4_0: 18, Q4_1: 20, Q8_0: 34}


@dataclass(frozen=True, slots=True)
class Packed:
    """weight: uint32 [n_rows, n_in * bits / 32]; scales and biases: [n_rows, n_in / 32], float16 unless that loses."""

    weight: NDArray[np.uint32]
    scales: Halves
    biases: Halves


def pack(kind: int, raw: bytes | memoryview, n_rows: int, n_in: int) -> Packed:
    """The blocks of a matrix of type `kind`, in MLX's order. `n_in` is a multiple of 32."""
    n_groups = n_in // GROUP
    blocks = np.frombuffer(raw, np.uint8).reshape(n_rows, n_groups, _BLOCK_BYTES[kind])
    scales = blocks[..., :2].copy().view("<f2")[..., 0]
    if kind == Q8_0:
        quants = (blocks[..., 2:] ^ np.uint8(0x80)).reshape(n_rows, n_in)
        return Packed(quants.view("<u4"), *_shifted(scales, 128))
    nibbles = blocks[..., -GROUP // 2 :]
    weight = _interleaved(nibbles).reshape(n_rows, n_in // 2).view("<u4")
    if kind == Q4_0:
        return Packed(weight, *_shifted(scales, 8))
    return Packed(weight, scales, blocks[..., 2:4].copy().view("<f2")[..., 0])


def _interleaved(nibbles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """ggml keeps element i and i + 16 in one byte, MLX i and i + 1."""
    low, high = nibbles & 0x0F, nibbles >> 4
    first, second = low[..., 0::2] | low[..., 1::2] << 4, high[..., 0::2] | high[..., 1::2] << 4
    return np.concatenate([first, second], axis=-1)


def _shifted(scales: Halves, middle: int) -> tuple[Halves, Halves]:
    """Scales and biases of quants that were counted from the middle."""
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
