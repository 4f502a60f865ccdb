"""The native kernels' face: what this machine can run, and calls that take NumPy arrays without copying them.

The extension is compiled from `native/` and picks the best instruction set when it loads; `SECONDME_ISA` picks another
(`serial`, `avx2`, ...; `numpy` is the reference). Where it is not built, the NumPy reference answers, exactly but
slower, so a missing extension or instruction set is never an error. Callers must not care which of these runs.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondme.errors import ConfigError
from secondme.kernels import reference
from secondme.kernels.layout import LOW_STEPS, MAX_STRIDE, PAGE_ROWS, ROW_ALIGN, SIGN_ALIGN, padded, page_of

if TYPE_CHECKING:
    from types import ModuleType

Int8Vector = NDArray[np.int8]
Int8Matrix = NDArray[np.int8]
Int16Vector = NDArray[np.int16]
Int32Vector = NDArray[np.int32]
Int32Matrix = NDArray[np.int32]
Int64Vector = NDArray[np.int64]
UInt8Vector = NDArray[np.uint8]
UInt8Matrix = NDArray[np.uint8]
Float32Vector = NDArray[np.float32]
Float32Matrix = NDArray[np.float32]
Vector = NDArray[Any]

REFERENCE = "numpy"
MAX_DIMS = 131_071
"""Longest row whose int32 sum is exact when every element is -128; see native/include/dot/dot.h."""

ALL_ROWS = (1 << PAGE_ROWS) - 1
LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1
MOST_I16 = LOW_STEPS * 127 + 127


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What runs here.

    isa: the kernels in use; `numpy` is the reference.
    isas: all that run here, best first; `numpy` is always last.
    features: instruction sets of this CPU that kernels exist or are planned for.
    extension: path of the compiled extension, or None if the reference stands in for it.
    note: why the extension is not in use; empty if it is.
    """

    isa: str
    isas: tuple[str, ...]
    features: tuple[str, ...]
    extension: str | None
    note: str


def capabilities() -> Capabilities:
    """Raises ConfigError if SECONDME_ISA names kernels that do not run here."""
    native, note = _load()
    features = tuple(name for name, here in native.features().items() if here) if native else ()
    return Capabilities(_chosen(), _available(), features, native.__file__ if native else None, note)


def dot_i8(query: Int8Vector, rows: Int8Matrix, *, isa: str | None = None) -> Int32Vector:
    """Exact dot products of `query` [d] with every row of `rows` [n, d], as int32 [n].

    Nothing is copied: rows may lie anywhere and at any distance, but the elements of one row must be adjacent.
    `isa` picks one of `capabilities().isas` for tests and benchmarks. Raises TypeError for other element types,
    ValueError for shapes that do not fit, d > MAX_DIMS, scattered elements or an unknown `isa`, and ConfigError if
    SECONDME_ISA names kernels that do not run here.
    """
    if query.dtype != np.int8 or rows.dtype != np.int8:
        raise TypeError(f"int8 arrays are needed, not {query.dtype} and {rows.dtype}")
    if query.ndim != 1 or rows.ndim != 2 or query.shape[0] != rows.shape[1] or query.shape[0] > MAX_DIMS:
        raise ValueError(f"shapes do not fit: query {query.shape}, rows {rows.shape}; d is at most {MAX_DIMS}")
    native, name = picked(isa)
    if native is None:
        return reference.dot_i8(query, rows)
    out = np.empty(rows.shape[0], np.int32)
    native.dot_i8(query, rows, out, name)
    return out


def scan_u8(
    query: Int8Vector, page: UInt8Matrix, *, wanted: int = ALL_ROWS, threshold: int = LOWEST, isa: str | None = None
) -> tuple[int, Int32Vector]:
    """Which rows of a page score above `threshold`, a bit for each, and the scores [64] of those rows.

    `page` [64, d] holds rows as x + 128 and `query` [d] ends with zeros where d is more than the dimensions; both as
    `layout` makes them: d a multiple of 64, at most 4096, aligned to 64 bytes. Rows without a bit in `wanted` are not
    reported, and the score of a row that is not reported means nothing. Raises as `dot_i8` does, and ValueError for
    memory that is not aligned or contiguous, or a mask or threshold out of range.
    """
    _check_page(query, page, np.int8, (ROW_ALIGN, MAX_STRIDE))
    _check_word(wanted, threshold)
    native, name = picked(isa)
    if native is None:
        return reference.scan_u8(query, page, wanted, threshold)
    scores = np.zeros(PAGE_ROWS, np.int32)
    return native.scan_u8(query, page, wanted, threshold, scores, name), scores


def hamming_b1(
    query: UInt8Vector, page: UInt8Matrix, *, wanted: int = ALL_ROWS, threshold: int = HIGHEST, isa: str | None = None
) -> tuple[int, Int32Vector]:
    """Which rows of a page of sign bits differ from `query` in fewer than `threshold` bits, and in how many [64].

    `query` [b] and `page` [64, b] are bytes, b a multiple of 8, at most 512, aligned to 8 bytes. The rest is as for
    `scan_u8`.
    """
    _check_page(query, page, np.uint8, (SIGN_ALIGN, MAX_STRIDE // 8))
    _check_word(wanted, threshold)
    native, name = picked(isa)
    if native is None:
        return reference.hamming_b1(query, page, wanted, threshold)
    distances = np.zeros(PAGE_ROWS, np.int32)
    return native.hamming_b1(query, page, wanted, threshold, distances, name), distances


def rescore_f32(query: Float32Vector, rows: Float32Matrix, *, isa: str | None = None) -> Float32Vector:
    """Dot products of `query` [d] with every row of `rows` [n, d], in float32 [n]; kernels differ in the last bits.

    Raises as `dot_i8` does, and ValueError if the query holds NaN or an infinity.
    """
    if query.dtype != np.float32 or rows.dtype != np.float32:
        raise TypeError(f"float32 arrays are needed, not {query.dtype} and {rows.dtype}")
    if query.ndim != 1 or rows.ndim != 2 or query.shape[0] != rows.shape[1]:
        raise ValueError(f"shapes do not fit: query {query.shape}, rows {rows.shape}")
    if not np.isfinite(query).all():
        raise ValueError("the query holds a value that is not a finite number")
    native, name = picked(isa)
    if native is None:
        return reference.rescore_f32(query, rows)
    out = np.empty(rows.shape[0], np.float32)
    native.rescore_f32(query, rows, out, name)
    return out


def rescore_i16(query: Int16Vector, high: UInt8Matrix, low: Int8Matrix, *, isa: str | None = None) -> Int64Vector:
    """Exact dot products of `query` [d] with the numbers 254 * (`high` - 128) + `low`, both [n, d], as int64 [n].

    d and the alignment are as for `scan_u8`; the query's elements are at most 32385 in magnitude, those of the planes
    127. Raises as `scan_u8` does.
    """
    if query.dtype != np.int16 or high.dtype != np.uint8 or low.dtype != np.int8:
        raise TypeError(f"int16, uint8 and int8 arrays are needed, not {query.dtype}, {high.dtype} and {low.dtype}")
    if query.ndim != 1 or high.ndim != 2 or high.shape != low.shape or query.shape[0] != high.shape[1]:
        raise ValueError(f"shapes do not fit: query {query.shape}, high {high.shape}, low {low.shape}")
    _check_layout((query, high, low), query.shape[0], (ROW_ALIGN, MAX_STRIDE))
    if np.abs(query.astype(np.int32)).max() > MOST_I16:
        raise ValueError("the query exceeds 16-bit fixed point")
    native, name = picked(isa)
    if native is None:
        return reference.rescore_i16(query, high, low)
    out = np.empty(len(high), np.int64)
    native.rescore_i16(query, high, low, out, name)
    return out


def disagreeing() -> tuple[str, ...]:
    """Kernels whose results differ from the reference on this machine: the self-test behind `secondme doctor`."""
    from secondme.kernels import kv, late  # they import this module

    random = np.random.default_rng(11)
    rows = random.integers(-128, 128, (PAGE_ROWS, 771), np.int8)
    rows[:2] = -128
    return tuple(isa for isa in capabilities().isas if not (_agrees(rows, isa) and late.agrees(isa) and kv.agrees(isa)))


def _agrees(rows: Int8Matrix, isa: str) -> bool:
    """Every family on `rows` [64, d], as they are, as a page, as signs, as planes and as fractions of one."""
    if not np.array_equal(dot_i8(rows[0], rows, isa=isa), reference.dot_i8(rows[0], rows)):
        return False
    page, query = page_of(rows), padded(rows[0])
    signs = padded(np.packbits(rows > 0, axis=1), SIGN_ALIGN)
    for wanted in (ALL_ROWS, 0x8421_0F0F_3333_5555, 1 << 40):
        scores = reference.scan_u8(query, page, wanted, 0)
        distances = reference.hamming_b1(signs[3], signs, wanted, 385)
        if not _same(scan_u8(query, page, wanted=wanted, threshold=0, isa=isa), scores):
            return False
        if not _same(hamming_b1(signs[3], signs, wanted=wanted, threshold=385, isa=isa), distances):
            return False
    wide, low = padded(rows[5].astype(np.int16) * 253), padded(np.maximum(rows[::-1], -127))
    high = np.maximum(page, 1, out=page)
    if not np.array_equal(rescore_i16(wide, high, low, isa=isa), reference.rescore_i16(wide, high, low)):
        return False
    fractions = (rows[2:] / 128).astype(np.float32)
    expected = reference.rescore_f32(fractions[0], fractions)
    return np.allclose(rescore_f32(fractions[0], fractions, isa=isa), expected, rtol=0, atol=1e-6 * rows.shape[1])


def _same(found: tuple[int, Int32Vector], expected: tuple[int, Int32Vector]) -> bool:
    """Equal words, and equal numbers where they have bits."""
    reported = [row for row in range(PAGE_ROWS) if expected[0] >> row & 1]
    return found[0] == expected[0] and np.array_equal(found[1][reported], expected[1][reported])


def _check_page(query: Vector, page: UInt8Matrix, dtype: type[np.generic], limits: tuple[int, int]) -> None:
    if query.dtype != dtype or page.dtype != np.uint8:
        raise TypeError(f"{np.dtype(dtype)} and uint8 arrays are needed, not {query.dtype} and {page.dtype}")
    if query.ndim != 1 or page.shape != (PAGE_ROWS, query.shape[0]):
        raise ValueError(f"shapes do not fit: query {query.shape}, page {page.shape}; a page has {PAGE_ROWS} rows")
    _check_layout((query, page), query.shape[0], limits)


def _check_layout(arrays: tuple[Vector, ...], row: int, limits: tuple[int, int]) -> None:
    """`limits`: what the length of a row is a multiple of, which is the alignment, too, and its largest."""
    align, most = limits
    if row == 0 or row % align or row > most:
        raise ValueError(f"a row has a multiple of {align} elements, at most {most}, not {row}")
    if any(array.size and (not array.flags.c_contiguous or array.ctypes.data % align) for array in arrays):
        raise ValueError(f"arrays must be contiguous and aligned to {align} bytes")


def _check_word(wanted: int, threshold: int) -> None:
    if not 0 <= wanted <= ALL_ROWS or not LOWEST <= threshold <= HIGHEST:
        raise ValueError("the mask has 64 bits, the threshold 32")


def picked(isa: str | None) -> tuple[ModuleType | None, str]:
    """The extension, or None if the reference is to answer, and the name of the kernels."""
    if isa is not None and isa not in _available():
        raise ValueError(f"no {isa} kernels here; there are {', '.join(_available())}")
    name = isa or _chosen()
    native, _ = _load()
    return (None if name == REFERENCE else native), name


@cache
def _available() -> tuple[str, ...]:
    native, _ = _load()
    return (*native.isas(), REFERENCE) if native else (REFERENCE,)


@cache
def _chosen() -> str:
    wanted, isas = os.environ.get("SECONDME_ISA", ""), _available()
    if wanted and wanted not in isas:
        raise ConfigError(
            f"SECONDME_ISA asks for kernels that do not run here: {wanted}", hint=f"choose one of {', '.join(isas)}"
        )
    return wanted or isas[0]


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("secondme.kernels._native"), ""
    except ModuleNotFoundError:
        return None, "the extension is not built"
    except ImportError as error:
        return None, f"the extension does not load: {error}"
