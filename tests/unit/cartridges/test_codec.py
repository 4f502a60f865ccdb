"""Rows come back with the tokens they had and errors of the size of the steps; damage is found, or does no harm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.cartridges import choices, codec
from secondme.cartridges.tiers import T1, T3, TIERS, Tier
from secondme.cartridges.transform import class_factors, classes_of
from secondme.errors import CorruptCartridge
from secondme.kernels.kv_tables import N_TABLES
from tests.calibrated import SHAPE, a_calibration, some_rows

CALIBRATION = a_calibration()[1]


@settings(deadline=None, max_examples=15)
@given(
    n_tokens=st.integers(1, 60), share=st.floats(0, 1), name=st.sampled_from(["T1", "T2", "T3"]), seed=st.integers(0, 9)
)
def test_tokens_come_back_and_errors_are_of_the_size_of_steps(
    n_tokens: int, share: float, name: str, seed: int
) -> None:
    tier: Tier = TIERS[name]  # type: ignore[index]
    rows, scores = some_rows(CALIBRATION, n_tokens, int(share * 6 * n_tokens), seed)
    read = codec.decode(codec.encode(rows, scores, CALIBRATION, tier), n_tokens, CALIBRATION)
    assert (read.shape, read.n_tokens) == (SHAPE, n_tokens)
    assert (read.offsets == rows.offsets).all()
    assert (read.tokens == rows.tokens).all()
    heads = np.repeat(np.arange(6), rows.counts)
    factors = class_factors(tier.n_classes, tier.class_eighths)[classes_of(scores, tier)]
    for side, step, made, had in (
        (CALIBRATION.keys, tier.key_step, read.k, rows.k),
        (CALIBRATION.values, tier.value_step, read.v, rows.v),
    ):
        errors = np.einsum("nd,ndc->nc", made - had, side.analysis[heads]) / (step * factors[:, None])
        # a magnitude may be lowered once to save bits, never more
        assert np.abs(errors).max(initial=0) < 2.1
        assert not errors.size or np.square(errors).mean() < 1 / 3


def test_the_same_rows_make_the_same_bytes() -> None:
    rows, scores = some_rows(CALIBRATION, 80, 200)
    assert codec.encode(rows, scores, CALIBRATION, T1) == codec.encode(rows, scores, CALIBRATION, T1)


def test_coarser_tiers_are_smaller_and_all_are_far_smaller_than_float16() -> None:
    rows, scores = some_rows(CALIBRATION, 400, 1200)
    sizes = [sum(map(len, codec.encode(rows, scores, CALIBRATION, TIERS[name]))) for name in ("T1", "T2", "T3")]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] < 2 * (rows.k.size + rows.v.size) / 2.5


def test_weighing_bits_against_errors_saves_bytes() -> None:
    rows, scores = some_rows(CALIBRATION, 300, 900)
    plain, thrifty = (
        sum(map(len, codec.encode(rows, scores, CALIBRATION, dataclasses.replace(T3, thrift=thrift))))
        for thrift in (0.0, 0.15)
    )
    assert thrifty < 0.99 * plain


def test_a_head_may_keep_nothing() -> None:
    rows, scores = some_rows(CALIBRATION, 9, 0)
    read = codec.decode(codec.encode(rows, scores, CALIBRATION, T1), 9, CALIBRATION)
    assert len(read.tokens) == 0
    assert read.k.shape == (0, SHAPE.k_dim)


def test_damage_raises_corrupt_cartridge_or_leaves_rows_of_the_right_shape() -> None:
    rows, scores = some_rows(CALIBRATION, 40, 90)
    sections = codec.encode(rows, scores, CALIBRATION, T3)
    rng = np.random.default_rng(3)
    n_refused = 0
    for i in range(300):
        damaged = [bytearray(s) for s in sections]
        victim = damaged[int(rng.integers(len(damaged)))]
        kind = i % 3
        if kind == 0:
            victim[int(rng.integers(len(victim)))] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del victim[int(rng.integers(len(victim))) :]
        else:
            victim += rng.bytes(int(rng.integers(1, 9)))
        try:
            read = codec.decode([bytes(s) for s in damaged], 40, CALIBRATION)
        except CorruptCartridge:
            n_refused += 1
        else:
            assert kind == 0
            assert len(read.tokens) == read.offsets[-1] == len(read.k) == len(read.v)
            assert not len(read.tokens) or 0 <= read.tokens.min() <= read.tokens.max() < 40
    assert n_refused > 200


def test_a_section_too_few_is_refused() -> None:
    rows, scores = some_rows(CALIBRATION, 20, 40)
    with pytest.raises(CorruptCartridge):
        codec.decode(codec.encode(rows, scores, CALIBRATION, T1)[:-1], 20, CALIBRATION)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_choices_come_back(data: st.DataObject) -> None:
    n, heads, n_classes = (data.draw(st.integers(1, most)) for most in (40, 4, 9))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kept = rng.integers(0, n_classes + 1, (n, heads)).astype(np.uint8)
    before = rng.integers(0, 2, (n, heads)).astype(np.uint8)
    assert (choices.decode(choices.encode(kept, before, n_classes), before, n_classes) == kept).all()


@given(st.integers(0, 99))
def test_table_numbers_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = [rng.integers(0, N_TABLES, width).astype(np.uint8) for width in (16, 24, 16, 24)]
    read = choices.decode_tables(choices.encode_tables(tables), 4, (16, 24))
    assert all((a == b).all() for a, b in zip(tables, read, strict=True))
