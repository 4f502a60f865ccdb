"""An MLX cache as bytes and back: the payload of a saved state, whose envelope `state.py` has checked.

Layout: length of the header u32, header (JSON), then the arrays in its order, C-contiguous and little endian.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from secondme.errors import ModelError
from secondme.runtime.mlx_cache import HeadRows, LayerCache
from secondme.runtime.mlx_lib import core

if TYPE_CHECKING:
    from secondme.runtime.mlx_model import MlxModel

_LENGTH = struct.Struct("<I")
_HINT = "nothing is lost: the text is read again"


def payload_of(caches: list[Any]) -> bytes:
    """All that `caches` hold. On MLX's thread. Raises ModelError where layers have caches of another kind."""
    layers, parts = [], []
    for cache in caches:
        if not isinstance(cache, LayerCache):
            raise ModelError("the cache of a model with sliding windows cannot be saved", hint=_HINT)
        heads = [[rows.n, rows.group_size] for rows in cache.placed]
        layers.append({"n_rows": cache.n_rows, "shift": cache.shift, "heads": heads})
        arrays = [array for rows in cache.placed for array in rows.arrays]
        if cache.n_rows:
            arrays += [side[..., : cache.n_rows, :] for side in (cache.keys, cache.values)]
        parts += [np.array(_bits(array)).tobytes() for array in arrays]
    header = json.dumps(layers).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *parts))


def caches_from(payload: memoryview, caches: list[Any], model: MlxModel, n_tokens: int) -> list[Any]:
    """`caches`, empty ones, filled. On MLX's thread. Raises ModelError if the payload is no such cache."""
    try:
        (size,) = _LENGTH.unpack_from(payload)
        layers = json.loads(bytes(payload[_LENGTH.size : _LENGTH.size + size]))
        source = _Source(payload[_LENGTH.size + size :], model)
        for cache, layer in zip(caches, layers, strict=True):
            _fill(cache, layer, source, n_tokens)
        if source.payload:
            raise ValueError("length")
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise ModelError("the saved cache is damaged", hint=_HINT) from error
    core().eval([cache.state for cache in caches])
    return caches


def _fill(cache: LayerCache, layer: dict[str, Any], source: _Source, n_tokens: int) -> None:
    n_rows, shift, shape = int(layer["n_rows"]), int(layer["shift"]), source.model.shape
    if n_rows < 0 or shift + n_rows != n_tokens or len(layer["heads"]) not in (0, shape.n_kv_heads):
        raise ValueError("rows")
    heads = [source.head(int(n), int(group)) for n, group in layer["heads"]]
    if heads:
        cache.place_ragged(heads, shift)
    if n_rows:
        sides = [source.plain((1, shape.n_kv_heads, n_rows, dim)) for dim in (shape.k_dim, shape.v_dim)]
        cache.update_and_fetch(*sides)
    cache.shift = shift


class _Source:
    """What is left of the payload."""

    def __init__(self, payload: memoryview, model: MlxModel) -> None:
        self.payload = payload
        self.model = model

    def plain(self, shape: tuple[int, ...]) -> Any:
        """An array of the type the model computes in."""
        mx, dtype = core(), self.model.dtype
        if dtype == mx.bfloat16:
            return mx.array(self._take(shape, "<u2")).view(mx.bfloat16)
        return mx.array(self._take(shape, "<f2" if dtype == mx.float16 else "<f4"))

    def head(self, n: int, group: int) -> HeadRows:
        """Placed rows of one head; group: numbers that share a scale, 0 for plain rows."""
        shape = self.model.shape
        if n < 0 or group not in (0, 32, 64):
            raise ValueError("head")
        sides: list[Any] = []
        for dim in (shape.k_dim, shape.v_dim):
            if group:
                packed = core().array(self._take((n, dim // 4), "<u4"))
                sides.append((packed, self.plain((n, dim // group)), self.plain((n, dim // group))))
            else:
                sides.append(self.plain((n, dim)))
        return HeadRows(n, sides[0], sides[1], group)

    def _take(self, shape: tuple[int, ...], kind: str) -> Any:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        if size > len(self.payload):
            raise ValueError("length")
        found = np.frombuffer(self.payload[:size], kind).reshape(shape)
        self.payload = self.payload[size:]
        return found


def _bits(array: Any) -> Any:
    """NumPy has no bfloat16."""
    mx = core()
    return array.view(mx.uint16) if array.dtype == mx.bfloat16 else array
