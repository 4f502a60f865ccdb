"""From the owner's settings to a loaded model: the one place that picks a backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from secondme.config import Config
from secondme.errors import BackendUnavailable, ModelError

if TYPE_CHECKING:
    from secondme.runtime.base import Embedder, Generator
    from secondme.runtime.catalog import ResolvedModel
    from secondme.runtime.llama_model import LlamaOptions

# The backends are imported inside: the program must start, and say that a model is missing, without loading them.


def load_generator(config: Config, *, say: Callable[[str], None] = lambda line: None) -> Generator:
    """The language model of the settings, with the backend they name or the one that fits this machine.

    say: gets a line for the owner if it is not the first choice. Raises ModelNotFound, BackendUnavailable,
    OutOfMemory and other ModelErrors.
    """
    from secondme.runtime.backend import choose
    from secondme.runtime.catalog import resolve

    found = resolve(config.model, kind="generator")
    choice = choose(config.backend, found.format, found.name)
    if choice.backend == "mlx":
        try:
            return _mlx(config, found)
        except ModelError as error:  # too little memory too: scales take more of it there than in the file
            if not choice.may_fall_back:
                raise
            say(f"{found.name} runs with llama.cpp, and not with MLX: {error.message}")
    elif choice.is_second:
        say(f"{found.name} runs with llama.cpp: {choice.why}")
    return _llama(config, found)


def load_embedder(config: Config) -> Embedder:
    """The embedding model of the settings. Raises ModelNotFound, OutOfMemory and other ModelErrors."""
    from secondme.runtime.catalog import resolve

    found = resolve(config.embedder, kind="embedder")
    if found.format != "gguf":
        raise BackendUnavailable(
            f"{found.name} is a folder for MLX, and embedding models run as GGUF files",
            hint="choose a GGUF model: secondme models list",
        )
    from secondme.runtime.llama import LlamaEmbedder

    return LlamaEmbedder(found.path, options=_llama_options(config, found, n_ctx=0))


def _llama(config: Config, found: ResolvedModel) -> Generator:
    from secondme.runtime.llama import LlamaGenerator

    return LlamaGenerator(found.path, options=_llama_options(config, found, n_ctx=config.context_tokens))


def _llama_options(config: Config, found: ResolvedModel, *, n_ctx: int) -> LlamaOptions:
    from secondme.runtime.llama_model import LlamaOptions

    return LlamaOptions(
        n_ctx=n_ctx,
        threads=config.threads,
        gpu_layers=config.gpu_layers,
        name=found.name,
        fingerprint=found.sha256,
    )


def _mlx(config: Config, found: ResolvedModel) -> Generator:
    """A GGUF file is converted once, into a folder that is kept beside the models."""
    from secondme.runtime.mlx import MlxGenerator, MlxOptions

    path = found.path
    if found.format == "gguf":
        from secondme.runtime.mlx_convert import converted

        path = converted(found.path, found.sha256)
    options = MlxOptions(n_ctx=config.context_tokens, name=found.name, fingerprint=found.sha256)
    return MlxGenerator(path, options=options)
