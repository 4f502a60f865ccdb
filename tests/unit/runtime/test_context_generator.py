"""What a generator keeps when a block ends early in a model that cannot drop a part of what it read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import DecodedText, Sampling
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from tests.tiny_mlx import write_tiny_mlx
from tests.tiny_models import MAMBA, Tiny, write_tiny

TOKENS = list(range(97, 122)) * 2
N_BATCH = 16


@pytest.fixture
def recurrent(tmp_path: Path) -> Iterator[LlamaGenerator]:
    path = write_tiny(tmp_path / "mamba.gguf", Tiny("mamba", numbers=MAMBA))
    opened = LlamaGenerator(path, options=LlamaOptions(n_ctx=256, n_batch=N_BATCH, threads=1))
    yield opened
    opened.close()


@pytest.fixture
def windowed(tmp_path: Path) -> Iterator[MlxGenerator]:
    folder = write_tiny_mlx(tmp_path / "windowed", origin=False)
    config = json.loads((folder / "config.json").read_text())
    layers = ["sliding_attention"] * (config["num_hidden_layers"] - 1) + ["full_attention"]
    (folder / "config.json").write_text(json.dumps({**config, "sliding_window": 8, "layer_types": layers}))
    opened = MlxGenerator(folder, options=MlxOptions(n_ctx=256, n_batch=N_BATCH))
    assert not opened._context.can_trim
    yield opened
    opened.close()


def continued(generator: LlamaGenerator | MlxGenerator) -> list[int]:
    events = generator.decode(Sampling(max_tokens=8))
    return [event.token for event in events if isinstance(event, DecodedText) and event.token >= 0]


def read(generator: LlamaGenerator | MlxGenerator, after_each: Callable[[], None] = lambda: None) -> list[int]:
    done = []
    for event in generator.prefill(TOKENS):
        done.append(event.n_done)
        after_each()
    return done


def test_a_recurrent_model_reads_all_again_after_a_block_was_stopped(recurrent: LlamaGenerator) -> None:
    """Its state holds the stopped block's first tokens, or nothing: never just what was read before."""
    flag = recurrent._context._abort
    assert read(recurrent) == [0, 16, 32, 48, 50]
    wanted = recurrent.save_state()
    recurrent.forget()
    with pytest.raises(Cancelled):
        read(recurrent, lambda: flag.set() if recurrent.usage.n_used == 32 else None)
    flag.clear()
    assert recurrent.cached_tokens == ()
    assert read(recurrent) == [0, 16, 32, 48, 50]
    assert recurrent.save_state() == wanted


def test_layers_with_a_window_read_all_again_after_a_block_failed(
    windowed: MlxGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = windowed._model.evaluate

    def failing(tokens: list[int], caches: list[object], n_outputs: int) -> object:
        evaluate(tokens, caches, n_outputs)
        raise RuntimeError("no room")

    assert read(windowed) == [0, 16, 32, 48, 50]
    wanted = continued(windowed)
    windowed.forget()
    with monkeypatch.context() as patched, pytest.raises(ModelError, match="failed to evaluate"):
        read(windowed, lambda: patched.setattr(windowed._model, "evaluate", failing) if windowed.usage.n_used else None)
    assert windowed.cached_tokens == ()
    assert read(windowed) == [0, 16, 32, 48, 50]
    assert continued(windowed) == wanted
