"""What the generators of llama.cpp and MLX do alike: which cells stay, and whether the cache is what its tokens say.

A runtime's context only evaluates blocks, drops positions, and takes cells; that nothing is decoded without logits,
that loaded cells go as a whole, and that a failed block leaves an exact cache, is seen to here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from secondme.errors import Cancelled
from secondme.runtime.base import ModelInfo
from secondme.runtime.context import BlockStopped, Context, Weights
from secondme.runtime.context_reader import ContextReaders
from secondme.runtime.limits import check_room, check_tokens, closed_error, nothing_cached_error
from secondme.runtime.sequence import CachedSequence
from secondme.runtime.state import open_state
from secondme.runtime.stream import common_prefix
from secondme.runtime.template import ChatTemplate
from secondme.types import CancelCheck, Message


class ContextGenerator(CachedSequence):
    """A Generator over a runtime's context. `_logits` are what its sampler takes, None where they are not there."""

    _model: Weights
    _context: Context
    _readers: ContextReaders[Any]

    def __init__(
        self, model: Weights, context: Context, readers: ContextReaders[Any], n_ctx: int, n_batch: int
    ) -> None:
        super().__init__(n_ctx, model.n_vocab)
        self._model = model
        self._context = context
        self._readers = readers
        self._n_batch = n_batch
        self._n_placed = 0  # leading tokens whose cells were loaded: they can be dropped only as a whole
        self._logits: Any = None  # of the last token of the cache

    @property
    def info(self) -> ModelInfo:
        return self._model.info(self._n_ctx)

    @abstractmethod
    def tokenize(self, text: str, *, special: bool = False) -> list[int]: ...

    @abstractmethod
    def _chat_template(self) -> ChatTemplate:
        """Raises ModelError if there is none."""

    @abstractmethod
    def _opening_token(self) -> int | None:
        """The token that the model wants before every text."""

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        return self._opened(self._chat_template().tokens(messages, self.tokenize))

    def chat_parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        head, tail = self._chat_template().parts(messages, self.tokenize)
        return self._opened(head), tail

    def _opened(self, tokens: list[int]) -> list[int]:
        """With the token that opens every text, which a template may leave to the tokenizer."""
        bos = self._opening_token()
        return tokens if bos is None or tokens[:1] == [bos] else [bos, *tokens]

    @abstractmethod
    def _identity(self) -> Mapping[str, str]:
        """What must be the same where a saved state is loaded."""

    def _checked_state(self, state: bytes) -> tuple[list[int], memoryview, int]:
        """(tokens, payload, number of tokens whose cells were loaded). Raises ModelError, ContextOverflow."""
        tokens, payload, n_placed = open_state(self._identity(), state)
        check_room(len(tokens), self._n_ctx)
        return check_tokens(tokens, self._n_vocab), payload, n_placed

    def _replace(self, tokens: list[int], n_placed: int, put: Callable[[], None]) -> None:
        """Call `put`, which replaces the context's cells by those of `tokens`."""
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._nothing_cached()
            put()
            self._cache, self._n_placed = tokens, n_placed

    def forget(self) -> None:
        self._readers.close_all()
        with self._lock:
            if self._context.closed:
                return
            self._next_epoch()
            self._nothing_cached()
            self._context.forget()

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends soon
        self._readers.close()
        with self._lock:
            self._nothing_cached()
            self._context.close()
            self._model.close()

    def _check_open(self) -> None:
        if self._context.closed:
            raise closed_error()

    def _check_continuable(self) -> None:
        """What was computed elsewhere came without logits, and cannot be evaluated in part."""
        if self._logits is None and len(self._cache) == self._n_placed:
            raise nothing_cached_error()

    # Below here the lock is held ---------------------------------------------------------------------------------

    @abstractmethod
    def _evaluate_block(self, tokens: list[int]) -> Any:
        """Append `tokens` to the context; the logits of the last. Fails as Context says."""

    def _block_size(self, n_left: int) -> int:
        """How many of `n_left` tokens to read next."""
        return self._n_batch

    def _watched(self, cancelled: CancelCheck) -> AbstractContextManager[None]:
        return self._context.watched(cancelled)

    def _keep(self, tokens: list[int]) -> None:
        n_kept = common_prefix(self._cache, tokens)
        if n_kept == len(tokens) > 0 and not (self._logits is not None and n_kept == len(self._cache)):
            n_kept -= 1  # the last token is evaluated again, for its logits
        self._trim(n_kept)

    def _read_block(self, tokens: list[int]) -> None:
        start = len(self._cache)
        self._evaluate(tokens[start : start + self._block_size(len(tokens) - start)])

    def _append(self, token: int, ahead: Any) -> None:
        if ahead is None:
            self._evaluate([token])
        else:
            self._cache.append(token)
            self._logits = ahead

    def _evaluate(self, tokens: list[int]) -> None:
        """Append `tokens`, at most a block, to the cache. On any failure the cache is as before, or empty.

        Raises Cancelled if it was stopped, and ModelError.
        """
        self._settle()
        self._logits = None
        try:
            logits = self._evaluate_block(tokens)
        except BlockStopped:
            raise Cancelled("reading was stopped") from None
        finally:
            if self._context.n_positions < len(self._cache):  # it could not drop a part
                self._nothing_cached()
        self._cache += tokens
        self._logits = logits

    def _settle(self) -> None:
        """Drop what was begun ahead and not taken."""
        if self._context.n_positions > len(self._cache):
            self._context.trim(len(self._cache))

    def _ensure_logits(self) -> None:
        """After a loaded state or a failed block the last token is evaluated again."""
        if self._logits is not None:
            return
        self._check_continuable()
        tokens = list(self._cache)
        self._trim(len(tokens) - 1)
        while len(self._cache) < len(tokens):
            self._read_block(tokens)

    def _trim(self, n_kept: int) -> None:
        """Drop all after the first `n_kept` tokens; everything, if a part cannot be dropped.

        That is so in recurrent models, where layers forget what left their window, and inside cells that were loaded.
        """
        if self._context.n_positions == n_kept == len(self._cache):
            return
        if n_kept < self._n_placed:
            self._context.empty()
            n_kept = self._n_placed = 0
        elif not self._context.trim(n_kept):
            n_kept = self._n_placed = 0
        if n_kept < len(self._cache):
            self._logits = None
        del self._cache[n_kept:]

    def _nothing_cached(self) -> None:
        self._cache, self._n_placed, self._logits = [], 0, None
