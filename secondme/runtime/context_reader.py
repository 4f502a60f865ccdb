"""What the KvReaders of llama.cpp and MLX do alike: blocks that stop and pause, what a failed one leaves, and closing.

See KvReader for the promises, and Context for what a runtime brings.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np

from secondme.errors import Cancelled
from secondme.runtime.context import BlockStopped, Context, Weights
from secondme.runtime.kv import CaptureSink, FloatRows, KvIdentity
from secondme.runtime.limits import Moved, check_room, check_tokens, closed_error
from secondme.types import CancelCheck, PrefillProgress, never_cancelled

LOGITS_BATCH = 64
"""Logits of a block are kept in memory: 0.6 MB a token for a large vocabulary."""

_PAUSE_POLL_S = 0.05


class ContextReader(Moved, ABC):
    """See KvReader. Its methods may be called from any thread; `close` ends a block under way in another one."""

    _model: Weights
    _context: Context
    _identity: KvIdentity

    def __init__(self, model: Weights, context: Context, n_ctx: int, on_close: Callable[[ContextReader], None]) -> None:
        self._model = model
        self._context = context
        self._n_ctx = n_ctx
        self._on_close = on_close
        self._lock = threading.Lock()
        self._n_tokens = self._n_placed = 0  # the first so many positions were placed

    @property
    def identity(self) -> KvIdentity:
        return self._identity

    @property
    def n_ctx(self) -> int:
        return self._n_ctx

    @property
    def n_tokens(self) -> int:
        return self._n_tokens

    def read(
        self,
        tokens: Sequence[int],
        *,
        capture: CaptureSink | None = None,
        cancelled: CancelCheck = never_cancelled,
        paused: CancelCheck = never_cancelled,
    ) -> Iterator[PrefillProgress]:
        return self._read(self._appendable(tokens), capture, cancelled, paused)

    def _appendable(self, tokens: Sequence[int]) -> list[int]:
        self._check_open()
        ids = check_tokens(tokens, self._model.n_vocab)
        check_room(self._n_tokens + len(ids), self._n_ctx)
        return ids

    def _read(
        self, tokens: list[int], capture: CaptureSink | None, cancelled: CancelCheck, paused: CancelCheck
    ) -> Iterator[PrefillProgress]:
        with self._lock:
            epoch = self._next_epoch()
        n_done = 0
        yield PrefillProgress(0, len(tokens))
        while n_done < len(tokens):
            while paused() and not cancelled():
                self._check_open()
                time.sleep(_PAUSE_POLL_S)
            if cancelled():
                raise Cancelled("reading was stopped")
            part = tokens[n_done : n_done + self._block_size(len(tokens) - n_done, captured=capture is not None)]
            try:
                with self._lock, self._context.watched(cancelled, paused):
                    self._check_epoch(epoch)
                    with self._appending(len(part)):
                        self._evaluate(part, capture)
            except BlockStopped:
                continue  # stopped, or only paused: the head of the loop knows
            n_done += len(part)
            yield PrefillProgress(n_done, len(tokens))

    def rewind(self, n_tokens: int) -> None:
        with self._lock:
            self._check_open()
            if n_tokens >= self._n_tokens:
                return
            self._next_epoch()
            if n_tokens < self._n_placed or not self._context.trim(n_tokens):
                self._empty()
            else:
                self._n_tokens = n_tokens

    def logits(self, tokens: Sequence[int]) -> FloatRows:
        ids = self._appendable(tokens)
        rows = np.empty((len(ids), self._model.n_vocab), np.float32)
        with self._lock:
            self._next_epoch()
            for start in range(0, len(ids), self._logits_batch):
                self._check_open()
                part = ids[start : start + self._logits_batch]
                with self._appending(len(part)):
                    rows[start : start + len(part)] = self._logits_of(part)
        return rows

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends soon
        with self._lock:
            self._context.close()
            self._n_tokens = self._n_placed = 0
        self._on_close(self)

    def _replace(self, n_tokens: int, put: Callable[[], None]) -> None:
        """Call `put`, which fills the emptied context with cells that stand for `n_tokens` positions."""
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._empty()
            put()
            self._n_tokens = self._n_placed = n_tokens

    def _check_open(self) -> None:
        if self._context.closed:
            raise closed_error()

    @property
    def _logits_batch(self) -> int:
        """Most tokens whose logits are computed at once."""
        return LOGITS_BATCH

    @abstractmethod
    def _block_size(self, n_left: int, *, captured: bool) -> int:
        """How many of `n_left` tokens to read next."""

    # Below here the lock is held ---------------------------------------------------------------------------------

    @abstractmethod
    def _evaluate(self, tokens: list[int], capture: CaptureSink | None) -> None:
        """Append a block to the context. Fails as Context says, and as `capture` does."""

    @abstractmethod
    def _logits_of(self, tokens: list[int]) -> FloatRows:
        """Append a block; float32 [len(tokens), n_vocab]."""

    @contextmanager
    def _appending(self, n_tokens: int) -> Iterator[None]:
        """The block of `n_tokens` that is evaluated inside is in the cache as a whole, or not at all."""
        before = self._n_tokens
        try:
            yield
        except BaseException:
            if not self._context.closed:
                self._context.trim(before)
            raise
        self._n_tokens = before + n_tokens

    def _empty(self) -> None:
        self._context.empty()
        self._n_tokens = self._n_placed = 0


ReaderT = TypeVar("ReaderT", bound=ContextReader)


class ContextReaders(ABC, Generic[ReaderT]):
    """The readers of one model, which must all be closed before it. Thread-safe; opening one waits for no block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: set[ContextReader] = set()
        self._closed = False

    @abstractmethod
    def _made(self, n_ctx: int) -> ReaderT:
        """A reader that calls `self._readers.discard` when it is closed. Raises as Generator.reader."""

    def open(self, n_ctx: int) -> ReaderT:
        """See Generator.reader."""
        with self._lock:
            if self._closed:
                raise closed_error()
            reader = self._made(n_ctx)
            self._readers.add(reader)
            return reader

    def close_all(self) -> None:
        with self._lock:
            for reader in list(self._readers):
                reader.close()

    def close(self) -> None:
        """Close all, and open no more."""
        self._closed = True
        self.close_all()
