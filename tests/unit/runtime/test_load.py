"""From settings to a loaded model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from secondme.assistant.models import Models
from secondme.config import Config
from secondme.errors import BackendUnavailable, ModelError, ModelNotFound, OutOfMemory
from secondme.runtime.load import load_embedder, load_generator
from tests.tiny_mlx import MIXED_K, write_tiny_gguf
from tests.tiny_models import Tiny, write_tiny


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a folder for MLX looks like before anybody opens it."""
    made = tmp_path / "half"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"x")
    return made


def test_llama_cpp_is_given_no_folder_for_mlx(folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"which llama\.cpp does not read"):
        load_generator(replace(Config(), model=str(folder), backend="llama.cpp"))
    with pytest.raises(BackendUnavailable, match="embedding models run as GGUF files"):
        load_embedder(replace(Config(), embedder=str(folder)))


def test_a_folder_without_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model") as error:
        load_generator(replace(Config(), model=str(tmp_path)))
    assert "config.json" in str(error.value.hint)


@pytest.fixture
def unconvertible(tmp_path: Path) -> Config:
    """A model whose vocabulary is not of a kind that MLX folders are made of."""
    path = write_tiny(tmp_path / "pieces.gguf", Tiny())
    return replace(Config(), model=str(path), context_tokens=64, threads=1)


def test_a_file_that_mlx_cannot_take_is_refused_if_mlx_was_asked_for(unconvertible: Config) -> None:
    with pytest.raises(ModelError, match="pieces") as error:
        load_generator(replace(unconvertible, backend="mlx"))
    assert error.value.hint


def test_on_apple_silicon_it_falls_back_to_llama_cpp_and_says_so_once(
    unconvertible: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.runtime.backend.is_apple_silicon", lambda: True)
    models = Models(unconvertible, None, None)
    assert models.generator.info.backend == "llama.cpp"
    (note,) = models.take_notes()
    assert note.startswith("pieces runs with llama.cpp, and not with MLX: ") and models.take_notes() == []
    models.close()


def test_without_mlx_on_apple_silicon_it_runs_with_llama_cpp_and_says_so(
    unconvertible: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.runtime.backend.is_apple_silicon", lambda: True)
    monkeypatch.setattr("secondme.runtime.backend.why_no_mlx", lambda: "not installed: mlx")
    said: list[str] = []
    load_generator(unconvertible, say=said.append).close()
    assert said == ["pieces runs with llama.cpp: not installed: mlx"]


def test_elsewhere_llama_cpp_is_no_news(unconvertible: Config) -> None:
    said: list[str] = []
    load_generator(unconvertible, say=said.append).close()
    load_generator(replace(unconvertible, backend="llama.cpp"), say=said.append).close()
    assert said == []


def test_what_does_not_fit_as_a_folder_may_fit_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("secondme.runtime.backend.is_apple_silicon", lambda: True)
    path = write_tiny_gguf(tmp_path / "large.gguf", MIXED_K)
    config = replace(Config(), model=str(path), context_tokens=64, threads=1)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as little:
        little.setattr("secondme.runtime.mlx_model.check_memory", no_room)
        generator = load_generator(config, say=said.append)
    assert generator.info.backend == "llama.cpp" and "with llama.cpp, and not with MLX: large takes" in said[0]
    generator.close()
    for runtime in ("mlx", "llama"):
        monkeypatch.setattr(f"secondme.runtime.{runtime}_model.check_memory", no_room)
    with pytest.raises(OutOfMemory):
        load_generator(config)
    with pytest.raises(OutOfMemory):
        load_generator(replace(config, backend="mlx"))


def no_room(size_bytes: int, name: str) -> None:
    raise OutOfMemory(f"{name} takes more memory than is free", hint="choose a smaller model")


def test_importing_loads_no_backend() -> None:
    code = "import sys, secondme.runtime.load, secondme.runtime.echo; "
    code += "print({'llama_cpp', 'mlx', 'mlx_lm', 'tokenizers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
