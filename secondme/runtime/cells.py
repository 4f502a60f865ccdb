"""What any runtime asks of cells before it takes them, and how it rounds them.

It stands apart from a runtime's own layout because damage must be found here, before native code sees a byte.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.errors import ModelError
from secondme.kernels import kv
from secondme.runtime.kv import (
    VALUE_ROTATION,
    AnyCells,
    Cells,
    F16Cells,
    KvShape,
    QuantizedCells,
    RaggedCells,
    key_rotation,
)
from secondme.runtime.side_by_side import each_layer


def check_cells(cells: AnyCells, shape: KvShape, n_tokens: int) -> None:
    """Raise ModelError unless `cells` fit `shape`, are finite and stand for `n_tokens` positions."""
    if isinstance(cells, RaggedCells):
        _check_ragged(cells, shape, n_tokens)
        return
    check_form(cells, shape, n_tokens)
    each_layer(lambda layer: check_layer(cells, layer), shape.n_layers)


def rectangular(cells: AnyCells) -> Cells | QuantizedCells:
    """`cells`, for a runtime whose cells are shared by all heads. Raises ModelError for RaggedCells."""
    if isinstance(cells, RaggedCells):
        raise _unfit("its heads differ in length, which this runtime does not know")
    return cells


def _check_ragged(cells: RaggedCells, shape: KvShape, n_tokens: int) -> None:
    n_heads, offsets = shape.n_layers * shape.n_kv_heads, cells.offsets
    if cells.shape != shape:
        raise _unfit("it has another shape")
    if offsets.dtype != np.int64 or offsets.shape != (n_heads + 1,):
        raise _unfit("the ends of its heads have another shape")
    n_rows = int(offsets[-1])
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
        raise _unfit("the ends of its heads do not ascend")
    for what, side, dim in (("keys", cells.k, shape.k_dim), ("values", cells.v, shape.v_dim)):
        if side.dtype != np.float16 or side.shape != (n_rows, dim) or not side.flags.c_contiguous:
            raise _unfit(f"its {what} have another shape")
        if not kv.all_finite(side):
            raise _unfit(f"its {what} are not finite")
    if cells.n_tokens != n_tokens or (offsets[1:] - offsets[:-1]).max(initial=0) > n_tokens:
        raise _unfit("it stands for another number of tokens")
    if not n_rows and n_tokens:
        raise _unfit("it has no cells")
    if cells.bits not in (8, 16):
        raise _unfit("it is to be held in a way this program does not know")


def check_form(cells: Cells | QuantizedCells, shape: KvShape, n_tokens: int) -> None:
    """`check_cells` without a look at the numbers, for who looks at each layer when it is at hand anyway."""
    n = len(cells)
    for what, side, scales, dim in _sides(cells, shape):
        width = (shape.n_kv_heads, dim) if isinstance(cells, Cells) else (shape.n_kv_heads * dim,)
        kind = np.float16 if isinstance(cells, Cells) else np.int8
        if side.dtype != kind or side.shape != (shape.n_layers, n, *width):
            raise _unfit(f"its {what} have another shape")
        if scales is not None and (
            scales.dtype != np.float16 or scales.shape != (shape.n_layers, n, shape.n_kv_heads * dim // kv.BLOCK)
        ):
            raise _unfit(f"the scales of its {what} have another shape")
    positions = cells.positions
    if positions.dtype != np.int32 or positions.shape != (n,):
        raise _unfit("its positions have another shape")
    if n and (positions[0] < 0 or positions[-1] != n_tokens - 1 or (np.diff(positions) <= 0).any()):
        raise _unfit("its positions do not ascend to its last token")
    if not n and n_tokens:
        raise _unfit("it has no cells")


def check_layer(cells: Cells | QuantizedCells, layer: int, *, keys: bool = True, values: bool = True) -> None:
    """Raise ModelError unless the numbers of one layer are finite."""
    k, v = (cells.k, cells.v) if isinstance(cells, Cells) else (cells.k_scales, cells.v_scales)
    for what, asked, side in (("keys", keys, k), ("values", values, v)):
        if asked and not kv.all_finite(side[layer]):
            raise _unfit(f"its {what} are not finite")


def _sides(
    cells: Cells | QuantizedCells, shape: KvShape
) -> list[tuple[str, NDArray[np.float16] | NDArray[np.int8], F16Cells | None, int]]:
    if isinstance(cells, Cells):
        return [("keys", cells.k, None, shape.k_dim), ("values", cells.v, None, shape.v_dim)]
    return [("keys", cells.k, cells.k_scales, shape.k_dim), ("values", cells.v, cells.v_scales, shape.v_dim)]


def _unfit(why: str) -> ModelError:
    return ModelError(f"the cache cannot be placed: {why}", hint="nothing is lost: the text is read again")


def finite(numbers: F16Cells) -> F16Cells:
    """`numbers`, unless one is not finite: what came out of finite numbers may be too large for float16.

    Raises ModelError.
    """
    if not kv.all_finite(numbers):
        raise _unfit("its numbers are too large")
    return numbers


def quantized(cells: Cells) -> QuantizedCells:
    """`cells` rounded to q8_0 blocks, not rotated."""
    sides: list[NDArray[np.int8] | F16Cells] = []
    for side in (cells.k, cells.v):
        q = np.empty((*side.shape[:2], side.shape[2] * side.shape[3]), np.int8)
        d = np.empty((*q.shape[:2], q.shape[2] // kv.BLOCK), np.float16)
        for layer, rows in enumerate(side if len(cells) else ()):
            q[layer], d[layer] = kv.quantize_q8_0(rows.reshape(q.shape[1:]).astype(np.float32))
        sides += [q, d]
    return QuantizedCells(cells.positions, False, *sides)  # type: ignore[arg-type]


def plain(cells: QuantizedCells, shape: KvShape) -> Cells:
    """The same as float16, not rotated; what is too large for that becomes infinite, which `check_cells` refuses."""
    return Cells(
        cells.positions,
        _plain_side(cells.k, cells.k_scales, shape.k_dim, key_rotation(shape.k_dim) if cells.rotated else 0),
        _plain_side(cells.v, cells.v_scales, shape.v_dim, VALUE_ROTATION if cells.rotated else 0),
    )


def _plain_side(blocks: NDArray[np.int8], scales: F16Cells, dim: int, rotation: int) -> F16Cells:
    out = np.empty((*blocks.shape[:2], blocks.shape[2] // dim, dim), np.float16)

    def put(layer: int) -> None:
        rows = kv.dequantize_q8_0(blocks[layer], scales[layer])
        rows = kv.hadamard(rows, rotation) if rotation else rows
        kv.place_values(rows.reshape(len(rows), -1), out[layer].reshape(len(rows), -1))

    each_layer(put, len(blocks))
    return out
