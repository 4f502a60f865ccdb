"""How tokens are cut into the blocks that llama.cpp reads fast on a CPU, and how it attends.

Its flash attention over an f16 cache works in tiles of 64 queries (ggml-cpu/ops.cpp); a shorter block goes key by key,
for every query anew, and takes up to six times as long as one of 64. So no rest shorter than a tile is left after a
whole block, and a text of less than a tile is filled up with tokens that are dropped again where that is sooner done.

Attention by plain matrix products takes as long for each query, however few there are: behind 5,600 tokens a token is
decoded three times as fast, a question of 48 read in four fifths of the time, and a text in a quarter more than by
tiles. So documents are read by tiles, and answered about by matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondme.errors import CartridgeIncompatible

if TYPE_CHECKING:
    from secondme.runtime.kv import KvShape
    from secondme.runtime.llama_model import LlamaModel

TILE = 64
"""Queries of a tile, `GGML_FA_TILE_Q`."""

_KEY_BY_KEY, _TILED = 30.0, 3.6
"""What one multiplication of attention takes, one with a weight being 1: fitted to SmolLM2-135M with 1,000 to 4,000
tokens in the cache, two threads with AVX-512."""


def block_size(n_left: int, n_batch: int) -> int:
    """How many of `n_left` tokens to read next, at most `n_batch`, so that the last block is no less than a tile."""
    if n_left <= n_batch:
        return n_left
    return n_batch if n_left >= n_batch + TILE or n_batch < 2 * TILE else n_left - TILE


@dataclass(frozen=True, slots=True)
class Padding:
    """When a short block is filled up to a tile.

    n_weights: of the model, each multiplied once a token. n_attended: multiplications of attention for a token and a
    cached one, layers times query heads times dimensions.
    """

    n_weights: int
    n_attended: int

    def of(self, n_tokens: int, n_cached: int) -> int:
        """Tokens to add to a block of `n_tokens` that is read behind `n_cached` others."""
        if not 1 < n_tokens < TILE:
            return 0
        attended = float(self.n_attended * n_cached)
        short = n_tokens * (self.n_weights + _KEY_BY_KEY * attended)
        return TILE - n_tokens if TILE * (self.n_weights + _TILED * attended) < short else 0


NONE = Padding(1, 0)
"""Never."""

_MOST_SCORE_BYTES = 96 << 20
_LEAST_TOGETHER = 32


def n_by_matrices(model: LlamaModel, kv_type: str, n_ctx: int, n_batch: int) -> int:
    """How many tokens attend together where it is done by matrix products: the scores of their queries are all held.

    0 where it is not to be done: on a GPU, where cells are not float16, where the scores would take too much memory.
    """
    shape = None if model.on_gpu or kv_type != "f16" else _shape(model)
    if shape is None:
        return 0
    n = min(n_batch, _MOST_SCORE_BYTES // (4 * shape.n_heads * n_ctx) // _LEAST_TOGETHER * _LEAST_TOGETHER)
    return n if n >= min(n_batch, _LEAST_TOGETHER) else 0


def padding_of(model: LlamaModel, kv_type: str) -> Padding:
    """NONE where there are no tiles, and where a token that was read cannot be dropped again."""
    shape = None if model.on_gpu or kv_type != "f16" else _shape(model)
    return NONE if shape is None else Padding(model.n_params, shape.n_layers * shape.n_heads * shape.k_dim)


def _shape(model: LlamaModel) -> KvShape | None:
    from secondme.runtime.llama_identity import shape_of

    try:
        return shape_of(model)
    except CartridgeIncompatible:
        return None
