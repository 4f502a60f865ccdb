"""One body for every kernel that works on a page of 64 rows: scan and hamming must equal NumPy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels import ALL_ROWS, HIGHEST, LOWEST, Capabilities, capabilities, hamming_b1, scan_u8
from secondme.kernels.layout import PAGE_ROWS, padded, page_of, zeros

HERE: Capabilities = capabilities()
every_isa = pytest.mark.parametrize("isa", HERE.isas)

LENGTHS = st.integers(1, 200) | st.sampled_from([255, 256, 257, 383, 384, 385, 767, 768, 1024, 4095, 4096])
SEEDS = st.integers(0, 2**32 - 1)
WORDS = (
    st.integers(0, ALL_ROWS)
    | st.sampled_from([0, 1, 1 << 63, ALL_ROWS, ALL_ROWS - 1, 0x5555_5555_5555_5555])
    | st.lists(st.integers(0, 63), max_size=6).map(lambda rows: sum(1 << row for row in set(rows)))
)


def rows_of(word: int) -> list[int]:
    return [row for row in range(PAGE_ROWS) if word >> row & 1]


def exact(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.int64]:
    """Independent of the product: int64 throughout, one expression."""
    return np.asarray((rows.astype(np.int64) * query.astype(np.int64)).sum(axis=1), np.int64)


def check_scan(isa: str, query: NDArray[np.int8], rows: NDArray[np.int8], wanted: int, threshold: int) -> None:
    expected = exact(query, rows)
    word, scores = scan_u8(padded(query), page_of(rows), wanted=wanted, threshold=threshold, isa=isa)
    assert rows_of(word) == [row for row in rows_of(wanted) if expected[row] > threshold]
    assert scores[rows_of(word)].tolist() == expected[rows_of(word)].tolist()


@every_isa
@given(n_dims=LENGTHS, wanted=WORDS, rank=st.integers(0, 63), seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_a_scan_equals_numpy_for_any_length_mask_and_threshold(
    isa: str, n_dims: int, wanted: int, rank: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.integers(-128, 128, (PAGE_ROWS, n_dims), np.int8)
    query = random.integers(-128, 128, n_dims, np.int8)
    threshold = int(np.sort(exact(query, rows))[rank])  # one row's own score: it is not above
    check_scan(isa, query, rows, wanted, threshold)
    check_scan(isa, query, rows, wanted, LOWEST)
    check_scan(isa, query, rows, wanted, HIGHEST)


@every_isa
def test_a_scan_is_exact_for_every_pair_of_bytes(isa: str) -> None:
    every = np.arange(-128, 128).astype(np.int8)
    for start in range(0, 256, PAGE_ROWS):
        rows = np.repeat(every[start : start + PAGE_ROWS, None], 256, axis=1)
        for element in every:
            check_scan(isa, np.full(256, element), rows, ALL_ROWS, LOWEST)


@every_isa
@pytest.mark.parametrize("n_dims", [1, 63, 64, 65, 384, 4096])
@pytest.mark.parametrize("element", [-128, -127, 0, 127])
def test_a_scan_of_extremes_does_not_overflow(isa: str, n_dims: int, element: int) -> None:
    rows = np.full((PAGE_ROWS, n_dims), -128, np.int8)
    rows[1::3], rows[2::3] = 127, 0
    for wanted in (ALL_ROWS, 0x0000_8000_1000_0007):
        check_scan(isa, np.full(n_dims, element, np.int8), rows, wanted, LOWEST)


@every_isa
def test_what_lies_between_the_dimensions_and_the_stride_does_not_count(isa: str) -> None:
    page, query = page_of(np.ones((PAGE_ROWS, 100), np.int8)), padded(np.ones(100, np.int8))
    page[:, 100:] = 255
    word, scores = scan_u8(query, page, isa=isa)
    assert word == ALL_ROWS
    assert scores.tolist() == [100] * PAGE_ROWS


@every_isa
@given(n_bytes=st.integers(1, 64).map(lambda n: 8 * n), wanted=WORDS, rank=st.integers(0, 63), seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_hamming_equals_numpy_for_any_length_mask_and_threshold(
    isa: str, n_bytes: int, wanted: int, rank: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    page = padded(random.integers(0, 256, (PAGE_ROWS, n_bytes), np.uint8), 8)
    page[random.integers(0, 64)] = page[63]  # one row like the query, none of its bits differ
    query = padded(page[63], 8)
    expected = np.array([int.from_bytes(row.tobytes(), "big").bit_count() for row in page ^ query])
    for threshold in (int(np.sort(expected)[rank]), 0, 1, HIGHEST):
        word, distances = hamming_b1(query, page, wanted=wanted, threshold=threshold, isa=isa)
        assert rows_of(word) == [row for row in rows_of(wanted) if expected[row] < threshold]
        assert distances[rows_of(word)].tolist() == expected[rows_of(word)].tolist()


@every_isa
def test_all_bits_of_the_longest_row_may_differ(isa: str) -> None:
    page, query = zeros((PAGE_ROWS, 512), np.uint8), zeros((512,), np.uint8)
    query[:] = 0xFF
    word, distances = hamming_b1(query, page, isa=isa)
    assert (word, set(distances.tolist())) == (ALL_ROWS, {4096})


@every_isa
def test_wrong_pages_are_refused_at_the_boundary(isa: str) -> None:
    page, query = zeros((PAGE_ROWS, 128), np.uint8), zeros((128,), np.int8)
    with pytest.raises(TypeError, match="uint8"):
        scan_u8(query, page.view(np.int8), isa=isa)
    with pytest.raises(TypeError, match="uint8"):
        hamming_b1(query, page, isa=isa)  # type: ignore[arg-type]
    for wrong, message in ((page[:63], "shapes do not fit"), (page[:, :64], "shapes do not fit")):
        with pytest.raises(ValueError, match=message):
            scan_u8(query, wrong, isa=isa)
    shifted = zeros((PAGE_ROWS * 128 + 1,), np.uint8)[1:].reshape(PAGE_ROWS, 128)
    with pytest.raises(ValueError, match="aligned to 64"):
        scan_u8(query, shifted, isa=isa)
    with pytest.raises(ValueError, match="aligned to 8"):
        hamming_b1(zeros((128,), np.uint8), shifted, isa=isa)
    with pytest.raises(ValueError, match="contiguous"):
        scan_u8(query, zeros((PAGE_ROWS, 192), np.uint8)[:, :128], isa=isa)
    with pytest.raises(ValueError, match="multiple of 64"):
        scan_u8(query[:96], zeros((PAGE_ROWS, 96), np.uint8), isa=isa)
    with pytest.raises(ValueError, match="at most 4096"):
        scan_u8(zeros((4160,), np.int8), zeros((PAGE_ROWS, 4160), np.uint8), isa=isa)
    for wanted, threshold in ((-1, 0), (1 << 64, 0), (1, 1 << 31)):
        with pytest.raises(ValueError, match="the mask has 64 bits"):
            scan_u8(query, page, wanted=wanted, threshold=threshold, isa=isa)
