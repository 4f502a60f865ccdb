"""Queries and keys as llama.cpp computes them, taken from its graph while a block is evaluated.

llama.cpp asks a callback about every node of the graph, and gives those it wanted after they are computed. Wanted are
the results of RoPE named `Qcur-LAYER` and `Kcur-LAYER`. They are kept until the block is done, because a block that is
stopped inside is done again. Through C no exception can travel: it is kept, too.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from typing import Any

import numpy as np

from secondme.errors import CartridgeIncompatible
from secondme.runtime.kv import FloatRows, KvShape
from secondme.runtime.llama_lib import library

_NAME = re.compile(rb"([QK])cur-(\d+)\Z")
_MOST_BYTES = 64 << 20


class Capture:
    """Give `callback` to a context, and keep this object as long as the context."""

    def __init__(self, shape: KvShape) -> None:
        self._shape = shape
        self._n_tokens = 0  # of the block to capture; 0 while nothing is captured
        self._rows: dict[tuple[bytes, int], FloatRows] = {}
        self._error: BaseException | None = None
        self._ggml = ggml()
        self.callback = library().ggml_backend_sched_eval_callback(self._on_node)

    @property
    def block_tokens(self) -> int:
        """Most tokens of a block to capture, so that what is kept of it stays small."""
        shape = self._shape
        return max(16, _MOST_BYTES // (4 * shape.n_layers * (shape.n_heads + shape.n_kv_heads) * shape.k_dim))

    def begin(self, n_tokens: int) -> None:
        """Capture the next block, of `n_tokens`."""
        self._n_tokens, self._error, self._rows = n_tokens, None, {}

    def drop(self) -> None:
        """Capture nothing; what was captured is forgotten."""
        self._n_tokens, self._error, self._rows = 0, None, {}

    def take(self) -> list[tuple[FloatRows, FloatRows]]:
        """(queries, keys) of every layer of the block, see CaptureSink; afterwards nothing is captured.

        Raises CartridgeIncompatible if the model does not name them as expected.
        """
        rows, error = self._rows, self._error
        self.drop()
        if error is not None:
            raise error
        try:
            return [(rows[b"Q", layer], rows[b"K", layer]) for layer in range(self._shape.n_layers)]
        except KeyError:
            raise _unseen("cannot be watched") from None

    def _on_node(self, tensor: int, ask: bool, _: Any) -> bool:
        if not self._n_tokens:
            return False
        try:
            found = _NAME.match(self._ggml.ggml_get_name(tensor))
            if found is None:
                return False
            if ask:
                return bool(self._ggml.ggml_op_desc(tensor) == b"ROPE")
            self._read(tensor, found.group(1), int(found.group(2)))
        except BaseException as error:  # noqa: BLE001 - nothing may pass through C, so take() raises it
            self._error = error
        return True

    def _read(self, tensor: int, side: bytes, layer: int) -> None:
        n_heads = self._shape.n_heads if side == b"Q" else self._shape.n_kv_heads
        rows = np.empty((self._n_tokens, n_heads, self._shape.k_dim), np.float32)
        if self._ggml.ggml_nbytes(tensor) != rows.nbytes:
            raise _unseen("have another shape than its file says")
        self._ggml.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
        self._rows[side, layer] = rows


def _unseen(why: str) -> CartridgeIncompatible:
    return CartridgeIncompatible(f"the model's queries and keys {why}", hint="its documents are read as text instead")


@functools.cache
def ggml() -> Any:
    """The tensor functions of ggml, of which the binding declares no types."""
    lib = library()
    # Elsewhere than on Windows the symbols of a library's own libraries are found through it.
    c = ctypes.CDLL(str(lib._base_path / "ggml-base.dll")) if sys.platform == "win32" else lib._lib
    c.ggml_get_name.restype, c.ggml_get_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    c.ggml_op_desc.restype, c.ggml_op_desc.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    c.ggml_nbytes.restype, c.ggml_nbytes.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
    c.ggml_backend_tensor_get.restype = None
    c.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    return c
