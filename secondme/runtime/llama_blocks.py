"""How tokens are cut into the blocks that llama.cpp reads fast on a CPU.

Its attention over an f16 cache works in tiles of 64 queries (ggml-cpu/ops.cpp); a shorter block goes key by key, for
every query anew, and takes up to six times as long as one of 64. So no rest shorter than a tile is left after a whole
block, and a text of less than a tile is filled up with tokens that are dropped again where that is sooner done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondme.errors import CartridgeIncompatible

if TYPE_CHECKING:
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


def padding_of(model: LlamaModel, kv_type: str) -> Padding:
    """NONE where there are no tiles, and where a token that was read cannot be dropped again."""
    from secondme.runtime.llama_identity import shape_of

    if model.on_gpu or kv_type != "f16":
        return NONE
    try:
        shape = shape_of(model)
    except CartridgeIncompatible:
        return NONE
    return Padding(model.n_params, shape.n_layers * shape.n_heads * shape.k_dim)
