"""The kernels' meaning, in NumPy: the oracle of their tests, and what runs where the extension is not built."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.kernels.layout import LOW_STEPS

BLOCK_ROWS = 4096  # bounds the widened copy to a few megabytes at usual lengths


def dot_i8(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.int32]:
    """Dot products of `query` [d] with every row of `rows` [n, d], in int32 [n]."""
    wide = query.astype(np.int32)
    out = np.empty(rows.shape[0], np.int32)
    for start in range(0, rows.shape[0], BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS].astype(np.int32)
        np.matmul(block, wide, out=out[start : start + len(block)])
    return out


def scan_u8(
    query: NDArray[np.int8], page: NDArray[np.uint8], wanted: int, threshold: int
) -> tuple[int, NDArray[np.int32]]:
    """Scores of the rows of `page` [64, d], held as x + 128, and a bit for each wanted one above `threshold`."""
    scores = (page.astype(np.int32) - 128) @ query.astype(np.int32)
    return bits_of(scores > threshold) & wanted, scores


def hamming_b1(
    query: NDArray[np.uint8], page: NDArray[np.uint8], wanted: int, threshold: int
) -> tuple[int, NDArray[np.int32]]:
    """Bits in which rows of `page` [64, b] differ from `query` [b], and a bit for each wanted one below `threshold`."""
    distances = np.unpackbits(page ^ query, axis=1).sum(axis=1, dtype=np.int32)
    return bits_of(distances < threshold) & wanted, distances


def rescore_f32(query: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products of `query` [d] with every row of `rows` [n, d], summed in float64."""
    return np.asarray(rows.astype(np.float64) @ query.astype(np.float64), np.float32)


def rescore_i16(query: NDArray[np.int16], high: NDArray[np.uint8], low: NDArray[np.int8]) -> NDArray[np.int64]:
    """Dot products of `query` [d] with 254 * (`high` - 128) + `low`, both [n, d], in int64."""
    rows = LOW_STEPS * (high.astype(np.int64) - 128) + low
    return np.asarray(rows @ query.astype(np.int64))


def bits_of(mask: NDArray[np.bool_]) -> int:
    """Bit i is `mask[i]`."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")
