"""The llama.cpp generator: one model, one context, one sequence, and a cache whose tokens are always known exactly."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import DecodedText, DecodeEnd, EndReason, ModelInfo, Sampling
from secondme.runtime.cells import rectangular
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.kv import AnyCells, KvIdentity
from secondme.runtime.limits import Moved, check_room, check_tokens, closed_error, nothing_cached_error
from secondme.runtime.llama_blocks import block_size, padding_of
from secondme.runtime.llama_cells import build_state
from secondme.runtime.llama_context import BlockStopped, ContextSettings, LlamaContext
from secondme.runtime.llama_embed import LlamaEmbedder
from secondme.runtime.llama_lib import build_identity, library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions, choose_n_ctx, uses_gpu
from secondme.runtime.llama_reader import LlamaReader, LlamaReaders
from secondme.runtime.sampler import Sampler
from secondme.runtime.state import open_state, seal_state
from secondme.runtime.stream import NO_TOKEN, TextStream, common_prefix
from secondme.runtime.template import ChatTemplate, template_of_model
from secondme.runtime.threads import ThreadGovernor
from secondme.types import CancelCheck, ContextUsage, Message, PrefillProgress, never_cancelled

__all__ = ["LlamaEmbedder", "LlamaGenerator", "LlamaOptions"]

# On a CPU 256 tokens prefill as fast as 512, and tell sooner how far it is; 128 lose 5% with two threads.
_CPU_BATCH, _GPU_BATCH = 256, 512


class LlamaGenerator(Moved):
    """A language model in a GGUF file. Raises ModelError, OutOfMemory or BackendUnavailable when it cannot be loaded.

    Each block and each token takes the lock for itself, so that `close` never waits for a whole answer. Reading
    `usage` and `cached_tokens` never waits.
    """

    def __init__(self, path: Path, *, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        library()
        header = read_gguf_header(path)
        self._n_ctx = choose_n_ctx(header, options.n_ctx, on_gpu=uses_gpu(options))
        self._model = LlamaModel(header, options)
        self._options = options
        self._governor = ThreadGovernor(options.threads)
        self._n_batch = min(options.n_batch or (_GPU_BATCH if self._model.on_gpu else _CPU_BATCH), self._n_ctx)
        padding = padding_of(self._model, options.kv_type)
        settings = ContextSettings(self._n_ctx, self._n_batch, options.kv_type, padding=padding)
        try:
            self._context = LlamaContext(self._model, settings, self._governor)
        except ModelError:
            self._model.close()
            raise
        self._template: ChatTemplate | None = None
        self._lock = threading.Lock()
        self._readers = LlamaReaders(self._model, options, self._n_ctx)
        self._cache: list[int] = []
        self._n_placed = 0  # leading tokens whose cells were loaded: they can be dropped only as a whole
        self._has_logits = False  # whether the last evaluated token is the last of the cache

    @property
    def info(self) -> ModelInfo:
        return self._model.info(self._n_ctx)

    @property
    def cached_tokens(self) -> tuple[int, ...]:
        return tuple(self._cache)

    @property
    def usage(self) -> ContextUsage:
        return ContextUsage(n_used=len(self._cache), n_context=self._n_ctx)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return self._model.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self._model.detokenize(tokens)

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        return self._opened(self._chat_template().tokens(messages, self._model.tokenize))

    def chat_parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        head, tail = self._chat_template().parts(messages, self._model.tokenize)
        return self._opened(head), tail

    def _chat_template(self) -> ChatTemplate:
        if self._template is None:
            self._template = template_of_model(self._model)
        return self._template

    def _opened(self, tokens: list[int]) -> list[int]:
        """With the token that opens every text, which a template may leave to the tokenizer."""
        bos = self._model.special_token("bos")
        if bos is not None and library().llama_vocab_get_add_bos(self._model.vocab) and tokens[:1] != [bos]:
            return [bos, *tokens]
        return tokens

    # Prefill -----------------------------------------------------------------------------------------------------

    def prefill(self, tokens: Sequence[int], *, cancelled: CancelCheck = never_cancelled) -> Iterator[PrefillProgress]:
        self._check_open()
        check_room(len(tokens), self._n_ctx)
        return self._prefill(check_tokens(tokens, self._model.n_vocab), cancelled)

    def _prefill(self, tokens: list[int], cancelled: CancelCheck) -> Iterator[PrefillProgress]:
        with self._lock:
            self._check_open()
            n_kept = common_prefix(self._cache, tokens)
            if n_kept == len(tokens) > 0 and not (self._has_logits and n_kept == len(self._cache)):
                n_kept -= 1  # the last token is evaluated again, for its logits
            self._trim(n_kept)
            epoch = self._next_epoch()
        yield PrefillProgress(len(self._cache), len(tokens))
        while len(self._cache) < len(tokens):
            if cancelled():
                raise Cancelled("reading was stopped")
            with self._lock, self._context.watched(cancelled):
                self._check_epoch(epoch)
                start = len(self._cache)
                self._evaluate(tokens[start : start + block_size(len(tokens) - start, self._n_batch)])
            yield PrefillProgress(len(self._cache), len(tokens))

    # Decode ------------------------------------------------------------------------------------------------------

    def decode(
        self, sampling: Sampling, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[DecodedText | DecodeEnd]:
        self._check_open()
        self._check_continuable()
        return self._decode(sampling, cancelled)

    def _decode(self, sampling: Sampling, cancelled: CancelCheck) -> Iterator[DecodedText | DecodeEnd]:
        stream = TextStream(sampling.stop)
        with self._lock:
            self._check_open()
            self._ensure_logits()
            epoch = self._next_epoch()
            sampler = Sampler(sampling, self._cache, self._model.n_vocab, self._model.vocab)
        try:
            n_tokens = 0
            while (reason := self._end_reason(n_tokens, sampling, cancelled)) is None:
                with self._lock:
                    self._check_epoch(epoch)
                    token = sampler.sample(self._context.handle)
                    if library().llama_vocab_is_eog(self._model.vocab, token):
                        reason = "end"
                        break
                n_tokens += 1
                yield DecodedText(token, stream.feed(self._model.piece(token)))
                if stream.stopped:
                    reason = "stop"
                    break
                if cancelled():
                    continue  # the head of the loop ends it
                with self._lock:
                    self._check_epoch(epoch)
                    self._evaluate([token])
        finally:
            sampler.close()
        if held := stream.flush():
            yield DecodedText(NO_TOKEN, held)
        yield DecodeEnd(reason, n_tokens)

    def _end_reason(self, n_tokens: int, sampling: Sampling, cancelled: CancelCheck) -> EndReason | None:
        if cancelled():
            return "cancelled"
        if n_tokens >= sampling.max_tokens:
            return "length"
        return "context" if len(self._cache) >= self._n_ctx else None

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
        tokens, payload, n_placed = open_state(self._identity(), state)
        check_room(len(tokens), self._n_ctx)
        check_tokens(tokens, self._model.n_vocab)
        self._set_cache(np.frombuffer(payload, np.uint8), tokens, n_placed)

    @property
    def takes_ragged(self) -> bool:
        """Its cells are shared by all heads."""
        return False

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        check_room(len(tokens), self._n_ctx)
        ids = check_tokens(tokens, self._model.n_vocab)
        state = build_state(rectangular(cells), self._readers.facts()[0], len(ids))
        try:
            self._set_cache(state, ids, len(ids))
        finally:
            state.fill(0)

    def _set_cache(self, state: np.ndarray, tokens: list[int], n_placed: int) -> None:
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._trim(0)
            self._context.set_state(state, len(tokens))
            self._cache, self._n_placed = tokens, n_placed

    def kv_identity(self) -> KvIdentity:
        return self._readers.facts()[1]

    def reader(self, n_ctx: int) -> LlamaReader:
        return self._readers.open(n_ctx)

    def forget(self) -> None:
        self._readers.close_all()
        with self._lock:
            if self._context.closed:
                return
            self._next_epoch()
            self._cache, self._n_placed = [], 0
            self._has_logits = False
            self._context.reopen()

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends now
        self._readers.close()
        with self._lock:
            self._context.close()
            self._cache, self._n_placed = [], 0
            self._model.close()

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _evaluate(self, tokens: list[int]) -> None:
        """Append `tokens`, at most a block, to the cache. On any failure the cache is as before.

        Raises Cancelled if it was stopped, and ModelError.
        """
        self._has_logits = False
        try:
            self._context.evaluate(tokens, len(self._cache))
        except BlockStopped:
            raise Cancelled("reading was stopped") from None
        self._cache += tokens
        self._has_logits = True

    def _ensure_logits(self) -> None:
        """After a loaded state or a failed block the last token is evaluated again."""
        if self._has_logits:
            return
        self._check_continuable()
        tokens = list(self._cache)
        self._trim(len(tokens) - 1)
        while (start := len(self._cache)) < len(tokens):
            self._evaluate(tokens[start : start + block_size(len(tokens) - start, self._n_batch)])

    def _check_continuable(self) -> None:
        """What was computed elsewhere came without logits, and cannot be evaluated in part."""
        if not self._has_logits and len(self._cache) == self._n_placed:
            raise nothing_cached_error()

    def _trim(self, n_kept: int) -> None:
        """Drop all after the first `n_kept` tokens; everything, if a part cannot be dropped.

        That is so in recurrent models, and inside cells that were loaded.
        """
        if self._context.n_positions <= n_kept == len(self._cache):
            return
        if n_kept < self._n_placed:
            self._context.empty()
            n_kept = self._n_placed = 0
        elif not self._context.trim(n_kept):
            n_kept = self._n_placed = 0
        del self._cache[n_kept:]
        self._has_logits = False

    def _check_open(self) -> None:
        if self._context.closed or self._context.handle is None:
            raise closed_error()

    def _identity(self) -> dict[str, str]:
        kv_type = self._options.kv_type
        cache = f"{kv_type} {kv_type}, flash attention auto"
        return {"model": self._model.fingerprint, "build": build_identity(), "cache": cache}
