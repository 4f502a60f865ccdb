"""What a runtime brings to its generator and its readers: a model, and caches of one sequence over it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from secondme.runtime.base import ModelInfo
from secondme.types import CancelCheck


class BlockStopped(Exception):
    """A block was stopped from outside; nothing of it is in the cache."""


class Weights(Protocol):
    """A loaded model, to be closed after its contexts."""

    @property
    def n_vocab(self) -> int: ...

    def info(self, n_ctx: int) -> ModelInfo: ...

    def close(self) -> None: ...


class Context(Protocol):
    """A runtime's cache of one sequence, used from one thread at a time, except for `stop`.

    How a block is evaluated differs; where that fails, nothing of the block is in the cache, and everything before it
    or, if the model cannot drop a part, nothing. It raises BlockStopped, and ModelError if the context was closed.
    """

    closed: bool

    @property
    def n_positions(self) -> int:
        """The next token's position."""
        ...

    def watched(self, *checks: CancelCheck) -> AbstractContextManager[None]:
        """Stop the block that is evaluated inside when one of `checks` says so."""
        ...

    def trim(self, n_kept: int, /) -> bool:
        """Drop positions `n_kept` and on; everything, and False, if a part cannot be dropped."""
        ...

    def empty(self) -> None:
        """Drop all positions."""
        ...

    def stop(self) -> None:
        """From any thread: the block under way ends soon, and none begins."""
        ...

    def forget(self) -> None:
        """Drop all positions, and leave nothing of them in memory."""
        ...

    def close(self) -> None: ...
