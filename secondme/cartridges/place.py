"""Puts cartridges into one context: each moved to its position, its heads behind those of the one before.

Where a runtime's cells are rectangular, all heads of all layers have as many: a head that kept fewer tokens is filled
up with a key no query looks at (`pad`), so that filling costs memory and no fidelity, and several documents share one
filling. Where heads may differ in length, nothing is filled up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.rows import HeadRows
from secondme.cartridges.turn import turned
from secondme.errors import ContextOverflow
from secondme.kernels import kv
from secondme.runtime.kv import Cells, F16Cells, KvShape, RaggedCells, Rope
from secondme.runtime.side_by_side import each_layer

_Rows = Callable[[int, int, int], tuple[F16Cells, F16Cells]]
"""Views of the keys and values of a head's rows start to stop, by (layer * n_kv_heads + head, start, stop)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A document's rows, or all of its cells, and the position its first token gets."""

    rows: HeadRows | Cells
    start: int

    @property
    def n_tokens(self) -> int:
        return self.rows.n_tokens if isinstance(self.rows, HeadRows) else len(self.rows)


@dataclass(frozen=True, slots=True)
class Ground:
    """What parts are placed on.

    prefix: cells of the tokens before all documents. padding: float16 [n_layers * n_kv_heads, k_dim], after RoPE; what
    is ragged needs none. n_ctx: positions the context has.
    """

    prefix: Cells
    padding: F16Cells
    rope: Rope
    n_ctx: int

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Layers, heads in each, dimensions of a key and of a value."""
        n_layers, _, n_heads, k_dim = self.prefix.k.shape
        return n_layers, n_heads, k_dim, self.prefix.v.shape[3]


def place(ground: Ground, parts: Sequence[Part]) -> tuple[int, Cells]:
    """The number of positions that are taken, and the cells, in ascending order and the last at the last position.

    Raises ContextOverflow where the parts end behind the context's end, CartridgeIncompatible where a key cannot be
    moved to its position.
    """
    n_tokens = _n_tokens(ground, parts)
    counts = _counts(ground, parts)
    n_cells = max(int(counts.max()), 1) if n_tokens > len(ground.prefix) else 0
    cells = _padded(ground, n_tokens, n_cells)
    n_heads = ground.sizes[1]

    def rows(index: int, start: int, stop: int) -> tuple[F16Cells, F16Cells]:
        layer, head = divmod(index, n_heads)
        return cells.k[layer, start:stop, head], cells.v[layer, start:stop, head]

    ends = np.full(len(counts), len(ground.prefix), np.int64)
    _put(ground, parts, rows, ends)
    _fill_up(ground, cells, ends)
    return n_tokens, cells


def place_ragged(
    ground: Ground, parts: Sequence[Part], shape: KvShape, bits: Literal[8, 16]
) -> tuple[int, RaggedCells]:
    """The same for heads that may differ in length: the prefix's rows in each, then those of the parts.

    Raises ContextOverflow and CartridgeIncompatible as `place` does.
    """
    n_tokens = _n_tokens(ground, parts)
    counts = len(ground.prefix) + _counts(ground, parts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    k, v = (np.empty((int(offsets[-1]), dim), np.float16) for dim in (shape.k_dim, shape.v_dim))

    def rows(index: int, start: int, stop: int) -> tuple[F16Cells, F16Cells]:
        chosen = slice(int(offsets[index]) + start, int(offsets[index]) + stop)
        return k[chosen], v[chosen]

    ends = np.zeros(len(counts), np.int64)
    _put_cells(ground, ground.prefix, 0, rows, ends)
    _put(ground, parts, rows, ends)
    return n_tokens, RaggedCells(n_tokens, shape, offsets, k, v, bits)


def _n_tokens(ground: Ground, parts: Sequence[Part]) -> int:
    n_tokens = max([len(ground.prefix), *(part.start + part.n_tokens for part in parts)])
    if n_tokens > ground.n_ctx:
        raise ContextOverflow(
            f"the documents need {n_tokens} tokens, the context has {ground.n_ctx}", hint="open fewer documents"
        )
    return n_tokens


def _counts(ground: Ground, parts: Sequence[Part]) -> NDArray[np.int64]:
    """Rows of all parts in each head."""
    n_layers, n_heads, _, _ = ground.sizes
    counts = np.zeros(n_layers * n_heads, np.int64)
    for part in parts:
        counts += part.rows.counts if isinstance(part.rows, HeadRows) else len(part.rows)
    return counts


def _padded(ground: Ground, n_tokens: int, n_cells: int) -> Cells:
    """The prefix, then cells yet to be written; they take the last positions before the conversation's."""
    prefix, n_prefix = ground.prefix, len(ground.prefix)
    n_layers, n_heads, k_dim, v_dim = ground.sizes
    k = np.empty((n_layers, n_prefix + n_cells, n_heads, k_dim), np.float16)
    v = np.zeros((n_layers, n_prefix + n_cells, n_heads, v_dim), np.float16)
    k[:, :n_prefix], v[:, :n_prefix] = prefix.k, prefix.v
    positions = np.concatenate([prefix.positions, np.arange(n_tokens - n_cells, n_tokens)]).astype(np.int32)
    return Cells(positions, k, v)


def _fill_up(ground: Ground, cells: Cells, ends: NDArray[np.int64]) -> None:
    """Behind each head's own rows, keys that nothing looks at; their values are zeros already."""
    n_layers, n_heads, _, _ = ground.sizes

    def fill(layer: int) -> None:
        for head in range(n_heads):
            index = layer * n_heads + head
            cells.k[layer, int(ends[index]) :, head] = ground.padding[index]

    each_layer(fill, n_layers)


def _put(ground: Ground, parts: Sequence[Part], rows: _Rows, ends: NDArray[np.int64]) -> None:
    """Write the parts one behind the other; `ends` are the rows that each head has so far, and grow."""
    for part in parts:
        if isinstance(part.rows, HeadRows):
            _put_rows(ground, part.rows, part.start, rows, ends)
        else:
            _put_cells(ground, part.rows, part.start, rows, ends)


def _put_rows(ground: Ground, found: HeadRows, start: int, rows: _Rows, ends: NDArray[np.int64]) -> None:
    n_layers, n_heads, _, _ = ground.sizes
    turns = turned(np.arange(start, start + found.n_tokens, dtype=np.int32), ground.rope)

    def put(layer: int) -> None:
        for index in range(layer * n_heads, (layer + 1) * n_heads):
            chosen = slice(int(found.offsets[index]), int(found.offsets[index + 1]))
            if chosen.start == chosen.stop:
                continue
            keys, values = rows(index, int(ends[index]), int(ends[index]) + chosen.stop - chosen.start)
            if turns is None:
                kv.place_values(found.k[chosen], keys)
            else:
                kv.place_keys(found.k[chosen], turns, _pairs(ground.rope), keys, which=found.tokens[chosen])
            kv.place_values(found.v[chosen], values)

    each_layer(put, n_layers)
    ends += found.counts


def _put_cells(ground: Ground, document: Cells, start: int, rows: _Rows, ends: NDArray[np.int64]) -> None:
    shift = start - int(document.positions[0]) if len(document) else 0
    turns = turned(np.array([shift], np.int32), ground.rope) if shift else None
    n_layers, n_heads, _, _ = ground.sizes

    def put(layer: int) -> None:
        found = document.k[layer]
        if turns is not None:
            found = kv.rotate_cells(found, turns, _pairs(ground.rope))
        for head in range(n_heads):
            end = int(ends[layer * n_heads + head])
            keys, values = rows(layer * n_heads + head, end, end + len(document))
            keys[:], values[:] = found[:, head], document.v[layer, :, head]

    each_layer(put, n_layers)
    ends += len(document)


def _pairs(rope: Rope) -> kv.Pairs:
    return "halves" if rope.pairs == "halves" else "adjacent"
