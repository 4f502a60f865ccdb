"""The llama.cpp generator: one model, one context, one sequence, and a cache whose tokens are always known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.errors import ModelError
from secondme.runtime.base import Sampling
from secondme.runtime.cells import rectangular
from secondme.runtime.context_generator import ContextGenerator
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.kv import AnyCells, KvIdentity
from secondme.runtime.limits import check_room, check_tokens, closed_error
from secondme.runtime.llama_blocks import block_size, n_by_matrices, padding_of
from secondme.runtime.llama_cells import build_state, holds_columns
from secondme.runtime.llama_context import ContextSettings, LlamaContext
from secondme.runtime.llama_embed import LlamaEmbedder
from secondme.runtime.llama_lib import build_identity, library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions, choose_n_ctx, uses_gpu
from secondme.runtime.llama_reader import LlamaReader, LlamaReaders
from secondme.runtime.sampler import Sampler
from secondme.runtime.state import seal_state
from secondme.runtime.template import ChatTemplate, template_of_model
from secondme.runtime.threads import ThreadGovernor

__all__ = ["LlamaEmbedder", "LlamaGenerator", "LlamaOptions"]

# On a CPU 256 tokens prefill as fast as 512, and tell sooner how far it is; 128 lose 5% with two threads.
_CPU_BATCH, _GPU_BATCH = 256, 512


class LlamaGenerator(ContextGenerator):
    """A language model in a GGUF file. Raises ModelError, OutOfMemory or BackendUnavailable when it cannot be loaded.

    Its `_logits` are the context that keeps them.
    """

    _model: LlamaModel
    _context: LlamaContext
    _readers: LlamaReaders

    def __init__(self, path: Path, *, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        library()
        header = read_gguf_header(path)
        n_ctx = choose_n_ctx(header, options.n_ctx, on_gpu=uses_gpu(options))
        model = LlamaModel(header, options)
        n_batch = min(options.n_batch or (_GPU_BATCH if model.on_gpu else _CPU_BATCH), n_ctx)
        padding, together = padding_of(model, options.kv_type), n_by_matrices(model, options.kv_type, n_ctx, n_batch)
        settings = ContextSettings(n_ctx, n_batch, options.kv_type, padding=padding, n_by_matrices=together)
        self._by_matrices = together > 0  # behind loaded cells
        try:
            context = LlamaContext(model, settings, ThreadGovernor(options.threads))
        except ModelError:
            model.close()
            raise
        readers = LlamaReaders(model, options, n_ctx, by_matrices=self._by_matrices)
        super().__init__(model, context, readers, n_ctx, n_batch)
        self._options = options
        self._template: ChatTemplate | None = None

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return self._model.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self._model.detokenize(tokens)

    def _chat_template(self) -> ChatTemplate:
        if self._template is None:
            self._template = template_of_model(self._model)
        return self._template

    def _opening_token(self) -> int | None:
        bos = self._model.special_token("bos")
        return bos if bos is not None and library().llama_vocab_get_add_bos(self._model.vocab) else None

    # State -------------------------------------------------------------------------------------------------------

    def save_state(self) -> bytes:
        with self._lock:
            self._check_open()
            state = self._context.state()
            tokens, n_placed = list(self._cache), self._n_placed
        sealed = seal_state(self._identity(), tokens, state.data, n_placed=n_placed)
        state.fill(0)
        return sealed

    def load_state(self, state: bytes) -> None:
        tokens, payload, n_placed = self._checked_state(state)
        cells = np.frombuffer(payload, np.uint8)
        by_matrices = self._by_matrices and holds_columns(cells)
        self._replace(tokens, n_placed, lambda: self._set_state(cells, len(tokens), by_matrices))

    @property
    def takes_ragged(self) -> bool:
        """Its cells are shared by all heads."""
        return False

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        check_room(len(tokens), self._n_ctx)
        ids = check_tokens(tokens, self._n_vocab)
        state = build_state(rectangular(cells), self._readers.facts()[0], len(ids))
        try:
            self._replace(ids, len(ids), lambda: self._set_state(state, len(ids), self._by_matrices))
        finally:
            state.fill(0)

    def kv_identity(self) -> KvIdentity:
        return self._readers.facts()[1]

    def reader(self, n_ctx: int) -> LlamaReader:
        return self._readers.open(n_ctx)

    def _identity(self) -> dict[str, str]:
        kv_type = self._options.kv_type
        cache = f"{kv_type} {kv_type}, flash attention auto"
        return {"model": self._model.fingerprint, "build": build_identity(), "cache": cache}

    def _check_open(self) -> None:
        super()._check_open()
        if self._context.handle is None:  # no new one could be made after `forget`
            raise closed_error()

    def _piece(self, token: int) -> bytes:
        return self._model.piece(token)

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _set_state(self, state: NDArray[np.uint8], n_tokens: int, by_matrices: bool) -> None:
        self._context.attend(by_matrices=by_matrices)
        self._context.set_state(state, n_tokens)

    def _evaluate_block(self, tokens: list[int]) -> Any:
        if not self._cache:  # from here on it reads, and what was loaded is gone
            self._context.attend(by_matrices=False)
        self._context.evaluate(tokens, len(self._cache))
        return self._context.handle

    def _block_size(self, n_left: int) -> int:
        return block_size(n_left, self._n_batch)

    def _sampler(self, sampling: Sampling) -> AbstractContextManager[Sampler]:
        return closing(Sampler(sampling, self._cache, self._n_vocab, self._model.vocab))

    def _next_token(self, sampler: Sampler, *, is_last: bool) -> tuple[int, None]:
        return sampler.sample(self._logits), None

    def _ends(self, token: int) -> bool:
        return bool(library().llama_vocab_is_eog(self._model.vocab, token))
