"""The weights of a plain Llama-like model from its GGUF file, as float32: for calibrating, not for answering.

Stands apart from the runtime, which never hands them out. Models with anything beside the plain layers (biases, norms
of queries and keys, experts, scaled embeddings) are not read, because their gradients would be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]

_LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
_MAX_BYTES = 1 << 33


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """Matrices are [n_out, n_in]. layers: for each the tensors of `_LAYER` by name."""

    embedding: Weights
    output: Weights
    norm: Weights
    layers: tuple[dict[str, Weights], ...]
    epsilon: float


def read_llama_weights(path: Path) -> LlamaWeights | None:
    """None for a model that is not plain Llama, or takes more than 8 GB as float32. Raises OSError, ValueError."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(str(path))
    architecture = reader.get_field("general.architecture")
    tensors = {t.name.removesuffix(".weight"): t for t in reader.tensors}
    depth = reader.get_field("llama.block_count")
    epsilon = reader.get_field("llama.attention.layer_norm_rms_epsilon")
    if architecture is None or architecture.contents() != "llama" or depth is None or epsilon is None:
        return None
    names = [f"blk.{i}.{name}" for i in range(int(depth.contents())) for name in _LAYER]
    known = {"token_embd", "output", "output_norm", "rope_freqs", *names}
    if set(tensors) - known or not {"token_embd", "output_norm", *names} <= set(tensors):
        return None
    if sum(4 * int(np.prod(t.shape.astype(np.int64))) for t in tensors.values()) > _MAX_BYTES:
        return None

    def read(name: str) -> Weights:
        tensor = tensors[name]
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)

    embedding = read("token_embd")
    layers = tuple({name: read(f"blk.{i}.{name}") for name in _LAYER} for i in range(int(depth.contents())))
    output = read("output") if "output" in tensors else embedding
    return LlamaWeights(embedding, output, read("output_norm"), layers, float(epsilon.contents()))
