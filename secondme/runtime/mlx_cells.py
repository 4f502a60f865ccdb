"""Cells between their canonical form and MLX's: the order of a head's dimensions, and what a layer holds.

A GGUF file may keep a head's rotated dimensions in adjacent pairs where MLX has them in halves (llama.cpp's converter
permutes the rows of Llama's query and key matrices). Cells are in the order of the file that the weights come from, so
that those of llama.cpp and ours are the same; they are put into MLX's order here and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.cells import check_cells, finite, plain
from secondme.runtime.kv import (
    AnyCells,
    Cells,
    KvIdentity,
    QuantizedCells,
    RaggedCells,
    Rope,
)
from secondme.runtime.mlx_context import MlxContext

Put = Callable[[MlxContext], None]
"""Puts cells into a context, on any thread."""


def in_mlx_order(keys: NDArray[Any], rope: Rope) -> NDArray[Any]:
    """Keys [..., k_dim] of canonical order in MLX's."""
    if rope.pairs != "adjacent":
        return keys
    n, half, moved = rope.n_dims, rope.n_dims // 2, np.empty(keys.shape, keys.dtype)
    moved[..., :half], moved[..., half:n], moved[..., n:] = keys[..., 0:n:2], keys[..., 1:n:2], keys[..., n:]
    return moved


def in_canonical_order(keys: NDArray[Any], rope: Rope) -> NDArray[Any]:
    """Keys or queries [..., k_dim] of MLX's order in the canonical one."""
    if rope.pairs != "adjacent":
        return keys
    n, half, moved = rope.n_dims, rope.n_dims // 2, np.empty(keys.shape, keys.dtype)
    moved[..., 0:n:2], moved[..., 1:n:2], moved[..., n:] = keys[..., :half], keys[..., half:n], keys[..., n:]
    return moved


def cells_of(rows: Sequence[tuple[Any, Any]], positions: NDArray[np.int32], rope: Rope) -> Cells:
    """A context's rows, as `MlxContext.rows` gives them. Raises ModelError if a number is too large for float16."""
    keys = in_canonical_order(np.stack([k for k, _ in rows]), rope)
    values = np.stack([v for _, v in rows])
    return Cells(positions, finite(np.ascontiguousarray(keys)), finite(np.ascontiguousarray(values)))


def placed(cells: AnyCells, identity: KvIdentity, n_tokens: int) -> Put:
    """What puts `cells` into a context for `n_tokens` positions. Raises ModelError unless they fit."""
    check_cells(cells, identity.shape, n_tokens)
    if isinstance(cells, RaggedCells):
        return _ragged(cells, identity)
    rows = plain(cells, identity.shape) if isinstance(cells, QuantizedCells) else cells
    for side in (rows.k, rows.v):
        finite(side)
    return lambda context: context.place((in_mlx_order(layer, identity.rope) for layer in rows.k), rows.v, n_tokens)


def _ragged(cells: RaggedCells, identity: KvIdentity) -> Put:
    n_kv, ends = identity.shape.n_kv_heads, cells.offsets.tolist()
    keys = in_mlx_order(cells.k, identity.rope)
    pieces = [(keys[a:b], cells.v[a:b]) for a, b in itertools.pairwise(ends)]
    layers = [pieces[i : i + n_kv] for i in range(0, len(pieces), n_kv)]
    return lambda context: context.place_ragged(layers, cells.n_tokens, cells.bits)
