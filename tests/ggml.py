"""llama.cpp's own packing and unpacking of weights, from the library that is installed."""

from __future__ import annotations

import ctypes
from typing import Any

import gguf
import numpy as np
from llama_cpp.llama_cpp import _lib

_lib.ggml_quantize_chunk.restype = ctypes.c_size_t
_lib.ggml_quantize_chunk.argtypes = [
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    *[ctypes.c_int64] * 3,
    ctypes.c_void_p,
]


def quantized(kind: str, rows: np.ndarray) -> np.ndarray:
    """`rows` [n_rows, n_in] as blocks of a type such as "Q4_K": bytes [n_rows, bytes of a row]."""
    type_ = gguf.GGMLQuantizationType[kind]
    elements, size = gguf.GGML_QUANT_SIZES[type_]
    n_rows, n_in = rows.shape
    assert n_in % elements == 0
    given = np.ascontiguousarray(rows, np.float32)
    packed = np.zeros((n_rows, n_in // elements * size), np.uint8)
    n = _lib.ggml_quantize_chunk(int(type_), given.ctypes.data, packed.ctypes.data, 0, n_rows, n_in, None)
    assert n == packed.size
    return packed


def dequantized(kind: str, packed: np.ndarray) -> np.ndarray:
    """The numbers in the blocks of a type, [n_rows, n_in]."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    work: Any = getattr(_lib, f"dequantize_row_{kind.lower() if not kind.endswith('_K') else kind[:-1].lower() + 'K'}")
    work.restype, work.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    given = np.ascontiguousarray(packed)
    numbers = np.zeros((len(given), given.shape[1] // size * elements), np.float32)
    work(given.ctypes.data, numbers.ctypes.data, numbers.size)
    return numbers
