"""Blocks that suit llama.cpp: nothing is lost or read twice, and a filled-up block is read like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.llama_blocks import NONE, TILE, Padding, block_size, padding_of
from secondme.runtime.llama_context import ContextSettings, LlamaContext
from secondme.runtime.llama_model import LlamaModel, LlamaOptions
from secondme.runtime.threads import ThreadGovernor
from tests.tiny_models import MAMBA, Tiny, write_tiny

ALWAYS = Padding(1, 1)


@given(st.integers(1, 5000), st.integers(1, 1024))
def test_blocks_are_all_of_the_text_and_none_is_short_without_need(n: int, n_batch: int) -> None:
    sizes, left = [], n
    while left:
        sizes.append(block_size(left, n_batch))
        left -= sizes[-1]
    assert sum(sizes) == n
    assert all(0 < size <= n_batch for size in sizes)
    if n_batch >= 2 * TILE and n >= TILE:
        assert min(sizes) >= TILE


@given(st.integers(0, 200), st.integers(0, 100_000))
def test_only_a_short_block_is_filled_up_and_only_to_a_tile(n: int, n_cached: int) -> None:
    n_pads = Padding(135_000_000, 17_280).of(n, n_cached)
    assert n_pads == 0 or (1 < n < TILE and n + n_pads == TILE and n_cached > 0)
    assert NONE.of(n, n_cached) == 0


def test_the_longer_the_cache_the_sooner_a_block_is_filled_up() -> None:
    padding = Padding(135_000_000, 17_280)
    fewest = [next((n for n in range(2, TILE) if padding.of(n, depth)), TILE) for depth in (0, 500, 2000, 8000)]
    assert fewest == sorted(fewest, reverse=True)
    assert fewest[0] == TILE and fewest[-1] < 16


@pytest.fixture
def model(tmp_path: Path) -> Iterator[LlamaModel]:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    opened = LlamaModel(read_gguf_header(path), LlamaOptions(threads=1))
    yield opened
    opened.close()


@pytest.mark.parametrize("n_outputs", [1, 5])
def test_a_filled_up_block_reads_the_same_and_leaves_nothing_else(model: LlamaModel, n_outputs: int) -> None:
    tokens = [5 + i % 200 for i in range(300)]
    found = []
    for padding in (NONE, ALWAYS):
        settings = ContextSettings(512, 256, n_outputs=8, padding=padding)
        context = LlamaContext(model, settings, ThreadGovernor(1))
        try:
            context.evaluate(tokens[:256], 0)
            context.evaluate(tokens[256:270], 256, n_outputs=n_outputs)
            assert context.n_positions == 270
            logits = context.logits(n_outputs)
            context.evaluate(tokens[270:271], 270)
            found.append((logits, context.logits(1), len(context.state())))
        finally:
            context.close()
    (plain, plain_next, plain_size), (padded, padded_next, padded_size) = found
    assert plain_size == padded_size
    assert np.abs(plain - padded).max() < 1e-2 * np.abs(plain).max()
    assert np.abs(plain_next - padded_next).max() < 1e-2 * np.abs(plain).max()


def test_no_block_is_filled_up_beyond_the_context(model: LlamaModel) -> None:
    context = LlamaContext(model, ContextSettings(256, 128, padding=ALWAYS), ThreadGovernor(1))
    try:
        context.evaluate([7] * 128, 0)
        context.evaluate([7] * 118, 128)
        context.evaluate([7] * 10, 246)
        assert context.n_positions == 256
    finally:
        context.close()


@pytest.mark.parametrize(
    "tiny", [Tiny("mamba", numbers=MAMBA), Tiny("gemma3", qk_norm=True, numbers={"attention.sliding_window": 8})]
)
def test_models_that_cannot_drop_a_token_are_never_filled_up(tmp_path: Path, tiny: Tiny) -> None:
    opened = LlamaModel(read_gguf_header(write_tiny(tmp_path / "other.gguf", tiny)), LlamaOptions(threads=1))
    try:
        assert padding_of(opened, "f16") is NONE
    finally:
        opened.close()


def test_there_is_nothing_to_fill_up_in_a_cache_of_8_bits(model: LlamaModel) -> None:
    assert padding_of(model, "q8_0") is NONE
    assert padding_of(model, "f16").n_attended == 2 * 4 * 64
