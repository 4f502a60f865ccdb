"""One body for every kernel that moves keys and values: against complex numbers, a matrix and NumPy's own float16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels import REFERENCE, Capabilities, capabilities, kv
from tests.fault.soak import n

HERE: Capabilities = capabilities()
every_isa = pytest.mark.parametrize("isa", HERE.isas)
SEEDS = st.integers(0, 2**32 - 1)
PAIRS = st.sampled_from(["adjacent", "halves"])

Floats = NDArray[np.float32]


def normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def turned(x: Floats, positions: NDArray[np.int32], frequencies: NDArray[np.float64], pairs: kv.Pairs) -> Floats:
    """RoPE as multiplication of complex numbers."""
    n_dims = 2 * len(frequencies)
    head = x[..., :n_dims].astype(np.float64)
    a, b = (head[..., ::2], head[..., 1::2]) if pairs == "adjacent" else np.split(head, 2, axis=-1)
    rotated = (a + 1j * b) * np.exp(1j * positions[:, None] * frequencies)[:, None]
    both = (rotated.real, rotated.imag)
    first = np.stack(both, axis=-1).reshape(head.shape) if pairs == "adjacent" else np.concatenate(both, axis=-1)
    return np.concatenate([first, x[..., n_dims:]], axis=-1).astype(np.float32)


@every_isa
@given(
    n_rows=st.integers(0, 9), heads=st.integers(1, 3), half=st.integers(1, 40), more=st.integers(0, 5), pairs=PAIRS,
    seed=SEEDS,
)  # fmt: skip
@settings(max_examples=n(40, 1000), deadline=None)
def test_rope_turns_and_turns_back(
    isa: str, n_rows: int, heads: int, half: int, more: int, pairs: kv.Pairs, seed: int
) -> None:
    x = normal(seed, n_rows, heads, 2 * half + more)
    positions = np.random.default_rng(seed).integers(-8192, 8192, n_rows).astype(np.int32)
    frequencies = kv.rope_frequencies(2 * half, 10_000.0, 0.5)
    angles = kv.rope_angles(positions, frequencies)
    found = kv.rotate(x, angles, pairs, isa=isa)
    assert np.allclose(
        found, turned(x, positions, frequencies, pairs), rtol=0, atol=2e-6 * (1 + np.abs(x).max(initial=0))
    )
    assert np.array_equal(found, kv.rotate(x, angles, pairs, isa=REFERENCE))
    assert np.allclose(kv.rotate(found, angles, pairs, undo=True, isa=isa), x, rtol=0, atol=4e-6)
    assert np.array_equal(kv.rotate(x[:, 0], angles, pairs, isa=isa), found[:, 0])


def test_frequencies_are_those_of_the_formula() -> None:
    assert kv.rope_frequencies(8, 10_000.0).tolist() == pytest.approx([1, 0.1, 0.01, 0.001])
    assert kv.rope_frequencies(4, 100.0, 0.25, (2.0, 5.0)).tolist() == pytest.approx([0.125, 0.005])
    with pytest.raises(ValueError, match="pairs"):
        kv.rope_frequencies(7, 10_000.0)
    with pytest.raises(ValueError, match="factor"):
        kv.rope_frequencies(8, 10_000.0, 1.0, (1.0,))


@every_isa
@pytest.mark.parametrize("pairs", ["adjacent", "halves"])
def test_cells_move_by_a_difference(isa: str, pairs: kv.Pairs) -> None:
    frequencies = kv.rope_frequencies(64, 100_000.0)
    positions = np.arange(50, dtype=np.int32)
    keys = normal(1, 50, 3, 64)
    here = kv.rotate(keys, kv.rope_angles(positions, frequencies), pairs).astype(np.float16)
    there = kv.rotate(keys, kv.rope_angles(positions + 700, frequencies), pairs)
    by = kv.rope_angles(np.array([700], np.int32), frequencies)
    moved = kv.rotate_cells(here, by, pairs, isa=isa)
    assert np.abs(moved.astype(np.float32) - there).max() < 4e-3
    assert np.array_equal(moved, kv.rotate_cells(here, by, pairs, isa=REFERENCE))


@every_isa
@pytest.mark.parametrize("n_dims", [64, 62, 7])
def test_rows_go_into_cells_and_touch_no_others(isa: str, n_dims: int) -> None:
    rows = normal(2, 5, n_dims)
    angles = kv.rope_angles(np.array([3, 1, 4, 1, 5], np.int32), kv.rope_frequencies(n_dims // 2 * 2, 1e4))
    cells = np.full((2, 9, 3, n_dims), 7, np.float16)
    kv.place_keys(rows, angles, "adjacent", cells[1, 2:7, 1], isa=isa)
    kv.place_values(rows, cells[0, 2:7, 2], isa=isa)
    expected = np.full_like(cells, 7)
    expected[1, 2:7, 1] = kv.rotate(rows, angles, "adjacent")
    expected[0, 2:7, 2] = rows
    assert np.array_equal(cells, expected)
    tokens = np.array([6, 2, 2, 8], np.int32)
    assert np.array_equal(kv.gather_rows(cells[0, :, 2], tokens, isa=isa), cells[0, tokens, 2].astype(np.float32))


@every_isa
@given(seed=SEEDS, pairs=PAIRS, n_dims=st.integers(2, 80))
@settings(max_examples=n(25, 3_000), deadline=None)
def test_rows_are_turned_by_the_angles_that_are_named(isa: str, seed: int, pairs: kv.Pairs, n_dims: int) -> None:
    random = np.random.default_rng(seed)
    n_rows = int(random.integers(1, 20))
    rows = normal(seed, n_rows, n_dims)
    which = random.integers(0, 30, n_rows).astype(np.int32)
    angles = kv.rope_angles(np.arange(30, dtype=np.int32), kv.rope_frequencies(n_dims // 2 * 2, 1e4))
    found = np.empty((n_rows, n_dims), np.float16)
    kv.place_keys(rows, angles, pairs, found, which=which, isa=isa)
    of_each = kv.Angles(angles.cos[which], angles.sin[which])
    assert np.array_equal(found, kv.rotate(rows, of_each, pairs, isa=REFERENCE).astype(np.float16))
    for wrong in (-1, 30):
        which[-1] = wrong
        with pytest.raises(ValueError, match="no such angles"):
            kv.place_keys(rows, angles, pairs, found, which=which, isa=isa)


@given(seed=SEEDS, n_rows=st.integers(0, 100), n_dims=st.integers(1, 100))
@settings(max_examples=n(25, 3_000), deadline=None)
def test_rows_become_columns(seed: int, n_rows: int, n_dims: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 1 << 16, (n_rows, n_dims)).astype(np.uint16).view(np.float16)
    found = np.empty((n_dims, n_rows), np.float16)
    kv.place_columns(rows, found)
    assert np.array_equal(found.view(np.uint16), rows.view(np.uint16).T)
    with pytest.raises(ValueError, match="contiguous"):
        kv.place_columns(rows, np.empty((n_dims + 1, n_rows), np.float16))


@given(seed=SEEDS, size=st.integers(0, 3_000))
@settings(max_examples=n(25, 3_000), deadline=None)
def test_what_is_not_finite_is_found_wherever_it_is(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    numbers = (random.integers(0, 0x7C00, size) | random.integers(0, 2, size) << 15).astype(np.uint16).view(np.float16)
    assert kv.all_finite(numbers)
    if size:
        numbers[random.integers(size)] = random.choice(np.array([np.inf, -np.inf, np.nan, -np.nan], np.float16))
        assert not kv.all_finite(numbers)


@every_isa
def test_every_float16_is_widened_and_every_float32_rounded_as_numpy_does(isa: str) -> None:
    halves = np.arange(1 << 16).astype(np.uint16).view(np.float16).reshape(-1, 16)
    order = np.arange(len(halves), dtype=np.int32)
    wide = kv.gather_rows(halves, order, isa=isa)
    assert np.array_equal(wide, halves.astype(np.float32), equal_nan=True)
    finite = np.sort(wide[np.isfinite(wide)])
    between = np.concatenate([(finite[1:] + finite[:-1]) / 2, finite])  # the middle of two is a tie
    near = np.concatenate([between, np.nextafter(between, np.inf), np.nextafter(between, -np.inf)]).reshape(-1, 1)
    beyond = np.array([[65519.99], [65520], [1e30], [np.inf], [-np.inf], [1e-45], [-0.0], [np.nan]], np.float32)
    with np.errstate(over="ignore"):
        for rows in (near, beyond, np.repeat(near[:4096], 17, axis=1)):
            found = np.zeros(rows.shape, np.float16)
            kv.place_values(rows, found, isa=isa)
            assert np.array_equal(found, rows.astype(np.float16), equal_nan=True)
            assert np.array_equal(np.signbit(found[:-1]), np.signbit(rows[:-1]))


@every_isa
@pytest.mark.parametrize("size", [2, 32, 64, 128, 4096])
def test_the_hadamard_transform_is_sylvesters_matrix(isa: str, size: int) -> None:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    x = normal(3, 2, 3, 2 * size) if size < 4096 else normal(3, 1, size)
    found = kv.hadamard(x, size, isa=isa)
    expected = (x.reshape(-1, size) @ matrix / np.sqrt(size)).reshape(x.shape)
    assert np.allclose(found, expected, rtol=0, atol=1e-5)
    assert np.array_equal(found, kv.hadamard(x, size, isa=REFERENCE))
    assert np.allclose(kv.hadamard(found, size, isa=isa), x, rtol=0, atol=1e-5)


@every_isa
@given(n_blocks=st.integers(0, 9), seed=SEEDS)
@settings(max_examples=n(25, 1000), deadline=None)
def test_blocks_are_those_of_the_formula(isa: str, n_blocks: int, seed: int) -> None:
    x = normal(seed, 2, 32 * n_blocks)
    x[0] *= np.float32(10.0 ** np.random.default_rng(seed).integers(-42, 3))
    q, scales = kv.quantize_q8_0(x, isa=isa)
    expected, expected_scales = kv.quantize_q8_0(x, isa=REFERENCE)
    assert np.array_equal(q, expected)
    assert np.array_equal(scales, expected_scales)
    found = kv.dequantize_q8_0(q, scales, isa=isa)
    assert np.array_equal(found, kv.dequantize_q8_0(q, scales, isa=REFERENCE))
    most = np.abs(x.reshape(2, -1, 32)).max(axis=-1, keepdims=True)
    error = np.abs(found.reshape(2, -1, 32) - x.reshape(2, -1, 32))
    assert (error <= most / 127 * 0.5 + most * 6e-4 + 4e-6).all()  # half a step, and what float16 leaves of the scale


@every_isa
def test_halves_are_rounded_away_from_zero(isa: str) -> None:
    x = np.zeros(32, np.float32)
    x[:6] = 127, 0.5, -0.5, 1.5, -2.5, 0.49
    q, scales = kv.quantize_q8_0(x, isa=isa)
    assert q[:7].tolist() == [127, 1, -1, 2, -3, 0, 0]
    assert scales.tolist() == [1.0]


@every_isa
def test_wrong_input_is_refused_at_the_boundary(isa: str) -> None:
    rows, cells = normal(1, 4, 8), np.zeros((4, 8), np.float16)
    angles = kv.rope_angles(np.arange(4, dtype=np.int32), kv.rope_frequencies(8, 1e4))
    with pytest.raises(TypeError, match="float16"):
        kv.place_values(rows, rows, isa=isa)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.place_values(rows, cells[:3], isa=isa)
    with pytest.raises(ValueError, match="adjacent"):
        kv.place_values(rows[:, ::2], np.zeros((4, 4), np.float16), isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.place_keys(rows[:3], angles, "halves", cells[:3], isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.rotate(rows[:, None, :6].copy(), angles, "halves", isa=isa)
    for token in (-1, 4):
        with pytest.raises(ValueError, match="not among"):
            kv.gather_rows(cells, np.array([token], np.int32), isa=isa)
    for size in (3, 1, 0, 8192):
        with pytest.raises(ValueError, match="power of 2"):
            kv.hadamard(rows, size, isa=isa)
    with pytest.raises(ValueError, match="blocks of 32"):
        kv.quantize_q8_0(rows, isa=isa)
    with pytest.raises(ValueError, match="finite"):
        kv.quantize_q8_0(np.full(32, np.nan, np.float32), isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.dequantize_q8_0(np.zeros((2, 32), np.int8), np.zeros((1, 1), np.float16), isa=isa)
