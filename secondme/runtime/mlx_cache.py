"""Keys and values of one layer under MLX: what was placed, and behind it what was read since.

Placed rows may be ragged: each head holds its own number of them, in 16 or 8 bits, and none is padding. RoPE sees
positions (`offset`), not rows, so that fewer rows than positions stand for a text (mlx-lm's models read only that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from secondme.runtime.mlx_lib import core

STEP = 256
"""Rows by which the arrays grow."""


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
        if self.group_size:
            return core().quantized_matmul(queries, *self.k, transpose=True, group_size=self.group_size, bits=8)
        return queries @ self.k.T

    def mixed(self, weights: Any) -> Any:
        """[m, v_dim] for weights [m, n]."""
        if self.group_size:
            return core().quantized_matmul(weights, *self.v, transpose=False, group_size=self.group_size, bits=8)
        return weights @ self.v


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
        else:
            out = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
        if watch.poll is not None:
            mx.eval(out)
            watch.poll()
        return out

    def _ragged(self, queries: Any, keys: Any, values: Any, scale: float) -> Any:
        """Head by head over its placed rows and those read since; one softmax over both."""
        mx = core()
        _, n_heads, n, dim = queries.shape
        n_kv, n_read = keys.shape[1], keys.shape[2]
        grouped = (queries * scale).reshape(n_kv, n_heads // n_kv * n, dim)
        read = grouped @ keys[0].swapaxes(1, 2)
        if n > 1:
            seen = mx.arange(n_read)[None] <= mx.arange(n_read - n, n_read)[:, None]
            read = mx.where(mx.tile(seen, (n_heads // n_kv, 1)), read, mx.finfo(read.dtype).min)
        out = []
        for head, rows in enumerate(self.placed):
            if not rows.n:
                out.append(mx.softmax(read[head], axis=-1, precise=True) @ values[0, head])
                continue
            weights = mx.softmax(mx.concatenate([rows.scores(grouped[head]), read[head]], axis=1), -1, precise=True)
            out.append(rows.mixed(weights[:, : rows.n]) + weights[:, rows.n :] @ values[0, head])
        return mx.stack(out).reshape(1, n_heads, n, values.shape[3])

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

    def place(self, keys: Any, values: Any, n_tokens: int) -> None:
        """Rows [1, n_kv_heads, n, dim], the same for all heads, in place of everything, for `n_tokens` positions."""
        self.keys = self.values = None
        self.n_rows, self.placed = 0, ()
        if keys.shape[2]:
            self.update_and_fetch(keys, values)
        self.shift = n_tokens - self.n_rows

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


def attention(plain: Callable[..., Any]) -> Callable[..., Any]:
    """mlx-lm's `scaled_dot_product_attention`, which leaves a LayerCache to attend by itself."""

    def attend(queries: Any, keys: Any, values: Any, cache: Any, scale: float, mask: Any, **more: Any) -> Any:
        if isinstance(cache, LayerCache):
            return cache.attend(queries, keys, values, scale, mask)
        return plain(queries, keys, values, cache=cache, scale=scale, mask=mask, **more)

    attend.secondme = True  # type: ignore[attr-defined]
    return attend
