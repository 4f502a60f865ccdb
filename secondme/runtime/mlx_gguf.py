"""What a GGUF file becomes as an MLX model: config.json, and where each module's weights come from."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from secondme.errors import ModelError
from secondme.runtime.gguf_header import BLOCKS, GgufHeader, GgufTensor

F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, BF16 = 0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 20, 30
BITS = {Q4_0: 4, Q4_1: 4, Q5_0: 5, Q5_1: 5, Q8_0: 8, Q4_K: 4, Q5_K: 5, Q6_K: 8, IQ4_NL: 8}
"""Bits of an element under MLX, by type. Eight hold IQ4_NL's uneven levels to the bit, and Q6_K nearly, whose groups of
16 MLX does not have."""
PLAIN = {F32: "F32", F16: "F16", BF16: "BF16"}
"""Types that are copied, by their name in safetensors."""
TOO_LARGE = {
    10: "Q2_K", 11: "Q3_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S",
    23: "IQ4_XS", 29: "IQ1_M",
}  # fmt: skip
"""Types that only eight bits would hold: whoever chose one has no memory for that, and llama.cpp runs it as it is.
IQ4_NL would belong here too, but small models have it where their rows are too short for the others."""
GROUP = 32

RopePairs = Literal["adjacent", "halves"]
_PAIRS: dict[str, RopePairs] = {"llama": "adjacent", "smollm3": "adjacent", "qwen2": "halves", "qwen3": "halves"}
_MATRICES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_VECTORS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_ROPE_FACTORS = "rope_freqs.weight"
_TENSOR = re.compile(r"(?:blk\.(\d{1,4})\.)?([a-z_]+)\.(weight|bias)")
_CHANGES_THE_SUM = (
    "attention.scale", "attention.sliding_window", "attn_logit_softcapping", "embedding_scale", "expert_count",
    "final_logit_softcapping", "logit_scale", "residual_scale", "rope.scaling.attn_factor",
)  # fmt: skip
_LLAMA3 = (1.0, 4.0, 8192)  # low and high frequency factor, trained context: the same in all of Llama 3.1 to 3.3
_HINT = "run this model through llama.cpp: --backend llama.cpp"


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of the file. name: its module and `weight` or `bias`; n_heads: unturned for that many heads, or 0."""

    name: str
    tensor: GgufTensor
    n_heads: int

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be written but the tokenizer."""

    config: dict[str, Any]
    parts: tuple[Part, ...]
    rope_pairs: RopePairs
    rope_factors: tuple[float, ...]


def plan_of(header: GgufHeader) -> Plan:
    """Raises ModelError if MLX could not hold this model as it is, and OSError."""
    if header.architecture not in _PAIRS:
        raise _unfit(header, f"it is none of {', '.join(sorted(_PAIRS))}")
    for key in _CHANGES_THE_SUM:
        neutral = 1.0 if key == "rope.scaling.attn_factor" else 0
        if header.metadata.get(f"{header.architecture}.{key}", neutral) != neutral:
            raise _unfit(header, f"{key} is not known for MLX")
    pairs = _PAIRS[header.architecture]
    factors = _rope_factors(header)
    parts = tuple(_part(header, name) for name in sorted(header.tensors) if name != _ROPE_FACTORS)
    for part in parts:
        _check_type(header, part)
    config = _sizes(header) | _rope(header, factors) | _biases(header, {part.name for part in parts})
    return Plan(config | _quantization(parts), parts, pairs, factors)


def _part(header: GgufHeader, name: str) -> Part:
    match = _TENSOR.fullmatch(name)
    layer, kind, suffix = match.groups() if match else (None, "", "")
    known = _OUTSIDE if layer is None else _MATRICES | _VECTORS
    if layer is not None and header.architecture == "qwen3":
        known = known | _HEAD_NORMS
    if kind not in known or (suffix == "bias" and kind not in _MATRICES):
        raise _unfit(header, "it has weights that its architecture does not have under MLX")
    n_heads = 0
    if _PAIRS[header.architecture] == "adjacent":
        n_heads = {"attn_q": _heads(header), "attn_k": _kv_heads(header)}.get(kind, 0)
    inside = "" if layer is None else f"model.layers.{int(layer)}."
    part = Part(f"{inside}{known[kind]}.{suffix}", header.tensors[name], n_heads)
    if n_heads and part.tensor.shape[0] % (2 * n_heads):
        raise _unfit(header, "its attention heads do not fit its weights")
    return part


def _check_type(header: GgufHeader, part: Part) -> None:
    tensor = part.tensor
    n_block = BLOCKS.get(tensor.kind, (1, 0))[0]
    if tensor.kind in TOO_LARGE:
        name = TOO_LARGE[tensor.kind]
        raise _unfit(header, f"some of its weights are of type {name}, which would take twice the memory there")
    if tensor.kind not in BITS and tensor.kind not in PLAIN:
        raise _unfit(header, f"some of its weights are of type {tensor.kind}, which is not known for MLX")
    is_matrix = len(tensor.shape) == 2 and not part.name.endswith("bias")
    if min(tensor.shape) < 1 or tensor.shape[-1] % n_block or (tensor.kind in BITS and not is_matrix):
        raise _unfit(header, "a tensor has an impossible shape")


def _sizes(header: GgufHeader) -> dict[str, Any]:
    n_heads, hidden = _heads(header), header.number("embedding_length")
    dim = hidden // n_heads
    k_dim, v_dim = (header.number(f"attention.{side}_length", dim) for side in ("key", "value"))
    if k_dim != v_dim or (header.architecture == "qwen2" and k_dim != dim):
        raise _unfit(header, "its keys and values are not of one size")
    if header.number("rope.dimension_count", k_dim) != k_dim:
        raise _unfit(header, "its heads are rotated in part")
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None or hidden < 1:
        raise _unfit(header, "it has no embedding")
    return {
        "model_type": header.architecture,
        "hidden_size": hidden,
        "num_hidden_layers": header.number("block_count"),
        "intermediate_size": header.number("feed_forward_length"),
        "num_attention_heads": n_heads,
        "num_key_value_heads": _kv_heads(header),
        "head_dim": k_dim,
        "rms_norm_eps": header.metadata.get(f"{header.architecture}.attention.layer_norm_rms_epsilon", 1e-6),
        "vocab_size": embedding.shape[0],
        "max_position_embeddings": header.number("context_length"),
        "tie_word_embeddings": "output.weight" not in header.tensors,
    }


def _heads(header: GgufHeader) -> int:
    return _same_everywhere(header, "attention.head_count")


def _kv_heads(header: GgufHeader) -> int:
    key = "attention.head_count_kv"
    return _same_everywhere(header, key) if f"{header.architecture}.{key}" in header.metadata else _heads(header)


def _same_everywhere(header: GgufHeader, key: str) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}")
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int) or value < 1:
        raise _unfit(header, "its layers differ in their number of heads")
    return value


def _rope(header: GgufHeader, factors: tuple[float, ...]) -> dict[str, Any]:
    """The keys of config.json that say how positions turn keys and queries."""
    arch, metadata = header.architecture, header.metadata
    base = metadata.get(f"{arch}.rope.freq_base", 10000.0)
    kind = metadata.get(f"{arch}.rope.scaling.type", "none")
    factor = metadata.get(f"{arch}.rope.scaling.factor", metadata.get(f"{arch}.rope.scale_linear", 1.0))
    numbers = isinstance(base, float) and isinstance(factor, float) and 1 < base < math.inf and 0 <= factor < math.inf
    if not numbers or kind not in ("none", "linear"):
        raise _unfit(header, "its positions are scaled in a way that is not known for MLX")
    found: dict[str, Any] = {"rope_theta": base, "rope_traditional": False}
    if arch == "smollm3":
        # Every fourth layer has none: fixed in llama.cpp too, the file does not say it.
        found["no_rope_layers"] = [int((i + 1) % 4 != 0) for i in range(header.number("block_count"))]
    if factors:
        low, high, trained = _LLAMA3
        names = ("rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        found["rope_scaling"] = dict(zip(names, ("llama3", max(factors), low, high, trained), strict=True))
    elif kind == "linear" and factor not in (0.0, 1.0):
        found["rope_scaling"] = {"rope_type": "linear", "type": "linear", "factor": factor}
    return found


def _rope_factors(header: GgufHeader) -> tuple[float, ...]:
    """The divisors of the frequencies. Raises ModelError unless they are those of Llama 3.1, which MLX computes."""
    tensor = header.tensors.get(_ROPE_FACTORS)
    if tensor is None:
        return ()
    base = header.metadata.get(f"{header.architecture}.rope.freq_base", 10000.0)
    if tensor.kind != F32 or len(tensor.shape) != 1 or not 0 < tensor.shape[0] <= 4096 or not isinstance(base, float):
        raise _unfit(header, "its RoPE factors are of an unknown kind")
    with header.path.open("rb") as file:
        file.seek(tensor.start)
        factors = struct.unpack(f"<{tensor.shape[0]}f", file.read(tensor.n_bytes))
    if not all(math.isfinite(factor) and factor >= 1 for factor in factors) or base <= 1:
        raise _unfit(header, "its RoPE factors are impossible")
    n_dims = 2 * len(factors)
    computed = [_llama3_factor(max(factors), 2 * math.pi * base ** (2 * i / n_dims)) for i in range(len(factors))]
    if any(abs(a - b) > 1e-3 * b for a, b in zip(factors, computed, strict=True)):
        raise _unfit(header, "its RoPE factors are not those of Llama 3")
    return factors


def _llama3_factor(factor: float, wavelength: float) -> float:
    """What Llama 3.1 divides a frequency by: nothing for short waves, `factor` for long ones, smoothly between."""
    low, high, trained = _LLAMA3
    share = min(max((trained / wavelength - low) / (high - low), 0.0), 1.0)
    return 1 / ((1 - share) / factor + share)


def _biases(header: GgufHeader, names: set[str]) -> dict[str, Any]:
    """mlx-lm knows biases for all matrices of the attention, for all of the MLP, or for none; Qwen 2 has three."""
    has = [name for name in _MATRICES.values() if f"model.layers.0.{name}.bias" in names]
    attention = [name for name in _MATRICES.values() if name.startswith("self_attn.")]
    if header.architecture == "qwen2":
        allowed = {tuple(attention[:3]): dict[str, Any]()}
    elif header.architecture == "qwen3":
        allowed = {(): {}}
    else:
        mlp = [name for name in _MATRICES.values() if name.startswith("mlp.")]
        allowed = {
            tuple((attention if a else []) + (mlp if m else [])): {"attention_bias": a, "mlp_bias": m}
            for a in (False, True)
            for m in (False, True)
        }
    if tuple(has) not in allowed:
        raise _unfit(header, "it has biases where MLX has none")
    return allowed[tuple(has)]


def _quantization(parts: tuple[Part, ...]) -> dict[str, Any]:
    """As mlx-lm writes it: the width of most modules, and those that differ by name."""
    bits = {part.module: BITS[part.tensor.kind] for part in parts if part.tensor.kind in BITS}
    if not bits:
        return {}
    most = Counter(bits.values()).most_common(1)[0][0]
    table: dict[str, Any] = {"group_size": GROUP, "bits": most}
    table |= {module: {"group_size": GROUP, "bits": width} for module, width in bits.items() if width != most}
    return {"quantization": table}


def _unfit(header: GgufHeader, why: str) -> ModelError:
    return ModelError(f"{header.path.name} cannot be converted for MLX: {why}", hint=_HINT)
