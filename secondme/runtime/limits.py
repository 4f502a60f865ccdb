"""Checks that every backend makes in the same words."""

from __future__ import annotations

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


def closed_error() -> ModelError:
    """What every method of a closed model raises."""
    return ModelError("the model is closed", hint="load it again")
