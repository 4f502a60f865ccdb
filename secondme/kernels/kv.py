"""Kernels for KV cartridges: entropy coding of quantized caches, and moving keys and values into a runtime's cells.

Arrays are read and written where they lie. Every function releases the GIL. Shapes that do not fit raise ValueError,
other element types TypeError. A stream is untrusted: damage raises ValueError and never reads or writes elsewhere, and
what is allocated follows from the sizes that the caller states. `isa` picks one of `capabilities().isas` for tests and
benchmarks; integers are equal on all of them, float32 results differ in the last bits where it is said.
The format of a stream is described in `kv_reference`, its tables in `kv_tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import kv_reference as reference
from secondme.kernels import picked
from secondme.kernels.kv_reference import (
    Array,
    Data,
    Float16Array,
    Float32Array,
    Int8Matrix,
    Int16Matrix,
    UInt8Matrix,
    UInt8Vector,
)
from secondme.kernels.kv_tables import N_SCALES, N_TABLES

Pairs = Literal["adjacent", "halves"]
"""Which elements RoPE rotates together: (2i, 2i + 1), or (i, i + n_dims / 2)."""

DEAD_ZONE = 0.12
"""Of the quantizer whose bins the tables of coefficients are made for: |z| = floor(|y| / step + 0.5 - DEAD_ZONE)."""

MOST_ELEMENTS = 1 << 28
BLOCK = 32
"""Elements of a q8_0 block."""

CountArray = NDArray[np.int64]


# --- T0: blocks of a q8_0 cache ------------------------------------------------------------------------------------


def encode_q8(q: Int8Matrix, *, isa: str | None = None) -> bytes:
    """Code int8 [n, channels] without loss, each channel by the table, centre and prediction that cost least.

    Rows are tokens in order: a channel may be predicted from the two tokens before. n may be 0.
    """
    _check(q, np.int8, 2)
    native, _ = picked(isa)
    return reference.encode_q8(q) if native is None else bytes(native.encode_q8(np.ascontiguousarray(q)))


def decode_q8(data: Data, n: int, channels: int, *, isa: str | None = None) -> Int8Matrix:
    """The int8 [n, channels] that `encode_q8` was given."""
    _check_size(n, channels)
    native, name = picked(isa)
    if native is None:
        return reference.decode_q8(data, n, channels)
    out = np.empty((n, channels), np.int8)
    native.decode_q8(_bytes(data), out, name)
    return out


def encode_scales(scales: Float16Array, *, isa: str | None = None) -> bytes:
    """Code float16 [n, blocks] without loss (any bits): sign, exponent and upper mantissa by tables, the rest as is."""
    _check(scales, np.float16, 2)
    native, _ = picked(isa)
    if native is None:
        return reference.encode_scales(scales)
    return bytes(native.encode_scales(np.ascontiguousarray(scales).view(np.uint16)))


def decode_scales(data: Data, n: int, blocks: int, *, isa: str | None = None) -> Float16Array:
    """The float16 [n, blocks] that `encode_scales` was given, bit for bit."""
    _check_size(n, blocks)
    native, name = picked(isa)
    if native is None:
        return reference.decode_scales(data, n, blocks)
    out = np.empty((n, blocks), np.uint16)
    native.decode_scales(_bytes(data), out, name)
    return out.view(np.float16)


# --- T1 to T3: quantized coefficients of the transform coder ---------------------------------------------------------


@cache
def magnitude_costs(most: int = 255) -> Float32Array:
    """Bits that a coefficient of magnitude 0 .. `most` costs with each table, float32 [N_TABLES, most + 1].

    Signs cost nothing beside this: tables are symmetric. What is beyond a table's own symbols is the cost of its
    escape. Table 0, "always 0", costs nothing for 0 and infinitely much for all else. The array is read-only.
    """
    found = reference.magnitude_costs(most)
    found.setflags(write=False)
    return found


def choose_tables(counts: CountArray) -> NDArray[np.uint8]:
    """The cheapest table for each histogram of magnitudes: counts int64 [..., most + 1] -> uint8 [...].

    Table 0 where only zeros were counted, or nothing.
    """
    _check(counts, np.int64, None)
    costs = magnitude_costs(counts.shape[-1] - 1)[1:].astype(np.float64)
    flat = counts.reshape(-1, counts.shape[-1]).astype(np.float64)
    best = (flat @ costs.T).argmin(axis=-1) + 1
    best[~flat[:, 1:].any(axis=-1)] = 0
    return np.asarray(best.astype(np.uint8).reshape(counts.shape[:-1]))


def shift_table(number: int, eighths: int) -> int:
    """The table of the same shape for steps 2 ** (eighths / 8) times as coarse; table 0 stays, ends are kept."""
    if number == 0:
        return 0
    shape, scale = divmod(number - 1, N_SCALES)
    return 1 + shape * N_SCALES + min(max(scale - eighths, 0), N_SCALES - 1)


def encode_rows(z: Int16Matrix, table_of: UInt8Matrix, classes: UInt8Vector, *, isa: str | None = None) -> bytes:
    """Code coefficients z int16 [n, D], element (r, d) with table table_of[classes[r], d] of the bank.

    table_of: uint8 [n_classes, D], below N_TABLES. classes: uint8 [n], below n_classes. Raises ValueError where a
    coefficient is not 0 though its table is 0, or is -32768. No symbols, no bytes: b"" for n = 0 or tables of 0.
    """
    _check(z, np.int16, 2)
    _check_classes(z.shape, table_of, classes)
    if z.size and int(z.min()) == -32768:
        raise ValueError("a coefficient is below -32767")
    native, _ = picked(isa)
    if native is None:
        return reference.encode_rows(z, table_of, classes)
    return bytes(native.encode_rows(*map(np.ascontiguousarray, (z, table_of, classes))))


def decode_rows(
    data: Data, n: int, table_of: UInt8Matrix, classes: UInt8Vector, *, isa: str | None = None
) -> Int16Matrix:
    """The int16 [n, D] that `encode_rows` was given."""
    _check_classes((n, table_of.shape[-1]), table_of, classes)
    native, name = picked(isa)
    if native is None:
        return reference.decode_rows(data, n, table_of, classes)
    out = np.empty((n, table_of.shape[1]), np.int16)
    native.decode_rows(_bytes(data), *map(np.ascontiguousarray, (table_of, classes)), out, name)
    return out


@dataclass(frozen=True, slots=True)
class Synthesis:
    """From coefficients back to rows: row = dequantized(z) @ matrix + mean.

    steps: float32 [n_classes], the quantizer's step of each class. centroids: float32 [m] or [C, m], m >= 1: where
    |z| = 1 .. m is put, in steps; a larger |z| is put at |z| + last centroid - m. matrix: float32 [C, D], a row for
    each component. mean: float32 [D].
    """

    steps: Float32Array
    centroids: Float32Array
    matrix: Float32Array
    mean: Float32Array


def decode_head(
    data: Data,
    classes: UInt8Vector,
    table_of: UInt8Matrix,
    synthesis: Synthesis,
    *,
    out: Float32Array | None = None,
    isa: str | None = None,
) -> Float32Array:
    """Rows float32 [n, D] of one head from a stream of `encode_rows`, with classes [n] and table_of [n_classes, C].

    They are written to `out`, contiguous, where it is given. Components whose table is 0 take no time. Kernels differ
    by the order of float32 sums.
    """
    n_components, n_dims = synthesis.matrix.shape
    _check_classes((len(classes), n_components), table_of, classes)
    for array in (synthesis.steps, synthesis.centroids, synthesis.matrix, synthesis.mean):
        _check(array, np.float32, None)
    centroids = synthesis.centroids
    if (
        synthesis.steps.shape != (len(table_of),)
        or synthesis.mean.shape != (n_dims,)
        or centroids.shape[-1:] < (1,)
        or (centroids.ndim == 2 and len(centroids) != n_components)
        or centroids.ndim > 2
    ):
        raise ValueError("shapes do not fit: steps [n_classes], centroids [C, m], matrix [C, D], mean [D]")
    centroids = np.broadcast_to(centroids, (n_components, centroids.shape[-1]))
    if out is None:
        out = np.empty((len(classes), n_dims), np.float32)
    _check(out, np.float32, 2)
    if out.shape != (len(classes), n_dims) or not out.flags.c_contiguous:
        raise ValueError("the rows need a contiguous array [n, D]")
    native, name = picked(isa)
    if native is None:
        z = reference.decode_rows(data, len(classes), table_of, classes)
        y = reference.dequantize(z, synthesis.steps[classes], centroids)
        out[...] = y @ synthesis.matrix + synthesis.mean
        return out
    parts = (table_of, classes, synthesis.steps, centroids, synthesis.matrix, synthesis.mean)
    native.decode_head(_bytes(data), *map(np.ascontiguousarray, parts), out, name)
    return out


def add_told(
    rows: Float32Array, mean: Float32Array, matrix: Float32Array, out: Float32Array, *, isa: str | None = None
) -> None:
    """out += (rows - mean) @ matrix, what rows tell of others: rows [n, m], mean [m], matrix [m, D], out [n, D].

    All are contiguous float32. Kernels differ by the order of float32 sums.
    """
    for array in (rows, matrix, out):
        _check(array, np.float32, 2)
    _check(mean, np.float32, 1)
    if matrix.shape != (rows.shape[1], out.shape[1]) or mean.shape != rows.shape[1:] or len(rows) != len(out):
        raise ValueError("shapes do not fit: rows [n, m], mean [m], matrix [m, D], out [n, D]")
    if not all(array.flags.c_contiguous for array in (rows, mean, matrix, out)):
        raise ValueError("the arrays must be contiguous")
    native, name = picked(isa)
    if native is None:
        out += (rows - mean) @ matrix
    else:
        native.add_told(rows, mean, matrix, out, name)


# --- rows and cells --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Angles:
    """Cosine and sine of each pair's angle at each position, float32 [n, n_dims / 2] each."""

    cos: Float32Array
    sin: Float32Array


def rope_frequencies(
    n_dims: int, freq_base: float, freq_scale: float = 1.0, factors: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Angle of each pair per position, float64 [n_dims / 2]: freq_scale * freq_base ** (-2i / n_dims) / factors[i]."""
    if n_dims % 2 or (len(factors) and len(factors) != n_dims // 2):
        raise ValueError("RoPE turns pairs, and needs a factor for each or none")
    found = freq_scale * freq_base ** (-np.arange(0, n_dims, 2) / n_dims)
    return np.asarray(found / np.asarray(factors) if len(factors) else found, np.float64)


def rope_angles(positions: NDArray[np.int32], frequencies: NDArray[np.float64]) -> Angles:
    """For positions int32 [n], also negative ones: computed in double precision, once for all layers and heads."""
    angles = np.asarray(positions, np.float64)[:, None] * frequencies
    return Angles(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


def rotate(
    x: Float32Array, angles: Angles, pairs: Pairs, *, undo: bool = False, isa: str | None = None
) -> Float32Array:
    """Apply RoPE to keys float32 [n, heads, D] or [n, D]; elements beyond n_dims stay. `undo` turns back.

    `angles` has n rows, or one for all. Equal bit for bit on every kernel.
    """
    _check(x, np.float32, None)
    if x.ndim == 2:
        return rotate(x[:, None], angles, pairs, undo=undo, isa=isa)[:, 0]
    _check_angles(x.shape, angles)
    cos, sin = angles.cos, -angles.sin if undo else angles.sin
    native, _ = picked(isa)
    if native is None:
        return reference.rotate(x, cos, sin, pairs == "halves")
    out = np.empty(x.shape, np.float32)
    flat = (-1, x.shape[2])
    native.rotate_f32(
        np.ascontiguousarray(x).reshape(flat), cos, sin, pairs == "halves", x.shape[1] or 1, out.reshape(flat)
    )
    return out


def rotate_cells(cells: Float16Array, angles: Angles, pairs: Pairs, *, isa: str | None = None) -> Float16Array:
    """Move float16 keys [n, heads, D] by the angles of a difference of positions (one row of `angles`, or n).

    The turned keys are rounded to float16 once more. Returns a new array.
    """
    _check(cells, np.float16, 3)
    _check_angles(cells.shape, angles)
    halves = pairs == "halves"
    native, name = picked(isa)
    if native is None:
        return reference.rotate(cells.astype(np.float32), angles.cos, angles.sin, halves).astype(np.float16)
    out = np.empty(cells.shape, np.float16)
    flat = (-1, cells.shape[2])
    words, found = np.ascontiguousarray(cells).view(np.uint16).reshape(flat), out.view(np.uint16).reshape(flat)
    native.rotate_f16(words, angles.cos, angles.sin, halves, cells.shape[1] or 1, found, name)
    return out


def place_keys(
    rows: Float32Array,
    angles: Angles,
    pairs: Pairs,
    out: Float16Array,
    *,
    which: NDArray[np.int32] | None = None,
    isa: str | None = None,
) -> None:
    """Apply RoPE to keys float32 [n, D] of one head and write them to `out`, float16 [n, D], rounded to nearest.

    Row r is turned by angles `which`[r], int32 [n]; without it by angles r, or by the only ones there are. `out` may be
    any view of cells, such as cells[layer, start : start + n, head].
    """
    _check(rows, np.float32, 2)
    _check_out(rows, out)
    which = _which(len(rows), angles, which)
    if 2 * angles.cos.shape[1] > rows.shape[1]:
        raise ValueError("shapes do not fit: keys [n, D], angles of at most D / 2 pairs")
    native, name = picked(isa)
    if native is None:
        out[...] = rotate(rows, Angles(angles.cos[which], angles.sin[which]), pairs, isa=isa)
    else:
        native.place_keys(rows, angles.cos, angles.sin, which, pairs == "halves", out.view(np.uint16), name)


def _which(n: int, angles: Angles, which: NDArray[np.int32] | None) -> NDArray[np.int32]:
    """The number of each row's angles, checked."""
    _check(angles.cos, np.float32, 2)
    _check(angles.sin, np.float32, 2)
    if which is None:
        if len(angles.cos) not in (1, n):
            raise ValueError("shapes do not fit: keys [n, D], angles [n or 1, at most D / 2]")
        which = np.arange(n, dtype=np.int32) if len(angles.cos) == n else np.zeros(n, np.int32)
    _check(which, np.int32, 1)
    if angles.cos.shape != angles.sin.shape or which.shape != (n,):
        raise ValueError("shapes do not fit: as many cosines as sines, and a number for each row")
    if n and (int(which.min()) < 0 or int(which.max()) >= len(angles.cos)):
        raise ValueError("there are no such angles")
    return np.ascontiguousarray(which)


def place_values(rows: Float32Array, out: Float16Array, *, isa: str | None = None) -> None:
    """Write float32 [n, D] to `out`, float16 [n, D], rounded to nearest; `out` as for `place_keys`."""
    _check(rows, np.float32, 2)
    _check_out(rows, out)
    native, name = picked(isa)
    if native is None:
        out[...] = rows
    else:
        native.place_values(rows, out.view(np.uint16), name)


def all_finite(cells: Float16Array) -> bool:
    """Whether no element of contiguous float16 is infinite or NaN: ten times as fast as NumPy's own test."""
    _check(cells, np.float16, None)
    words = np.ascontiguousarray(cells).view(np.uint16).reshape(-1)
    native, _ = picked(None)
    if native is None:
        return int((words & np.uint16(0x7FFF)).max(initial=0)) < 0x7C00
    return bool(native.finite_f16(words))


def place_columns(rows: Float16Array, out: Float16Array) -> None:
    """Write float16 [n, D] to `out`, float16 [D, n], both contiguous, bit for bit."""
    for array in (rows, out):
        _check(array, np.float16, 2)
    if out.shape != rows.shape[::-1] or not (rows.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("rows are [n, D] and columns [D, n], and both are contiguous")
    native, _ = picked(None)
    if native is None:
        out[...] = rows.T
    else:
        native.columns_16(rows.view(np.uint16), out.view(np.uint16))


def gather_rows(cells: Float16Array, tokens: NDArray[np.int32], *, isa: str | None = None) -> Float32Array:
    """Rows of one head, float32 [len(tokens), D], of cells float16 [n, D], any view such as k[layer, :, head]."""
    _check(cells, np.float16, 2)
    _check(tokens, np.int32, 1)
    if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= len(cells)):
        raise ValueError("a token is not among the cells")
    native, name = picked(isa)
    if native is None:
        return cells[tokens].astype(np.float32)
    out = np.empty((len(tokens), cells.shape[1]), np.float32)
    native.gather_rows(cells.view(np.uint16), np.ascontiguousarray(tokens), out, name)
    return out


def hadamard(x: Float32Array, size: int = 64, *, isa: str | None = None) -> Float32Array:
    """Every `size` elements of the last axis times the orthonormal Hadamard matrix (Sylvester's order), its inverse.

    x: float32 [..., a multiple of size], size a power of 2. Equal bit for bit on every kernel.
    """
    _check(x, np.float32, None)
    if size < 2 or size & (size - 1) or size > 4096 or x.ndim == 0 or x.shape[-1] % size:
        raise ValueError("the last axis must hold whole blocks of a power of 2, at most 4096")
    native, _ = picked(isa)
    if native is None:
        return reference.hadamard(x, size)
    out = np.empty(x.shape, np.float32)
    native.hadamard_f32(np.ascontiguousarray(x).ravel(), size, out.ravel())
    return out


def quantize_q8_0(x: Float32Array, *, isa: str | None = None) -> tuple[Int8Matrix, Float16Array]:
    """Round float32 [..., m], m a multiple of 32, to blocks: int8 [..., m] and float16 scales [..., m / 32].

    As ggml's portable quantizer does: scale = largest magnitude / 127; elements are divided by the scale before it is
    rounded to float16, and rounded to nearest, halves away from 0. Equal bit for bit on every kernel.
    """
    _check(x, np.float32, None)
    if x.ndim == 0 or x.shape[-1] % BLOCK:
        raise ValueError("the last axis must hold whole blocks of 32")
    if not np.isfinite(x).all():
        raise ValueError("a value is not a finite number")
    native, name = picked(isa)
    if native is None:
        return reference.quantize_q8_0(x)
    q, scales = np.empty(x.shape, np.int8), np.empty((*x.shape[:-1], x.shape[-1] // BLOCK), np.float16)
    native.quantize_q8_0(np.ascontiguousarray(x).ravel(), q.ravel(), scales.view(np.uint16).ravel(), name)
    return q, scales


def dequantize_q8_0(q: Int8Matrix, scales: Float16Array, *, isa: str | None = None) -> Float32Array:
    """float32 [..., m] of int8 [..., m] and float16 scales [..., m / 32]; exact products."""
    _check(q, np.int8, None)
    _check(scales, np.float16, None)
    if q.ndim == 0 or q.shape[-1] % BLOCK or scales.shape != (*q.shape[:-1], q.shape[-1] // BLOCK):
        raise ValueError("shapes do not fit: q [..., m], scales [..., m / 32]")
    native, name = picked(isa)
    if native is None:
        return reference.dequantize_q8_0(q, scales)
    out = np.empty(q.shape, np.float32)
    words = np.ascontiguousarray(scales).view(np.uint16)
    native.dequantize_q8_0(np.ascontiguousarray(q).ravel(), words.ravel(), out.ravel(), name)
    return out


@cache
def _reference_coded(levels: bytes, channels: int) -> bytes:
    return reference.encode_q8(np.frombuffer(levels, np.int8).reshape(-1, channels))


def agrees(isa: str) -> bool:
    """Whether these kernels do here what the reference does: a part of `secondme doctor`'s self-test."""
    random = np.random.default_rng(12)
    q = np.clip(np.rint(random.standard_normal((90, 48)) * np.linspace(0.3, 70, 48)), -127, 127).astype(np.int8)
    few = np.ascontiguousarray(q[:, ::5])
    coded = _reference_coded(few.tobytes(), few.shape[1])
    if encode_q8(few, isa=isa) != coded or not np.array_equal(decode_q8(coded, *few.shape, isa=isa), few):
        return False
    z, classes = q.astype(np.int16), (np.arange(90) % 2).astype(np.uint8)
    tables = np.full((2, 48), 120, np.uint8)
    matrix = random.standard_normal((48, 40)).astype(np.float32)
    synthesis = Synthesis(np.full(2, 0.1, np.float32), np.ones(1, np.float32), matrix, matrix[0])
    rows = encode_rows(z, tables, classes, isa=isa)
    expected = z @ matrix * 0.1 + matrix[0]
    if not np.allclose(decode_head(rows, classes, tables, synthesis, isa=isa), expected, rtol=0, atol=2e-3):
        return False
    cells = np.zeros((90, 48), np.float16)
    angles = rope_angles(np.arange(90, dtype=np.int32), rope_frequencies(48, 10_000.0))
    place_keys(q.astype(np.float32), angles, "halves", cells, isa=isa)
    turned = reference.rotate(q.astype(np.float32)[:, None], angles.cos, angles.sin, True)[:, 0]
    return np.array_equal(cells, turned.astype(np.float16))


def _bytes(data: Data) -> UInt8Vector:
    return np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)


def _check(array: Array, dtype: Any, n_axes: int | None) -> None:
    if array.dtype != dtype:
        raise TypeError(f"an array of {np.dtype(dtype)} is needed, not of {array.dtype}")
    if n_axes is not None and array.ndim != n_axes:
        raise ValueError(f"an array of {n_axes} axes is needed, not of {array.ndim}")


def _check_size(n: int, width: int) -> None:
    if n < 0 or width < 0 or n * width > MOST_ELEMENTS:
        raise ValueError(f"sizes are at least 0 and there are at most {MOST_ELEMENTS} elements")


def _check_classes(shape: tuple[int, ...], table_of: UInt8Matrix, classes: UInt8Vector) -> None:
    _check(table_of, np.uint8, 2)
    _check(classes, np.uint8, 1)
    _check_size(*shape)
    if classes.shape != shape[:1] or table_of.shape[1] != shape[1]:
        raise ValueError("shapes do not fit: coefficients [n, D], classes [n], tables [n_classes, D]")
    if (len(classes) and int(classes.max()) >= len(table_of)) or (table_of.size and int(table_of.max()) >= N_TABLES):
        raise ValueError("there is no such class or table")


def _check_angles(shape: tuple[int, ...], angles: Angles) -> None:
    cos, sin = angles.cos, angles.sin
    _check(cos, np.float32, 2)
    _check(sin, np.float32, 2)
    if len(shape) != 3 or cos.shape != sin.shape or len(cos) not in (1, shape[0]) or 2 * cos.shape[1] > shape[2]:
        raise ValueError("shapes do not fit: keys [n, heads, D], angles [n or 1, at most D / 2]")


def _check_out(rows: Array, out: Float16Array) -> None:
    _check(out, np.float16, 2)
    if out.shape != rows.shape:
        raise ValueError("shapes do not fit: rows and cells are [n, D]")
    if any(array.shape[1] > 1 and array.strides[1] != array.itemsize for array in (rows, out)):
        raise ValueError("the elements of a row must be adjacent")
