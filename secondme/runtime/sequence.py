"""One sequence of tokens and its cache: prefill and decode as streams, the same in every backend.

A backend says how its cache is shortened and grows and how a token is chosen; when which lock is held, what ends a
stream, and who notices that the cache was moved or closed meanwhile, is said here.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from secondme.errors import Cancelled
from secondme.runtime.base import DecodedText, DecodeEnd, EndReason, Sampling
from secondme.runtime.limits import Moved, check_room, check_tokens
from secondme.runtime.stream import NO_TOKEN, TextStream
from secondme.types import CancelCheck, ContextUsage, PrefillProgress, never_cancelled


class CachedSequence(Moved, ABC):
    """What of Generator needs no model, over the methods at the end, which are called with the lock held.

    Each block and each token takes the lock for itself, so that `close` never waits for a whole answer. Reading
    `usage` and `cached_tokens` never waits.
    """

    def __init__(self, n_ctx: int, n_vocab: int) -> None:
        self._n_ctx = n_ctx
        self._n_vocab = n_vocab
        self._lock = threading.Lock()
        self._cache: list[int] = []

    @property
    def cached_tokens(self) -> tuple[int, ...]:
        return tuple(self._cache)

    @property
    def usage(self) -> ContextUsage:
        return ContextUsage(n_used=len(self._cache), n_context=self._n_ctx)

    def prefill(self, tokens: Sequence[int], *, cancelled: CancelCheck = never_cancelled) -> Iterator[PrefillProgress]:
        self._check_open()
        check_room(len(tokens), self._n_ctx)
        return self._prefill(check_tokens(tokens, self._n_vocab), cancelled)

    def _prefill(self, tokens: list[int], cancelled: CancelCheck) -> Iterator[PrefillProgress]:
        with self._lock:
            self._check_open()
            self._keep(tokens)
            epoch = self._next_epoch()
        yield PrefillProgress(len(self._cache), len(tokens))
        while len(self._cache) < len(tokens):
            if cancelled():
                raise Cancelled("reading was stopped")
            with self._lock, self._watched(cancelled):
                self._check_epoch(epoch)
                self._read_block(tokens)
            yield PrefillProgress(len(self._cache), len(tokens))

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
            opened = self._sampler(sampling)
        n_tokens = 0
        with opened as sampler:
            while (reason := self._end_reason(n_tokens, sampling, cancelled)) is None:
                with self._lock:
                    self._check_epoch(epoch)
                    token, ahead = self._next_token(sampler, is_last=n_tokens + 1 == sampling.max_tokens)
                    if self._ends(token):
                        reason = "end"
                        break
                n_tokens += 1
                yield DecodedText(token, stream.feed(self._piece(token)))
                if stream.stopped:
                    reason = "stop"
                    break
                if cancelled():
                    continue  # the head of the loop ends it
                with self._lock:
                    self._check_epoch(epoch)
                    self._append(token, ahead)
        if held := stream.flush():
            yield DecodedText(NO_TOKEN, held)
        yield DecodeEnd(reason, n_tokens)

    def _end_reason(self, n_tokens: int, sampling: Sampling, cancelled: CancelCheck) -> EndReason | None:
        if cancelled():
            return "cancelled"
        if n_tokens >= sampling.max_tokens:
            return "length"
        return "context" if len(self._cache) >= self._n_ctx else None

    @abstractmethod
    def _check_continuable(self) -> None:
        """Raise ModelError if there is nothing that a decode could go on from."""

    @abstractmethod
    def _piece(self, token: int) -> bytes:
        """The bytes that a token stands for. Called without the lock."""

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _watched(self, cancelled: CancelCheck) -> AbstractContextManager[None]:
        """Stops the block that is evaluated inside when `cancelled` says so."""
        return nullcontext()

    @abstractmethod
    def _keep(self, tokens: list[int]) -> None:
        """Drop of the cache what is not the beginning of `tokens`, and what must be evaluated again."""

    @abstractmethod
    def _read_block(self, tokens: list[int]) -> None:
        """Evaluate the next block of `tokens`, the first of which are the cache."""

    @abstractmethod
    def _ensure_logits(self) -> None:
        """Evaluate what a first `_next_token` needs. Raises as `_check_continuable`."""

    @abstractmethod
    def _sampler(self, sampling: Sampling) -> AbstractContextManager[Any]:
        """What `_next_token` is given through one decode. Raises ModelError for a grammar that cannot be read."""

    @abstractmethod
    def _next_token(self, sampler: Any, *, is_last: bool) -> tuple[int, Any]:
        """The token behind the cache, and for `_append` what was begun of it already, or None."""

    @abstractmethod
    def _ends(self, token: int) -> bool:
        """Whether the model ends its turn with `token`."""

    @abstractmethod
    def _append(self, token: int, ahead: Any) -> None:
        """Take a token into the cache that `_next_token` gave."""
