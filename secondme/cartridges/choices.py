"""The side information of the row codec: which tokens each head keeps and how finely, and the tables of components.

Both are small beside the coefficients, and coded with their tables. What a layer keeps is coded knowing how many heads
of the layer before keep the token; a table number is coded as its step from the one of the component before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import kv
from secondme.kernels.kv_tables import N_SCALES, N_TABLES

_Bytes = NDArray[np.uint8]


def encode(kept: _Bytes, before: _Bytes, n_classes: int) -> bytes:
    """kept: uint8 [n_tokens, n_heads], 0 for a token that a head does not keep, else its class + 1. before: the same
    of the layer before.

    Symbols of a head are numbered 0, 1, -1, 2, ... by falling frequency; that order comes first, then the table of each
    context and head, then the stream.
    """
    n_heads = kept.shape[1]
    order = np.empty((n_heads, n_classes + 1), np.uint8)
    z = np.empty(kept.shape, np.int16)
    for i in range(n_heads):
        counts = np.bincount(kept[:, i], minlength=n_classes + 1)
        order[i] = np.argsort(-counts, kind="stable")
        z[:, i] = _fold(n_classes + 1)[np.argsort(order[i])][kept[:, i]]
    contexts = _contexts(before)
    tables = _tables(np.abs(z), contexts, n_heads + 1)
    return order.tobytes() + tables.tobytes() + kv.encode_rows(z, tables, contexts)


def decode(data: bytes, before: _Bytes, n_classes: int) -> _Bytes:
    """What `encode` was given. Raises ValueError."""
    n, n_heads = before.shape
    n_order, n_tables = n_heads * (n_classes + 1), n_heads * (n_heads + 1)
    if len(data) < n_order + n_tables:
        raise ValueError("choices")
    order = np.frombuffer(data[:n_order], np.uint8).reshape(n_heads, -1)
    if (np.sort(order, axis=1) != np.arange(n_classes + 1)).any():
        raise ValueError("order")
    tables = np.frombuffer(data[n_order : n_order + n_tables], np.uint8).reshape(-1, n_heads)
    z = kv.decode_rows(data[n_order + n_tables :], n, np.ascontiguousarray(tables), _contexts(before))
    numbers = _fold(n_classes + 1).astype(np.intp)
    least = int(numbers.min())
    if z.size and not least <= int(z.min()) <= int(z.max()) <= int(numbers.max()):
        raise ValueError("class")
    of_number = np.empty_like(order)
    of_number[:, numbers - least] = order
    found = np.empty(z.shape, np.uint8)
    for i in range(n_heads):
        found[:, i] = of_number[i][z[:, i] - least]
    return found


def encode_tables(tables: Sequence[_Bytes]) -> bytes:
    """tables: for each side of each head uint8 [C], all below N_TABLES."""
    parts = []
    for numbers in tables:
        scale, shape = _split(numbers)
        z = np.stack([np.diff(scale, prepend=_FIRST_SCALE), np.diff(shape, prepend=_FIRST_SHAPE)], axis=1)
        parts.append(z.astype(np.int16))
    z = np.concatenate(parts)
    chosen = _tables(np.abs(z), np.zeros(len(z), np.uint8), 1)
    return chosen.tobytes() + kv.encode_rows(z, chosen, np.zeros(len(z), np.uint8))


def decode_tables(data: bytes, n_sides: int, widths: tuple[int, int]) -> list[_Bytes]:
    """What `encode_tables` was given: widths are those of keys and values, in turn. Raises ValueError."""
    sizes = [widths[i % 2] for i in range(n_sides)]
    if len(data) < 2:
        raise ValueError("tables")
    chosen = np.frombuffer(data[:2], np.uint8).reshape(1, 2)
    z = kv.decode_rows(data[2:], sum(sizes), np.ascontiguousarray(chosen), np.zeros(sum(sizes), np.uint8))
    ends = np.cumsum(sizes)
    sums = np.cumsum(z, axis=0, dtype=np.int64)
    sums[sizes[0] :] -= np.repeat(sums[ends[:-1] - 1], sizes[1:], axis=0)  # each side begins anew
    scale, shape = sums[:, 0] + _FIRST_SCALE, sums[:, 1] + _FIRST_SHAPE
    if scale.min() < 0 or scale.max() > N_SCALES or shape.min() < 0 or shape.max() >= _N_SHAPES:
        raise ValueError("table")
    return np.split(np.where(scale == 0, 0, shape * N_SCALES + scale).astype(np.uint8), ends[:-1])


_N_SHAPES = (N_TABLES - 1) // N_SCALES
_FIRST_SCALE, _FIRST_SHAPE = 30, 2


def _split(numbers: _Bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(scale + 1, or 0 for table 0; shape), int64 [C]; table 0 has the shape of the component before."""
    n = numbers.astype(np.int64)
    scale = np.where(n == 0, 0, (n - 1) % N_SCALES + 1)
    shape = np.where(n == 0, -1, (n - 1) // N_SCALES)
    last = np.maximum.accumulate(np.where(shape >= 0, np.arange(len(n)), -1))
    return scale, np.where(last >= 0, shape[last], _FIRST_SHAPE)


def _contexts(before: _Bytes) -> _Bytes:
    """How many heads of the layer before keep each token, uint8 [n_tokens]."""
    found: _Bytes = np.add.reduce(before.T != 0, axis=0, dtype=np.uint8)
    return found


def _fold(n: int) -> NDArray[np.int16]:
    """0, 1, -1, 2, -2, ...: int16 [n]."""
    i = np.arange(n)
    return np.where(i % 2 == 1, (i + 1) // 2, -(i // 2)).astype(np.int16)


def _tables(z: NDArray[np.int16], contexts: _Bytes, n_contexts: int) -> _Bytes:
    """The cheapest table for each context and column of magnitudes z [n, columns]: uint8 [n_contexts, columns]."""
    counts = np.zeros((n_contexts, z.shape[1], int(z.max(initial=0)) + 1), np.int64)
    for column in range(z.shape[1]):
        np.add.at(counts[:, column], (contexts, z[:, column]), 1)
    chosen: _Bytes = kv.choose_tables(counts)
    return chosen
