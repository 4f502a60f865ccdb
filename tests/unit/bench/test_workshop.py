"""What opened cartridges are said to take in the runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from secondme.bench.cartridges.workshop import _held_bytes
from secondme.runtime.kv import Cells, KvShape, RaggedCells
from tests.sealing_cartridges import identity_of

SHAPE = KvShape(n_layers=2, n_kv_heads=2, n_heads=4, k_dim=64, v_dim=32)
IDENTITY = identity_of(shape=SHAPE)
N_PREFIX = 3


def test_cells_of_one_length_take_what_the_cache_is_made_of() -> None:
    k, v = (np.zeros((2, 10, 2, dim), np.float16) for dim in (64, 32))
    cells = Cells(np.arange(10, dtype=np.int32), k, v)
    behind = k[:, N_PREFIX:].nbytes + v[:, N_PREFIX:].nbytes
    assert _held_bytes(cells, N_PREFIX, IDENTITY) == behind
    assert _held_bytes(cells, N_PREFIX, replace(IDENTITY, dtype="q8_0")) == behind * 34 // 64


@pytest.mark.parametrize("bits", [8, 16])
def test_ragged_ones_take_what_their_rows_do(bits: int) -> None:
    """64 numbers of 8 bits have a scale and an offset of 16 bits each: 68 bytes for 128."""
    counts = [N_PREFIX + n for n in (7, 0, 1, 4)]
    k, v = (np.zeros((sum(counts), dim), np.float16) for dim in (64, 32))
    cells = RaggedCells(10, SHAPE, np.cumsum([0, *counts]), k, v, bits)  # type: ignore[arg-type]
    plain = 12 * (64 + 32) * 2
    assert _held_bytes(cells, N_PREFIX, IDENTITY) == (plain if bits == 16 else plain * 68 // 128)
