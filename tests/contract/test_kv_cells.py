"""llama.cpp's saved sequence: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible, ModelError
from secondme.runtime.cells import check_cells, quantized, rectangular
from secondme.runtime.kv import Cells, KvShape, QuantizedCells, RaggedCells
from secondme.runtime.llama_cells import (
    CellLayout,
    build_state,
    cells_of,
    parse_state,
    quantized_of,
)
from tests.fault.soak import n

SHAPES = [KvShape(2, 2, 4, 64, 64), KvShape(3, 1, 3, 32, 32), KvShape(1, 3, 3, 128, 64), KvShape(2, 1, 1, 96, 96)]
LAYOUTS = [CellLayout(shape, "f16", False, transposed) for shape in SHAPES for transposed in (False, True)]
LAYOUTS += [CellLayout(shape, "q8_0", False, False) for shape in SHAPES]
LAYOUTS += [CellLayout(shape, "q8_0", True, False) for shape in SHAPES if not (shape.k_dim % 64 or shape.v_dim % 64)]


def some_cells(shape: KvShape, n_cells: int, seed: int = 0) -> Cells:
    """Random cells at every third position."""
    rng = np.random.default_rng(seed)
    k, v = (
        rng.standard_normal((shape.n_layers, n_cells, shape.n_kv_heads, dim)).astype(np.float16)
        for dim in (shape.k_dim, shape.v_dim)
    )
    return Cells(np.arange(2, 2 + 3 * n_cells, 3, dtype=np.int32), k, v)


def n_tokens(cells: Cells | QuantizedCells) -> int:
    return int(cells.positions[-1]) + 1 if len(cells) else 0


def same(left: Cells | QuantizedCells, right: Cells | QuantizedCells) -> bool:
    names = ("positions", "k", "v", *(("k_scales", "v_scales") if isinstance(left, QuantizedCells) else ()))
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("n_cells", [0, 1, 7])
def test_cells_come_back_from_a_state(layout: CellLayout, n_cells: int) -> None:
    cells = some_cells(layout.shape, n_cells)
    state = build_state(cells, layout, n_tokens(cells))
    raw = parse_state(state, layout.shape, layout.dtype)
    assert n_cells == 0 or raw.transposed == layout.transposed
    found = cells_of(raw, layout, 0)
    if layout.dtype == "f16":
        assert same(found, cells)
        return
    assert np.array_equal(found.positions, cells.positions)
    for side, other in ((found.k, cells.k), (found.v, cells.v)):
        assert side.shape == other.shape
        assert np.abs(side.astype(np.float32) - other.astype(np.float32)).max(initial=0) < 0.06
    blocks = quantized_of(raw, layout, 0)
    assert blocks.rotated == layout.rotated
    assert np.array_equal(build_state(blocks, layout, n_tokens(cells)), state)


@pytest.mark.parametrize("layout", LAYOUTS[:2] + LAYOUTS[8:9], ids=str)
def test_only_later_cells_are_taken(layout: CellLayout) -> None:
    cells = some_cells(layout.shape, 6)
    raw = parse_state(build_state(cells, layout, n_tokens(cells)), layout.shape, layout.dtype)
    whole, later = cells_of(raw, layout, 0), cells_of(raw, layout, 6)
    assert later.positions.tolist() == [8, 11, 14, 17]
    assert np.array_equal(later.k, whole.k[:, 2:]) and np.array_equal(later.v, whole.v[:, 2:])
    assert len(cells_of(raw, layout, 99)) == 0
    assert np.array_equal(quantized_of(raw, layout, 6).k_scales, quantized_of(raw, layout, 0).k_scales[:, 2:])


def test_cells_are_sorted_by_position() -> None:
    layout = LAYOUTS[0]
    cells = some_cells(layout.shape, 4)
    state = build_state(cells, layout, n_tokens(cells))
    order = [2, 0, 3, 1]
    state[16:64].view("<i4").reshape(4, 3)[:, 0] = cells.positions[order]
    found = cells_of(parse_state(state, layout.shape, "f16"), layout, 0)
    assert np.array_equal(found.positions, cells.positions)
    assert np.array_equal(found.k[:, order], cells.k) and np.array_equal(found.v[:, order], cells.v)


def test_a_known_state_byte_by_byte() -> None:
    shape = KvShape(1, 1, 1, 2, 2)
    cells = Cells(np.array([5], np.int32), np.full((1, 1, 1, 2), 1, np.float16), np.full((1, 1, 1, 2), 2, np.float16))
    expected = struct.pack("<IiII iIi II iQ2e iQ2e", 0xAF143CD8, 0, 1, 1, 5, 1, 0, 0, 1, 1, 4, 1, 1, 1, 4, 2, 2)
    assert build_state(cells, CellLayout(shape, "f16", False, False), 6).tobytes() == expected
    columns = struct.pack("<IiII iIi II iQ2e iII2e", 0xAF143CD8, 0, 1, 1, 5, 1, 0, 1, 1, 1, 4, 1, 1, 1, 2, 2, 2, 2)
    assert build_state(cells, CellLayout(shape, "f16", False, True), 6).tobytes() == columns


def test_rounding_and_turning_back_stay_close() -> None:
    shape = KvShape(2, 2, 4, 128, 128)
    cells = some_cells(shape, 9)
    rounded = quantized(cells)
    assert not rounded.rotated
    for rotated in (False, True):
        layout = CellLayout(shape, "q8_0", rotated, False)
        blocks = quantized_of(parse_state(build_state(rounded, layout, 27), shape, "q8_0"), layout, 0)
        assert blocks.rotated == rotated and same(blocks, rounded) != rotated
        back = cells_of(parse_state(build_state(blocks, LAYOUTS_128, 27), shape, "f16"), LAYOUTS_128, 0)
        assert np.abs(back.k.astype(np.float32) - cells.k.astype(np.float32)).max() < 0.06


LAYOUTS_128 = CellLayout(KvShape(2, 2, 4, 128, 128), "f16", False, False)


def altered(cells: Cells | QuantizedCells, **changes: object) -> Cells | QuantizedCells:
    return dataclasses.replace(cells, **changes)  # type: ignore[arg-type]


def with_value(array: NDArray[np.float16], value: float) -> NDArray[np.float16]:
    changed = array.copy()
    changed.reshape(-1)[-1] = value
    return changed


CELLS = some_cells(SHAPES[0], 4)  # positions 2, 5, 8, 11
BLOCKS = quantized(CELLS)
UNFIT: dict[str, tuple[Cells | QuantizedCells, int]] = {
    "another number of layers": (altered(CELLS, k=CELLS.k[:1]), 12),
    "another number of heads": (altered(CELLS, v=CELLS.v[:, :, :1]), 12),
    "shorter heads": (altered(CELLS, k=CELLS.k[..., :32]), 12),
    "fewer keys than positions": (altered(CELLS, k=CELLS.k[:, :3]), 12),
    "float32": (altered(CELLS, v=CELLS.v.astype(np.float32)), 12),
    "flat": (altered(CELLS, k=CELLS.k.reshape(-1)), 12),
    "nan": (altered(CELLS, k=with_value(CELLS.k, np.nan)), 12),
    "infinite": (altered(CELLS, v=with_value(CELLS.v, np.inf)), 12),
    "an infinite scale": (altered(BLOCKS, v_scales=with_value(BLOCKS.v_scales, np.inf)), 12),
    "missing scales": (altered(BLOCKS, k_scales=BLOCKS.k_scales[:, :, 1:]), 12),
    "wide blocks": (altered(BLOCKS, k=BLOCKS.k.astype(np.int16)), 12),
    "descending": (altered(CELLS, positions=np.array([2, 8, 5, 11], np.int32)), 12),
    "a position twice": (altered(CELLS, positions=np.array([2, 5, 5, 11], np.int32)), 12),
    "negative": (altered(CELLS, positions=np.array([-2, 5, 8, 11], np.int32)), 12),
    "too late": (CELLS, 11),
    "too early": (CELLS, 13),
    "wide positions": (altered(CELLS, positions=CELLS.positions.astype(np.int64)), 12),
    "too many positions": (altered(CELLS, positions=np.arange(7, 12, dtype=np.int32)), 12),
    "no cells for some tokens": (some_cells(SHAPES[0], 0), 3),
}


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[12]], ids=str)
def test_blocks_too_large_for_the_cache_never_become_a_state(layout: CellLayout) -> None:
    large = altered(BLOCKS, k_scales=np.full_like(BLOCKS.k_scales, 65504), k=np.full_like(BLOCKS.k, 127))
    with pytest.raises(ModelError, match="too large"):
        build_state(large, layout, 12)


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_never_becomes_a_state(name: str) -> None:
    cells, n_positions = UNFIT[name]
    with pytest.raises(ModelError, match="cannot be placed"):
        build_state(cells, LAYOUTS[0], n_positions)


def ragged(counts: list[int], n_tokens: int = 20) -> RaggedCells:
    """Cells of SHAPES[0] whose heads hold so many rows."""
    shape, n_rows = SHAPES[0], sum(counts)
    rng = np.random.default_rng(3)
    k, v = (rng.standard_normal((n_rows, dim)).astype(np.float16) for dim in (shape.k_dim, shape.v_dim))
    return RaggedCells(n_tokens, shape, np.cumsum([0, *counts]), k, v, 8)


N_HEADS = SHAPES[0].n_layers * SHAPES[0].n_kv_heads
RAGGED = ragged([3, *[0] * (N_HEADS - 2), 20])
UNFIT_RAGGED: dict[str, tuple[RaggedCells, int]] = {
    "another shape": (dataclasses.replace(RAGGED, shape=SHAPES[1]), 20),
    "float32": (dataclasses.replace(RAGGED, k=RAGGED.k.astype(np.float32)), 20),
    "other bytes first": (dataclasses.replace(RAGGED, k=RAGGED.k.astype(">f2")), 20),
    "narrow offsets": (dataclasses.replace(RAGGED, offsets=RAGGED.offsets.astype(np.int32)), 20),
    "offsets of more heads": (dataclasses.replace(RAGGED, offsets=np.append(RAGGED.offsets, 23)), 20),
    "no offsets": (dataclasses.replace(RAGGED, offsets=np.zeros(0, np.int64)), 20),
    "beginning late": (dataclasses.replace(RAGGED, offsets=np.maximum(RAGGED.offsets, 1)), 20),
    "descending": (dataclasses.replace(RAGGED, offsets=RAGGED.offsets[::-1].copy()), 20),
    "beyond the rows": (dataclasses.replace(RAGGED, offsets=np.minimum(RAGGED.offsets * 9, 24)), 20),
    "far beyond the rows": (dataclasses.replace(RAGGED, offsets=RAGGED.offsets << 58), 20),
    "before the rows' end": (dataclasses.replace(RAGGED, k=np.vstack([RAGGED.k, RAGGED.k])), 20),
    "fewer values": (dataclasses.replace(RAGGED, v=RAGGED.v[:-1]), 20),
    "shorter rows": (dataclasses.replace(RAGGED, v=RAGGED.v[:, :-1].copy()), 20),
    "not together": (dataclasses.replace(RAGGED, k=np.asfortranarray(RAGGED.k)), 20),
    "nan": (dataclasses.replace(RAGGED, k=with_value(RAGGED.k, np.nan)), 20),
    "infinite": (dataclasses.replace(RAGGED, v=with_value(RAGGED.v, -np.inf)), 20),
    "more rows than tokens": (dataclasses.replace(RAGGED, n_tokens=19), 19),
    "other tokens": (RAGGED, 21),
    "no rows for some tokens": (ragged([0] * N_HEADS, 3), 3),
    "unknown bits": (dataclasses.replace(RAGGED, bits=4), 20),  # type: ignore[arg-type]
}


def test_ragged_cells_that_fit_are_taken() -> None:
    for cells in (RAGGED, ragged([20] * N_HEADS), ragged([0] * N_HEADS, 0)):
        check_cells(cells, SHAPES[0], cells.n_tokens)
        assert cells.n_rows == cells.counts.sum() == cells.offsets[-1]


@pytest.mark.parametrize("name", UNFIT_RAGGED)
def test_ragged_cells_that_do_not_fit_are_refused(name: str) -> None:
    cells, n_positions = UNFIT_RAGGED[name]
    with pytest.raises(ModelError, match="cannot be placed") as caught:
        check_cells(cells, SHAPES[0], n_positions)
    assert caught.value.hint


def test_a_runtime_of_shared_cells_refuses_ragged_ones() -> None:
    assert rectangular(CELLS) is CELLS
    with pytest.raises(ModelError, match="cannot be placed"):
        rectangular(RAGGED)


STATES = [
    (layout, build_state(some_cells(layout.shape, 5), layout, 15))
    for layout in (LAYOUTS[0], LAYOUTS[1], LAYOUTS[8], LAYOUTS[12])
]


@settings(max_examples=n(200, 10_000), deadline=None)
@given(st.data())
def test_a_damaged_state_is_refused_or_harmless(data: st.DataObject) -> None:
    """Either it is refused, or the arrays have the sizes they must have; heads are hit more often than numbers."""
    layout, good = data.draw(st.sampled_from(STATES))
    state = good.copy()
    change = data.draw(st.sampled_from(["cut", "grow", "flip", "word"]))
    if change == "cut":
        state = state[: data.draw(st.integers(0, len(state) - 1))]
    elif change == "grow":
        state = np.concatenate([state, np.zeros(data.draw(st.integers(1, 64)), np.uint8)])
    else:
        at = data.draw(st.integers(0, 100) | st.integers(0, len(state) - 4))
        if change == "flip":
            state[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            state[at : at + 4] = np.frombuffer(struct.pack("<I", data.draw(st.integers(0, 2**32 - 1))), np.uint8)
    try:
        raw = parse_state(state, layout.shape, layout.dtype)
    except CartridgeIncompatible as error:
        assert error.message and error.hint
        return
    assert change in ("flip", "word") or len(raw) == 0
    with np.errstate(all="ignore"):  # a scale may have become anything
        found = cells_of(raw, CellLayout(layout.shape, layout.dtype, layout.rotated, raw.transposed), 0)
    assert found.k.shape == (layout.shape.n_layers, len(found), layout.shape.n_kv_heads, layout.shape.k_dim)
    assert len(raw) in (0, 5) and (np.diff(found.positions) >= 0).all() and (found.positions >= 0).all()


@pytest.mark.parametrize(("layout", "state"), STATES, ids=lambda value: str(value)[:40])
def test_every_shorter_state_is_refused(layout: CellLayout, state: NDArray[np.uint8]) -> None:
    for size in [*range(150), *range(150, len(state), 97), len(state) - 1]:
        with pytest.raises(CartridgeIncompatible):
            parse_state(state[:size], layout.shape, layout.dtype)


def test_a_state_of_another_shape_or_type_is_refused() -> None:
    for layout, state in STATES:
        other = KvShape(layout.shape.n_layers, layout.shape.n_kv_heads + 1, 4, layout.shape.k_dim, layout.shape.v_dim)
        for shape, dtype in ((other, layout.dtype), (layout.shape, "q8_0" if layout.dtype == "f16" else "f16")):
            with pytest.raises(CartridgeIncompatible):
                parse_state(state, shape, dtype)
