"""What a model's cache depends on, read from its file and from llama.cpp: shape, RoPE, and hashes of text handling."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from secondme.errors import CartridgeIncompatible
from secondme.runtime.gguf_header import GgufHeader
from secondme.runtime.kv import KvIdentity, KvShape, Rope, RopePairs
from secondme.runtime.llama_cells import STATE_VERSION, CellLayout
from secondme.runtime.llama_lib import build_identity, library
from secondme.runtime.llama_model import LlamaModel

_F32 = 0


def shape_of(model: LlamaModel) -> KvShape:
    """Raises CartridgeIncompatible, with the reason, if the model's cache is not the same rectangle in every layer."""
    lib, header = library(), model.header
    if lib.llama_model_is_recurrent(model.handle) or lib.llama_model_is_hybrid(model.handle):
        raise incompatible("the model keeps a running summary instead of keys and values")
    if lib.llama_model_n_swa(model.handle) > 0:
        raise incompatible("the model forgets all but a sliding window of tokens")
    if header.number("attention.kv_lora_rank"):
        raise incompatible("the model compresses its keys and values itself")
    if header.number("nextn_predict_layers"):
        raise incompatible("the model has layers that predict further tokens")
    n_heads = _same_everywhere(header, "attention.head_count", 0)
    n_kv_heads = _same_everywhere(header, "attention.head_count_kv", n_heads)
    if n_heads < 1 or n_kv_heads < 1 or n_heads % n_kv_heads:
        raise incompatible("the model's attention heads are not known")
    dim = header.number("embedding_length") // n_heads
    k_dim, v_dim = (header.number(f"attention.{side}_length", dim) for side in ("key", "value"))
    return KvShape(header.number("block_count"), n_kv_heads, n_heads, k_dim, v_dim)


def _same_everywhere(header: GgufHeader, key: str, default: int) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if isinstance(value, tuple) and len(set(value)) != 1:
        raise incompatible("the model's layers differ in their number of heads")
    return header.number(key, default)


def rope_of(model: LlamaModel, shape: KvShape) -> Rope:
    """The model's rotary embedding. Raises CartridgeIncompatible where positions are not one number."""
    lib, header = library(), model.header
    kinds: dict[int, RopePairs] = {
        lib.LLAMA_ROPE_TYPE_NONE: "none",
        lib.LLAMA_ROPE_TYPE_NORM: "adjacent",
        lib.LLAMA_ROPE_TYPE_NEOX: "halves",
    }
    kind = lib.llama_model_rope_type(model.handle)
    if kind not in kinds:
        raise incompatible("the model's positions have several parts")
    if any(name.startswith("rope_factors") for name in header.rope_tensors):  # LongRoPE: one set for short contexts
        raise incompatible("the model turns its keys by the length of the context")
    n_dims = header.number("rope.dimension_count", shape.k_dim)
    scaling = header.metadata.get(f"{header.architecture}.rope.scaling.type", "linear")
    factors = _factors(header)
    plain = (
        kinds[kind] != "none"
        and scaling in ("none", "linear")
        and _decimal(header, "rope.scaling.attn_factor", 1.0) == 1.0
        and len(factors) in (0, n_dims // 2)
        and 0 < n_dims <= shape.k_dim
    )
    factor = _decimal(header, "rope.scaling.factor", 0.0) or _decimal(header, "rope.scale_linear", 0.0)
    scale = 1.0 / factor if factor and scaling != "none" else 1.0
    base = _decimal(header, "rope.freq_base", 10000.0)
    return Rope(kinds[kind], n_dims, base, scale, factors if plain else (), movable=plain)


def _decimal(header: GgufHeader, key: str, default: float) -> float:
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else default


def _factors(header: GgufHeader) -> tuple[float, ...]:
    """The divisors of the frequencies (`rope_freqs.weight`, as Llama 3.1 has them)."""
    place = header.rope_tensors.get("rope_freqs.weight")
    if place is None:
        return ()
    kind, offset, n = place
    if kind != _F32:
        raise incompatible("the model's RoPE factors are of an unknown type")
    with header.path.open("rb") as file:
        file.seek(offset)
        return tuple(np.frombuffer(file.read(4 * n), "<f4").astype(float).tolist())


def tokenizer_hash(header: GgufHeader) -> str:
    """Over the vocabulary and all that decides how text becomes tokens, as the file has it, except the template."""
    digest = hashlib.sha256()
    with header.path.open("rb") as file:
        for key, start, end in sorted(header.tokenizer_spans):
            if key != "tokenizer.chat_template":
                file.seek(start)
                digest.update(f"{key}\0{end - start}\0".encode())
                digest.update(file.read(end - start))
    return digest.hexdigest()


def template_hash(header: GgufHeader) -> str:
    """Of the chat template's text; of nothing, if there is none."""
    return hashlib.sha256(str(header.metadata.get("tokenizer.chat_template", "")).encode()).hexdigest()


def identity_of(model: LlamaModel, layout: CellLayout, rope: Rope) -> KvIdentity:
    """All that a cache of this model in this build means."""
    return KvIdentity(
        weights=model.fingerprint,
        tokenizer=tokenizer_hash(model.header),
        template=template_hash(model.header),
        shape=layout.shape,
        rope=rope,
        dtype=layout.dtype,
        rotated=layout.rotated,
        runtime=build_identity(),
        state_version=STATE_VERSION,
    )


def incompatible(why: str) -> CartridgeIncompatible:
    """The error that `why` a model's cache cannot be taken apart."""
    return CartridgeIncompatible(why, hint="its documents are read as text instead")
