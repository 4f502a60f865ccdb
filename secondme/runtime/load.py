"""From the owner's settings to a loaded model: the one place that picks a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondme.config import Config
from secondme.errors import BackendUnavailable

if TYPE_CHECKING:
    from secondme.runtime.base import Embedder, Generator
    from secondme.runtime.catalog import ResolvedModel
    from secondme.runtime.llama_model import LlamaOptions

# The backends are imported inside: the program must start, and say that a model is missing, without loading them.


def load_generator(config: Config) -> Generator:
    """The language model of the settings. Raises ModelNotFound, OutOfMemory and other ModelErrors."""
    from secondme.runtime.catalog import resolve

    found = resolve(config.model, kind="generator")
    options = _llama_options(config, found, n_ctx=config.context_tokens)
    from secondme.runtime.llama import LlamaGenerator

    return LlamaGenerator(found.path, options=options)


def load_embedder(config: Config) -> Embedder:
    """The embedding model of the settings. Raises ModelNotFound, OutOfMemory and other ModelErrors."""
    from secondme.runtime.catalog import resolve

    found = resolve(config.embedder, kind="embedder")
    options = _llama_options(config, found, n_ctx=0)
    from secondme.runtime.llama import LlamaEmbedder

    return LlamaEmbedder(found.path, options=options)


def _llama_options(config: Config, found: ResolvedModel, *, n_ctx: int) -> LlamaOptions:
    if found.format != "gguf":
        raise BackendUnavailable(
            f"{found.name} is a model for {found.format.upper()}, and this program runs GGUF models",
            hint="choose a GGUF model: secondme models list",
        )
    from secondme.runtime.llama_model import LlamaOptions

    return LlamaOptions(
        n_ctx=n_ctx,
        threads=config.threads,
        gpu_layers=config.gpu_layers,
        name=found.name,
        fingerprint=found.sha256,
    )
