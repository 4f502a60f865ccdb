"""Whether MLX computes rightly on this machine, and what memory it may take: for the self-test that ships."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.errors import BackendUnavailable
from secondme.runtime.mlx_lib import core, on_metal, on_worker

_GROUP, _WIDTHS = 32, (4, 5, 8)
"""What conversions write (`mlx_gguf.py`)."""
_MOST_ERROR = 1e-3
"""Of the largest number in the product; float32 leaves 1e-6, and a wrong kernel is wrong by its own size."""


@dataclass(frozen=True, slots=True)
class MlxState:
    """What MLX runs on. `most_bytes` is what it takes at most and keeps out of swap, 0 where it sets itself no limit;
    `memory_bytes` is what the machine has, 0 if MLX does not say."""

    device: str
    most_bytes: int
    memory_bytes: int


def try_mlx() -> MlxState:
    """Multiply with quantized weights, as every layer does, and hold the product to NumPy's.

    Raises BackendUnavailable if MLX is not here or computes something else.
    """
    return on_worker(_try)


def _try() -> MlxState:
    mx = core()
    x = np.random.default_rng(5).standard_normal((3, 64)).astype(np.float32)
    weights = np.random.default_rng(6).standard_normal((96, 64)).astype(np.float32)
    for bits in _WIDTHS:
        packed, scales, biases = mx.quantize(mx.array(weights), group_size=_GROUP, bits=bits)
        product = mx.quantized_matmul(mx.array(x), packed, scales, biases, transpose=True, group_size=_GROUP, bits=bits)
        expected = x @ _unpacked(np.array(packed), np.array(scales), np.array(biases), bits).T
        error = np.abs(np.array(product) - expected).max()
        if not error <= _MOST_ERROR * np.abs(expected).max():  # so that no-number fails as well
            raise BackendUnavailable(
                f"MLX multiplies weights of {bits} bits wrongly on this machine",
                hint="use --backend llama.cpp, and report this",
            )
    info = mx.device_info()
    name = str(info.get("device_name", "")).strip()
    if not on_metal():
        return MlxState(f"the CPU{f' ({name})' if name else ''}", 0, 0)
    most, memory = (int(info.get(key, 0)) for key in ("max_recommended_working_set_size", "memory_size"))
    return MlxState(f"Metal{f' ({name})' if name else ''}", most, memory)


def _unpacked(
    packed: NDArray[np.uint32], scales: NDArray[np.float32], biases: NDArray[np.float32], bits: int
) -> NDArray[np.float32]:
    """The weights [n_rows, n]: levels of `bits` bits without gaps, the first one lowest; a scale and a bias a group."""
    ones = np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little").reshape(len(packed), -1, _GROUP, bits)
    groups = (ones @ (1 << np.arange(bits))).astype(np.float32)
    rows = groups * scales[:, :, None] + biases[:, :, None]
    return rows.reshape(len(packed), -1)
