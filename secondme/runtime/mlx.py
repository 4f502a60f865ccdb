"""The MLX generator: one model, one cache of one sequence, with the same promises as llama.cpp's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import DecodedText, DecodeEnd, EndReason, ModelInfo, Sampling
from secondme.runtime.kv import AnyCells, KvIdentity
from secondme.runtime.limits import Moved, check_room, check_tokens, closed_error, nothing_cached_error
from secondme.runtime.mlx_cells import placed
from secondme.runtime.mlx_context import BlockStopped, MlxContext, sliced
from secondme.runtime.mlx_lib import build_identity, on_metal, on_worker
from secondme.runtime.mlx_model import MlxModel, MlxOptions
from secondme.runtime.mlx_reader import MlxReader, MlxReaders
from secondme.runtime.mlx_sampler import MlxSampler
from secondme.runtime.mlx_state import caches_from, payload_of
from secondme.runtime.room import Need, choose
from secondme.runtime.state import open_state, seal_state
from secondme.runtime.stream import NO_TOKEN, TextStream, common_prefix
from secondme.types import CancelCheck, ContextUsage, Message, PrefillProgress, never_cancelled

__all__ = ["MlxGenerator", "MlxOptions"]

# A block can be stopped between two layers; more tokens at once than this are no faster on a graphics processor.
_CPU_BATCH, _GPU_BATCH = 128, 512


class MlxGenerator(Moved):
    """A language model in an MLX folder. Raises ModelError, OutOfMemory or BackendUnavailable if it cannot be loaded.

    Each block and each token takes the lock for itself, so that `close` never waits for a whole answer. Reading
    `usage` and `cached_tokens` never waits.
    """

    def __init__(self, path: Path, *, options: MlxOptions | None = None) -> None:
        options = options or MlxOptions()
        self._model = MlxModel(path, options)
        need = Need(self._model.n_ctx_train, self._model.kv_bytes_per_token, 0)
        try:
            self._n_ctx = choose(need, options.n_ctx)
        except ModelError:
            self._model.close()
            raise
        self._n_batch = min(options.n_batch or (_GPU_BATCH if on_metal() else _CPU_BATCH), self._n_ctx)
        self._context = MlxContext(self._model, self._n_ctx)
        self._lock = threading.Lock()
        self._readers = MlxReaders(self._model, self._n_ctx)
        self._cache: list[int] = []
        self._n_placed = 0  # leading tokens whose cells were loaded: they can be dropped only as a whole
        self._logits: Any = None  # of the last token of the cache, [1, n_vocab]

    @property
    def info(self) -> ModelInfo:
        return self._model.info(self._n_ctx)

    @property
    def takes_ragged(self) -> bool:
        return True

    @property
    def cached_tokens(self) -> tuple[int, ...]:
        return tuple(self._cache)

    @property
    def usage(self) -> ContextUsage:
        return ContextUsage(n_used=len(self._cache), n_context=self._n_ctx)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return self._model.tokenizer.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self._model.tokenizer.detokenize(check_tokens(tokens, self._model.n_vocab))

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        return self._opened(self._model.template().tokens(messages, self._model.tokenizer.tokenize))

    def chat_parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        head, tail = self._model.template().parts(messages, self._model.tokenizer.tokenize)
        return self._opened(head), tail

    def _opened(self, tokens: list[int]) -> list[int]:
        """With the token that opens every text, which a template may leave to the tokenizer."""
        tokenizer = self._model.tokenizer
        bos = tokenizer.special_token("bos")
        return [bos, *tokens] if bos is not None and tokenizer.adds_bos and tokens[:1] != [bos] else tokens

    # Prefill -----------------------------------------------------------------------------------------------------

    def prefill(self, tokens: Sequence[int], *, cancelled: CancelCheck = never_cancelled) -> Iterator[PrefillProgress]:
        self._check_open()
        check_room(len(tokens), self._n_ctx)
        return self._prefill(check_tokens(tokens, self._model.n_vocab), cancelled)

    def _prefill(self, tokens: list[int], cancelled: CancelCheck) -> Iterator[PrefillProgress]:
        with self._lock:
            self._check_open()
            n_kept = common_prefix(self._cache, tokens)
            if n_kept == len(tokens) > 0 and not (self._logits is not None and n_kept == len(self._cache)):
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
                self._evaluate(tokens[start : start + self._n_batch])
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
            sampler = MlxSampler(sampling, self._cache, self._model.tokenizer)
        n_tokens = 0
        while (reason := self._end_reason(n_tokens, sampling, cancelled)) is None:
            with self._lock:
                self._check_epoch(epoch)
                token, ahead = self._next_token(sampler, is_last=n_tokens + 1 == sampling.max_tokens)
            if token in self._model.tokenizer.end_tokens:
                reason = "end"
                break
            n_tokens += 1
            yield DecodedText(token, stream.feed(self._model.tokenizer.piece(token)))
            if stream.stopped:
                reason = "stop"
                break
            if cancelled():
                continue  # the head of the loop ends it
            with self._lock:
                self._check_epoch(epoch)
                if ahead is None:
                    self._evaluate([token])
                else:
                    self._cache.append(token)
                    self._logits = ahead
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
            self._settle()
            payload = on_worker(lambda: payload_of(self._context.caches))
            tokens, n_placed = list(self._cache), self._n_placed
        return seal_state(self._identity(), tokens, payload, n_placed=n_placed)

    def load_state(self, state: bytes) -> None:
        tokens, payload, n_placed = open_state(self._identity(), state)
        check_room(len(tokens), self._n_ctx)
        check_tokens(tokens, self._model.n_vocab)
        caches = on_worker(lambda: caches_from(payload, self._context.new_caches(), self._model, len(tokens)))
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._context.set_caches(caches, len(tokens))
            self._cache, self._n_placed, self._logits = tokens, n_placed, None

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        check_room(len(tokens), self._n_ctx)
        ids = check_tokens(tokens, self._model.n_vocab)
        put = placed(cells, self._readers.identity(), len(ids))
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._cache, self._n_placed, self._logits = [], 0, None
            put(self._context)
            self._cache, self._n_placed = ids, len(ids)

    def kv_identity(self) -> KvIdentity:
        return self._readers.identity()

    def reader(self, n_ctx: int) -> MlxReader:
        return self._readers.open(n_ctx)

    def forget(self) -> None:
        self._readers.close_all()
        with self._lock:
            if self._context.closed:
                return
            self._next_epoch()
            self._cache, self._n_placed, self._logits = [], 0, None
            self._context.forget()

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends after its layer
        self._readers.close()
        with self._lock:
            self._cache, self._n_placed, self._logits = [], 0, None
            self._context.close()
            self._model.close()

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _next_token(self, sampler: MlxSampler, *, is_last: bool) -> tuple[int, Any]:
        """The next token, and the logits behind it where the device computes them already.

        Greedy decoding has no need to see a token before the next one is begun; so the device never waits for us.
        """
        logits = self._logits
        if not sampler.greedy:
            return sampler.sample(on_worker(lambda: sliced(logits)[0])), None
        goes_on = not is_last and len(self._cache) + 1 < self._n_ctx and self._context.can_trim
        return self._context.greedy(logits, goes_on=goes_on)

    def _evaluate(self, tokens: list[int]) -> None:
        """Append `tokens`, at most a block, to the cache. On any failure the cache is as before.

        Raises Cancelled if it was stopped, and ModelError.
        """
        self._settle()
        self._logits = None
        try:
            logits = self._context.evaluate(tokens)
        except BlockStopped:
            raise (closed_error() if self._context.closed else Cancelled("reading was stopped")) from None
        finally:
            if self._context.n_tokens < len(self._cache):  # it could not drop a part
                self._cache, self._n_placed = [], 0
        self._cache += tokens
        self._logits = logits

    def _settle(self) -> None:
        """Drop what was begun ahead and not taken."""
        if self._context.n_tokens > len(self._cache):
            self._context.trim(len(self._cache))

    def _ensure_logits(self) -> None:
        """After a loaded state or a failed block the last token is evaluated again."""
        if self._logits is not None:
            return
        self._check_continuable()
        tokens = list(self._cache)
        self._trim(len(tokens) - 1)
        while (start := len(self._cache)) < len(tokens):
            self._evaluate(tokens[start : start + self._n_batch])

    def _check_continuable(self) -> None:
        """What was computed elsewhere came without logits, and cannot be evaluated in part."""
        if self._logits is None and len(self._cache) == self._n_placed:
            raise nothing_cached_error()

    def _trim(self, n_kept: int) -> None:
        """Drop all after the first `n_kept` tokens; everything, if a part cannot be dropped.

        That is so where layers forget what left their window, and inside cells that were loaded.
        """
        if self._context.n_tokens == n_kept == len(self._cache):
            return
        if n_kept < len(self._cache):
            self._logits = None
        if n_kept < self._n_placed:
            self._context.empty()
            n_kept = self._n_placed = 0
        elif not self._context.trim(n_kept):
            n_kept = self._n_placed = 0
        del self._cache[n_kept:]

    def _check_open(self) -> None:
        if self._context.closed:
            raise closed_error()

    def _identity(self) -> dict[str, str]:
        return {"model": self._model.fingerprint, "build": build_identity(), "cache": str(self._model.dtype)}
