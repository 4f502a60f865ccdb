"""One body for every kernel that rescores candidates: the planes bit for bit, float32 within what rounding explains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.kernels import MOST_I16, Capabilities, capabilities, rescore_f32, rescore_i16
from secondme.kernels.layout import LOW_STEPS, padded, zeros

HERE: Capabilities = capabilities()
every_isa = pytest.mark.parametrize("isa", HERE.isas)
SEEDS = st.integers(0, 2**32 - 1)


@every_isa
@given(n_dims=st.integers(1, 300) | st.sampled_from([384, 768, 4095, 4096]), n_rows=st.integers(0, 6), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_planes_equal_numpy_at_any_length(isa: str, n_dims: int, n_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    query = padded(random.integers(-MOST_I16, MOST_I16 + 1, n_dims, np.int16))
    high = padded(random.integers(1, 256, (n_rows, n_dims), np.uint8))
    low = padded(random.integers(-127, 128, (n_rows, n_dims), np.int8))
    rows = LOW_STEPS * (high.astype(object) - 128) + low
    assert rescore_i16(query, high, low, isa=isa).tolist() == [sum(row * query.astype(object)) for row in rows]


@every_isa
@pytest.mark.parametrize("element", [-MOST_I16, -129, -128, 0, 127, 128, MOST_I16])
@pytest.mark.parametrize(("high", "low"), [(1, -127), (1, 127), (128, 0), (255, -127), (255, 127)])
def test_extreme_planes_do_not_overflow(isa: str, element: int, high: int, low: int) -> None:
    for n_dims in (64, 4096):
        query, highs, lows = zeros((n_dims,), np.int16), zeros((3, n_dims), np.uint8), zeros((3, n_dims), np.int8)
        query[:], highs[:], lows[:] = element, high, low
        expected = n_dims * element * (LOW_STEPS * (high - 128) + low)
        assert rescore_i16(query, highs, lows, isa=isa).tolist() == [expected] * 3


@every_isa
def test_every_query_element_is_split_exactly(isa: str) -> None:
    every = np.arange(-MOST_I16, MOST_I16 + 1)
    high, low = zeros((1, 4096), np.uint8), zeros((1, 4096), np.int8)
    high[:], low[:] = 129, 1
    for start in range(0, len(every), 4096):
        query = padded(every[start : start + 4096].astype(np.int16), 4096)
        assert rescore_i16(query, high, low, isa=isa)[0] == 255 * int(query.astype(np.int64).sum())


@every_isa
@given(n_dims=st.integers(1, 300) | st.sampled_from([384, 768, 4095, 4096]), offset=st.integers(0, 15), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_floats_are_within_rounding_at_any_length_and_alignment(isa: str, n_dims: int, offset: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    memory = random.standard_normal(offset + 6 * n_dims).astype(np.float32)[offset:]
    query, rows = memory[:n_dims], memory[n_dims:].reshape(5, n_dims)[::-2]
    products = rows.astype(np.float64) * query.astype(np.float64)
    error = np.abs(rescore_f32(query, rows, isa=isa) - products.sum(axis=1))
    assert (error <= 1e-6 * np.abs(products).sum(axis=1)).all()


@every_isa
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_refused(isa: str, value: float) -> None:
    query = np.zeros(100, np.float32)
    query[77] = value
    with pytest.raises(ValueError, match="not a finite number"):
        rescore_f32(query, np.zeros((2, 100), np.float32), isa=isa)


@pytest.mark.parametrize("isa", HERE.isas[:-1])
def test_the_extension_itself_refuses_a_query_that_is_not_finite(isa: str) -> None:
    from secondme.kernels import _native

    with pytest.raises(ValueError, match="not a finite number"):
        _native.rescore_f32(np.full(3, np.nan, np.float32), np.zeros((1, 3), np.float32), np.zeros(1, np.float32), isa)


@every_isa
def test_wrong_input_is_refused_at_the_boundary(isa: str) -> None:
    query, high, low = zeros((128,), np.int16), zeros((2, 128), np.uint8), zeros((2, 128), np.int8)
    with pytest.raises(TypeError, match="int16"):
        rescore_i16(query.astype(np.int32), high, low, isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        rescore_i16(query, high, low[:1], isa=isa)
    with pytest.raises(ValueError, match="multiple of 64"):
        rescore_i16(query[:96], high[:, :96], low[:, :96], isa=isa)
    with pytest.raises(ValueError, match="aligned to 64"):
        rescore_i16(zeros((129,), np.int16)[1:], high, low, isa=isa)
    query[5] = MOST_I16 + 1
    with pytest.raises(ValueError, match="16-bit fixed point"):
        rescore_i16(query, high, low, isa=isa)
    with pytest.raises(TypeError, match="float32"):
        rescore_f32(np.zeros(3), np.zeros((2, 3), np.float32), isa=isa)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shapes do not fit"):
        rescore_f32(np.zeros(3, np.float32), np.zeros((2, 4), np.float32), isa=isa)
