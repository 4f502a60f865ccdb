"""The models that a benchmark runs, where they are not loaded just as the program does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from secondme.config import Config
from secondme.runtime.base import Generator

EXPANDED = "MLX on a CPU, weights expanded to float32"


def uses_mlx(config: Config) -> bool:
    """Whether the settings choose MLX. Raises ModelNotFound, BackendUnavailable."""
    from secondme.runtime.backend import choose
    from secondme.runtime.catalog import resolve

    found = resolve(config.model, kind="generator")
    return choose(config.backend, found.format, found.name).backend == "mlx"


def mlx_folder(config: Config) -> tuple[Path, Path | None]:
    """The model's folder for MLX, and the GGUF file that it was made from, if it was. Raises ModelError."""
    from secondme.runtime.catalog import resolve

    found = resolve(config.model, kind="generator")
    if found.format != "gguf":
        return found.path, None
    from secondme.runtime.mlx_convert import converted

    return converted(found.path, found.sha256), found.path


def load_measured(config: Config, *, say: Callable[[str], None] = lambda line: None) -> Generator:
    """As the program loads it; but MLX on a CPU gets its weights expanded to float32.

    That is the same model to the last bits of float32, and reads documents several times as fast.
    """
    from secondme.runtime.load import load_generator

    if not is_expanded(config):
        return load_generator(config, say=say)
    from secondme.runtime.catalog import resolve
    from secondme.runtime.mlx import MlxGenerator, MlxOptions

    found = resolve(config.model, kind="generator")
    options = MlxOptions(n_ctx=config.context_tokens, name=found.name, fingerprint=found.sha256, dense=True)
    return MlxGenerator(mlx_folder(config)[0], options=options)


def is_expanded(config: Config) -> bool:
    """Whether `load_measured` expands the weights."""
    if not uses_mlx(config):
        return False
    from secondme.runtime.mlx_lib import on_metal

    return not on_metal()


def other_backend(config: Config) -> Config:
    """The same settings with the other runtime: MLX for llama.cpp, and llama.cpp for MLX."""
    return replace(config, backend="llama.cpp" if uses_mlx(config) else "mlx")
