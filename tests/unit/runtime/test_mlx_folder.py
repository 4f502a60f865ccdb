"""Folders that are no whole model, or want to be more than one: each ends in one clear line and a hint."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondme.errors import ModelError, ModelNotFound
from secondme.runtime.mlx_folder import INDEX, Packing, read_folder
from secondme.runtime.safetensors_header import MAX_HEADER_BYTES, read_safetensors_header
from tests.tiny_mlx import TinyMlx, write_tiny_mlx

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_mlx(folder / "plain", TinyMlx(n_layers=2))
    write_tiny_mlx(folder / "packed", TinyMlx(n_layers=2, kind="Q4_1", embedding="Q8_0"))
    return folder


@pytest.fixture
def plain(models: Path, tmp_path: Path) -> Path:
    """A copy as another program could have written it."""
    return copied(models / "plain", tmp_path / "plain")


@pytest.fixture
def packed(models: Path, tmp_path: Path) -> Path:
    return copied(models / "packed", tmp_path / "packed")


def copied(folder: Path, to: Path, *, origin: bool = False) -> Path:
    shutil.copytree(folder, to)
    if not origin:
        (to / "secondme.json").unlink()
    return to


def edit(folder: Path, name: str = "config.json", **values: Any) -> None:
    """Set values of a JSON file; None removes one."""
    table = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps({key: value for key, value in table.items() if value is not None}))


def header(path: Path) -> tuple[dict[str, Any], bytes]:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put_header(path: Path, table: Any, data: bytes) -> None:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def sharded(folder: Path) -> list[str]:
    """The weights in two parts and an index, as large models come."""
    table, data = header(folder / WEIGHTS)
    table.pop("__metadata__")
    names = sorted(table)
    parts, index = [names[::2], names[1::2]], {}
    files = [f"model-{i + 1:05}-of-00002.safetensors" for i in range(2)]
    for file, part in zip(files, parts, strict=True):
        entries, chunk = {}, b""
        for name in part:
            start, end = table[name]["data_offsets"]
            entries[name] = table[name] | {"data_offsets": [len(chunk), len(chunk) + end - start]}
            chunk += data[start:end]
            index[name] = file
        put_header(folder / file, entries, chunk)
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": index}))
    return files


def refused(folder: Path, words: str) -> ModelError:
    with pytest.raises(ModelError, match=words) as caught:
        read_folder(folder)
    error = caught.value
    assert error.hint and not error.hint.endswith(".") and not error.message.endswith(".")
    assert "\n" not in error.message
    return error


def test_a_whole_folder(models: Path) -> None:
    found = read_folder(models / "packed")
    assert found.name == "packed" and found.weight_files == (models / "packed" / WEIGHTS,)
    assert found.config["num_hidden_layers"] == 2
    assert found.tensors["model.layers.1.mlp.up_proj.weight"].dtype == "U32"
    assert found.size_bytes == sum(place.n_bytes for place in found.tensors.values()) > 90_000
    assert found.packing("model.layers.1.mlp.up_proj") == Packing(32, 4)
    assert found.packing("model.embed_tokens") == Packing(32, 8)
    assert found.packing("model.norm") is None
    assert found.origin is not None and found.origin.rope_pairs == "adjacent"


def test_a_folder_from_elsewhere_has_no_origin(plain: Path) -> None:
    found = read_folder(plain)
    assert found.origin is None and found.quantization is None and found.packing("model.embed_tokens") is None


def test_parts_are_read_together(plain: Path) -> None:
    whole = read_folder(plain)
    files = sharded(plain)
    parts = read_folder(plain)
    assert [file.name for file in parts.weight_files] == files
    assert parts.tensors.keys() == whole.tensors.keys() and parts.size_bytes == whole.size_bytes
    (plain / INDEX).unlink()  # the numbers in the names say enough
    assert read_folder(plain).tensors.keys() == whole.tensors.keys()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        read_folder(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"GGUF")
    refused(tmp_path / "file", "not a folder")
    refused(tmp_path, "half a model: there is no config.json")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", WEIGHTS])
def test_half_a_model(plain: Path, name: str) -> None:
    (plain / name).unlink()
    refused(plain, "half a model")


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("part", [0, 1])
def test_a_missing_part(plain: Path, part: int, with_index: bool) -> None:
    files = sharded(plain)
    (plain / files[part]).unlink()
    if not with_index:
        (plain / INDEX).unlink()
    assert files[part] in refused(plain, "its part .* is missing").message


def test_an_index_that_is_wrong_about_a_tensor(plain: Path) -> None:
    files = sharded(plain)
    table = json.loads((plain / INDEX).read_text())
    table["weight_map"] = dict.fromkeys(table["weight_map"], files[0]) | {"another": files[1]}
    (plain / INDEX).write_text(json.dumps(table))
    refused(plain, "not in the part")


def test_a_cut_off_file(plain: Path) -> None:
    raw = (plain / WEIGHTS).read_bytes()
    (plain / WEIGHTS).write_bytes(raw[:-100])
    refused(plain, "cut off, 100 bytes are missing")
    for size in (0, 5, 8, 2000):
        (plain / WEIGHTS).write_bytes(raw[:size])
        refused(plain, "damaged")
    (plain / WEIGHTS).write_bytes(raw + b"\0")
    refused(plain, "more than its tensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "x.pth", "weights.pkl", "a.ckpt"])
def test_a_pickle_is_never_read(plain: Path, name: str) -> None:
    (plain / WEIGHTS).unlink()
    (plain / name).write_bytes(pickle.dumps({"a": 1}))
    refused(plain, "pickle")


@pytest.mark.parametrize("raw", [pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(100)])
def test_a_pickle_by_another_name(plain: Path, raw: bytes) -> None:
    (plain / WEIGHTS).write_bytes(raw)
    refused(plain, "pickle")


def test_an_index_of_pickles(plain: Path) -> None:
    (plain / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": "pytorch_model.bin"}}))
    refused(plain, "another format")


@pytest.mark.parametrize("key", ["auto_map", "model_file"])
def test_no_code_of_a_models_own(plain: Path, key: str) -> None:
    (plain / "modeling.py").write_text("raise SystemExit(3)")
    value: Any = {"AutoModel": "modeling.X"} if key == "auto_map" else "modeling.py"
    edit(plain, **{key: value})
    refused(plain, "code of its own")


@pytest.mark.parametrize("value", ["mamba", "../llama", "os", "llama.Model", 3, ["llama"], None, "x" * 100_000])
def test_an_unknown_kind_of_model(plain: Path, value: Any) -> None:
    edit(plain, model_type=value)
    assert len(refused(plain, "not known to this program").message) < len(str(plain)) + 200


@pytest.mark.parametrize(
    "value",
    [
        {"group_size": 32, "bits": 7},
        {"group_size": 16, "bits": 4},
        {"group_size": 48, "bits": 4},
        {"group_size": 32, "bits": 4, "mode": "nf4"},
        {"group_size": 64, "bits": 4, "mode": "mxfp4"},
        {"bits": 4},
        {"group_size": "32", "bits": 4},
        {"group_size": 32, "bits": 4, "mode": ["affine"]},
        {"group_size": 32, "bits": 4, "model.embed_tokens": {"group_size": 32, "bits": 9}},
        {},
    ],
)
def test_a_quantization_that_mlx_lacks(packed: Path, value: dict[str, Any]) -> None:
    edit(packed, quantization=value)
    refused(packed, "quantized in a way that this MLX does not know")


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors", "fp8"])
@pytest.mark.parametrize("beside", [True, False])
def test_a_quantization_of_another_program(packed: Path, method: str, beside: bool) -> None:
    edit(packed, quantization_config={"quant_method": method, "bits": 4, "group_size": 32})
    if not beside:
        edit(packed, quantization=None)
    refused(packed, "for another program")


def test_what_mlx_lm_writes_beside_is_its_own(packed: Path) -> None:
    edit(packed, quantization_config=json.loads((packed / "config.json").read_text())["quantization"])
    assert read_folder(packed).packing("model.embed_tokens") == Packing(32, 8)


def test_packed_weights_without_a_word_on_it(packed: Path) -> None:
    edit(packed, quantization=None)
    refused(packed, "does not say how")


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": 128},
        {"intermediate_size": 97},
        {"num_attention_heads": 2},
        {"num_key_value_heads": 4},
        {"head_dim": 32},
        {"vocab_size": 5},
        {"num_hidden_layers": 3},
        {"tie_word_embeddings": False},
    ],
)
@pytest.mark.parametrize("name", ["plain", "packed"])
def test_sizes_that_do_not_fit(request: pytest.FixtureRequest, name: str, values: dict[str, Any]) -> None:
    folder: Path = request.getfixturevalue(name)
    edit(folder, **values)
    refused(folder, "does not fit|no weights")


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
@pytest.mark.parametrize("value", [None, 0, -1, 1 << 62, 1.5, "64", True, [64], 10**400])
def test_impossible_sizes(plain: Path, key: str, value: Any) -> None:
    edit(plain, **{key: value})
    refused(plain, f"does not say {key}")


@pytest.mark.parametrize(
    "values",
    [{"num_key_value_heads": 3}, {"head_dim": 7}, {"tie_word_embeddings": "yes"}],
)
def test_impossible_heads(plain: Path, values: dict[str, Any]) -> None:
    edit(plain, **values)
    refused(plain, "impossible|neither")


@pytest.mark.parametrize(
    "values",
    [
        {"rope_theta": 0},
        {"rope_theta": "10000"},
        {"rope_theta": float("nan")},
        {"rms_norm_eps": [1e-5]},
        {"max_position_embeddings": -5},
        {"partial_rotary_factor": "half"},
        {"rope_scaling": 8},
        {"rope_scaling": {"type": "linear", "factor": 0}},
        {"rope_traditional": "no"},
        {"attention_bias": 1},
    ],
)
def test_impossible_settings(plain: Path, values: dict[str, Any]) -> None:
    edit(plain, **values)
    refused(plain, "impossible|neither|not a table")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a table"),
        (b"{" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"hidden_size": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b" " * ((4 << 20) + 1), "impossibly large"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", INDEX])
def test_json_that_is_none(plain: Path, name: str, raw: bytes, words: str) -> None:
    (plain / name).write_bytes(raw)
    if name == INDEX and len(raw) > 4 << 20:
        words = "not JSON"  # an index may be larger
    refused(plain, words)


OUTSIDE = ["../other.safetensors", "/etc/model.safetensors", "a/b.safetensors", "..\\x.safetensors", "\0.safetensors"]


@pytest.mark.parametrize("name", [*OUTSIDE, "./model.safetensors", "", "..", ".safetensors/../../x.safetensors"])
def test_an_index_names_nothing_outside(plain: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(plain / WEIGHTS, tmp_path / "other.safetensors")
    names = dict.fromkeys(header(plain / WEIGHTS)[0], name)
    (plain / INDEX).write_text(json.dumps({"weight_map": names}))
    refused(plain, "outside itself|another format")


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json", INDEX])
@pytest.mark.parametrize("kind", ["file", "loop", "dangling"])
def test_a_link_leads_nowhere(plain: Path, tmp_path: Path, name: str, kind: str) -> None:
    outside = tmp_path / f"outside-{name}"
    if (plain / name).exists():
        shutil.move(plain / name, outside)
    else:
        outside.write_text("{}")
    target = {"file": outside, "loop": plain / name, "dangling": tmp_path / "gone"}[kind]
    (plain / name).symlink_to(target)
    refused(plain, "outside itself|half a model")


def test_a_linked_folder_is_a_folder(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(plain)
    assert read_folder(tmp_path / "link").tensors


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json"])
def test_a_folder_where_a_file_should_be(plain: Path, name: str) -> None:
    (plain / name).unlink()
    (plain / name).mkdir()
    refused(plain, "cannot be read|half a model")


def change_first(table: dict[str, Any], **values: Any) -> dict[str, Any]:
    name = next(name for name in table if name != "__metadata__")
    return table | {name: table[name] | values}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: change_first(t, dtype="F64"),
        lambda t: change_first(t, dtype=None),
        lambda t: change_first(t, dtype=["F32"]),
        lambda t: change_first(t, shape=[1 << 47, 1 << 47]),
        lambda t: change_first(t, shape=[-1, -64]),
        lambda t: change_first(t, shape=[1] * 9),
        lambda t: change_first(t, shape=[1.0]),
        lambda t: change_first(t, shape=[True]),
        lambda t: change_first(t, shape="12"),
        lambda t: change_first(t, data_offsets=[5, 3]),
        lambda t: change_first(t, data_offsets=[0]),
        lambda t: change_first(t, data_offsets=[0, 1 << 60]),
        lambda t: change_first(t, data_offsets=[1 << 46, (1 << 46) + 4]),
        lambda t: {name: (entry if name == "__metadata__" else 3) for name, entry in t.items()},
        lambda t: {"__metadata__": {}},
        lambda t: {},
        lambda t: [],
        lambda t: b"{" * 50_000,
        lambda t: t | {"again": next(entry for name, entry in t.items() if name != "__metadata__")},
    ],
)
def test_headers_that_lie(plain: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    table, data = header(plain / WEIGHTS)
    put_header(plain / WEIGHTS, change(table), data)
    refused(plain, "damaged")


def test_a_header_never_decides_how_much_is_read(plain: Path) -> None:
    for length in (0, 1, MAX_HEADER_BYTES + 1, 1 << 40, (1 << 64) - 1):
        (plain / WEIGHTS).write_bytes(struct.pack("<Q", length) + b"{}" + bytes(100))
        with pytest.raises(ModelError, match="no header"):
            read_safetensors_header(plain / WEIGHTS)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", WEIGHTS, "tokenizer_config.json"])
def test_a_converted_folder_is_what_was_written(models: Path, tmp_path: Path, name: str) -> None:
    folder = copied(models / "packed", tmp_path / "changed", origin=True)
    raw = bytearray((folder / name).read_bytes())
    at = raw.index(b"}") + 1 if name != WEIGHTS else len(raw) - 1
    raw[at:at] = b" " if name != WEIGHTS else b""
    raw[-1] ^= 1 if name == WEIGHTS else 0
    (folder / name).write_bytes(raw)
    refused(folder, "not what was written")


def test_a_converted_folder_has_its_files_and_no_others(models: Path, tmp_path: Path) -> None:
    folder = copied(models / "plain", tmp_path / "changed", origin=True)
    (folder / ".DS_Store").write_bytes(b"mac")
    read_folder(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    refused(folder, "not those that were written")
    (folder / "generation_config.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    refused(folder, "not those that were written")


@pytest.mark.parametrize(
    "values",
    [
        {"format_version": 2},
        {"format_version": "1"},
        {"weights": None},
        {"weights": "ab"},
        {"tokenizer": "A" * 64},
        {"template": 5},
        {"rope_pairs": "none"},
        {"rope_pairs": ["halves"]},
        {"rope_factors": None},
        {"rope_factors": [1]},
        {"rope_factors": [float("nan")]},
        {"rope_factors": [-1.0]},
        {"rope_factors": [1.0] * 5000},
        {"files": None},
        {"files": ["config.json"]},
        {"files": {"../x": "0" * 64}},
        {"files": {"config.json": 3}},
    ],
)
def test_an_origin_that_was_not_written_here(models: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    folder = copied(models / "plain", tmp_path / "changed", origin=True)
    edit(folder, "secondme.json", **values)
    refused(folder, "damaged|another version")
