"""One body for every kernel that codes cartridges: what was coded comes back, and damage is said."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels import REFERENCE, Capabilities, capabilities, kv, kv_tables, picked
from secondme.kernels.kv_reference import n_lanes
from tests.fault.soak import n

HERE: Capabilities = capabilities()
every_isa = pytest.mark.parametrize("isa", HERE.isas)
every_native = pytest.mark.parametrize("isa", HERE.isas[:-1])
SEEDS = st.integers(0, 2**32 - 1)

Levels = NDArray[np.int8]
Rows = tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8]]


def some_levels(seed: int, n_rows: int, channels: int) -> Levels:
    """Channels of every kind: narrow, wide, off centre, following their past, constant, any bytes."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((n_rows, channels))
    for row, before in zip(noise[1:], noise, strict=False):
        row += before * random.choice([0, 0.5, 0.95], channels)
    wide = noise * np.exp2(random.uniform(-3, 7, channels)) + random.integers(-100, 101, channels)
    q = np.clip(np.rint(wide), -127, 127).astype(np.int8)
    q[:, random.random(channels) < 0.1] = random.integers(-128, 128)
    any_bytes = random.random(channels) < 0.1
    q[:, any_bytes] = random.integers(-128, 128, (n_rows, int(any_bytes.sum())))
    return q


def some_rows(seed: int, n_rows: int, n_components: int, n_classes: int = 3) -> Rows:
    """Coefficients, tables chosen by what they cost, classes; some far beyond every table."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, n_classes, n_rows).astype(np.uint8)
    y = random.laplace(size=(n_rows, n_components)) * np.exp2(random.uniform(-6, 5, n_components))
    z = np.rint(y / np.exp2(classes)[:, None]).astype(np.int16)
    far = random.random(z.shape) < 0.001
    z[far] = random.integers(-32767, 32768, int(far.sum()))
    counts = np.zeros((n_classes, n_components, 256), np.int64)
    for row, class_ in zip(np.minimum(np.abs(z.astype(np.int32)), 255), classes, strict=True):
        counts[class_, np.arange(n_components), row] += 1
    return z, kv.choose_tables(counts), classes


# --- tables ----------------------------------------------------------------------------------------------------------


def test_no_table_ever_changes() -> None:
    """Files depend on every slot. If this fails, the tables need another number in the format, not another hash."""
    found = hashlib.sha256()
    for number in range(kv_tables.N_TABLES):
        found.update(kv_tables.coefficient_table(number).astype("<u2").tobytes())
    for number in range(256):
        for centre, clipped in ((0, False), (0, True), (-127, True), (53, True), (127, True)):
            found.update(kv_tables.level_table(number, centre, clipped).astype("<u2").tobytes())
    assert found.hexdigest() == "a9dfc7a69fc6dae4dad1be3fa1d96a027064efb5c0ffd4c023a882152a27ee6f"


def test_tables_hold_all_slots_and_fall_from_the_middle() -> None:
    for number in range(1, kv_tables.N_TABLES):
        slots = kv_tables.coefficient_table(number).astype(np.int64)
        assert slots.sum() == kv_tables.TOTAL
        assert 1 <= slots[kv_tables.COEFFICIENT_ESCAPE] < kv_tables.TOTAL
        assert np.array_equal(slots[:31], slots[30::-1])
        assert (np.diff(slots[15:31]) <= 0).all()
    for number in range(256):
        slots = kv_tables.level_table(number, 40, True).astype(np.int64)
        assert slots.sum() == kv_tables.TOTAL
        assert slots[kv_tables.LEVEL_ESCAPE] >= 1


@pytest.mark.skipif(HERE.isas == (REFERENCE,), reason="there is no extension whose tables could differ")
def test_native_tables_are_the_same() -> None:
    native, _ = picked(HERE.isas[0])
    assert native is not None
    found = np.empty((kv_tables.N_TABLES, 32), np.uint16)
    native.coefficient_slots(found)
    expected = np.array([kv_tables.coefficient_table(number) for number in range(kv_tables.N_TABLES)])
    assert np.array_equal(found, expected)
    for centre in (-127, -126, -1, 0, 1, 63, 127):
        for clipped in (False, True):
            levels = np.empty((256, 256), np.uint16)
            native.level_slots(centre, clipped, levels)
            tables = [kv_tables.level_table(number, centre, clipped) for number in range(256)]
            assert np.array_equal(levels, np.array(tables))


def test_costs_are_what_a_stream_takes() -> None:
    z, tables, classes = some_rows(5, 4000, 24)
    costs = kv.magnitude_costs(32767)
    bits = costs[tables[classes], np.abs(z.astype(np.int32))].sum()
    size = len(kv.encode_rows(z, tables, classes))
    assert bits / 8 <= size <= bits / 8 * 1.002 + 4 * n_lanes(z.size) + 4


def test_tables_are_chosen_by_cost() -> None:
    counts = np.zeros((4, 33), np.int64)
    counts[1, 0] = 1000
    counts[2, :3] = 900, 90, 10
    counts[3] = 7
    found = kv.choose_tables(counts)
    assert found[:2].tolist() == [0, 0]
    costs = (counts[2:] @ np.nan_to_num(kv.magnitude_costs(32), posinf=1e9).T).argmin(axis=1)
    assert found[2:].tolist() == costs.tolist()
    steps = [kv.shift_table(int(found[2]), eighths) for eighths in (-999, -1, 0, 1, 999)]
    assert steps[2] == found[2]
    assert all(a >= b for a, b in pairwise(steps))
    assert kv.shift_table(0, 5) == 0


# --- what was coded comes back ---------------------------------------------------------------------------------------


@every_isa
@given(n_rows=st.integers(0, 90), channels=st.integers(0, 70), seed=SEEDS)
@settings(max_examples=n(12, 400), deadline=None)
def test_levels_come_back_and_streams_are_equal(isa: str, n_rows: int, channels: int, seed: int) -> None:
    q = some_levels(seed, n_rows, channels)
    coded = kv.encode_q8(q)
    assert np.array_equal(kv.decode_q8(coded, n_rows, channels, isa=isa), q)
    if isa == REFERENCE:
        assert kv.encode_q8(q, isa=REFERENCE) == coded


@every_native
@pytest.mark.parametrize(("n_rows", "channels"), [(1, 4095), (341, 12), (342, 48), (1000, 65), (33, 2100)])
def test_levels_come_back_with_any_number_of_coders(isa: str, n_rows: int, channels: int) -> None:
    q = some_levels(n_rows, n_rows, channels)
    assert np.array_equal(kv.decode_q8(kv.encode_q8(q), n_rows, channels, isa=isa), q)


@every_isa
@given(n_rows=st.integers(0, 60), blocks=st.integers(0, 9), spread=st.integers(0, 16), seed=SEEDS)
@settings(max_examples=n(15, 400), deadline=None)
def test_scales_come_back_bit_for_bit(isa: str, n_rows: int, blocks: int, spread: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 1 << spread, (n_rows, blocks)) + (1 << 13)
    scales = words.astype(np.uint16).view(np.float16)
    coded = kv.encode_scales(scales)
    assert kv.encode_scales(scales, isa=REFERENCE) == coded
    found = kv.decode_scales(coded, n_rows, blocks, isa=isa)
    assert np.array_equal(found.view(np.uint16), scales.view(np.uint16))


@every_isa
@given(n_rows=st.integers(0, 200), n_components=st.integers(0, 40), n_classes=st.integers(1, 9), seed=SEEDS)
@settings(max_examples=n(15, 400), deadline=None)
def test_coefficients_come_back(isa: str, n_rows: int, n_components: int, n_classes: int, seed: int) -> None:
    z, tables, classes = some_rows(seed, n_rows, n_components, n_classes)
    coded = kv.encode_rows(z, tables, classes)
    assert kv.encode_rows(z, tables, classes, isa=REFERENCE) == coded
    assert np.array_equal(kv.decode_rows(coded, n_rows, tables, classes, isa=isa), z)


@every_isa
def test_what_is_always_zero_takes_no_byte(isa: str) -> None:
    tables, classes = np.zeros((2, 5), np.uint8), np.array([0, 1, 1], np.uint8)
    assert kv.encode_rows(np.zeros((3, 5), np.int16), tables, classes, isa=isa) == b""
    assert not kv.decode_rows(b"", 3, tables, classes, isa=isa).any()
    with pytest.raises(ValueError, match="always is"):
        kv.encode_rows(np.ones((3, 5), np.int16), tables, classes, isa=isa)


@every_isa
def test_memory_that_is_not_contiguous_and_read_only_data_are_read(isa: str) -> None:
    q = some_levels(3, 90, 20)[::3, ::2]
    coded = memoryview(b"...." + kv.encode_q8(q, isa=isa))[4:]
    assert np.array_equal(kv.decode_q8(coded, 30, 10, isa=isa), q)


@every_isa
@given(n_rows=st.integers(0, 60), n_dims=st.integers(1, 70), n_components=st.integers(1, 70), seed=SEEDS)
@settings(max_examples=n(20, 400), deadline=None)
def test_heads_equal_their_definition(isa: str, n_rows: int, n_dims: int, n_components: int, seed: int) -> None:
    z, tables, classes = some_rows(seed, n_rows, n_components)
    random = np.random.default_rng(seed)
    synthesis = kv.Synthesis(
        np.array([0.5, 1, 2], np.float32),
        (np.arange(1, 4) + random.uniform(-0.3, 0.3, (n_components, 3))).astype(np.float32),
        random.standard_normal((n_components, n_dims)).astype(np.float32),
        random.standard_normal(n_dims).astype(np.float32),
    )
    y = np.zeros(z.shape)
    for (row, component), value in np.ndenumerate(z):
        centroids, magnitude = synthesis.centroids[component].astype(float), abs(int(value))
        place = 0 if magnitude == 0 else centroids[min(magnitude, 3) - 1] + max(0, magnitude - 3)
        y[row, component] = np.sign(value) * place * synthesis.steps[classes[row]]
    expected = y @ synthesis.matrix.astype(float) + synthesis.mean
    bound = 1e-5 * (1 + np.abs(y) @ np.abs(synthesis.matrix))
    found = kv.decode_head(kv.encode_rows(z, tables, classes), classes, tables, synthesis, isa=isa)
    assert (np.abs(found - expected) <= bound).all()


@every_isa
@given(seed=SEEDS, size=st.tuples(st.integers(0, 70), st.integers(1, 70), st.integers(1, 100)))
@settings(max_examples=n(25, 3_000), deadline=None)
def test_what_rows_tell_of_others_is_added(isa: str, seed: int, size: tuple[int, int, int]) -> None:
    n_rows, n_told, n_dims = size
    random = np.random.default_rng(seed)
    rows, mean, matrix, before = (
        random.standard_normal(shape).astype(np.float32)
        for shape in ((n_rows, n_told), (n_told,), (n_told, n_dims), (n_rows, n_dims))
    )
    found = before.copy()
    kv.add_told(rows, mean, matrix, found, isa=isa)
    expected = before + (rows - mean).astype(float) @ matrix.astype(float)
    assert np.abs(found - expected).max(initial=0) < 1e-5 * n_told * (1 + np.abs(matrix).max() * 10)


@every_isa
def test_what_tells_of_other_rows_is_refused_at_the_boundary(isa: str) -> None:
    rows, mean, matrix = np.ones((4, 3), np.float32), np.ones(3, np.float32), np.ones((3, 5), np.float32)
    for wrong in (np.zeros((5, 5), np.float32), np.zeros((4, 6), np.float32)):
        with pytest.raises(ValueError, match="shapes do not fit"):
            kv.add_told(rows, mean, matrix, wrong, isa=isa)
    with pytest.raises(ValueError, match="contiguous"):
        kv.add_told(rows, mean, matrix, np.zeros((5, 4), np.float32).T, isa=isa)
    with pytest.raises(TypeError, match="float32"):
        kv.add_told(rows.astype(np.float64), mean, matrix, np.zeros((4, 5), np.float32), isa=isa)


@every_isa
def test_a_head_is_decoded_where_it_is_wanted(isa: str) -> None:
    z, tables, classes = some_rows(4, 50, 20)
    matrix = np.random.default_rng(4).standard_normal((20, 33)).astype(np.float32)
    synthesis = kv.Synthesis(np.array([0.5, 1, 2], np.float32), np.ones(1, np.float32), matrix, matrix[0])
    coded, all_rows = kv.encode_rows(z, tables, classes), np.full((70, 33), 7, np.float32)
    found = kv.decode_head(coded, classes, tables, synthesis, out=all_rows[10:60], isa=isa)
    assert np.shares_memory(found, all_rows)
    assert np.array_equal(found, kv.decode_head(coded, classes, tables, synthesis, isa=isa))
    assert (all_rows[:10] == 7).all() and (all_rows[60:] == 7).all()
    for wrong in (all_rows[:49], np.empty((50, 40), np.float32)[:, :33]):
        with pytest.raises(ValueError, match="contiguous"):
            kv.decode_head(coded, classes, tables, synthesis, out=wrong, isa=isa)


@every_native
@given(seed=SEEDS, table=st.integers(1, kv_tables.N_TABLES - 1))
@settings(max_examples=n(60, 20_000), deadline=None)
def test_escapes_are_read_as_the_reference_reads_them(isa: str, seed: int, table: int) -> None:
    """Of any size and beside damage: the same numbers, or refused by both."""
    random = np.random.default_rng(seed)
    z = np.rint(random.standard_normal((40, 2)) * np.exp2(random.uniform(0, 14))).clip(-32767, 32767).astype(np.int16)
    tables, classes = np.full((1, 2), table, np.uint8), np.zeros(40, np.uint8)
    coded = bytearray(kv.encode_rows(z, tables, classes, isa=isa))
    assert np.array_equal(kv.decode_rows(bytes(coded), 40, tables, classes, isa=isa), z)
    n_escapes = coded[0] & 127 | (coded[1] & 127) << 7 if coded[0] >= 128 else coded[0]
    if n_escapes:
        coded[-int(random.integers(1, n_escapes + 1))] ^= int(random.integers(1, 256))
    assert said(bytes(coded), tables, classes, isa) == said(bytes(coded), tables, classes, REFERENCE)


def said(coded: bytes, tables: NDArray[np.uint8], classes: NDArray[np.uint8], isa: str) -> list[list[int]] | None:
    """The numbers, or None where they are refused."""
    try:
        found: list[list[int]] = kv.decode_rows(coded, len(classes), tables, classes, isa=isa).tolist()
    except ValueError:
        return None
    return found


# --- damage ----------------------------------------------------------------------------------------------------------


@every_isa
@given(seed=SEEDS)
@settings(max_examples=n(25, 10_000), deadline=None)
def test_a_damaged_stream_is_refused_or_read_within_bounds(isa: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    q = some_levels(1, 40, 9)
    z, tables, classes = some_rows(1, 40, 9)
    scales = (q[:, :3].astype(np.float32) / 100).astype(np.float16)
    for coded, read in (
        (kv.encode_q8(q), lambda data: kv.decode_q8(data, 40, 9, isa=isa)),
        (kv.encode_scales(scales), lambda data: kv.decode_scales(data, 40, 3, isa=isa)),
        (kv.encode_rows(z, tables, classes), lambda data: kv.decode_rows(data, 40, tables, classes, isa=isa)),
    ):
        at = int(random.integers(0, len(coded)))
        for wrong in (coded[:at], coded + b"\0", coded[:at] + coded[at + 1 :]):
            with pytest.raises(ValueError, match="damaged"):
                read(wrong)
        changed = bytearray(coded)
        changed[at] ^= int(random.integers(1, 256))
        try:
            found = read(bytes(changed))
        except ValueError:
            continue
        assert len(found) == 40


@every_isa
def test_every_changed_bit_of_the_coders_is_found(isa: str) -> None:
    z, tables, classes = some_rows(2, 30, 5)
    z[:] = np.clip(z, -1, 1)
    tables[:] = 100
    coded = kv.encode_rows(z, tables, classes)
    assert coded[0] == 0  # no escapes: all else is states and words
    for bit in range(8, 8 * len(coded)):
        changed = bytearray(coded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="damaged"):
            kv.decode_rows(bytes(changed), 30, tables, classes, isa=isa)


@every_isa
def test_sizes_beyond_the_stream_are_refused_before_they_are_read(isa: str) -> None:
    coded = kv.encode_q8(some_levels(1, 5, 4))
    with pytest.raises(ValueError, match="damaged"):
        kv.decode_q8(coded, 1_000_000, 4, isa=isa)
    for rows, width in ((1 << 27, 4), (-1, 4)):
        with pytest.raises(ValueError, match="at most"):
            kv.decode_q8(coded, rows, width, isa=isa)


@every_isa
def test_wrong_input_is_refused_at_the_boundary(isa: str) -> None:
    z, tables, classes = some_rows(1, 10, 4)
    with pytest.raises(TypeError, match="int8"):
        kv.encode_q8(z, isa=isa)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="axes"):
        kv.encode_q8(np.zeros(4, np.int8), isa=isa)
    with pytest.raises(ValueError, match="no such class or table"):
        kv.encode_rows(z, tables[:1], np.full(10, 1, np.uint8), isa=isa)
    with pytest.raises(ValueError, match="no such class or table"):
        kv.decode_rows(b"", 10, np.full_like(tables, 241), classes, isa=isa)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.decode_rows(b"", 9, tables, classes, isa=isa)
    with pytest.raises(ValueError, match="below -32767"):
        kv.encode_rows(np.full_like(z, -32768), tables, classes, isa=isa)
    one = np.ones(1, np.float32)
    with pytest.raises(ValueError, match="shapes do not fit"):
        kv.decode_head(b"", classes, tables, kv.Synthesis(one, one, np.eye(4, dtype=np.float32), one), isa=isa)
    with pytest.raises(ValueError, match="no z80 kernels"):
        kv.encode_q8(np.zeros((1, 1), np.int8), isa="z80")
