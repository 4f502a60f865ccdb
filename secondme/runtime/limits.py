"""Checks that every backend makes in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from secondme.errors import ContextOverflow, ModelError


def check_room(n_tokens: int, n_ctx: int) -> None:
    """Raise ContextOverflow if `n_tokens` are more than the context holds."""
    if n_tokens > n_ctx:
        raise ContextOverflow(
            f"{n_tokens} tokens do not fit into the context of {n_ctx}",
            hint="ask for less at once, or set a larger context_tokens",
        )


def check_embeddable(n_tokens: int, n_ctx: int) -> None:
    """Raise ContextOverflow if a text is longer than the embedding model reads."""
    if n_tokens > n_ctx:
        raise ContextOverflow(
            f"a text of {n_tokens} tokens is longer than the {n_ctx} that the embedding model reads",
            hint="split it into smaller pieces",
        )


def check_tokens(tokens: Sequence[int], n_vocab: int) -> list[int]:
    """`tokens` as a list. Raises ModelError if one is outside the vocabulary."""
    ids = list(tokens)
    if ids and not (min(ids) >= 0 and max(ids) < n_vocab):
        raise ModelError("a token is not in the model's vocabulary", hint="tokenize the text with this model")
    return ids


def nothing_cached_error() -> ModelError:
    """What a decode from an empty cache raises."""
    return ModelError("there is nothing to continue from", hint="prefill a prompt first")


def moved_cache_error() -> ModelError:
    """What a stream raises whose cache another call has moved meanwhile."""
    return ModelError("the cache was moved by another call", hint="finish one answer before the next")


def closed_error() -> ModelError:
    """What every method of a closed model raises."""
    return ModelError("the model is closed", hint="load it again")


class Moved:
    """Lets an older stream notice that someone else has moved the cache. Called with the owner's lock held."""

    _epoch = 0  # grows whenever the cache is moved

    def _check_open(self) -> None:
        """Raise ModelError if the cache was closed."""
        raise NotImplementedError

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _check_epoch(self, epoch: int) -> None:
        self._check_open()
        if epoch != self._epoch:
            raise moved_cache_error()
