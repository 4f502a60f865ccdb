"""The KvReader of llama.cpp: a second context over a model's weights, whose cells can be taken out and put in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from secondme.runtime.cells import rectangular
from secondme.runtime.context_reader import LOGITS_BATCH, ContextReader, ContextReaders
from secondme.runtime.kv import AnyCells, CaptureSink, Cells, FloatRows, KvIdentity, QuantizedCells
from secondme.runtime.limits import check_room, closed_error
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
from secondme.runtime.llama_context import CellType, ContextSettings, LlamaContext
from secondme.runtime.llama_identity import identity_of, rope_of, shape_of
from secondme.runtime.llama_model import LlamaModel, LlamaOptions, choose_n_ctx
from secondme.runtime.llama_selftest import tested
from secondme.runtime.threads import ThreadGovernor

_T = TypeVar("_T")

_BATCH = 256  # a block is what is lost when the owner asks something meanwhile
_TEST_N_CTX = 512  # of a reader that only finds out how cells are held


class LlamaReader(ContextReader):
    """See KvReader and ContextReader."""

    _context: LlamaContext

    def __init__(
        self,
        model: LlamaModel,
        n_ctx: int,
        *,
        kv_type: CellType,
        governor: ThreadGovernor,
        by_matrices: bool = False,
        on_close: Callable[[ContextReader], None] = lambda _: None,
    ) -> None:
        shape = shape_of(model)
        rope = rope_of(model, shape)
        self._capture = Capture(shape)
        n_batch = min(_BATCH, n_ctx)
        padding = padding_of(model, kv_type)
        n_outputs = min(LOGITS_BATCH, n_batch)
        settings = ContextSettings(
            n_ctx, n_batch, kv_type, n_outputs, self._capture.callback, padding, n_batch, by_matrices
        )
        super().__init__(model, LlamaContext(model, settings, governor), n_ctx, on_close)
        try:
            self._layout, movable = tested(model, self._context, self._capture, shape, rope)
            self._identity = identity_of(model, self._layout, dataclasses.replace(rope, movable=movable))
        except BaseException:
            self._context.close()
            raise

    @property
    def takes_ragged(self) -> bool:
        return False

    @property
    def layout(self) -> CellLayout:
        return self._layout

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
            self._replace(n_tokens, lambda: self._context.set_state(state, n_tokens))
        finally:
            state.fill(0)

    def _block_size(self, n_left: int, *, captured: bool) -> int:
        most = self._context.settings.n_batch
        return block_size(n_left, min(most, self._capture.block_tokens) if captured else most)

    @property
    def _logits_batch(self) -> int:
        return self._context.settings.n_outputs

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _evaluate(self, tokens: list[int], capture: CaptureSink | None) -> None:
        if capture is None:
            self._context.evaluate(tokens, self._n_tokens)
            return
        self._capture.begin(len(tokens))
        try:
            self._context.evaluate(tokens, self._n_tokens, padded=False)
            for layer, (queries, keys) in enumerate(self._capture.take()):
                capture(layer, queries, keys)
        finally:
            self._capture.drop()

    def _logits_of(self, tokens: list[int]) -> FloatRows:
        self._context.evaluate(tokens, self._n_tokens, n_outputs=len(tokens))
        return self._context.logits(len(tokens))


class LlamaReaders(ContextReaders[LlamaReader]):
    """See ContextReaders. n_ctx, by_matrices: of the context that answers questions behind loaded cells."""

    def __init__(self, model: LlamaModel, options: LlamaOptions, n_ctx: int, *, by_matrices: bool) -> None:
        super().__init__()
        self._model = model
        self._options = options
        self._n_ctx = n_ctx
        self._by_matrices = by_matrices
        self._facts: tuple[CellLayout, KvIdentity] | None = None

    def _made(self, n_ctx: int) -> LlamaReader:
        return self._reader(n_ctx, by_matrices=False)

    def _reader(self, n_ctx: int, *, by_matrices: bool) -> LlamaReader:
        return LlamaReader(
            self._model,
            choose_n_ctx(self._model.header, n_ctx, on_gpu=self._model.on_gpu, loaded=True),
            kv_type=self._options.kv_type,
            governor=ThreadGovernor(self._options.threads),
            by_matrices=by_matrices,
            on_close=self._readers.discard,
        )

    def facts(self) -> tuple[CellLayout, KvIdentity]:
        """How the context that answers questions holds cells that were loaded, and what these mean."""
        if self._facts is None:
            with self._lock:
                if self._closed:
                    raise closed_error()
                reader = self._reader(min(_TEST_N_CTX, self._n_ctx), by_matrices=self._by_matrices)
                self._readers.add(reader)
            self._facts = reader.layout, reader.identity
            reader.close()
        return self._facts
