"""From settings to a loaded model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from secondme.config import Config
from secondme.errors import BackendUnavailable, ModelError, ModelNotFound
from secondme.runtime.load import load_embedder, load_generator


def test_the_defaults_load_by_name(smollm2_path: Path, minilm_path: Path) -> None:
    config = replace(Config(), context_tokens=128, threads=1)
    generator = load_generator(config)
    assert (generator.info.name, generator.info.n_ctx) == (config.model, 128)
    generator.close()
    embedder = load_embedder(config)
    assert (embedder.n_dims, embedder.n_ctx) == (384, 256)
    embedder.close()


def test_a_path_loads_as_well(smollm2_path: Path) -> None:
    generator = load_generator(replace(Config(), model=str(smollm2_path), context_tokens=64))
    assert len(generator.info.fingerprint) == 64
    generator.close()


def test_names_that_do_not_fit_the_role_are_refused() -> None:
    with pytest.raises(ModelNotFound):
        load_generator(replace(Config(), model="no-such-model"))
    with pytest.raises(ModelError, match="not a"):
        load_embedder(replace(Config(), embedder=Config().model))


def test_a_model_for_another_backend_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mlx"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BackendUnavailable, match="MLX"):
        load_generator(replace(Config(), model=str(folder)))


def test_importing_loads_no_backend() -> None:
    code = "import sys, secondme.runtime.load, secondme.runtime.echo; print('llama_cpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
