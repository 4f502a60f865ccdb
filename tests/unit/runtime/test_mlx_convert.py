"""A GGUF file as an MLX folder: the same numbers, the same answers, and once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import DecodedText, Generator, Sampling
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.llama_identity import template_hash, tokenizer_hash
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from secondme.runtime.mlx_convert import convert_gguf, converted
from secondme.runtime.mlx_folder import MlxFolder, TensorPlace, read_folder
from tests.tiny_mlx import MIXED_K, TinyMlx, gguf_of, write_tiny_gguf, write_tiny_mlx

TEXT = "the other hand and in the end " * 4
LLAMA3 = TinyMlx(
    pre="llama-bpe",
    rope_base=500_000.0,
    factors=tuple(
        1 / ((1 - share) / 8 + share)
        for share in (min(max((8192 / (2 * math.pi * 500_000.0 ** (2 * i / 64)) - 1) / 3, 0.0), 1.0) for i in range(32))
    ),
)
SHAPES = {
    "llama": TinyMlx(kind="Q4_1", embedding="Q8_0"),
    "llama, own head": TinyMlx(tied=False, kind="F16"),
    "llama, biases": TinyMlx(biases=("attn_q", "attn_k", "attn_v", "attn_output"), kind="Q4_0"),
    "llama 3": LLAMA3,
    "llama, linear": TinyMlx(numbers=(("rope.scaling.type", "linear"), ("rope.scaling.factor", 4.0))),
    "qwen2": TinyMlx(arch="qwen2", head_dim=16, pre="qwen2", biases=("attn_q", "attn_k", "attn_v"), kind="Q8_0"),
    "qwen3": TinyMlx(arch="qwen3", pre="qwen2", kind="Q4_1"),
    "K-quants": MIXED_K,
    "K-quants, own head": dataclasses.replace(MIXED_K, tied=False, kind="Q5_K", others=(("output", "Q6_K"),)),
    "rows too short for K-quants": TinyMlx(kind="Q5_0", embedding="Q8_0", others=(("ffn_down", "Q5_1"),)),
    "qwen2, 5 bits": TinyMlx(
        arch="qwen2", head_dim=16, pre="qwen2", biases=("attn_q", "attn_k", "attn_v"), kind="Q5_1", embedding="IQ4_NL"
    ),
}


def numbers(place: TensorPlace, n_rows: int) -> np.ndarray:
    """The first rows of a tensor, as they lie in the file."""
    dtype = {"F32": "<f4", "F16": "<f2", "U32": "<u4"}[place.dtype]
    n_rows = min(n_rows, place.shape[0])
    with place.file.open("rb") as file:
        file.seek(place.start)
        raw = file.read(place.n_bytes // place.shape[0] * n_rows)
    return np.frombuffer(raw, dtype).reshape(n_rows, *place.shape[1:])


def unpacked(folder: MlxFolder, module: str, n_rows: int = 1 << 20) -> np.ndarray:
    """The first rows of a matrix as MLX reads it: element = scale * q + bias."""
    packing = folder.packing(module)
    weight = numbers(folder.tensors[f"{module}.weight"], n_rows)
    if packing is None:
        return weight.astype(np.float32)
    bits = np.unpackbits(weight.view(np.uint8), axis=1, bitorder="little")
    levels = bits.reshape(len(weight), -1, packing.group_size, packing.bits) @ (1 << np.arange(packing.bits))
    groups = levels.astype(np.float32)
    scales, biases = (
        numbers(folder.tensors[f"{module}.{part}"], n_rows).astype(np.float32) for part in ("scales", "biases")
    )
    return (groups * scales[..., None] + biases[..., None]).reshape(len(weight), -1)


def original(path: Path, name: str, n_rows: int = 1 << 20) -> np.ndarray:
    """The first rows of a matrix by ggml's own rules."""
    tensor = read_gguf_header(path).tensors[name]
    n_rows = min(n_rows, tensor.shape[0])
    with path.open("rb") as file:
        file.seek(tensor.start)
        raw = np.frombuffer(file.read(tensor.n_bytes // tensor.shape[0] * n_rows), np.uint8).reshape(n_rows, -1)
    return np.asarray(gguf.quants.dequantize(raw, gguf.GGMLQuantizationType(tensor.kind)), np.float32)


@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "IQ4_NL"])
def test_every_number_stays_what_it_was(kind: str, tmp_path: Path) -> None:
    n = 256 if kind.endswith("_K") else 64
    folder = read_folder(write_tiny_mlx(tmp_path / kind, TinyMlx(n_layers=1, n_embd=n, n_ff=2 * n, kind=kind)))
    source = gguf_of(folder.path)
    assert np.array_equal(unpacked(folder, "model.embed_tokens"), original(source, "token_embd.weight"))
    for name, module in (("attn_v", "self_attn.v_proj"), ("ffn_down", "mlp.down_proj")):
        assert np.array_equal(unpacked(folder, f"model.layers.0.{module}"), original(source, f"blk.0.{name}.weight"))
    for name, module, n_heads in (("attn_q", "self_attn.q_proj", 4), ("attn_k", "self_attn.k_proj", 2)):
        rows = original(source, f"blk.0.{name}.weight").reshape(n_heads, 32, 2, -1)
        halves = np.concatenate([rows[:, :, 0], rows[:, :, 1]], axis=1).reshape(n_heads * 64, -1)
        assert np.array_equal(unpacked(folder, f"model.layers.0.{module}"), halves)


def test_the_default_model_is_the_same_to_the_bit(smollm2_path: Path, smollm2_mlx: Path) -> None:
    folder = read_folder(smollm2_mlx)
    for module, name in (("layers.29.mlp.down_proj", "blk.29.ffn_down"), ("embed_tokens", "token_embd")):
        ours = unpacked(folder, f"model.{module}", 64)
        assert np.array_equal(ours, original(smollm2_path, f"{name}.weight", 64))
    assert folder.quantization is not None and folder.quantization.default.bits == 4
    assert folder.size_bytes < smollm2_path.stat().st_size
    header = read_gguf_header(smollm2_path)
    assert folder.origin is not None
    assert folder.origin.weights == hashlib.sha256(smollm2_path.read_bytes()).hexdigest()
    assert (folder.origin.tokenizer, folder.origin.template) == (tokenizer_hash(header), template_hash(header))


@pytest.mark.parametrize("name", SHAPES)
def test_both_runtimes_think_the_same(name: str, tmp_path: Path) -> None:
    folder = write_tiny_mlx(tmp_path / "model", SHAPES[name])
    llama = LlamaGenerator(gguf_of(folder), options=LlamaOptions(n_ctx=256, n_batch=64, threads=1))
    mlx = MlxGenerator(folder, options=MlxOptions(n_ctx=256))
    try:
        tokens = llama.tokenize(TEXT)
        assert tokens == mlx.tokenize(TEXT)
        theirs, ours = (_logits(generator, tokens) for generator in (llama, mlx))
    finally:
        llama.close()
        mlx.close()
    # llama.cpp keeps keys and values in half precision, and rounds what it multiplies with packed weights.
    loose = 0.2 if SHAPES[name].kind.startswith("Q") else 0.01
    assert np.max(np.abs(theirs - ours)) < loose * np.std(theirs)


def test_layers_without_positions_go_on_alike(tmp_path: Path) -> None:
    folder = write_tiny_mlx(tmp_path / "model", TinyMlx(arch="smollm3", pre="smaug-bpe", n_layers=5))
    llama: Generator = LlamaGenerator(gguf_of(folder), options=LlamaOptions(n_ctx=256, n_batch=64, threads=1))
    mlx: Generator = MlxGenerator(folder, options=MlxOptions(n_ctx=256))
    texts = []
    for generator in (llama, mlx):
        list(generator.prefill(generator.tokenize(TEXT)))
        texts.append([event.token for event in generator.decode(Sampling(12)) if isinstance(event, DecodedText)])
        generator.close()
    assert texts[0] == texts[1] and len(texts[0]) > 8


def _logits(generator: LlamaGenerator | MlxGenerator, tokens: list[int]) -> np.ndarray:
    reader = generator.reader(256)
    try:
        list(reader.read(tokens[:-8]))
        return np.asarray(reader.logits(tokens[-8:]), np.float32)
    finally:
        reader.close()


BAD = {
    "another architecture": (TinyMlx(arch="gemma2"), "none of llama"),
    "another tokenizer": (TinyMlx(pre="tekken"), "its tokenizer is none of"),
    "no tokenizer's name": (TinyMlx(pre=""), "its tokenizer is none of"),
    "weights of too few bits": (TinyMlx(n_embd=256, n_ff=256, kind="Q3_K"), "of type Q3_K, which would take twice"),
    "some weights of too few bits": (dataclasses.replace(MIXED_K, others=(("ffn_up", "Q2_K"),)), "of type Q2_K"),
    "weights of another type": (TinyMlx(kind="MXFP4"), "of type 39, which is not known"),
    "positions stretched": (TinyMlx(numbers=(("rope.scaling.type", "yarn"),)), "positions are scaled"),
    "attention in a window": (TinyMlx(numbers=(("attention.sliding_window", 128),)), "attention.sliding_window"),
    "scaled logits": (TinyMlx(numbers=(("logit_scale", 0.5),)), "logit_scale"),
    "experts": (TinyMlx(numbers=(("expert_count", 4),)), "expert_count"),
    "other factors": (TinyMlx(factors=tuple(float(i + 1) for i in range(32))), "not those of Llama 3"),
    "some biases": (TinyMlx(biases=("attn_q",)), "biases"),
    "biases of Qwen 3": (TinyMlx(arch="qwen3", biases=("attn_q", "attn_k", "attn_v")), "biases"),
    "no biases of Qwen 2": (TinyMlx(arch="qwen2", head_dim=16), "biases"),
    "a head of its own size": (
        TinyMlx(arch="qwen2", biases=("attn_q", "attn_k", "attn_v")), "keys and values are not of one size"
    ),
    "heads rotated in part": (TinyMlx(numbers=(("rope.dimension_count", 32),)), "rotated in part"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_mlx_could_not_run_as_it_is(name: str, tmp_path: Path) -> None:
    tiny, words = BAD[name]
    source = write_tiny_gguf(tmp_path / "model.gguf", tiny)
    with pytest.raises(ModelError, match=words) as caught:
        convert_gguf(source, tmp_path / "folder", sha256="0" * 64)
    assert caught.value.hint and "llama.cpp" in caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["model.gguf"]


def test_a_model_that_is_no_language_model(minilm_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none of llama"):
        convert_gguf(minilm_path, tmp_path / "folder", sha256="0" * 64)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GGUF file, and a folder of models of its own."""
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    return write_tiny_gguf(tmp_path / "model.gguf", TinyMlx(n_layers=1, kind="Q4_0"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_is_converted_once(source: Path) -> None:
    first = converted(source, digest(source))
    before = {path.name: path.stat().st_ino for path in first.iterdir()}
    assert converted(source, digest(source)) == first
    assert {path.name: path.stat().st_ino for path in first.iterdir()} == before
    assert [path.name for path in first.parent.iterdir() if path.name.startswith(".")] == [f".{first.name}.lock"]
    assert read_folder(first).origin is not None


def test_the_same_file_gives_the_same_folder(source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert_gguf(source, tmp_path / name, sha256=digest(source))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def change(folder: Path, how: str) -> None:
    if how == "damaged":
        raw = bytearray((folder / "model.safetensors").read_bytes())
        raw[-1] ^= 1
        (folder / "model.safetensors").write_bytes(raw)
    elif how == "half":
        (folder / "tokenizer.json").unlink()
    elif how == "no origin":
        (folder / "secondme.json").unlink()
    else:
        table: dict[str, Any] = json.loads((folder / "secondme.json").read_text())
        table |= {"format_version": 0} if how == "old" else {"weights": "0" * 64}
        (folder / "secondme.json").write_text(json.dumps(table))


@pytest.mark.parametrize("how", ["damaged", "half", "no origin", "old", "another file's"])
def test_a_folder_that_is_not_whole_is_made_anew(source: Path, how: str) -> None:
    folder = converted(source, digest(source))
    before = contents(folder)
    change(folder, how)
    assert contents(converted(source, digest(source))) == before


def test_what_a_killed_writer_left_is_cleared_away(source: Path) -> None:
    folder = converted(source, digest(source))
    left = folder.with_name(f".{folder.name}-abc")
    shutil.copytree(folder, left)
    shutil.rmtree(folder)
    converted(source, digest(source))
    assert not left.exists() and folder.exists()


def test_stopped_before_the_end(source: Path) -> None:
    with pytest.raises(Cancelled):
        converted(source, digest(source), cancelled=lambda: True)
    models = Path(os.environ["SECONDME_MODELS"]) / "mlx"
    assert [path.name for path in models.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("sha256", ["", "../../x", "A" * 64, "0" * 63])
def test_a_hash_that_is_none(source: Path, sha256: str) -> None:
    with pytest.raises(ModelError, match="hash"):
        converted(source, sha256)
    assert not Path(os.environ["SECONDME_MODELS"]).exists()


def test_a_folder_that_cannot_be_written(source: Path) -> None:
    Path(os.environ["SECONDME_MODELS"]).write_bytes(b"a file is in the way")
    with pytest.raises(ModelError, match="cannot be converted") as caught:
        converted(source, digest(source))
    assert caught.value.hint
