"""One cache of one sequence under MLX: blocks that can be stopped inside, and rows out and in.

The generator and every reader own one each, over the same weights. All work is done on MLX's thread; who owns a context
calls it from one thread at a time, except `stop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.crypto.erase import freed_is_cleared
from secondme.errors import ModelError
from secondme.runtime.context import BlockStopped
from secondme.runtime.limits import closed_error
from secondme.runtime.mlx_cache import STEP, HeadRows, LayerCache, Watch
from secondme.runtime.mlx_lib import core, on_worker
from secondme.runtime.mlx_model import MlxModel
from secondme.types import CancelCheck, never_cancelled

_POLLED = 8
"""A shorter block is over before anybody could stop it."""


class MlxContext:
    """To be closed before the model. Raises what MLX's thread raises, ModelError where a block fails."""

    def __init__(self, model: MlxModel, n_ctx: int) -> None:
        self.n_ctx = n_ctx
        self.closed = False
        self.n_positions = 0
        self._model = model
        self._watch = Watch()
        self._checks: tuple[CancelCheck, ...] = ()
        self._caches: list[Any] = model.new_caches(self._watch)

    def evaluate(
        self, tokens: Sequence[int], *, n_outputs: int = 1, record: Callable[[Any, Any], None] | None = None
    ) -> Any:
        """Append `tokens`; the logits of the last `n_outputs`, an evaluated array [n_outputs, n_vocab], or None for 0.

        `record` is called once a layer, with arrays yet to be evaluated, see Watch. On any failure the cache is as
        before, or empty. Raises BlockStopped if it was stopped, and ModelError.
        """
        return on_worker(lambda: self._evaluate(list(tokens), n_outputs, record))

    def _evaluate(self, tokens: list[int], n_outputs: int, record: Callable[[Any, Any], None] | None) -> Any:
        self._check_open()
        before, watch = self.n_positions, self._watch
        watch.record = record
        watch.poll = self._poll if self._checks and len(tokens) > _POLLED else None
        try:
            logits = self._model.evaluate(tokens, self._caches, n_outputs)
            core().eval(*self._state() if logits is None else (logits, *self._state()))
        except BaseException as error:
            if self._model.is_plain:
                self._trim(before)
            else:
                self._empty()  # nobody knows which layers hold the block
            if isinstance(error, RuntimeError | ValueError):
                raise ModelError("MLX failed to evaluate a block", hint="load the model again") from error
            raise
        finally:
            watch.record = watch.poll = None
        self.n_positions = before + len(tokens)
        return logits

    def greedy(self, logits: Any, *, goes_on: bool) -> tuple[int, Any]:
        """The likeliest token after `logits` [1, n_vocab]; if it `goes_on`, appended, with the logits behind it."""

        def work() -> tuple[int, Any]:
            self._check_open()
            mx, ahead = core(), None
            token = mx.argmax(logits, axis=-1)
            mx.async_eval(token)  # by itself, or it would be waited for together with what follows
            if goes_on:
                ahead = self._model.step(token, self._caches)
                mx.async_eval(ahead)
                self.n_positions += 1
            return int(token.item()), ahead

        return on_worker(work)

    def _poll(self) -> None:
        self._check_open()
        if any(check() for check in self._checks):
            raise BlockStopped

    @contextmanager
    def watched(self, *checks: CancelCheck) -> Iterator[None]:
        """Stop the block under way, between two layers, when one of `checks` says so."""
        self._checks = tuple(check for check in checks if check is not never_cancelled)
        try:
            yield
        finally:
            self._checks = ()

    @property
    def can_trim(self) -> bool:
        """Whether single tokens can be dropped: not where layers forget what left their window."""
        return self._model.is_plain

    def trim(self, n_tokens: int) -> bool:
        """Drop positions `n_tokens` and on; everything, and False, if a part cannot be dropped."""
        return on_worker(lambda: self._trim(n_tokens))

    def _trim(self, n_tokens: int) -> bool:
        if self._model.is_plain and n_tokens >= max((cache.shift for cache in self._caches), default=0):
            for cache in self._caches:
                cache.trim_to(n_tokens)
            self.n_positions = min(self.n_positions, n_tokens)
            return True
        if not self._model.is_plain and n_tokens == self.n_positions:
            return True
        self._empty()
        return False

    def empty(self) -> None:
        """Drop all positions."""
        on_worker(self._empty)

    def _empty(self) -> None:
        self._caches = [] if self.closed else self._model.new_caches(self._watch)
        self.n_positions = 0

    def place(self, keys: Iterable[NDArray[Any]], values: Iterable[NDArray[Any]], n_tokens: int) -> None:
        """Rows of each layer, float16 [n, n_kv_heads, dim], in place of everything, for `n_tokens` positions."""

        def work() -> None:
            self._check_open()
            turned_k, turned_v = _Turned(self._model), _Turned(self._model)
            for cache, k, v in zip(self._caches, keys, values, strict=True):
                cache.place(turned_k.of(k), turned_v.of(v), len(k), n_tokens)
            core().eval(self._state())
            self.n_positions = n_tokens

        on_worker(work)

    def place_ragged(
        self, heads: Sequence[Sequence[tuple[NDArray[Any], NDArray[Any]]]], n_tokens: int, bits: int
    ) -> None:
        """(keys, values) of each head of each layer, float16 [n, dim], in 16 or 8 bits."""

        def work() -> None:
            self._check_open()
            for cache, layer in zip(self._caches, heads, strict=True):
                cache.place_ragged([self._rows(k, v, bits) for k, v in layer], n_tokens)
                core().eval(cache.state)  # layer by layer: what was there before in 16 bits goes at once
            self.n_positions = n_tokens

        on_worker(work)

    def _rows(self, keys: NDArray[Any], values: NDArray[Any], bits: int) -> HeadRows:
        k, v, mx = self._model.array(keys), self._model.array(values), core()
        group = next((g for g in (64, 32) if keys.shape[1] % g == 0 and values.shape[1] % g == 0), 0)
        if bits == 16 or not group or not len(keys):
            return HeadRows(len(keys), k, v)
        k, v = (mx.quantize(side, group_size=group, bits=8) for side in (k, v))
        return HeadRows(len(keys), k, v, group)

    def rows(self, start: int) -> list[tuple[NDArray[np.float16], NDArray[np.float16]]]:
        """Keys and values of each layer from row `start` on, float16 [n, n_kv_heads, dim]. Raises ModelError."""

        def work() -> list[tuple[NDArray[np.float16], NDArray[np.float16]]]:
            self._check_open()
            mx, shape = core(), self._model.shape
            found = []
            for cache in self._caches:
                if not isinstance(cache, LayerCache) or cache.placed:
                    raise ModelError("these cells cannot be taken out again", hint="read the document instead")
                if cache.keys is None:
                    k, v = (np.empty((0, shape.n_kv_heads, dim), np.float16) for dim in (shape.k_dim, shape.v_dim))
                    found.append((k, v))
                    continue
                sides = (side[0, :, start : cache.n_rows].swapaxes(0, 1) for side in (cache.keys, cache.values))
                k, v = (np.array(side.astype(mx.float16)) for side in sides)
                found.append((k, v))
            return found

        return on_worker(work)

    @property
    def caches(self) -> list[Any]:
        """For who saves them, on MLX's thread."""
        return self._caches

    def set_caches(self, caches: list[Any], n_tokens: int) -> None:
        """Replace everything by caches that were saved."""
        self._caches, self.n_positions = caches, n_tokens

    def new_caches(self) -> list[Any]:
        """Empty ones, that know this context's watch."""
        return self._model.new_caches(self._watch)

    @property
    def nbytes(self) -> int:
        """Bytes that the cache holds."""
        return sum(cache.nbytes for cache in self._caches)

    def stop(self) -> None:
        """From any thread: the block under way ends after its layer, and none begins."""
        self.closed = True

    def forget(self) -> None:
        """Drop everything, and clear the buffers that are freed by it."""

        def work() -> None:
            with freed_is_cleared():
                self._empty()
                core().clear_cache()

        on_worker(work)

    def close(self) -> None:
        """Final; may be repeated."""
        self.stop()
        self.forget()

    def _state(self) -> list[Any]:
        return [cache.state for cache in self._caches]

    def _check_open(self) -> None:
        if self.closed:
            raise closed_error()


class _Turned:
    """Rows as MLX holds them. NumPy turns them with fewer copies, in memory that all layers share."""

    def __init__(self, model: MlxModel) -> None:
        self._model = model
        self._kind = np.float32 if model.dtype == core().float32 else np.float16
        self._rows: NDArray[Any] | None = None

    def of(self, rows: NDArray[np.float16]) -> Any:
        """[n, n_kv_heads, dim] as an array [1, n_kv_heads, n or more, dim]. All layers' `n` are the same."""
        n, n_kv_heads, dim = rows.shape
        if self._rows is None:
            self._rows = np.zeros((1, n_kv_heads, -(-n // STEP) * STEP, dim), self._kind)
        self._rows[0, :, :n] = rows.swapaxes(0, 1)
        return self._model.array(self._rows)


def sliced(array: Any) -> NDArray[np.float32]:
    """An evaluated array as float32 of its own. On MLX's thread."""
    return np.array(array.astype(core().float32))
