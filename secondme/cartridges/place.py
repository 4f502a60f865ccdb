"""Puts cartridges into one context: each moved to its position, ragged heads side by side, padded once.

A runtime's cells are rectangular: all heads of all layers have as many. A head that kept fewer tokens is filled up with
a key no query looks at (`pad`), so that filling costs memory and no fidelity. Several documents share one filling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.rows import HeadRows
from secondme.cartridges.side_by_side import each_layer
from secondme.cartridges.turn import at, turned
from secondme.errors import ContextOverflow
from secondme.kernels import kv
from secondme.runtime.kv import Cells, F16Cells, Rope


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

    prefix: cells of the tokens before all documents. padding: float16 [n_layers * n_kv_heads, k_dim], after RoPE.
    n_ctx: positions the context has.
    """

    prefix: Cells
    padding: F16Cells
    rope: Rope
    n_ctx: int


def place(ground: Ground, parts: Sequence[Part]) -> tuple[int, Cells]:
    """The number of positions that are taken, and the cells, in ascending order and the last at the last position.

    Raises ContextOverflow where the parts end behind the context's end, CartridgeIncompatible where a key cannot be
    moved to its position.
    """
    n_tokens = max([len(ground.prefix), *(part.start + part.n_tokens for part in parts)])
    if n_tokens > ground.n_ctx:
        raise ContextOverflow(
            f"the documents need {n_tokens} tokens, the context has {ground.n_ctx}", hint="open fewer documents"
        )
    counts = sum((_counts(ground, part) for part in parts), np.zeros(len(ground.padding), np.int64))
    n_cells = max(int(counts.max()), 1) if n_tokens > len(ground.prefix) else 0
    cells = _padded(ground, n_tokens, n_cells)
    ends = np.full(len(ground.padding), len(ground.prefix), np.int64)
    for part in parts:
        if isinstance(part.rows, HeadRows):
            _put_rows(cells, part.rows, part.start, ends, ground.rope)
        else:
            _put_cells(cells, part.rows, part.start, ends, ground.rope)
    return n_tokens, cells


def _counts(ground: Ground, part: Part) -> NDArray[np.int64]:
    if isinstance(part.rows, HeadRows):
        return part.rows.counts
    return np.full(len(ground.padding), len(part.rows), np.int64)


def _padded(ground: Ground, n_tokens: int, n_cells: int) -> Cells:
    """The prefix, then cells that nothing looks at; they take the last positions before the conversation's."""
    prefix, n_prefix = ground.prefix, len(ground.prefix)
    n_layers, _, n_heads, k_dim = prefix.k.shape
    k = np.empty((n_layers, n_prefix + n_cells, n_heads, k_dim), np.float16)
    v = np.zeros((n_layers, n_prefix + n_cells, n_heads, prefix.v.shape[3]), np.float16)
    k[:, :n_prefix], v[:, :n_prefix] = prefix.k, prefix.v
    k[:, n_prefix:] = ground.padding.reshape(n_layers, 1, n_heads, k_dim)
    positions = np.concatenate([prefix.positions, np.arange(n_tokens - n_cells, n_tokens)]).astype(np.int32)
    return Cells(positions, k, v)


def _put_rows(cells: Cells, rows: HeadRows, start: int, ends: NDArray[np.int64], rope: Rope) -> None:
    n_heads = rows.shape.n_kv_heads
    turns = turned(np.arange(start, start + rows.n_tokens, dtype=np.int32), rope)

    def put(layer: int) -> None:
        for head in range(n_heads):
            index = layer * n_heads + head
            chosen = slice(int(rows.offsets[index]), int(rows.offsets[index + 1]))
            taken = slice(int(ends[index]), int(ends[index]) + chosen.stop - chosen.start)
            if chosen.start == chosen.stop:
                continue
            out = cells.k[layer, taken, head]
            if turns is None:
                kv.place_values(rows.k[chosen], out)
            else:
                kv.place_keys(rows.k[chosen], at(turns, rows.tokens[chosen]), _pairs(rope), out)
            kv.place_values(rows.v[chosen], cells.v[layer, taken, head])

    each_layer(put, rows.shape.n_layers)
    ends += rows.counts


def _put_cells(cells: Cells, document: Cells, start: int, ends: NDArray[np.int64], rope: Rope) -> None:
    shift = start - int(document.positions[0]) if len(document) else 0
    turns = turned(np.array([shift], np.int32), rope) if shift else None
    n_heads = cells.k.shape[2]

    def put(layer: int) -> None:
        keys = document.k[layer]
        if turns is not None:
            keys = kv.rotate_cells(keys, turns, _pairs(rope))
        for head in range(n_heads):
            end = int(ends[layer * n_heads + head])
            cells.k[layer, end : end + len(document), head] = keys[:, head]
            cells.v[layer, end : end + len(document), head] = document.v[layer, :, head]

    each_layer(put, len(cells.k))
    ends += len(document)


def _pairs(rope: Rope) -> kv.Pairs:
    return "halves" if rope.pairs == "halves" else "adjacent"
