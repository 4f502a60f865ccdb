"""Keys and values of one layer under MLX: what was placed, and behind it what was read since.

Placed rows may be ragged: each head holds its own number of them, in 16 or 8 bits, and none is padding. RoPE sees
positions (`offset`), not rows, so that fewer rows than positions stand for a text (mlx-lm's models read only that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secondme.runtime.mlx_lib import core, on_metal

STEP = 256
"""Rows by which the arrays grow."""
_FEW = 8
"""Queries for which numbers of 8 bits are multiplied as they are also on a CPU, which for more is ten times as slow."""


@dataclass(slots=True)
class Watch:
    """What is done in every layer of the block under way.

    poll: called once a layer is computed; it may raise. record: takes (queries [1, n_heads, n, k_dim], keys
    [1, n_kv_heads, n, k_dim]) after RoPE.
    """

    poll: Callable[[], None] | None = None
    record: Callable[[Any, Any], None] | None = None


@dataclass(frozen=True, slots=True)
class HeadRows:
    """Placed rows of one key/value head: arrays [n, dim], or what `mx.quantize` makes of them."""

    n: int
    k: Any
    v: Any
    group_size: int = 0

    @property
    def arrays(self) -> tuple[Any, ...]:
        return (*self.k, *self.v) if self.group_size else (self.k, self.v)

    def scores(self, queries: Any) -> Any:
        """[m, n] for queries [m, k_dim]."""
        return self._times(queries, self.k, transpose=True)

    def mixed(self, weights: Any) -> Any:
        """[m, v_dim] for weights [m, n]."""
        return self._times(weights, self.v, transpose=False)

    def _times(self, left: Any, side: Any, *, transpose: bool) -> Any:
        mx, group = core(), self.group_size
        if group and (len(left) <= _FEW or on_metal()):
            return mx.quantized_matmul(left, *side, transpose=transpose, group_size=group, bits=8)
        rows = mx.dequantize(*side, group_size=group, bits=8) if group else side
        return left @ (rows.T if transpose else rows)


class LayerCache:
    """One layer's cache with the methods that mlx-lm's models call. `watch` is shared by all layers of a context."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.keys: Any = None
        self.values: Any = None
        self.n_rows = 0  # of `keys` and `values` in use
        self.shift = 0  # positions beyond rows: what was placed stands for more than it holds
        self.placed: tuple[HeadRows, ...] = ()

    @property
    def offset(self) -> int:
        """The next token's position."""
        return self.shift + self.n_rows

    def update_and_fetch(self, keys: Any, values: Any) -> tuple[Any, Any]:
        """Append [1, n_kv_heads, n, dim]; returns all rows that are not ragged."""
        before, after = self.n_rows, self.n_rows + keys.shape[2]
        if self.keys is None or after > self.keys.shape[2]:
            self._grow(keys, values, after)
        self.keys[..., before:after, :] = keys
        self.values[..., before:after, :] = values
        self.n_rows = after
        return self.keys[..., :after, :], self.values[..., :after, :]

    def _grow(self, keys: Any, values: Any, n_rows: int) -> None:
        mx = core()
        size = -(-n_rows // STEP) * STEP
        for name, like in (("keys", keys), ("values", values)):
            old = getattr(self, name)
            more = mx.zeros((*like.shape[:2], size - self.n_rows, like.shape[3]), like.dtype)
            kept = more if old is None else mx.concatenate([old[..., : self.n_rows, :], more], axis=2)
            setattr(self, name, kept)

    def attend(self, queries: Any, keys: Any, values: Any, scale: float, mask: Any) -> Any:
        """Attention [1, n_heads, n, v_dim] of the block that was just appended."""
        mx, watch = core(), self._watch
        if watch.record is not None:
            watch.record(queries, keys[..., -queries.shape[2] :, :])
        if self.placed:
            out = self._ragged(queries, keys, values, scale)
        elif _suits_numpy(queries, queries.shape[2]):
            out = _on_cpu(queries, keys, values, scale)
        else:
            out = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
        if watch.poll is not None:
            mx.eval(out)
            watch.poll()
        return out

    def _ragged(self, queries: Any, keys: Any, values: Any, scale: float) -> Any:
        """Head by head over its placed rows and those read since; one softmax over both."""
        mx, n = core(), queries.shape[2]
        grouped = _grouped(queries, keys.shape[1], scale)
        read = grouped @ keys[0].swapaxes(1, 2)
        out = []
        for head, rows in enumerate(self.placed):
            if not rows.n:
                out.append(_softmax(read[head], n) @ values[0, head])
                continue
            weights = _softmax(mx.concatenate([rows.scores(grouped[head]), read[head]], axis=1), n)
            out.append(rows.mixed(weights[:, : rows.n]) + weights[:, rows.n :] @ values[0, head])
        return mx.stack(out).reshape(*queries.shape[:3], values.shape[3])

    def make_mask(self, n: int, return_array: bool = False, window_size: int | None = None) -> Any:
        """What mlx-lm's models ask for: every row there was, and of the block what is not later."""
        if window_size is not None:
            raise ValueError("a sliding window has a cache of its own")
        if n == 1:
            return None
        if not return_array:
            return "causal"
        mx = core()
        return mx.arange(self.n_rows + n)[None] <= mx.arange(self.n_rows, self.n_rows + n)[:, None]

    def trim_to(self, n_tokens: int) -> None:
        """Drop positions `n_tokens` and on; none of those that were placed."""
        self.n_rows = min(self.n_rows, n_tokens - self.shift)

    def place(self, keys: Any, values: Any, n_rows: int, n_tokens: int) -> None:
        """Rows [1, n_kv_heads, n_rows or more, dim], the same for all heads, in place of everything, for `n_tokens`
        positions; there is room in those beyond `n_rows`.
        """
        self.keys, self.values = (keys, values) if n_rows else (None, None)
        self.n_rows, self.placed = n_rows, ()
        self.shift = n_tokens - n_rows

    def place_ragged(self, heads: Sequence[HeadRows], n_tokens: int) -> None:
        """Rows of each head in place of everything, for `n_tokens` positions."""
        self.keys = self.values = None
        self.n_rows, self.shift = 0, n_tokens
        self.placed = tuple(heads)

    @property
    def state(self) -> tuple[Any, ...]:
        """All arrays, for `mx.eval`."""
        kept = () if self.keys is None else (self.keys, self.values)
        return (*kept, *(array for rows in self.placed for array in rows.arrays))

    @property
    def nbytes(self) -> int:
        """Bytes held, those for rows to come included."""
        return sum(int(array.nbytes) for array in self.state)


def _grouped(queries: Any, n_kv_heads: int, scale: float) -> Any:
    """Scaled, those of one key head together: [n_kv_heads, group * n, dim]."""
    return (queries * scale).reshape(n_kv_heads, -1, queries.shape[3])


def _on_cpu(queries: Any, keys: Any, values: Any, scale: float) -> Any:
    """What `mx.fast.scaled_dot_product_attention` gives, of which a CPU needs four fifths for its softmax."""
    scores = _grouped(queries, keys.shape[1], scale) @ keys[0].swapaxes(1, 2)
    weights = _softmax(scores, queries.shape[2])
    return (weights @ values[0]).reshape(*queries.shape[:3], values.shape[3])


def _softmax(scores: Any, n: int) -> Any:
    """Of scores [..., m, n_rows], whose last `n` rows are the block's: its i-th query sees these up to the i-th."""
    mx, n_rows = core(), scores.shape[-1]
    if _suits_numpy(scores, n):
        return _softmax_on_cpu(scores, n)
    if n > 1:
        seen = mx.arange(n_rows)[None] <= mx.arange(n_rows - n, n_rows)[:, None]
        scores = mx.where(mx.tile(seen, (scores.shape[-2] // n, 1)), scores, mx.finfo(scores.dtype).min)
    return mx.softmax(scores, axis=-1, precise=True)


def _suits_numpy(array: Any, n: int) -> bool:
    """Whether a block of `n` tokens is computed where NumPy sees it; for a single one the way there takes longer."""
    return n > 1 and array.dtype == core().float32 and not on_metal()


def _softmax_on_cpu(scores: Any, n: int) -> Any:
    """In place, by NumPy: it computes sixteen exponentials at a time where MLX computes one."""
    core().eval(scores)
    found = np.array(scores, copy=False)  # MLX's own memory, which nothing else has seen yet
    found.reshape(-1, n, found.shape[-1])[..., -n:] += np.triu(np.full((n, n), -np.inf, found.dtype), 1)
    found -= found.max(axis=-1, keepdims=True)
    np.exp(found, out=found)
    found /= found.sum(axis=-1, keepdims=True)
    return scores


def attention(plain: Callable[..., Any]) -> Callable[..., Any]:
    """mlx-lm's `scaled_dot_product_attention`, which leaves a LayerCache to attend by itself."""

    def attend(queries: Any, keys: Any, values: Any, cache: Any, scale: float, mask: Any, **more: Any) -> Any:
        if isinstance(cache, LayerCache):
            return cache.attend(queries, keys, values, scale, mask)
        return plain(queries, keys, values, cache=cache, scale=scale, mask=mask, **more)

    attend.secondme = True  # type: ignore[attr-defined]
    return attend
