"""The two protocols every backend implements, and the values they exchange.

Both have two real implementations each: llama.cpp (`llama.py`) and the built-in ones for tests (`echo.py`).
All methods are synchronous and thread-safe by an internal lock; streaming is by generators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.kv import AnyCells, KvIdentity, KvReader
from secondme.types import CancelCheck, ContextUsage, Message, PrefillProgress, never_cancelled

FloatMatrix = NDArray[np.float32]


SMALL_MODEL_PARAMS = 300_000_000
"""A model below this follows no long rules, and reads excerpts instead of whole passages (`chat/prompt.py`)."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model is. `fingerprint` is the sha256 of its weights file (hex); `n_params` 0 means unknown."""

    name: str
    fingerprint: str
    backend: str
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    kv_bytes_per_token: int
    n_params: int
    device: str

    @property
    def is_small(self) -> bool:
        return 0 < self.n_params < SMALL_MODEL_PARAMS


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is greedy; `seed` makes the rest repeatable.

    `grammar` is in GBNF (llama.cpp's grammars/README.md), with the rule `root`: nothing else can come out, though it
    may be cut off at `max_tokens`.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    grammar: str | None = None


EndReason = Literal["end", "stop", "length", "cancelled", "context"]


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text that became final with one token; may be empty while a character is incomplete.

    `token` is -1 where the decode ends and text that was held back comes out.
    """

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class DecodeEnd:
    """Last event of a decode."""

    reason: EndReason
    n_tokens: int


class Generator(Protocol):
    """A language model with one KV cache.

    The cache holds the tokens of `cached_tokens`; `prefill` keeps the longest common prefix and evaluates the rest.
    """

    @property
    def info(self) -> ModelInfo: ...

    @property
    def cached_tokens(self) -> tuple[int, ...]:
        """Tokens whose keys and values are in the cache, in order."""
        ...

    @property
    def usage(self) -> ContextUsage: ...

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`. Only with `special` do names such as `<|im_end|>` become control tokens."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str: ...

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render the model's chat template, open for the assistant's turn. Control tokens in contents stay text.

        Raises ModelError if the model has no usable template.
        """
        ...

    def chat_parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """The tokens of `chat_tokens` before and after the end of the last system message's content.

        Head, tokens of further text, and tail are the prompt whose system message ends with that text.
        Raises ModelError if there is no system message, or the template does not show it once.
        """
        ...

    def prefill(self, tokens: Sequence[int], *, cancelled: CancelCheck = never_cancelled) -> Iterator[PrefillProgress]:
        """Bring the cache to `tokens`. Raises ContextOverflow before any work, Cancelled within one block."""
        ...

    def decode(
        self, sampling: Sampling, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[DecodedText | DecodeEnd]:
        """Continue from the cache token by token; ends with one DecodeEnd. Cancelled within one token.

        Raises ModelError for a grammar that cannot be read, and where the backend knows none.
        """
        ...

    def save_state(self) -> bytes:
        """The KV cache with its tokens, for `load_state` of the same model and build."""
        ...

    def load_state(self, state: bytes) -> None:
        """Replace the cache. Raises ModelError if the state is damaged or belongs to another model or build."""
        ...

    def kv_identity(self) -> KvIdentity:
        """What cells of this model in this runtime mean. Raises CartridgeIncompatible as `reader` does."""
        ...

    def reader(self, n_ctx: int) -> KvReader:
        """A context of its own for `n_ctx` tokens over the same weights; close it. Tried once on each build.

        Raises CartridgeIncompatible with the reason if the model's cache cannot be taken apart, and OutOfMemory.
        """
        ...

    @property
    def takes_ragged(self) -> bool:
        """Whether `load_cells` and its readers take RaggedCells: heads that differ in how many rows they hold."""
        ...

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        """Replace the cache by `cells`, standing for `tokens`; a `prefill` that begins with these goes on from there.

        They can only be dropped as a whole: a prompt that differs inside `tokens`, or is no longer than they are, is
        read from its beginning. Raises ModelError for cells that do not fit, and CartridgeIncompatible as `reader`.
        """
        ...

    def forget(self) -> None:
        """Empty the cache so that nothing of what was read or said is left in it; the model stays loaded.

        A stream under way ends with an error, and readers are closed. Raises ModelError if no new context can be
        made; then close it.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One text token by token, as late interaction compares texts. The model's special tokens are left out.

    tokens: their ids, int32 [n].
    words: the word each token is a piece of, in the model's spelling [n]; a word of three pieces stands there thrice.
    vectors: float32 [n, n_dims], rows of length 1.
    pooled: the whole text's vector as `Embedder.embed` gives it, float32 [n_dims].
    """

    tokens: NDArray[np.int32]
    words: tuple[str, ...]
    vectors: FloatMatrix
    pooled: NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, pooling and version: vectors of different fingerprints cannot be compared."""
        ...

    @property
    def n_dims(self) -> int: ...

    @property
    def n_ctx(self) -> int:
        """Longest text in tokens, the special ones included."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        """Return float32 [len(texts), n_dims], rows of length 1.

        Raises ContextOverflow for a text longer than `n_ctx` (nothing is truncated) and Cancelled between batches.
        """
        ...

    def embed_tokens(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> list[TokenVectors]:
        """Every text token by token, with its pooled vector from the same evaluation, so that both cost one.

        A text longer than `n_ctx` is cut to its first tokens. Raises Cancelled between batches, and OutOfMemory where
        there is no room for the context that the first call makes.
        """
        ...

    def forget(self) -> None:
        """Leave nothing of the last texts in the buffers; raises as `Generator.forget` does."""
        ...

    def close(self) -> None: ...
