"""Language models of a few kilobytes with random weights: any shape and any RoPE, loaded and run in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

N_VOCAB = 259
"""256 byte tokens, an unknown and an end token, and the space."""
N_CTX = 4096


@dataclass(frozen=True)
class Tiny:
    """`arch`: llama.cpp's name of an architecture, with layers like Llama's or Mamba's. numbers: further metadata."""

    arch: str = "llama"
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int | tuple[int, ...] = 2
    k_dim: int = 64
    v_dim: int = 64
    n_rot: int = 64
    rope_base: float = 10000.0
    factors: tuple[float, ...] = ()
    long_factors: tuple[str, ...] = ()
    qk_norm: bool = False
    biases: bool = False
    numbers: dict[str, int | float | str] = field(default_factory=dict)
    lists: dict[str, list[int]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()


def write_tiny(path: Path, tiny: Tiny) -> Path:
    """Write the model's file; the same bytes for the same `tiny`."""
    writer = gguf.GGUFWriter(path, tiny.arch)
    n_embd, n_ff = 64, 96
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(tiny.n_layers)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(tiny.n_heads)
    writer.add_head_count_kv(tiny.n_kv_heads if isinstance(tiny.n_kv_heads, int) else list(tiny.n_kv_heads))
    writer.add_key_length(tiny.k_dim)
    writer.add_value_length(tiny.v_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(tiny.n_rot)
    writer.add_rope_freq_base(tiny.rope_base)
    for key, value in tiny.numbers.items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
        add(f"{tiny.arch}.{key}", value)
    for key, values in tiny.lists.items():
        writer.add_array(f"{tiny.arch}.{key}", values)
    _add_vocabulary(writer, tiny.tokens)
    for name, tensor in _tensors(tiny, n_embd, n_ff):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: gguf.GGUFWriter, further: tuple[str, ...]) -> None:
    """SentencePiece with a token for each byte, so that every text is its bytes."""
    kinds = gguf.TokenType
    names = [f"<0x{byte:02X}>" for byte in range(256)] + ["<unk>", "<end>", "\u2581", *further]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names)
    writer.add_token_scores([0.0] * len(names))
    writer.add_token_types([kinds.BYTE] * 256 + [kinds.UNKNOWN, kinds.CONTROL] + [kinds.NORMAL] * (1 + len(further)))
    writer.add_unk_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(257)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


def _tensors(tiny: Tiny, n_embd: int, n_ff: int) -> Iterable[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)

    def matrix(n_out: int, n_in: int) -> np.ndarray:
        return np.asarray(rng.standard_normal((n_out, n_in)) / np.sqrt(n_in), np.float32)

    yield "token_embd.weight", matrix(N_VOCAB + len(tiny.tokens), n_embd) * 8
    yield "output_norm.weight", np.ones(n_embd, np.float32)
    for name in tiny.long_factors:
        yield f"rope_factors_{name}.weight", np.linspace(1, 2, tiny.n_rot // 2, dtype=np.float32)
    if tiny.factors:
        yield "rope_freqs.weight", np.array(tiny.factors, np.float32)
    for layer in range(tiny.n_layers):
        if tiny.arch == "mamba":
            yield from _mamba_tensors(layer, n_embd)
            continue
        heads = tiny.n_kv_heads if isinstance(tiny.n_kv_heads, int) else tiny.n_kv_heads[layer]
        yield f"blk.{layer}.attn_norm.weight", np.ones(n_embd, np.float32)
        yield f"blk.{layer}.attn_q.weight", matrix(tiny.n_heads * tiny.k_dim, n_embd)
        yield f"blk.{layer}.attn_k.weight", matrix(heads * tiny.k_dim, n_embd)
        yield f"blk.{layer}.attn_v.weight", matrix(heads * tiny.v_dim, n_embd)
        yield f"blk.{layer}.attn_output.weight", matrix(n_embd, tiny.n_heads * tiny.v_dim)
        if tiny.biases:
            for side, width in (("q", tiny.n_heads * tiny.k_dim), ("k", heads * tiny.k_dim), ("v", heads * tiny.v_dim)):
                yield f"blk.{layer}.attn_{side}.bias", matrix(1, width)[0]
        if tiny.qk_norm:
            for side in ("q", "k"):
                yield f"blk.{layer}.attn_{side}_norm.weight", rng.random(tiny.k_dim).astype(np.float32) + 0.5
        if tiny.arch == "gemma3":
            yield f"blk.{layer}.post_attention_norm.weight", np.ones(n_embd, np.float32)
            yield f"blk.{layer}.post_ffw_norm.weight", np.ones(n_embd, np.float32)
        yield f"blk.{layer}.ffn_norm.weight", np.ones(n_embd, np.float32)
        yield f"blk.{layer}.ffn_gate.weight", matrix(n_ff, n_embd)
        yield f"blk.{layer}.ffn_up.weight", matrix(n_ff, n_embd)
        yield f"blk.{layer}.ffn_down.weight", matrix(n_embd, n_ff)


MAMBA: dict[str, int | float | str] = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 8,
    "ssm.time_step_rank": 4,
}
"""The `numbers` of a Mamba."""


def _mamba_tensors(layer: int, n_embd: int) -> Iterable[tuple[str, np.ndarray]]:
    n_inner, n_state, n_rank = 2 * n_embd, 8, 4
    shapes = {
        "attn_norm.weight": (n_embd,),
        "ssm_in.weight": (2 * n_inner, n_embd),
        "ssm_conv1d.weight": (n_inner, 4),
        "ssm_conv1d.bias": (n_inner,),
        "ssm_x.weight": (n_rank + 2 * n_state, n_inner),
        "ssm_dt.weight": (n_inner, n_rank),
        "ssm_dt.bias": (n_inner,),
        "ssm_a": (n_inner, n_state),
        "ssm_d": (n_inner,),
        "ssm_out.weight": (n_embd, n_inner),
    }
    for name, shape in shapes.items():
        yield f"blk.{layer}.{name}", np.full(shape, -0.1, np.float32)
