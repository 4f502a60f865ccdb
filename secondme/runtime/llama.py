"""The llama.cpp generator: one model, one context, one sequence, and a cache whose tokens are always known exactly."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondme.crypto.erase import freed_is_cleared
from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import DecodedText, DecodeEnd, EndReason, ModelInfo, Sampling
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.limits import check_room, check_tokens, closed_error, moved_cache_error, nothing_cached_error
from secondme.runtime.llama_embed import LlamaEmbedder
from secondme.runtime.llama_lib import AbortFlag, build_identity, library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions, choose_n_ctx, uses_gpu
from secondme.runtime.sampler import Sampler
from secondme.runtime.state import open_state, seal_state
from secondme.runtime.stream import NO_TOKEN, TextStream, common_prefix
from secondme.runtime.template import ChatTemplate, template_of_model
from secondme.runtime.threads import ThreadGovernor
from secondme.types import CancelCheck, ContextUsage, Message, PrefillProgress, never_cancelled

__all__ = ["LlamaEmbedder", "LlamaGenerator", "LlamaOptions"]

# On a CPU 256 tokens prefill as fast as 512, and tell sooner how far it is; 128 lose 5% with two threads.
_CPU_BATCH, _GPU_BATCH = 256, 512
_CANCEL_POLL_S = 0.02
_ABORTED = 2  # llama_decode: the abort callback said so


class LlamaGenerator:
    """A language model in a GGUF file. Raises ModelError, OutOfMemory or BackendUnavailable when it cannot be loaded.

    Each block and each token takes the lock for itself, so that `close` never waits for a whole answer. Reading
    `usage` and `cached_tokens` never waits.
    """

    def __init__(self, path: Path, *, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        lib = library()
        header = read_gguf_header(path)
        self._n_ctx = choose_n_ctx(header, options.n_ctx, on_gpu=uses_gpu(options))
        self._model = LlamaModel(header, options)
        self._governor = ThreadGovernor(options.threads)
        self._n_batch = min(options.n_batch or (_GPU_BATCH if self._model.on_gpu else _CPU_BATCH), self._n_ctx)
        self._abort = AbortFlag()
        try:
            self._open_context()
        except ModelError:
            self._model.close()
            raise
        self._batch = lib.llama_batch_init(self._n_batch, 0, 1)
        self._template: ChatTemplate | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._cache: list[int] = []
        self._has_logits = False  # whether the last evaluated token is the last of the cache
        self._epoch = 0  # grows when someone else moves the cache, so that an older stream notices

    def _open_context(self) -> None:
        lib = library()
        self._ctx = self._model.new_context(self._context_params())
        self._memory = lib.llama_get_memory(self._ctx)
        if not self._memory:  # an encoder: llama.cpp would read through the null pointer
            lib.llama_free(self._ctx)
            self._ctx = None
            raise ModelError(f"{self._model.name} is not a language model", hint="choose one: secondme models list")
        self._abort.attach(self._ctx)

    def _context_params(self) -> Any:
        params = library().llama_context_default_params()
        params.n_ctx = self._n_ctx
        params.n_batch = params.n_ubatch = self._n_batch
        params.n_seq_max = params.n_outputs_max = 1
        params.n_threads = params.n_threads_batch = self._governor.threads()
        return params

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
        if self._template is None:
            self._template = template_of_model(self._model)
        tokens = self._template.tokens(messages, self._model.tokenize)
        bos = self._model.special_token("bos")
        if bos is not None and library().llama_vocab_get_add_bos(self._model.vocab) and tokens[:1] != [bos]:
            tokens.insert(0, bos)  # a template may leave it to the tokenizer
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
            with self._lock, self._watched(cancelled):
                self._check_epoch(epoch)
                start = len(self._cache)
                self._evaluate(tokens[start : start + self._n_batch])
            yield PrefillProgress(len(self._cache), len(tokens))

    # Decode ------------------------------------------------------------------------------------------------------

    def decode(
        self, sampling: Sampling, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[DecodedText | DecodeEnd]:
        self._check_open()
        if not self._cache:
            raise nothing_cached_error()
        return self._decode(sampling, cancelled)

    def _decode(self, sampling: Sampling, cancelled: CancelCheck) -> Iterator[DecodedText | DecodeEnd]:
        stream = TextStream(sampling.stop)
        with self._lock:
            self._check_open()
            self._ensure_logits()
            epoch = self._next_epoch()
            sampler = Sampler(sampling, self._cache, self._model.n_vocab)
        try:
            n_tokens = 0
            while (reason := self._end_reason(n_tokens, sampling, cancelled)) is None:
                with self._lock:
                    self._check_epoch(epoch)
                    token = sampler.sample(self._ctx)
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
        lib = library()
        with self._lock:
            self._check_open()
            size = lib.llama_state_seq_get_size(self._ctx, 0)
            buffer = (ctypes.c_uint8 * size)()
            written = lib.llama_state_seq_get_data(self._ctx, buffer, size, 0)
            tokens = list(self._cache)
        if written != size:
            raise ModelError("llama.cpp did not give its cache out", hint="nothing is lost: the text is read again")
        return seal_state(self._identity(), tokens, memoryview(buffer).cast("B"))

    def load_state(self, state: bytes) -> None:
        tokens, payload = open_state(self._identity(), state)
        check_room(len(tokens), self._n_ctx)
        check_tokens(tokens, self._model.n_vocab)
        buffer = (ctypes.c_uint8 * len(payload)).from_buffer_copy(payload)
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._trim(0)
            read = library().llama_state_seq_set_data(self._ctx, buffer, len(payload), 0)
            if read != len(payload) or self._n_positions() != len(tokens):
                library().llama_memory_clear(self._memory, True)
                raise ModelError("the saved cache does not load", hint="nothing is lost: the text is read again")
            self._cache = tokens

    def forget(self) -> None:
        lib = library()
        with self._lock:
            if self._ctx is None:
                return
            self._next_epoch()
            self._cache = []
            self._has_logits = False
            lib.llama_memory_clear(self._memory, True)
            for array in (self._batch.token, self._batch.pos):
                ctypes.memset(array, 0, self._n_batch * ctypes.sizeof(ctypes.c_int32))
            # Its scratch buffers hold the last blocks' tokens and activations, and nothing clears them but its end.
            with freed_is_cleared():
                lib.llama_free(self._ctx)
            self._ctx = None
            self._open_context()

    def close(self) -> None:
        self._closed = True
        self._abort.set()  # a block under way in another thread ends now
        with self._lock:
            if self._batch is None:
                return
            lib = library()
            lib.llama_batch_free(self._batch)
            self._batch = None
            if self._ctx is not None:
                lib.llama_free(self._ctx)
                self._ctx = None
            self._cache = []
            self._model.close()

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _evaluate(self, tokens: list[int]) -> None:
        """Append `tokens`, at most a block, to the cache. On any failure the cache is as before.

        Raises Cancelled if it was aborted, and ModelError.
        """
        lib, batch, n, start = library(), self._batch, len(tokens), len(self._cache)
        token, pos, n_seq_id, seq_id, logits = batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits
        for i in range(n):
            token[i] = tokens[i]
            pos[i] = start + i
            n_seq_id[i] = 1
            seq_id[i][0] = 0
            logits[i] = 0
        logits[n - 1] = 1
        batch.n_tokens = n
        n_threads = self._governor.threads()
        lib.llama_set_n_threads(self._ctx, n_threads, n_threads)
        self._has_logits = False
        code = lib.llama_decode(self._ctx, batch)
        if code == 0:
            self._cache += tokens
            self._has_logits = True
            return
        self._trim(start)
        if code == _ABORTED:
            raise closed_error() if self._closed else Cancelled("reading was stopped")
        raise ModelError(f"llama.cpp failed to evaluate a block (code {code})", hint="load the model again")

    def _ensure_logits(self) -> None:
        """After a loaded state or a failed block the last token is evaluated again."""
        if self._has_logits:
            return
        tokens = list(self._cache)
        self._trim(len(tokens) - 1)
        for start in range(len(self._cache), len(tokens), self._n_batch):
            self._evaluate(tokens[start : start + self._n_batch])

    def _trim(self, n_kept: int) -> None:
        """Drop all after the first `n_kept` tokens; everything, if the model cannot drop a part (recurrent ones)."""
        if self._n_positions() <= n_kept == len(self._cache):
            return
        if not library().llama_memory_seq_rm(self._memory, 0, n_kept, -1):
            library().llama_memory_clear(self._memory, True)
            n_kept = 0
        del self._cache[n_kept:]
        self._has_logits = False

    def _n_positions(self) -> int:
        n: int = library().llama_memory_seq_pos_max(self._memory, 0) + 1
        return n

    @contextmanager
    def _watched(self, cancelled: CancelCheck) -> Iterator[None]:
        """Abort the block under way when `cancelled` says so; polled beside it, because the block holds this thread."""
        if cancelled is never_cancelled:
            yield
            return
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_CANCEL_POLL_S):
                if cancelled():
                    self._abort.set()
                    return

        watcher = threading.Thread(target=watch, name="secondme-cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            if not self._closed:
                self._abort.clear()

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _check_epoch(self, epoch: int) -> None:
        self._check_open()
        if epoch != self._epoch:
            raise moved_cache_error()

    def _check_open(self) -> None:
        if self._closed or self._ctx is None:
            raise closed_error()

    def _identity(self) -> dict[str, str]:
        return {"model": self._model.fingerprint, "build": build_identity(), "cache": "f16 f16, flash attention auto"}
