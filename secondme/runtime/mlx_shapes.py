"""Whether the tensors of an MLX folder are those that its config.json describes, and how they are packed.

MLX would find out too, but late, and in the words of an array library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.errors import ModelError
from secondme.runtime.mlx_lib import ARCHITECTURES
from secondme.runtime.safetensors_header import TensorPlace
from secondme.sanitize import clean_line

_HINT = "fetch the model again, or choose another one: secondme models list"
_AFFINE_BITS = (2, 3, 4, 5, 6, 8)
_AFFINE_GROUPS = (32, 64, 128)
_OTHER_MODES = {"mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}
_FLOATS = ("F16", "BF16", "F32")
_MOST = {"num_hidden_layers": 512, "vocab_size": 1 << 24}
_POSITIVE = ("rope_theta", "rope_local_base_freq", "rms_norm_eps", "max_position_embeddings", "partial_rotary_factor")
_SWITCHES = ("rope_traditional", "attention_bias", "mlp_bias")
_MOST_ELSE = 1 << 20


@dataclass(frozen=True, slots=True)
class Packing:
    """How rows of a matrix are packed: `group_size` elements share a scale, `bits` each (MLX's quantize)."""

    group_size: int
    bits: int
    mode: str = "affine"


@dataclass(frozen=True, slots=True)
class Quantization:
    """`default` for all modules with scales but those in `overrides`, by path (`model.embed_tokens`)."""

    default: Packing
    overrides: Mapping[str, Packing]


@dataclass(frozen=True, slots=True)
class _Sizes:
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int


def quantization_of(config: Mapping[str, Any], path: Path) -> Quantization | None:
    """What config.json says of the packing. Raises ModelError for one that MLX does not know."""
    table, foreign = config.get("quantization"), config.get("quantization_config")
    if table is None and foreign is None:
        return None
    if table is None or (isinstance(foreign, dict) and "quant_method" in foreign):
        raise ModelError(
            f"{path} is quantized for another program", hint="choose a model quantized by MLX, or a GGUF model"
        )
    if not isinstance(table, dict):
        raise _damaged(path, "its quantization is not a table")
    overrides = {name: _packing(value, path) for name, value in table.items() if isinstance(value, dict)}
    return Quantization(_packing(table, path), overrides)


def _packing(table: Mapping[str, Any], path: Path) -> Packing:
    group_size, bits, mode = table.get("group_size"), table.get("bits"), table.get("mode", "affine")
    known = isinstance(mode, str) and isinstance(group_size, int) and isinstance(bits, int)
    if mode == "affine":
        known = known and group_size in _AFFINE_GROUPS and bits in _AFFINE_BITS
    else:
        known = known and _OTHER_MODES.get(str(mode)) == (group_size, bits)
    if not known:
        raise ModelError(
            f"{path} is quantized in a way that this MLX does not know",
            hint="choose a model with 4 or 8 bits in groups of 32, 64 or 128, or a GGUF model",
        )
    return Packing(int(str(group_size)), int(str(bits)), str(mode))


def check_shapes(
    config: Mapping[str, Any], tensors: Mapping[str, TensorPlace], quantization: Quantization | None, path: Path
) -> None:
    """Raise ModelError if a tensor that the model needs is missing or has another shape than config.json says."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        shown = clean_line(model_type, 40) if isinstance(model_type, str) else "that its config.json names"
        raise ModelError(
            f"{path} cannot be run: models of the type {shown} are not known to this program",
            hint=f"it runs: {', '.join(sorted(ARCHITECTURES))}; or choose a GGUF model",
        )
    sizes = _sizes(config, path)
    _check_settings(config, path)
    for module, shape in _modules(model_type, config, sizes, path).items():
        _check_module(module, shape, tensors, quantization, path)


def _check_module(
    module: str,
    shape: tuple[int, ...],
    tensors: Mapping[str, TensorPlace],
    quantization: Quantization | None,
    path: Path,
) -> None:
    weight = tensors.get(f"{module}.weight")
    if weight is None:
        raise ModelError(f"{path} is half a model: {module} has no weights", hint=_HINT)
    if f"{module}.scales" not in tensors:
        if weight.shape != shape or weight.dtype not in _FLOATS:
            raise _damaged(path, f"the size of {module} does not fit its config.json")
        return
    if quantization is None:
        raise _damaged(path, "its weights are quantized, and its config.json does not say how")
    packing = quantization.overrides.get(module, quantization.default)
    n_out, n_in = shape if len(shape) == 2 else (0, 0)
    wanted = {"weight": (n_out, n_in * packing.bits // 32), "scales": (n_out, n_in // packing.group_size)}
    if packing.mode == "affine":
        wanted["biases"] = wanted["scales"]
    for part, size in wanted.items():
        place = tensors.get(f"{module}.{part}")
        if place is None or place.shape != size or n_in % packing.group_size or not n_in:
            raise _damaged(path, f"the size of {module} does not fit its quantization")
        kinds = ("U32",) if part == "weight" else _FLOATS if packing.mode == "affine" else ("U8",)
        if place.dtype not in kinds:
            raise _damaged(path, f"the type of {module} does not fit its quantization")


def _check_settings(config: Mapping[str, Any], path: Path) -> None:
    """Values that would fail inside the model, while it reads: numbers that are none, and divisors of zero."""
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, dict | None):
        raise _damaged(path, "rope_scaling in its config.json is not a table")
    tables = [(config, key) for key in _POSITIVE] + [(scaling or {}, "factor")]
    for table, key in tables:
        value = table.get(key)
        if value is not None and not (isinstance(value, int | float) and 0 < value < float("inf")):
            raise _damaged(path, f"{key} in its config.json is impossible")
    for key in _SWITCHES:
        if not isinstance(config.get(key), bool | None):
            raise _damaged(path, f"{key} in its config.json is neither true nor false")


def _sizes(config: Mapping[str, Any], path: Path) -> _Sizes:
    n_heads = _count(config, "num_attention_heads", path)
    hidden = _count(config, "hidden_size", path)
    sizes = _Sizes(
        hidden,
        _count(config, "intermediate_size", path),
        _count(config, "num_hidden_layers", path),
        n_heads,
        _count(config, "num_key_value_heads", path, n_heads),
        _count(config, "head_dim", path, max(hidden // n_heads, 1)),
        _count(config, "vocab_size", path),
    )
    if n_heads % sizes.num_key_value_heads or sizes.head_dim % 2:
        raise _damaged(path, "the attention heads in its config.json are impossible")
    return sizes


def _count(config: Mapping[str, Any], key: str, path: Path, default: int = 0) -> int:
    value = config.get(key)
    value = default if value is None and default else value
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST.get(key, _MOST_ELSE):
        raise _damaged(path, f"its config.json does not say {key}, or something impossible")
    return value


def _modules(model_type: str, config: Mapping[str, Any], sizes: _Sizes, path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each module's weights, as mlx-lm's models of these types have them."""
    hidden, wide = sizes.hidden_size, sizes.intermediate_size
    n_q, n_kv = sizes.num_attention_heads * sizes.head_dim, sizes.num_key_value_heads * sizes.head_dim
    layer: dict[str, tuple[int, ...]] = {"self_attn.o_proj": (hidden, n_q), "mlp.down_proj": (hidden, wide)}
    if model_type == "phi3":
        layer |= {"self_attn.qkv_proj": (n_q + 2 * n_kv, hidden), "mlp.gate_up_proj": (2 * wide, hidden)}
    else:
        layer |= {"mlp.gate_proj": (wide, hidden), "mlp.up_proj": (wide, hidden)}
        layer |= {"self_attn.q_proj": (n_q, hidden)}
        layer |= {f"self_attn.{side}_proj": (n_kv, hidden) for side in "kv"}
    norms = ["input_layernorm", "post_attention_layernorm"]
    if model_type == "gemma3_text":
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    layer |= dict.fromkeys(norms, (hidden,))
    if model_type in ("qwen3", "gemma3_text"):
        layer |= {f"self_attn.{side}_norm": (sizes.head_dim,) for side in "qk"}
    modules: dict[str, tuple[int, ...]] = {"model.embed_tokens": (sizes.vocab_size, hidden), "model.norm": (hidden,)}
    if not _is_tied(model_type, config, path):
        modules["lm_head"] = (sizes.vocab_size, hidden)
    for i in range(sizes.num_hidden_layers):
        modules |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    return modules


def _is_tied(model_type: str, config: Mapping[str, Any], path: Path) -> bool:
    tied = config.get("tie_word_embeddings", model_type != "phi3")
    if not isinstance(tied, bool):
        raise _damaged(path, "tie_word_embeddings in its config.json is neither true nor false")
    return tied


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is damaged: {why}", hint=_HINT)
