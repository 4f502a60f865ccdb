from __future__ import annotations

from dataclasses import replace

import pytest

from secondme.runtime.catalog import find
from secondme.runtime.fit import OVERHEAD_BYTES, available_bytes, fit

GB = 10**9


def test_a_large_machine_takes_the_whole_context() -> None:
    manifest = find("qwen3-4b")
    fits = fit(manifest, 64 * GB)
    assert fits.n_ctx == manifest.context_length
    assert fits.needs_bytes == 2_497_280_256 + OVERHEAD_BYTES + 40_960 * 147_456
    assert fits.is_useful


@pytest.mark.parametrize("gigabytes", [4, 5, 6, 7, 8])
def test_what_is_promised_fits(gigabytes: int) -> None:
    fits = fit(find("qwen3-4b"), gigabytes * GB)
    assert fits.n_ctx is not None and 2048 <= fits.n_ctx < 40_960
    assert fits.needs_bytes is not None
    assert fits.needs_bytes <= 0.9 * gigabytes * GB < fits.needs_bytes + 147_456


def test_too_small_a_machine_is_told_what_is_missing() -> None:
    fits = fit(find("qwen3-8b"), 4 * GB)
    assert fits.n_ctx == 0 and not fits.is_useful
    assert fits.needs_bytes == 5_027_783_488 + OVERHEAD_BYTES + 2048 * 147_456


def test_an_encoder_needs_no_cache() -> None:
    fits = fit(find("all-minilm-l6-v2"), 2 * GB)
    assert fits.n_ctx == 256 and fits.needs_bytes == 46_220_576 + OVERHEAD_BYTES
    assert not fit(find("all-minilm-l6-v2"), GB // 10).is_useful


def test_an_unknown_size_is_not_guessed() -> None:
    manifest = find("qwen3-1.7b-mlx")
    assert manifest.size_bytes is None and not manifest.is_pinned
    assert fit(manifest, 64 * GB).n_ctx is None
    assert fit(replace(manifest, context_length=1), 64 * GB).needs_bytes is None


def test_this_machine_has_memory() -> None:
    assert available_bytes() > 10**8
