"""How the weights of a folder are loaded: what a graphics processor would compute in, tried on a CPU."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondme.runtime import mlx_model
from secondme.runtime.base import DecodedText, Sampling
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from secondme.runtime.mlx_lib import core, on_worker
from tests.tiny_mlx import MIXED_K, TinyMlx, write_tiny_mlx

TOKENS = list(range(20, 60))


def _dtypes(generator: MlxGenerator) -> set[object]:
    from mlx.utils import tree_flatten

    flat: Any = on_worker(lambda: tree_flatten(generator._model._module.parameters()))
    return {array.dtype for _, array in flat}


def _logits(generator: MlxGenerator) -> np.ndarray:
    with closing(generator.reader(128)) as reader:
        return reader.logits(TOKENS)


@pytest.mark.parametrize("tiny", [TinyMlx(kind="Q4_1"), TinyMlx(kind="F16"), MIXED_K])
def test_on_metal_a_converted_model_is_computed_in_one_type_of_sixteen_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: TinyMlx
) -> None:
    folder = write_tiny_mlx(tmp_path / "model", tiny)
    with closing(MlxGenerator(folder, options=MlxOptions(n_ctx=128))) as generator:
        expected = _logits(generator)
        assert core().bfloat16 not in _dtypes(generator)
    monkeypatch.setattr(mlx_model, "on_metal", lambda: True)
    with closing(MlxGenerator(folder, options=MlxOptions(n_ctx=128))) as generator:
        assert _dtypes(generator) <= {core().bfloat16, core().uint32}
        found = _logits(generator)
        list(generator.prefill(TOKENS))
        said = [part for part in generator.decode(Sampling(max_tokens=4)) if isinstance(part, DecodedText)]
    assert np.isfinite(found).all() and len(said) >= 1
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
