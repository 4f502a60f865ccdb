"""Small random models that both llama.cpp and MLX run: one GGUF file, and the MLX folder that is converted from it.

Some hundred kilobytes, written and loaded in milliseconds; 256 byte tokens, a few merges and the control tokens of a
chat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from secondme.runtime.mlx_convert import convert_gguf
from secondme.runtime.mlx_origin import FILE_NAME
from tests.ggml import quantized

N_CTX = 4096
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("h e", "i n", "Ġ t", "Ġt he", "e r", "Ġ a", "o n", "an d")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class TinyMlx:
    """kind: ggml's type of the matrices, such as "F16" or "Q4_1"; embedding: the same for the embedding, "" for `kind`.
    others: the types of some, by name ("attn_v"). K-quants take rows of 256 elements: see MIXED_K.

    factors: divisors of RoPE's frequencies; biases: the matrices that have one; numbers: further metadata.
    """

    arch: str = "llama"
    n_layers: int = 3
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 64
    n_embd: int = 64
    n_ff: int = 96
    kind: str = "F32"
    embedding: str = ""
    others: tuple[tuple[str, str], ...] = ()
    pre: str = "smollm"
    rope_base: float = 10000.0
    factors: tuple[float, ...] = ()
    tied: bool = True
    biases: tuple[str, ...] = ()
    seed: int = 0
    numbers: tuple[tuple[str, int | float | str], ...] = ()


MIXED_K = TinyMlx(
    n_embd=256,
    n_ff=256,
    n_layers=2,
    kind="Q4_K",
    embedding="Q6_K",
    others=(("attn_v", "Q6_K"), ("attn_output", "Q5_K"), ("ffn_down", "Q6_K")),
)
"""As llama.cpp mixes types in a file that it calls Q4_K_M, and one more."""


def write_tiny_mlx(folder: Path, tiny: TinyMlx | None = None, *, origin: bool = True) -> Path:
    """The MLX folder, with its GGUF file beside it (`gguf_of`). Without `origin` it is like one from elsewhere."""
    source = write_tiny_gguf(gguf_of(folder), tiny or TinyMlx())
    convert_gguf(source, folder, sha256=hashlib.sha256(source.read_bytes()).hexdigest())
    if not origin:
        (folder / FILE_NAME).unlink()
    return folder


def gguf_of(folder: Path) -> Path:
    """The GGUF file that `write_tiny_mlx` made `folder` from."""
    return folder.with_name(f"{folder.name}.gguf")


def write_tiny_gguf(path: Path, tiny: TinyMlx) -> Path:
    """The GGUF file; the same bytes for the same `tiny`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, tiny.arch)
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(tiny.n_embd)
    writer.add_block_count(tiny.n_layers)
    writer.add_feed_forward_length(tiny.n_ff)
    writer.add_head_count(tiny.n_heads)
    writer.add_head_count_kv(tiny.n_kv_heads)
    writer.add_key_length(tiny.head_dim)
    writer.add_value_length(tiny.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(tiny.head_dim)
    writer.add_rope_freq_base(tiny.rope_base)
    for key, value in tiny.numbers:
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
        add(f"{tiny.arch}.{key}", value)
    n_tokens = _add_vocabulary(writer, tiny.pre)
    for name, tensor in _tensors(tiny, n_tokens):
        kinds = {"token_embd": tiny.embedding or tiny.kind} | dict(tiny.others)
        _add_tensor(writer, name, tensor, kinds.get(name.split(".")[-2], tiny.kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def byte_texts() -> list[str]:
    """How byte-level vocabularies write the 256 bytes: as visible characters."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256)]


def _add_vocabulary(writer: gguf.GGUFWriter, pre: str) -> int:
    kinds = gguf.TokenType
    words = [*byte_texts(), *(merge.replace(" ", "") for merge in MERGES)]
    # A merge may build on another token than bytes; "an" is only there for "and".
    words.insert(len(words) - 1, "an")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*CONTROL, *words])
    writer.add_token_types([kinds.CONTROL] * len(CONTROL) + [kinds.NORMAL] * len(words))
    writer.add_token_merges([*MERGES[:-1], "a n", MERGES[-1]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    return len(CONTROL) + len(words)


def _tensors(tiny: TinyMlx, n_tokens: int) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(tiny.seed)
    n_q, n_kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim

    def matrix(n_out: int, n_in: int) -> np.ndarray:
        return np.asarray(rng.standard_normal((n_out, n_in)) / np.sqrt(n_in), np.float32)

    yield "token_embd.weight", matrix(n_tokens, tiny.n_embd) * 8
    yield "output_norm.weight", np.ones(tiny.n_embd, np.float32)
    if not tiny.tied:
        yield "output.weight", matrix(n_tokens, tiny.n_embd)
    if tiny.factors:
        yield "rope_freqs.weight", np.array(tiny.factors, np.float32)
    shapes = {
        "attn_q": (n_q, tiny.n_embd),
        "attn_k": (n_kv, tiny.n_embd),
        "attn_v": (n_kv, tiny.n_embd),
        "attn_output": (tiny.n_embd, n_q),
        "ffn_gate": (tiny.n_ff, tiny.n_embd),
        "ffn_up": (tiny.n_ff, tiny.n_embd),
        "ffn_down": (tiny.n_embd, tiny.n_ff),
    }
    for layer in range(tiny.n_layers):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", 1 + matrix(1, tiny.n_embd)[0]
        if tiny.arch == "qwen3":
            for name in ("attn_q_norm", "attn_k_norm"):
                yield f"blk.{layer}.{name}.weight", 1 + matrix(1, tiny.head_dim)[0]
        for name, shape in shapes.items():
            yield f"blk.{layer}.{name}.weight", matrix(*shape)
            if name in tiny.biases:
                yield f"blk.{layer}.{name}.bias", matrix(1, shape[0])[0]


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray, kind: str) -> None:
    if tensor.ndim == 1 or kind == "F32":
        writer.add_tensor(name, tensor)
    elif kind == "F16":
        writer.add_tensor(name, tensor.astype(np.float16))
    else:
        writer.add_tensor(name, quantized(kind, tensor), raw_dtype=gguf.GGMLQuantizationType[kind])
