"""Whether this build of llama.cpp keeps the cache of this model as the program believes: tried, not assumed.

A build may change its layout, its rotation or its graph, and a file may describe its RoPE wrongly; each would show as
a wrong answer much later. So before the first reader of a model is handed out, a few tokens are read, taken apart,
put back and compared. The verdict holds for the process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeError, ModelError
from secondme.kernels import kv
from secondme.runtime.kv import VALUE_ROTATION, FloatRows, KvShape, Rope
from secondme.runtime.llama_capture import Capture
from secondme.runtime.llama_cells import CellLayout, build_state, cells_of, parse_state, quantized_of
from secondme.runtime.llama_context import ContextSettings, LlamaContext
from secondme.runtime.llama_identity import incompatible
from secondme.runtime.llama_lib import build_identity
from secondme.runtime.llama_model import LlamaModel

_TEXT = "one two three four"
_TEST_N_CTX = 256
# Of the length of a key; measured were 4e-4, 8e-3 and, 8,191 positions away, 2e-4.
_F16_ERROR, _Q8_ERROR, _ROPE_ERROR = 2e-3, 3e-2, 3e-3
_verdicts: dict[tuple[str, ...], _Verdict | CartridgeError] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Verdict:
    layout: CellLayout
    movable: bool


def tested(
    model: LlamaModel, context: LlamaContext, capture: Capture, shape: KvShape, rope: Rope
) -> tuple[CellLayout, bool]:
    """(how the context holds its cells, whether `rope` describes its keys); the context is empty afterwards.

    Raises CartridgeIncompatible with the reason.
    """
    settings = context.settings
    key = (model.fingerprint, build_identity(), settings.kv_type, str(model.on_gpu), str(settings.by_matrices))
    with _lock:
        if key not in _verdicts:
            try:
                _verdicts[key] = _Test(model, context, capture, shape, rope).verdict()
            except CartridgeError as error:
                _verdicts[key] = error
            finally:
                capture.drop()
                context.empty()
        verdict = _verdicts[key]
    if isinstance(verdict, CartridgeError):
        raise type(verdict)(verdict.message, hint=verdict.hint)
    return verdict.layout, verdict.movable


@dataclass(frozen=True, slots=True)
class _Test:
    model: LlamaModel
    context: LlamaContext
    capture: Capture
    shape: KvShape
    rope: Rope

    def verdict(self) -> _Verdict:
        context = self.context
        context.empty()
        once = self.model.tokenize(_TEXT, special=False)[:4]
        tokens = once + once
        near = self.keys(tokens, 0)
        layout = self.layout(near, tokens)
        state = context.state()
        following = self.logits(once[0], len(tokens))
        context.trim(len(tokens))
        raw = parse_state(state, self.shape, layout.dtype)
        cells = cells_of(raw, layout, 0) if layout.dtype == "f16" else quantized_of(raw, layout, 0)
        built = build_state(cells, layout, len(tokens))
        try:
            context.set_state(built, len(tokens))
        except ModelError as error:
            raise incompatible("the model's saved cache cannot be put back") from error
        if not (np.array_equal(built, state) and np.array_equal(context.state(), state)):
            raise incompatible("the model's saved cache differs when it is put back")
        again = self.logits(once[0], len(tokens))
        if np.abs(again - following).max() > 1e-3 * np.abs(following).max():
            raise incompatible("the model goes on otherwise when its cache is put back")
        return _Verdict(layout, self.rope.movable and self.rope_holds(near, once))

    def keys(self, tokens: list[int], start: int) -> list[FloatRows]:
        """The keys of every layer, [n, n_kv_heads, k_dim], as the graph had them."""
        self.capture.begin(len(tokens))
        self.context.evaluate(tokens, start, padded=False)
        return [keys for _, keys in self.capture.take()]

    def logits(self, token: int, position: int) -> FloatRows:
        self.context.evaluate([token], position)
        return self.context.logits(1)

    def layout(self, keys: list[FloatRows], tokens: list[int]) -> CellLayout:
        dtype, shape = self.context.settings.kv_type, self.shape
        raw = parse_state(self.context.state(), shape, dtype)
        if len(raw) != len(tokens):
            raise incompatible("the model's cache does not hold a cell for each token")
        rotatable = {dim % VALUE_ROTATION == 0 for dim in (shape.k_dim, shape.v_dim)}
        if dtype == "q8_0" and (
            len(rotatable) > 1 or any(shape.n_kv_heads * dim % 32 for dim in (shape.k_dim, shape.v_dim))
        ):
            raise incompatible("the model's heads do not fit into blocks of 8 bits")
        values = None if dtype == "f16" else self.first_values(tokens)
        for rotated in (False,) if dtype == "f16" or rotatable == {False} else (True, False):
            layout = CellLayout(shape, dtype, rotated, raw.transposed)
            cells = cells_of(raw, layout, 0)
            allowed = _F16_ERROR if dtype == "f16" else _Q8_ERROR
            if _error(cells.k.astype(np.float32), np.stack(keys)) < allowed and (
                values is None or _error(cells.v[0].astype(np.float32), values) < allowed
            ):
                return layout
        raise incompatible("the model's cache does not hold what was computed")

    def first_values(self, tokens: list[int]) -> FloatRows:
        """The values of the first layer, as an f16 cache holds them; further up they depend on the cache's type."""
        plain = self.context.beside(ContextSettings(_TEST_N_CTX, len(tokens)))
        try:
            plain.evaluate(tokens, 0)
            raw = parse_state(plain.state(), self.shape, "f16")
            values: FloatRows = cells_of(raw, CellLayout(self.shape, "f16", False, raw.transposed), 0).v[0].astype("f4")
            return values
        finally:
            plain.close()

    def rope_holds(self, near: list[FloatRows], once: list[int]) -> bool:
        """Before RoPE, the first layer's keys depend on nothing but the token; a token alone is the same anywhere."""
        n, far = len(once), self.context.settings.n_ctx - 1
        self.context.empty()
        distant = self.keys(once[:1], far)
        plain = _rotated(near[0], -np.arange(2 * n, dtype=np.int32), self.rope)
        if _error(plain[:n], plain[n:]) > _ROPE_ERROR:
            return False
        moved = [_rotated(keys[:1], np.array([far], np.int32), self.rope) for keys in near]
        return all(_error(*pair) < _ROPE_ERROR for pair in zip(moved, distant, strict=True))


def _rotated(keys: FloatRows, positions: NDArray[np.int32], rope: Rope) -> FloatRows:
    """`keys` [n, n_heads, k_dim] rotated as RoPE does for `positions` [n]; by negative ones, back."""
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    return kv.rotate(keys, kv.rope_angles(positions, frequencies), "halves" if rope.pairs == "halves" else "adjacent")


def _error(found: FloatRows, wanted: FloatRows) -> float:
    """The largest distance of two keys, relative to the wanted one's length."""
    lengths = np.linalg.norm(wanted, axis=-1) + 1e-6
    return float((np.linalg.norm(found - wanted, axis=-1) / lengths).max())
