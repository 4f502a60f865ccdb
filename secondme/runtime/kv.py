"""What a KV cache is to the rooms above: its shape, its cells, and a context that reads documents into it.

Free of any runtime, so that a cartridge can be made on one and opened on another. Arrays are C-contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from secondme.types import CancelCheck, PrefillProgress, never_cancelled

F16Cells = NDArray[np.float16]
FloatRows = NDArray[np.float32]

RopePairs = Literal["none", "adjacent", "halves"]
"""Which two elements of a head are rotated together: (2i, 2i+1), or (i, i + n_dims/2), as in RoFormer and GPT-NeoX."""


VALUE_ROTATION = 64
"""Where values are Hadamard-rotated, they are so in blocks of this size."""


def key_rotation(k_dim: int) -> int:
    """The same for keys: the largest 64 * 2^i that divides a head, as llama.cpp has it (llama-kv-cache.cpp)."""
    size = 64
    while k_dim % (2 * size) == 0:
        size *= 2
    return size


@dataclass(frozen=True, slots=True)
class KvShape:
    """Numbers of layers, of key/value heads and query heads in each, and of dimensions in a head."""

    n_layers: int
    n_kv_heads: int
    n_heads: int
    k_dim: int
    v_dim: int

    @property
    def f16_bytes_per_token(self) -> int:
        return 2 * self.n_layers * self.n_kv_heads * (self.k_dim + self.v_dim)


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embedding (Su et al. 2021): pair i of a key at position p is rotated by p * frequency(i).

    frequency(i) = freq_scale * freq_base ** (-2i / n_dims) / factors[i]; `factors` is empty or [n_dims / 2].
    `movable` is False where a model's scaling is not this formula (YaRN): then a key cannot be put elsewhere.
    """

    pairs: RopePairs
    n_dims: int
    freq_base: float
    freq_scale: float = 1.0
    factors: tuple[float, ...] = ()
    movable: bool = True


@dataclass(frozen=True, slots=True)
class KvIdentity:
    """What a cache means, and how the runtime holds it. Hashes are sha256 (hex).

    Two caches with equal weights, tokenizer, template, shape and rope mean the same, whichever runtime made them.
    dtype: element type of the runtime's cells. `rotated`: whether it holds keys and values Hadamard-rotated.
    runtime: backend and build. `state_version`: version of the layout of its saved state.
    """

    weights: str
    tokenizer: str
    template: str
    shape: KvShape
    rope: Rope
    dtype: Literal["f16", "q8_0"]
    rotated: bool
    runtime: str
    state_version: int


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of a cache as float16: keys after RoPE, nothing Hadamard-rotated.

    positions: int32 [n]. k: float16 [n_layers, n, n_kv_heads, k_dim]. v: float16 [n_layers, n, n_kv_heads, v_dim].
    Where cells hold a document, the heads of one cell may belong to different tokens: a position then only says which
    queries may look at the cell.
    """

    positions: NDArray[np.int32]
    k: F16Cells
    v: F16Cells

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class QuantizedCells:
    """Cells as a q8_0 cache holds them: blocks of 32 int8 with one float16 scale.

    rotated: whether keys and values are Hadamard-rotated in blocks of `key_rotation` and VALUE_ROTATION (orthonormal).
    positions: int32 [n]. k: int8 [n_layers, n, n_kv_heads * k_dim], k_scales: float16 [n_layers, n, that / 32]; v as k.
    """

    positions: NDArray[np.int32]
    rotated: bool
    k: NDArray[np.int8]
    k_scales: F16Cells
    v: NDArray[np.int8]
    v_scales: F16Cells

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class RaggedCells:
    """Cells whose heads differ in how many rows they hold: prefix and documents, nothing filled up.

    They stand for the positions below `n_tokens`; who asks comes behind them all, so a row has no position of its own.
    Head (layer, head) is number layer * n_kv_heads + head, and its rows are offsets[i]:offsets[i + 1]; a head may have
    none. offsets: int64 [n_layers * n_kv_heads + 1]. k: float16 [n_rows, k_dim], after RoPE, not Hadamard-rotated.
    v: float16 [n_rows, v_dim]. bits: how finely a runtime should hold them, 8 where they were coded coarser than that.
    """

    n_tokens: int
    shape: KvShape
    offsets: NDArray[np.int64]
    k: F16Cells
    v: F16Cells
    bits: Literal[8, 16]

    @property
    def n_rows(self) -> int:
        return len(self.k)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each head, int64 [n_layers * n_kv_heads]."""
        return np.diff(self.offsets)


AnyCells = Cells | QuantizedCells | RaggedCells
"""What can be put into a cache; RaggedCells only where the runtime `takes_ragged`."""


CaptureSink = Callable[[int, FloatRows, FloatRows], None]
"""Called for each layer of each block with (layer, queries [n, n_heads, k_dim], keys [n, n_kv_heads, k_dim]).

Both are float32 and after RoPE; the arrays are the callee's to keep. It is called in order of layers once a block is
read, so never for one that was stopped inside; if it raises, the block is dropped and `read` raises the same. It must
not call the reader.
"""


class KvReader(Protocol):
    """A context of its own over a loaded model's weights, for reading documents while the owner's waits undisturbed.

    Every method raises ModelError when the model was closed or made to forget. Where a model's cache cannot be taken
    apart (recurrent, sliding window, a round trip that differs), opening one raises CartridgeIncompatible and says why.
    """

    @property
    def identity(self) -> KvIdentity: ...

    @property
    def takes_ragged(self) -> bool:
        """Whether `place` takes RaggedCells."""
        ...

    @property
    def n_ctx(self) -> int: ...

    @property
    def n_tokens(self) -> int:
        """The next token's position."""
        ...

    def read(
        self,
        tokens: Sequence[int],
        *,
        capture: CaptureSink | None = None,
        cancelled: CancelCheck = never_cancelled,
        paused: CancelCheck = never_cancelled,
    ) -> Iterator[PrefillProgress]:
        """Append `tokens`; progress counts them. A block ends within 0.1 s of `cancelled()` or `paused()`.

        While `paused()`, nothing is computed, and the block is done again later. After Cancelled the cache holds the
        blocks that progress told of. Raises ContextOverflow before any work, and ModelError if the cache is moved by
        another call meanwhile.
        """
        ...

    def rewind(self, n_tokens: int) -> None:
        """Drop all after the first `n_tokens` positions; 0 empties it. Placed cells go as a whole."""
        ...

    def cells(self, start: int = 0) -> Cells:
        """The cells of positions `start` and above, in order of position."""
        ...

    def quantized_cells(self, start: int = 0) -> QuantizedCells:
        """The same as a q8_0 cache holds them, bit for bit; of an f16 cache, rounded to such blocks and not rotated."""
        ...

    def place(self, n_tokens: int, cells: AnyCells) -> None:
        """Replace the cache by `cells`, standing for `n_tokens` positions, at which the next token is read.

        There may be fewer cells than positions; the last cell is at position n_tokens - 1. Raises ModelError, and
        changes nothing, unless shapes fit, values are finite, and positions ascend; and for RaggedCells where the
        runtime does not take them.
        """
        ...

    def logits(self, tokens: Sequence[int]) -> FloatRows:
        """Append `tokens` and return float32 [len(tokens), n_vocab]."""
        ...

    def close(self) -> None: ...
