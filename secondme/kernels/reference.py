"""The kernels' meaning, in NumPy: the oracle of their tests, and what runs where the extension is not built."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 4096  # bounds the widened copy to a few megabytes at usual lengths


def dot_i8(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.int32]:
    """Dot products of `query` [d] with every row of `rows` [n, d], in int32 [n]."""
    wide = query.astype(np.int32)
    out = np.empty(rows.shape[0], np.int32)
    for start in range(0, rows.shape[0], BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS].astype(np.int32)
        np.matmul(block, wide, out=out[start : start + len(block)])
    return out
