"""The KvReader of llama.cpp: a second context over a model's weights, whose cells can be taken out and put in."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from secondme.errors import Cancelled
from secondme.runtime.cells import rectangular
from secondme.runtime.kv import AnyCells, CaptureSink, Cells, FloatRows, KvIdentity, QuantizedCells
from secondme.runtime.limits import Moved, check_room, check_tokens, closed_error
from secondme.runtime.llama_blocks import block_size, padding_of
from secondme.runtime.llama_capture import Capture
from secondme.runtime.llama_cells import (
    CellLayout,
    RawCells,
    build_state,
    cells_of,
    parse_state,
    quantized_of,
)
from secondme.runtime.llama_context import BlockStopped, CellType, ContextSettings, LlamaContext
from secondme.runtime.llama_identity import identity_of, rope_of, shape_of
from secondme.runtime.llama_model import LlamaModel, LlamaOptions, choose_n_ctx
from secondme.runtime.llama_selftest import tested
from secondme.runtime.threads import ThreadGovernor
from secondme.types import CancelCheck, PrefillProgress, never_cancelled

_T = TypeVar("_T")

_BATCH = 256  # a block is what is lost when the owner asks something meanwhile
_LOGITS_BATCH = 64  # logits of a block are kept in memory: 0.6 MB a token for a large vocabulary
_PAUSE_POLL_S = 0.05
_TEST_N_CTX = 512  # of a reader that only finds out how cells are held


class LlamaReader(Moved):
    """See KvReader. Its methods may be called from any thread; `close` ends a block under way in another one."""

    def __init__(
        self,
        model: LlamaModel,
        n_ctx: int,
        *,
        kv_type: CellType,
        governor: ThreadGovernor,
        on_close: Callable[[LlamaReader], None] = lambda _: None,
    ) -> None:
        shape = shape_of(model)
        rope = rope_of(model, shape)
        self._model = model
        self._on_close = on_close
        self._lock = threading.Lock()
        self._capture = Capture(shape)
        n_batch = min(_BATCH, n_ctx)
        padding = padding_of(model, kv_type)
        n_outputs = min(_LOGITS_BATCH, n_batch)
        settings = ContextSettings(n_ctx, n_batch, kv_type, n_outputs, self._capture.callback, padding)
        self._context = LlamaContext(model, settings, governor)
        try:
            self._layout, movable = tested(model, self._context, self._capture, shape, rope)
            self._identity = identity_of(model, self._layout, dataclasses.replace(rope, movable=movable))
        except BaseException:
            self._context.close()
            raise
        self._n_tokens = self._n_placed = 0

    @property
    def identity(self) -> KvIdentity:
        return self._identity

    @property
    def takes_ragged(self) -> bool:
        return False

    @property
    def layout(self) -> CellLayout:
        return self._layout

    @property
    def n_ctx(self) -> int:
        return self._context.settings.n_ctx

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
        self._check_open()
        ids = check_tokens(tokens, self._model.n_vocab)
        check_room(self._n_tokens + len(ids), self.n_ctx)
        return self._read(ids, capture, cancelled, paused)

    def _read(
        self, tokens: list[int], capture: CaptureSink | None, cancelled: CancelCheck, paused: CancelCheck
    ) -> Iterator[PrefillProgress]:
        with self._lock:
            epoch = self._next_epoch()
        block = self._context.settings.n_batch
        if capture is not None:
            block = min(block, self._capture.block_tokens)
        n_done = 0
        yield PrefillProgress(0, len(tokens))
        while n_done < len(tokens):
            while paused() and not cancelled():
                self._check_open()
                time.sleep(_PAUSE_POLL_S)
            if cancelled():
                raise Cancelled("reading was stopped")
            part = tokens[n_done : n_done + block_size(len(tokens) - n_done, block)]
            try:
                with self._lock, self._context.watched(cancelled, paused):
                    self._check_epoch(epoch)
                    self._append(part, capture)
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
            if n_tokens < self._n_placed or not self._context.trim(max(n_tokens, 0)):
                self._context.empty()
                self._n_tokens = self._n_placed = 0
            else:
                self._n_tokens = n_tokens

    def cells(self, start: int = 0) -> Cells:
        return self._taken(lambda raw: cells_of(raw, self._layout, start))

    def quantized_cells(self, start: int = 0) -> QuantizedCells:
        return self._taken(lambda raw: quantized_of(raw, self._layout, start))

    def _taken(self, form: Callable[[RawCells], _T]) -> _T:
        with self._lock:
            self._check_open()
            state = self._context.state()
        try:
            return form(parse_state(state, self._layout.shape, self._layout.dtype))
        finally:
            state.fill(0)  # the owner's text, in a way

    def place(self, n_tokens: int, cells: AnyCells) -> None:
        check_room(n_tokens, self.n_ctx)
        state = build_state(rectangular(cells), self._layout, n_tokens)
        try:
            with self._lock:
                self._check_open()
                self._next_epoch()
                self._n_tokens = self._n_placed = 0
                self._context.set_state(state, n_tokens)
                self._n_tokens = self._n_placed = n_tokens
        finally:
            state.fill(0)

    def logits(self, tokens: Sequence[int]) -> FloatRows:
        self._check_open()
        ids = check_tokens(tokens, self._model.n_vocab)
        check_room(self._n_tokens + len(ids), self.n_ctx)
        rows = np.empty((len(ids), self._model.n_vocab), np.float32)
        block = self._context.settings.n_outputs
        with self._lock:
            self._next_epoch()
            for start in range(0, len(ids), block):
                self._check_open()
                part = ids[start : start + block]
                self._append(part, None, n_outputs=len(part))
                rows[start : start + len(part)] = self._context.logits(len(part))
        return rows

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends now
        with self._lock:
            self._context.close()
            self._n_tokens = self._n_placed = 0
        self._on_close(self)

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _append(self, tokens: list[int], capture: CaptureSink | None, *, n_outputs: int = 1) -> None:
        start = self._n_tokens
        if capture is not None:
            self._capture.begin(len(tokens))
        try:
            self._context.evaluate(tokens, start, n_outputs=n_outputs, padded=capture is None)
            if capture is not None:
                for layer, (queries, keys) in enumerate(self._capture.take()):
                    capture(layer, queries, keys)
        except BaseException:
            self._capture.drop()
            if not self._context.closed:
                self._context.trim(start)
            raise
        self._n_tokens += len(tokens)

    def _check_open(self) -> None:
        if self._context.closed:
            raise closed_error()


class LlamaReaders:
    """The readers of one model, which must all be closed before it. Thread-safe; opening one waits for no block."""

    def __init__(self, model: LlamaModel, options: LlamaOptions, n_ctx: int) -> None:
        self._model = model
        self._options = options
        self._n_ctx = n_ctx
        self._lock = threading.Lock()
        self._open: set[LlamaReader] = set()
        self._closed = False
        self._facts: tuple[CellLayout, KvIdentity] | None = None

    def open(self, n_ctx: int) -> LlamaReader:
        """See Generator.reader."""
        with self._lock:
            if self._closed:
                raise closed_error()
            reader = LlamaReader(
                self._model,
                choose_n_ctx(self._model.header, n_ctx, on_gpu=self._model.on_gpu, loaded=True),
                kv_type=self._options.kv_type,
                governor=ThreadGovernor(self._options.threads),
                on_close=self._open.discard,
            )
            self._open.add(reader)
            return reader

    def facts(self) -> tuple[CellLayout, KvIdentity]:
        """How contexts of this model hold their cells, and what these mean."""
        if self._facts is None:
            reader = self.open(min(_TEST_N_CTX, self._n_ctx))
            self._facts = reader.layout, reader.identity
            reader.close()
        return self._facts

    def close_all(self) -> None:
        with self._lock:
            for reader in list(self._open):
                reader.close()

    def close(self) -> None:
        """Close all, and open no more."""
        self._closed = True
        self.close_all()
