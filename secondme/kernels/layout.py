"""Arrays laid out as the kernels of pages want them: aligned, padded and biased; see native/include/scan/scan.h."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

PAGE_ROWS = 64
ROW_ALIGN = 64
"""Rows of a page begin at multiples of this many bytes and take as many."""
SIGN_ALIGN = 8
"""The same for rows of sign bits."""
MAX_STRIDE = 4096
LOW_STEPS = 254
"""Steps of the low plane in one of the high plane."""

Scalar = TypeVar("Scalar", bound=np.generic)


def zeros(shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """An array of zeros that begins at a multiple of ROW_ALIGN bytes."""
    size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size_bytes + ROW_ALIGN, np.uint8)
    start = -memory.ctypes.data % ROW_ALIGN
    return memory[start : start + size_bytes].view(dtype).reshape(shape)


def padded(rows: NDArray[Scalar], multiple: int = ROW_ALIGN) -> NDArray[Scalar]:
    """A copy of `rows` [..., d], aligned, with zeros up to the next multiple of `multiple` elements."""
    n_dims = rows.shape[-1]
    out = zeros((*rows.shape[:-1], -(-n_dims // multiple) * multiple), rows.dtype.type)
    out[..., :n_dims] = rows
    return out


def page_of(rows: NDArray[np.int8]) -> NDArray[np.uint8]:
    """A page [64, stride] for `scan_u8` with up to 64 rows [n, d]; the rest of it is zero vectors."""
    page = zeros((PAGE_ROWS, -(-rows.shape[1] // ROW_ALIGN) * ROW_ALIGN), np.uint8)
    page[:] = 0x80
    page[: len(rows), : rows.shape[1]] = rows.view(np.uint8) ^ np.uint8(0x80)
    return page
