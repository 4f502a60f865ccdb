"""llama.cpp's saved sequence, taken apart into cells and put together again.

The loader trusts every length it reads, so what `build_*` writes is checked first, and `parse_state` believes nothing.

Layout, little endian (llama-kv-cache.cpp, `state_write`): magic u32, sequence i32, streams u32 (1), cells u32; per
cell position i32, number of sequences u32 (1), sequence i32; values-transposed u32, layers u32; per layer the keys:
type i32, bytes in a row u64, rows; per layer the values alike, or where they are transposed type i32, bytes of an
element u32, elements of a row u32, columns. An empty cache ends after the number of cells. A q8_0 row is blocks of a
float16 scale and 32 int8 (ggml-common.h).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible
from secondme.kernels import kv
from secondme.runtime.cells import check_form, check_layer, finite, quantized
from secondme.runtime.kv import (
    VALUE_ROTATION,
    Cells,
    F16Cells,
    FloatRows,
    KvShape,
    QuantizedCells,
    key_rotation,
)
from secondme.runtime.llama_context import CellType
from secondme.runtime.side_by_side import each_layer

STATE_VERSION = 1
"""Version of the layout above."""

Bytes = NDArray[np.uint8]

_MAGIC = 0xAF143CD8
_HEAD = struct.Struct("<IiII")
_SIDES = struct.Struct("<II")
_ROWS = struct.Struct("<iQ")
_COLUMNS = struct.Struct("<iII")
_CELL_BYTES = 12
_TYPES = {"f16": 1, "q8_0": 8}
_BLOCK = 32
_BLOCK_TYPE = np.dtype([("d", "<f2"), ("q", "i1", _BLOCK)])


@dataclass(frozen=True, slots=True)
class CellLayout:
    """How a context holds its cells. `transposed`: values by column, as without flash attention."""

    shape: KvShape
    dtype: CellType
    rotated: bool
    transposed: bool

    def row_bytes(self, dim: int) -> int:
        n = self.shape.n_kv_heads * dim
        return 2 * n if self.dtype == "f16" else n // _BLOCK * _BLOCK_TYPE.itemsize


@dataclass(frozen=True, slots=True)
class RawCells:
    """A state taken apart: positions int32 [n]; k and v uint8 views of the state, one [n, row bytes] for each layer.

    Transposed values are [columns, n, 2] instead.
    """

    positions: NDArray[np.int32]
    k: list[Bytes]
    v: list[Bytes]
    transposed: bool

    def __len__(self) -> int:
        return len(self.positions)


def parse_state(state: Bytes, shape: KvShape, dtype: CellType) -> RawCells:
    """Take a state apart. Raises CartridgeIncompatible if a byte is not as the layout above has it."""
    cursor = _Cursor(state)
    magic, sequence, n_streams, n = cursor.unpack(_HEAD)
    if (magic, sequence, n_streams) != (_MAGIC, 0, 1):
        raise _unknown("its head")
    if n == 0:
        cursor.end()
        return RawCells(np.zeros(0, np.int32), [], [], False)
    cells = cursor.take(n * _CELL_BYTES).view("<i4").reshape(n, 3)
    if not (cells[:, 1:] == (1, 0)).all() or cells[:, 0].min() < 0:
        raise _unknown("its cells")
    transposed, n_layers = cursor.unpack(_SIDES)
    if n_layers != shape.n_layers or transposed not in (0, 1):
        raise _unknown("its number of layers")
    layout = CellLayout(shape, dtype, False, bool(transposed))
    k = [cursor.rows(layout, n, shape.k_dim) for _ in range(n_layers)]
    read_values = cursor.columns if transposed else cursor.rows
    v = [read_values(layout, n, shape.v_dim) for _ in range(n_layers)]
    cursor.end()
    return RawCells(np.ascontiguousarray(cells[:, 0]), k, v, bool(transposed))


def holds_columns(state: Bytes) -> bool:
    """Whether a state that is known to be good holds its values by column."""
    n_cells = _HEAD.unpack(state[: _HEAD.size].tobytes())[3]
    sides = state[_HEAD.size + n_cells * _CELL_BYTES :][: _SIDES.size]
    return bool(n_cells and _SIDES.unpack(sides.tobytes())[0] == 1)


class _Cursor:
    def __init__(self, state: Bytes) -> None:
        self._state, self._at = state, 0

    def take(self, size: int) -> Bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._state):
            raise _unknown("its length")
        return self._state[start : self._at]

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self.take(form.size).tobytes())

    def rows(self, layout: CellLayout, n: int, dim: int) -> Bytes:
        size = layout.row_bytes(dim)
        if self.unpack(_ROWS) != (_TYPES[layout.dtype], size):
            raise _unknown("its rows")
        return self.take(n * size).reshape(n, size)

    def columns(self, layout: CellLayout, n: int, dim: int) -> Bytes:
        n_columns = layout.shape.n_kv_heads * dim
        if layout.dtype != "f16" or self.unpack(_COLUMNS) != (_TYPES["f16"], 2, n_columns):
            raise _unknown("its columns")
        return self.take(2 * n * n_columns).reshape(n_columns, n, 2)

    def end(self) -> None:
        if self._at != len(self._state):
            raise _unknown("its length")


def _unknown(what: str) -> CartridgeIncompatible:
    return CartridgeIncompatible(
        f"the model's saved cache is not laid out as this program knows it: {what}", hint="its text is read instead"
    )


# From a state to cells ---------------------------------------------------------------------------------------------


def cells_of(raw: RawCells, layout: CellLayout, start: int) -> Cells:
    """The cells of positions `start` and above in order of position, as float16 before any rotation."""
    chosen = _chosen(raw.positions, start)
    shape = layout.shape
    k = np.empty((shape.n_layers, len(chosen), shape.n_kv_heads, shape.k_dim), np.float16)
    v = np.empty((shape.n_layers, len(chosen), shape.n_kv_heads, shape.v_dim), np.float16)
    sides = zip((*k, *v), (*raw.k, *_value_rows(raw)), strict=True) if len(chosen) else ()
    for out, rows in sides:
        width = out.shape[1] * out.shape[2]
        if layout.dtype == "f16":
            np.take(rows.view("<f2"), chosen, axis=0, out=out.reshape(-1, width), mode="clip")
        else:
            blocks = rows[chosen].view(_BLOCK_TYPE)
            q = np.ascontiguousarray(blocks["q"]).reshape(-1, width)
            out[:] = kv.dequantize_q8_0(q, np.ascontiguousarray(blocks["d"])).reshape(out.shape)
    if layout.rotated and len(chosen):
        for out, size in ((k, key_rotation(shape.k_dim)), (v, VALUE_ROTATION)):
            for layer in out:
                layer[:] = kv.hadamard(layer.astype(np.float32), size)
    return Cells(raw.positions[chosen], k, v)


def quantized_of(raw: RawCells, layout: CellLayout, start: int) -> QuantizedCells:
    """The same as a q8_0 cache holds them, bit for bit; of an f16 cache rounded to such blocks, not rotated."""
    if layout.dtype == "f16":
        return quantized(cells_of(raw, layout, start))
    chosen = _chosen(raw.positions, start)
    shape = layout.shape
    parts: list[NDArray[np.int8] | F16Cells] = []
    for dim, layers in ((shape.k_dim, raw.k), (shape.v_dim, raw.v)):
        n_blocks = shape.n_kv_heads * dim // _BLOCK
        q = np.empty((shape.n_layers, len(chosen), n_blocks, _BLOCK), np.int8)
        d = np.empty((shape.n_layers, len(chosen), n_blocks), np.float16)
        for layer, rows in enumerate(layers):
            blocks = rows[chosen].view(_BLOCK_TYPE)
            q[layer], d[layer] = blocks["q"], blocks["d"]
        parts += [q.reshape(*q.shape[:2], n_blocks * _BLOCK), d]
    return QuantizedCells(raw.positions[chosen], layout.rotated, *parts)  # type: ignore[arg-type]


def _chosen(positions: NDArray[np.int32], start: int) -> NDArray[np.intp]:
    order = np.argsort(positions, kind="stable")
    return order[positions[order] >= start]


def _value_rows(raw: RawCells) -> list[Bytes]:
    if not raw.transposed:
        return raw.v
    return [np.ascontiguousarray(columns.transpose(1, 0, 2)).reshape(len(raw), -1) for columns in raw.v]


# From cells to a state ---------------------------------------------------------------------------------------------


def build_state(cells: Cells | QuantizedCells, layout: CellLayout, n_tokens: int) -> Bytes:
    """The state of a cache that holds `cells` and stands for `n_tokens` positions.

    Raises ModelError for what must not reach the C++ loader: shapes that do not fit, values that are not finite,
    positions that do not ascend or do not end at n_tokens - 1.
    """
    check_form(cells, layout.shape, n_tokens)
    if not len(cells):
        return np.frombuffer(_HEAD.pack(_MAGIC, 0, 1, 0), np.uint8).copy()
    n, shape = len(cells), layout.shape
    sizes = [_ROWS.size + n * layout.row_bytes(shape.k_dim)] * shape.n_layers
    value_head = _COLUMNS.size if layout.transposed else _ROWS.size
    sizes += [value_head + n * layout.row_bytes(shape.v_dim)] * shape.n_layers
    head = _HEAD.size + n * _CELL_BYTES + _SIDES.size
    state = np.empty(head + sum(sizes), np.uint8)
    state[: _HEAD.size] = np.frombuffer(_HEAD.pack(_MAGIC, 0, 1, n), np.uint8)
    meta = state[_HEAD.size : head - _SIDES.size].view("<i4").reshape(n, 3)
    meta[:, 0], meta[:, 1], meta[:, 2] = cells.positions, 1, 0
    state[head - _SIDES.size : head] = np.frombuffer(_SIDES.pack(layout.transposed, shape.n_layers), np.uint8)
    ends = [head, *(head + end for end in itertools.accumulate(sizes))]
    each_layer(lambda i: _write_side(state[ends[i] : ends[i + 1]], cells, layout, i), len(sizes))
    return state


def _write_side(out: Bytes, cells: Cells | QuantizedCells, layout: CellLayout, index: int) -> None:
    """Write keys (index below the number of layers) or values of one layer with their head, once they were looked at:
    from memory they come once then.
    """
    n, shape = len(cells), layout.shape
    is_key, layer = index < shape.n_layers, index % shape.n_layers
    check_layer(cells, layer, keys=is_key, values=not is_key)
    dim = shape.k_dim if is_key else shape.v_dim
    if layout.transposed and not is_key:
        out[: _COLUMNS.size] = np.frombuffer(_COLUMNS.pack(_TYPES["f16"], 2, shape.n_kv_heads * dim), np.uint8)
        if isinstance(cells, Cells):
            values = cells.v[layer].reshape(n, -1)
        else:
            values = np.empty((n, shape.n_kv_heads * dim), np.float16)
            _write_f16(values, cells, is_key, layer, dim)
        kv.place_columns(np.ascontiguousarray(values), out[_COLUMNS.size :].view("<f2").reshape(-1, n))
        return
    row_bytes = layout.row_bytes(dim)
    out[: _ROWS.size] = np.frombuffer(_ROWS.pack(_TYPES[layout.dtype], row_bytes), np.uint8)
    rows = out[_ROWS.size :].reshape(n, row_bytes)
    if layout.dtype == "f16":
        _write_f16(rows.view("<f2"), cells, is_key, layer, dim)
        return
    q, d = _q8_side(cells, layout.rotated, is_key, layer, dim)
    blocks = rows.view(_BLOCK_TYPE)
    blocks["q"], blocks["d"] = q.reshape(n, -1, _BLOCK), d


def _write_f16(out: F16Cells, cells: Cells | QuantizedCells, is_key: bool, layer: int, dim: int) -> None:
    """Write one layer to float16 [n, n_kv_heads * dim], not rotated."""
    if isinstance(cells, Cells):
        side = cells.k[layer] if is_key else cells.v[layer]
        out[:] = side.reshape(len(side), -1)
        return
    kv.place_values(_plain_rows(cells, is_key, layer, dim).reshape(out.shape), out)
    finite(out)


def _q8_side(
    cells: Cells | QuantizedCells, rotated: bool, is_key: bool, layer: int, dim: int
) -> tuple[NDArray[np.int8], F16Cells]:
    """Blocks of one layer as a cache that is `rotated`, or not, holds them."""
    if isinstance(cells, QuantizedCells) and cells.rotated == rotated:
        return (cells.k[layer], cells.k_scales[layer]) if is_key else (cells.v[layer], cells.v_scales[layer])
    rows = (
        (cells.k[layer] if is_key else cells.v[layer]).astype(np.float32)
        if isinstance(cells, Cells)
        else _plain_rows(cells, is_key, layer, dim)
    )
    if rotated:
        rows = kv.hadamard(rows, key_rotation(dim) if is_key else VALUE_ROTATION)
    with np.errstate(over="ignore"):
        q, scales = kv.quantize_q8_0(rows.reshape(len(rows), -1))
    return q, finite(scales)


def _plain_rows(cells: QuantizedCells, is_key: bool, layer: int, dim: int) -> FloatRows:
    """float32 [n, n_kv_heads, dim] of one layer, turned back if it was rotated."""
    q, d = (cells.k[layer], cells.k_scales[layer]) if is_key else (cells.v[layer], cells.v_scales[layer])
    rows = kv.dequantize_q8_0(q, d).reshape(len(q), -1, dim)
    if not cells.rotated:
        return rows
    return kv.hadamard(rows, key_rotation(dim) if is_key else VALUE_ROTATION)
