"""One body for every kernel of the dot family: each must equal NumPy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels import MAX_DIMS, Capabilities, capabilities, dot_i8

HERE: Capabilities = capabilities()
every_isa = pytest.mark.parametrize("isa", HERE.isas)


def exact(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.int64]:
    """Independent of the product: int64 throughout, one expression."""
    return np.asarray((rows.astype(np.int64) * query.astype(np.int64)).sum(axis=1), np.int64)


def test_the_extension_is_built_and_serial_is_always_there() -> None:
    assert HERE.extension is not None, HERE.note
    assert HERE.isas[-2:] == ("serial", "numpy")


@every_isa
@given(
    n_dims=st.integers(1, 130) | st.sampled_from([255, 256, 257, 383, 384, 385, 767, 768, 1023, 4095, 4096]),
    n_rows=st.integers(0, 14),
    offset=st.integers(0, 63),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_equals_numpy_at_any_length_and_alignment(isa: str, n_dims: int, n_rows: int, offset: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    memory = random.integers(-128, 128, offset + (n_rows + 1) * n_dims, np.int8)[offset:]
    query, rows = memory[:n_dims], memory[n_dims:].reshape(n_rows, n_dims)
    found = dot_i8(query, rows, isa=isa)
    assert found.dtype == np.int32
    assert np.array_equal(found, exact(query, rows))


@every_isa
@pytest.mark.parametrize("n_dims", [1, 15, 16, 17, 31, 32, 33, 384, 4096, MAX_DIMS])
@pytest.mark.parametrize(("a", "b"), [(-128, -128), (-128, 127), (127, 127), (0, -128)])
def test_extremes_do_not_overflow(isa: str, n_dims: int, a: int, b: int) -> None:
    query, rows = np.full(n_dims, a, np.int8), np.full((2, n_dims), b, np.int8)
    assert dot_i8(query, rows, isa=isa).tolist() == [a * b * n_dims] * 2


@every_isa
def test_rows_may_lie_apart_or_backwards(isa: str) -> None:
    random = np.random.default_rng(3)
    table = random.integers(-128, 128, (40, 101), np.int8)
    query = random.integers(-128, 128, 77, np.int8)
    for rows in (table[::3, 5:82], table[::-1, :77], np.broadcast_to(table[0, :77], (6, 77))):
        assert np.array_equal(dot_i8(query, rows, isa=isa), exact(query, rows))


@every_isa
def test_read_only_memory_is_read_in_place(isa: str) -> None:
    rows = np.frombuffer(bytes(range(256)) * 3, np.int8).reshape(6, 128)
    assert np.array_equal(dot_i8(rows[0], rows, isa=isa), exact(rows[0], rows))


@every_isa
def test_wrong_input_is_refused_at_the_boundary(isa: str) -> None:
    query, rows = np.zeros(8, np.int8), np.zeros((3, 8), np.int8)
    with pytest.raises(ValueError, match="shapes do not fit"):
        dot_i8(query[:7], rows, isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        dot_i8(np.zeros(MAX_DIMS + 1, np.int8), np.zeros((1, MAX_DIMS + 1), np.int8), isa=isa)
    with pytest.raises(TypeError, match="int8"):
        dot_i8(query, rows.astype(np.uint8), isa=isa)


@pytest.mark.parametrize("isa", HERE.isas[:-1])
def test_scattered_elements_are_refused_rather_than_copied(isa: str) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        dot_i8(np.zeros(8, np.int8), np.zeros((3, 16), np.int8)[:, ::2], isa=isa)


def test_an_unknown_isa_is_refused() -> None:
    with pytest.raises(ValueError, match="no z80 kernels"):
        dot_i8(np.zeros(8, np.int8), np.zeros((3, 8), np.int8), isa="z80")
