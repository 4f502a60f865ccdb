"""How much each token of a document is looked at, for each head: what selection and the codec's classes go by.

The model reads the document again after having read it, and the attention that the second reading pays to the first
one's tokens is recorded (KVzip, Kim et al. 2025): a token that is needed to say the text again is one that questions
about the text may need. Stands apart because it is all of a build's extra cost, and needs no model of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secondme.errors import Cancelled
from secondme.runtime.kv import Cells, FloatRows, KvReader, KvShape
from secondme.types import CancelCheck, PrefillProgress, never_cancelled

# 64 queries by 4,000 keys are 1 MB of float32: what a core's own cache holds.
_TILE_ELEMENTS = 1 << 18
_TINY = np.float32(1e-9)

EMPHASIS = 2.0
"""Of names and numbers. With one in eight rows kept, recall KL fell from .069 to .049 on two documents; 1.4: .055."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Attention (0 to 1) that each token of a document got, over all queries that looked at it.

    peak, rms: float32 [n_layers * n_kv_heads, n_tokens]; the largest, and the root of the mean square.
    """

    peak: FloatRows
    rms: FloatRows

    def weighed(self, emphasis: FloatRows) -> FloatRows:
        """What to select by: the root mean square times `emphasis` [n_tokens], brought to the level of the peaks, which
        a tier's classes are set for. At 4x to 8x it keeps far more recall than the peaks, which one odd query can set.
        """
        level = np.exp(np.log(self.peak + _TINY).mean() - np.log(self.rms + _TINY).mean())
        return np.asarray(self.rms * (level * emphasis), np.float32)


class AttentionRecorder:
    """Sums up the attention that captured queries pay to cells: `capture` is a CaptureSink.

    cells: all that the queries see before the text they belong to; the document's cells are those from `start` on.
    Every query counts: a token is asked for by the one before it, so that leaving out every other query loses every
    other token. Memory is the cells' own, and 1 MB a tile of scores.
    """

    def __init__(self, shape: KvShape, cells: Cells, *, start: int) -> None:
        n_heads = shape.n_layers * shape.n_kv_heads
        self._shape, self._cells, self._start = shape, cells, start
        self._peak = np.zeros((n_heads, len(cells) - start), np.float32)
        self._square_sum = np.zeros((n_heads, len(cells) - start), np.float64)
        self._n_queries = np.zeros(n_heads, np.int64)
        self._own: dict[int, list[FloatRows]] = {}

    def begin(self) -> None:
        """What is captured next follows the cells at once: the texts read after them so far were dropped."""
        self._own.clear()

    def capture(self, layer: int, queries: FloatRows, keys: FloatRows) -> None:
        """queries: float32 [n, n_heads, k_dim], keys: float32 [n, n_kv_heads, k_dim]; both after RoPE."""
        own = self._own.setdefault(layer, [])
        n_before = sum(len(block) for block in own)
        own.append(keys)
        own_keys = np.concatenate(own)
        n, group = len(queries), self._shape.n_heads // self._shape.n_kv_heads
        scaled = queries * np.float32(self._shape.k_dim**-0.5)
        ends = np.repeat(np.arange(n_before, n_before + n), group)  # last own key a query may see
        for head in range(self._shape.n_kv_heads):
            rows = np.ascontiguousarray(scaled[:, head * group : (head + 1) * group]).reshape(-1, self._shape.k_dim)
            seen = self._cells.k[layer, :, head].astype(np.float32)
            self._add(layer * self._shape.n_kv_heads + head, rows, seen, _Own(own_keys[:, head], ends))

    def _add(self, index: int, rows: FloatRows, seen: FloatRows, own: _Own) -> None:
        tile = max(1, _TILE_ELEMENTS // max(len(seen), 1))
        for first in range(0, len(rows), tile):
            chosen = slice(first, first + tile)
            scores = rows[chosen] @ seen.T
            inner = own.scores(rows[chosen], chosen)
            highest = np.maximum(scores.max(axis=1), inner.max(axis=1))[:, None]
            np.exp(np.subtract(scores, highest, out=scores), out=scores)
            total = scores.sum(axis=1) + np.exp(inner - highest).sum(axis=1)
            weights = scores[:, self._start :]
            weights *= (1 / total)[:, None]
            np.maximum(self._peak[index], weights.max(axis=0), out=self._peak[index])
            self._square_sum[index] += np.ones(len(weights), np.float32) @ np.square(weights, out=weights)
        self._n_queries[index] += len(rows)

    def scores(self) -> TokenScores:
        mean_square = self._square_sum / np.maximum(self._n_queries, 1)[:, None]
        return TokenScores(self._peak, np.sqrt(mean_square).astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Own:
    """Keys of the text being read [m, k_dim], and for each query the last of them it may see."""

    keys: FloatRows
    ends: NDArray[np.int64]

    def scores(self, rows: FloatRows, chosen: slice) -> FloatRows:
        ends = self.ends[chosen]
        scores: FloatRows = rows @ self.keys[: int(ends[-1]) + 1].T
        scores[np.arange(scores.shape[1]) > ends[:, None]] = -np.inf
        return scores


def read_again(
    reader: KvReader,
    recorder: AttentionRecorder,
    texts: Sequence[Sequence[int]],
    *,
    cancelled: CancelCheck = never_cancelled,
    paused: CancelCheck = never_cancelled,
) -> Iterator[PrefillProgress]:
    """Read each of `texts` (token ids) behind what `reader` holds, record its attention, and drop it again.

    The progress counts the tokens of all texts. The reader is left as it was found, also after Cancelled, for which is
    looked between layers.
    """
    n_held, n_done, n_all = reader.n_tokens, 0, sum(len(text) for text in texts)

    def capture(layer: int, queries: FloatRows, keys: FloatRows) -> None:
        if cancelled():
            raise Cancelled("reading was stopped")
        recorder.capture(layer, queries, keys)

    try:
        for text in texts:
            recorder.begin()
            for progress in reader.read(text, capture=capture, cancelled=cancelled, paused=paused):
                yield PrefillProgress(n_done + progress.n_done, n_all)
            n_done += len(text)
            reader.rewind(n_held)
    finally:
        if reader.n_tokens != n_held:
            reader.rewind(n_held)


def emphasis(pieces: Sequence[str], factor: float = EMPHASIS) -> FloatRows:
    """float32 [n_tokens]: `factor` for tokens of numbers and of words that begin with a capital, 1 for others.

    pieces: each token's text. What a question asks for is mostly one of these, and an identifier that loses one token
    is lost; a repetition weighs them like all others. Multiply scores by it before selecting.
    """
    marked, weights = False, np.ones(len(pieces), np.float32)
    for i, piece in enumerate(pieces):
        goes_on = piece[:1].isalnum() or piece[:1] in "-_"
        marked = _is_telling(piece) or (marked and goes_on)
        if marked:
            weights[i] = factor
    return weights


def _is_telling(piece: str) -> bool:
    return any(c.isdigit() for c in piece) or piece.lstrip()[:1].isupper()


def repetitions(tokens: Sequence[int], instruction: Sequence[int], *, chunk: int = 1024) -> list[list[int]]:
    """The texts that have a document said again: an instruction and a chunk of it, at most `chunk` tokens, in turn."""
    n_chunks = max(1, -(-len(tokens) // chunk))
    bounds = np.linspace(0, len(tokens), n_chunks + 1).astype(int)
    return [[*instruction, *tokens[a:b]] for a, b in pairwise(bounds)]
