"""Padded cells against attention computed row by row over the ragged heads, wherever the documents are put."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.cartridges.pad import padding_key
from secondme.cartridges.place import Ground, Part, place, place_ragged
from secondme.cartridges.select import gather, select
from secondme.cartridges.turn import rotate
from secondme.errors import CartridgeIncompatible, ContextOverflow
from secondme.runtime.cells import check_cells
from secondme.runtime.kv import Cells, F16Cells, FloatRows, KvShape, Rope, RopePairs

SHAPE = KvShape(n_layers=2, n_kv_heads=2, n_heads=4, k_dim=8, v_dim=6)
N_PREFIX, N_CTX = 3, 400
SIZE = 90.0  # of the test's padding keys; with these queries it makes logits far below any real one


def rope(pairs: RopePairs = "adjacent") -> Rope:
    return Rope(pairs, 8, 1e6)


def content(n: int, seed: int) -> tuple[FloatRows, FloatRows]:
    """Keys before RoPE and values of n tokens."""
    rng = np.random.default_rng(seed)
    k = rng.normal(size=(SHAPE.n_layers, n, SHAPE.n_kv_heads, SHAPE.k_dim)).astype(np.float32)
    return k, rng.normal(size=(SHAPE.n_layers, n, SHAPE.n_kv_heads, SHAPE.v_dim)).astype(np.float32)


def cells_at(n: int, seed: int, start: int, pairs: RopePairs) -> Cells:
    k, v = content(n, seed)
    positions = np.arange(start, start + n, dtype=np.int32)
    return Cells(positions, turned(k, positions, pairs).astype(np.float16), v.astype(np.float16))


def turned(k: FloatRows, positions: np.ndarray, pairs: RopePairs) -> FloatRows:
    """RoPE one element after the other, in the words of its paper."""
    out = k.copy()
    for at, position in enumerate(positions):
        for i in range(4):
            a, b = (2 * i, 2 * i + 1) if pairs == "adjacent" else (i, i + 4)
            angle = position * 1e6 ** (-2 * i / 8)
            x, y = k[:, at, :, a], k[:, at, :, b]
            out[:, at, :, a] = x * np.cos(angle) - y * np.sin(angle)
            out[:, at, :, b] = x * np.sin(angle) + y * np.cos(angle)
    return out


def queries() -> FloatRows:
    """Queries that have a direction in common in the slowest pair, as a model's have."""
    q = np.random.default_rng(9).normal(size=(24, SHAPE.k_dim)).astype(np.float32)
    q[:, 6] = np.abs(q[:, 6]) + 1.5
    return q


def padding() -> F16Cells:
    key, worst = padding_key(queries)
    assert worst < -30
    return np.tile((key.astype(np.float32) / np.linalg.norm(key.astype(np.float32)) * SIZE).astype(np.float16), (4, 1))


def attention(keys: FloatRows, values: FloatRows) -> FloatRows:
    logits = queries() @ keys.T / np.sqrt(SHAPE.k_dim)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray((weights / weights.sum(axis=1, keepdims=True)) @ values, np.float32)


@dataclass(frozen=True)
class Doc:
    n: int
    n_rows: int | None  # None: all cells, as the exact tier has them
    gap: int


docs = st.lists(
    st.builds(Doc, st.integers(1, 30), st.none() | st.integers(0, 80), st.integers(0, 25)), min_size=1, max_size=4
)


@dataclass(frozen=True)
class Setting:
    """Parts on their ground, and the keys and values of each head, computed one by one."""

    ground: Ground
    parts: list[Part]
    end: int
    k: list[FloatRows]
    v: list[FloatRows]


def setting(found: list[Doc], pairs: RopePairs) -> Setting:
    prefix = cells_at(N_PREFIX, 100, 0, pairs)
    k = [prefix.k[i // 2, :, i % 2].astype(np.float32) for i in range(4)]
    v = [prefix.v[i // 2, :, i % 2].astype(np.float32) for i in range(4)]
    parts, start = [], N_PREFIX
    for seed, doc in enumerate(found):
        cells = cells_at(doc.n, seed, N_PREFIX, pairs)
        start += doc.gap
        scores = np.random.default_rng(seed).random((4, doc.n), dtype=np.float32)
        kept = select(scores, doc.n * 4 if doc.n_rows is None else doc.n_rows)
        rows = cells if doc.n_rows is None else gather(cells, kept, SHAPE, rope(pairs))
        parts.append(Part(rows, start))
        keys, values = content(doc.n, seed)
        moved = turned(keys, np.arange(start, start + doc.n), pairs)
        for i in range(4):
            tokens = kept.tokens[kept.offsets[i] : kept.offsets[i + 1]]
            k[i] = np.concatenate([k[i], moved[i // 2, tokens, i % 2]])
            v[i] = np.concatenate([v[i], values[i // 2, tokens, i % 2]])
        start += doc.n
    return Setting(Ground(prefix, padding(), rope(pairs), N_CTX), parts, start, k, v)


@settings(max_examples=40, deadline=None)
@given(docs, st.sampled_from(["adjacent", "halves"]))
def test_padded_cells_attend_as_the_ragged_heads_do(found: list[Doc], pairs: RopePairs) -> None:
    wanted = setting(found, pairs)
    n_tokens, placed = place(wanted.ground, wanted.parts)
    assert n_tokens == wanted.end
    assert placed.positions[-1] == n_tokens - 1
    assert (np.diff(placed.positions) > 0).all()
    assert (placed.positions[:N_PREFIX] == np.arange(N_PREFIX)).all()
    assert placed.k.flags.c_contiguous and placed.v.flags.c_contiguous
    for i in range(4):
        got = attention(placed.k[i // 2, :, i % 2].astype(np.float32), placed.v[i // 2, :, i % 2].astype(np.float32))
        np.testing.assert_allclose(got, attention(wanted.k[i], wanted.v[i]), atol=1e-2)


@settings(max_examples=40, deadline=None)
@given(docs, st.sampled_from(["adjacent", "halves"]), st.sampled_from([8, 16]))
def test_ragged_cells_hold_each_heads_rows_and_no_other(
    found: list[Doc], pairs: RopePairs, bits: Literal[8, 16]
) -> None:
    wanted = setting(found, pairs)
    n_tokens, cells = place_ragged(wanted.ground, wanted.parts, SHAPE, bits)
    assert (n_tokens, cells.n_tokens, cells.bits) == (wanted.end, wanted.end, bits)
    check_cells(cells, SHAPE, n_tokens)
    assert cells.counts.tolist() == [len(k) for k in wanted.k]
    for i in range(4):
        rows = slice(cells.offsets[i], cells.offsets[i + 1])
        keys, values = cells.k[rows].astype(np.float32), cells.v[rows].astype(np.float32)
        np.testing.assert_allclose(keys, wanted.k[i], atol=1e-2)
        np.testing.assert_allclose(values, wanted.v[i], atol=4e-3)
        np.testing.assert_allclose(attention(keys, values), attention(wanted.k[i], wanted.v[i]), atol=1e-2)


@settings(max_examples=20, deadline=None)
@given(docs, st.sampled_from(["adjacent", "halves"]))
def test_ragged_and_padded_cells_hold_the_same_bits(found: list[Doc], pairs: RopePairs) -> None:
    wanted = setting(found, pairs)
    _, padded = place(wanted.ground, wanted.parts)
    _, cells = place_ragged(wanted.ground, wanted.parts, SHAPE, 16)
    assert cells.n_rows <= padded.k[..., 0].size
    for i, n in enumerate(cells.counts.tolist()):
        rows = slice(cells.offsets[i], cells.offsets[i + 1])
        np.testing.assert_array_equal(cells.k[rows], padded.k[i // 2, :n, i % 2])
        np.testing.assert_array_equal(cells.v[rows], padded.v[i // 2, :n, i % 2])
        assert (padded.k[i // 2, n:, i % 2] == wanted.ground.padding[i]).all()


def test_a_fixed_document_is_placed_to_a_thousandth() -> None:
    prefix, cells = cells_at(N_PREFIX, 100, 0, "adjacent"), cells_at(30, 1, N_PREFIX, "adjacent")
    n_tokens, placed = place(Ground(prefix, padding(), rope(), N_CTX), [Part(cells, N_PREFIX)])
    assert n_tokens == N_PREFIX + 30
    np.testing.assert_array_equal(placed.k[:, N_PREFIX:], cells.k)
    np.testing.assert_array_equal(placed.v[:, N_PREFIX:], cells.v)


def test_heads_are_filled_up_to_the_fullest_one_only() -> None:
    cells = cells_at(30, 1, N_PREFIX, "adjacent")
    scores = np.repeat(np.array([[4], [3], [2], [1]], np.float32), 30, axis=1)
    rows = gather(cells, select(scores, 40), SHAPE, rope())
    ground = Ground(cells_at(N_PREFIX, 100, 0, "adjacent"), padding(), rope(), N_CTX)
    _, one = place(ground, [Part(rows, N_PREFIX)])
    _, two = place(ground, [Part(rows, N_PREFIX), Part(rows, N_PREFIX + 30)])
    assert (len(one), len(two)) == (N_PREFIX + 30, N_PREFIX + 60)
    assert (one.k[1, N_PREFIX:, 1] == padding()[3]).all()
    assert (one.v[1, N_PREFIX:, 1] == 0).all()


def test_what_does_not_fit_or_cannot_be_moved_is_refused() -> None:
    ground = Ground(cells_at(N_PREFIX, 100, 0, "adjacent"), padding(), rope(), n_ctx=40)
    cells = cells_at(30, 1, N_PREFIX, "adjacent")
    for call in (place, partial(place_ragged, shape=SHAPE, bits=16)):
        with pytest.raises(ContextOverflow):
            call(ground, [Part(cells, 11)])
    fixed = Ground(ground.prefix, ground.padding, Rope("adjacent", 8, 1e6, movable=False), n_ctx=40)
    for call in (place, partial(place_ragged, shape=SHAPE, bits=16)):
        with pytest.raises(CartridgeIncompatible):
            call(fixed, [Part(cells, 8)])
    assert place(fixed, [Part(cells, N_PREFIX)])[0] == N_PREFIX + 30  # where it was read


def test_nothing_is_the_prefix_alone_and_an_empty_selection_still_takes_its_positions() -> None:
    ground = Ground(cells_at(N_PREFIX, 100, 0, "adjacent"), padding(), rope(), N_CTX)
    n_tokens, alone = place(ground, [])
    assert (n_tokens, len(alone)) == (N_PREFIX, N_PREFIX)
    empty = gather(cells_at(5, 1, N_PREFIX, "adjacent"), select(np.zeros((4, 5), np.float32), 0), SHAPE, rope())
    n_tokens, cells = place(ground, [Part(empty, N_PREFIX)])
    assert (n_tokens, cells.positions.tolist()) == (N_PREFIX + 5, [0, 1, 2, N_PREFIX + 4])
    n_tokens, ragged = place_ragged(ground, [Part(empty, N_PREFIX)], SHAPE, 8)
    assert (n_tokens, ragged.counts.tolist()) == (N_PREFIX + 5, [N_PREFIX] * 4)


def test_turning_by_a_difference_is_turning_twice() -> None:
    keys = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    there = rotate(rotate(keys, np.full(7, 13, np.int32), rope()), np.full(7, -5, np.int32), rope())
    np.testing.assert_allclose(there, rotate(keys, np.full(7, 8, np.int32), rope()), atol=1e-5)
