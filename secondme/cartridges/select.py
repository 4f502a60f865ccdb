"""Which rows of a document's cache are kept: one budget over all layers and heads, not one for each.

Heads differ by far in how many tokens they look at; letting them compete for one budget keeps recall at a ratio where
equal shares lose it. Stands apart from scoring, so that a tier can be chosen again without reading again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.rows import HeadRows
from secondme.cartridges.turn import rotate
from secondme.runtime.kv import Cells, FloatRows, KvShape, Rope


@dataclass(frozen=True, slots=True)
class Selection:
    """Kept tokens of each head, ascending; head (layer, head) is number layer * n_kv_heads + head.

    offsets: int64 [n_heads + 1]. tokens: int32 [n_rows]. scores: float32 [n_rows], each row's score.
    """

    n_tokens: int
    offsets: NDArray[np.int64]
    tokens: NDArray[np.int32]
    scores: FloatRows

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each head, int64 [n_heads]."""
        return np.diff(self.offsets)


def select(scores: FloatRows, n_rows: int, *, cap: int | None = None) -> Selection:
    """The `n_rows` highest of scores (float32 [n_heads, n_tokens]), at most `cap` of one head.

    Exactly that many are kept, or all that the caps leave; of equal scores the earlier head's and token's is.
    """
    n_heads, n_tokens = scores.shape
    kept = np.zeros(scores.size, bool)
    order = np.argsort(-scores, axis=None, kind="stable")
    if cap is not None and cap < n_tokens:
        order = order[_rank_in_head(order // max(n_tokens, 1), n_heads) < cap]
    kept[order[: max(n_rows, 0)]] = True
    mask = kept.reshape(scores.shape)
    heads, tokens = np.nonzero(mask)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(heads, minlength=n_heads))]).astype(np.int64)
    return Selection(n_tokens, offsets, tokens.astype(np.int32), scores[mask])


def _rank_in_head(heads: NDArray[np.int64], n_heads: int) -> NDArray[np.int64]:
    """How many of the same head stand before each entry."""
    by_head = np.argsort(heads, kind="stable")
    counts = np.bincount(heads, minlength=n_heads)
    ranks = np.empty(len(heads), np.int64)
    ranks[by_head] = np.arange(len(heads)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def gather(cells: Cells, selection: Selection, shape: KvShape, rope: Rope) -> HeadRows:
    """The selected rows of a document's cells (without the prefix's), keys turned back to before RoPE."""
    layers, heads = np.divmod(np.repeat(np.arange(len(selection.counts)), selection.counts), shape.n_kv_heads)
    keys = cells.k[layers, selection.tokens, heads].astype(np.float32)
    values = cells.v[layers, selection.tokens, heads].astype(np.float32)
    keys = rotate(keys, -cells.positions[selection.tokens], rope)
    return HeadRows(shape, selection.n_tokens, selection.offsets, selection.tokens, keys, values)
