"""Damaged folders and files: whatever is changed, the answer is a folder or one of our errors, in little memory."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondme.errors import ModelError
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.mlx_convert import convert_gguf
from secondme.runtime.mlx_folder import INDEX, TensorPlace, read_folder
from secondme.runtime.mlx_tokenizer import MlxTokenizer
from tests.fault.soak import n
from tests.tiny_mlx import MIXED_K, TinyMlx, gguf_of, write_tiny_gguf, write_tiny_mlx

MOST_BYTES = 32 << 20
SETTINGS = settings(
    max_examples=n(25, 5000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([2**63, -(2**31)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
PLACES = st.floats(0, 1, exclude_max=True)
DAMAGE = st.lists(
    st.tuples(st.sampled_from(("flip", "cut", "insert", "double")), PLACES, st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_mlx(tmp_path_factory.mktemp("folders") / "tiny", TinyMlx(n_layers=1, kind="Q4_1"))


@pytest.fixture(scope="module")
def work(tiny: Path) -> Path:
    """A copy without its origin, whose files each example changes and puts back."""
    copy = tiny.with_name("work")
    shutil.copytree(tiny, copy)
    (copy / "secondme.json").unlink()
    return copy


def damaged(raw: bytes, changes: list[tuple[str, float, bytes]], size: int) -> bytes:
    """`raw` with changes in its first `size` bytes."""
    for how, place, value in changes:
        at = int(place * min(size, len(raw)))
        if how == "flip":
            raw = raw[:at] + bytes(a ^ b for a, b in zip(raw[at:], value, strict=False)) + raw[at + len(value) :]
        elif how == "cut":
            raw = raw[:at] + raw[at + len(value) :]
        elif how == "insert":
            raw = raw[:at] + value + raw[at:]
        else:
            raw = raw[:at] + raw[at : at + 4000] + raw[at:]
    return raw


def tried(path: Path, raw: bytes, work: Callable[[], object]) -> None:
    """`work` with other bytes in a file: it ends, or raises one of our errors, and asks for little memory."""
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        work()
    except ModelError as error:
        assert error.hint and error.message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
    assert peak < MOST_BYTES


def changed_table(raw: bytes, where: float, deep: bool, value: Any) -> bytes:
    """A table with another value in the place of one of its own, or of one inside it."""
    table: Any = json.loads(raw)
    keys = sorted(table)
    key = keys[int(where * len(keys))]
    if deep and isinstance(table[key], dict) and table[key]:
        inner = sorted(table[key])
        table[key][inner[int(where * 7919) % len(inner)]] = value
    else:
        table[key] = value
    return json.dumps(table).encode("utf-8", "replace")


@SETTINGS
@given(changes=DAMAGE)
def test_damaged_weights(work: Path, changes: list[tuple[str, float, bytes]]) -> None:
    path = work / "model.safetensors"
    tried(path, damaged(path.read_bytes(), changes, 9000), lambda: read_folder(work))


@SETTINGS
@given(where=PLACES, deep=st.booleans(), value=JSON)
def test_headers_with_other_values(work: Path, where: float, deep: bool, value: Any) -> None:
    path = work / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = changed_table(raw[8 : 8 + length], where, deep, value)
    tried(path, len(header).to_bytes(8, "little") + header + raw[8 + length :], lambda: read_folder(work))


@SETTINGS
@given(where=PLACES, deep=st.booleans(), value=JSON)
def test_configs_with_other_values(work: Path, where: float, deep: bool, value: Any) -> None:
    path = work / "config.json"
    tried(path, changed_table(path.read_bytes(), where, deep, value), lambda: read_folder(work))


@SETTINGS
@given(where=PLACES, deep=st.booleans(), value=JSON)
def test_origins_with_other_values(tiny: Path, where: float, deep: bool, value: Any) -> None:
    path = tiny / "secondme.json"
    tried(path, changed_table(path.read_bytes(), where, deep, value), lambda: read_folder(tiny))


@SETTINGS
@given(names=st.dictionaries(st.text(max_size=9), JSON | st.text(max_size=9).map(lambda t: t + ".safetensors")))
def test_any_index(work: Path, names: dict[str, Any]) -> None:
    tried(work / INDEX, json.dumps({"weight_map": names}).encode(), lambda: read_folder(work))


@SETTINGS
@given(name=st.sampled_from(("config.json", "tokenizer.json", "tokenizer_config.json", INDEX)), raw=st.binary())
def test_files_of_anything(work: Path, name: str, raw: bytes) -> None:
    tried(work / name, raw, lambda: MlxTokenizer(read_folder(work)))


def use(work: Path) -> None:
    tokenizer = MlxTokenizer(read_folder(work))
    tokens = tokenizer.tokenize("the <|im_end|> é\0 99", special=True)
    assert all(0 <= token < tokenizer.n_vocab for token in tokens)
    tokenizer.detokenize(range(tokenizer.n_vocab))
    tokenizer.vocabulary(control=True)


@SETTINGS
@given(where=PLACES, deep=st.booleans(), value=JSON)
def test_tokenizers_with_other_values(work: Path, where: float, deep: bool, value: Any) -> None:
    path = work / "tokenizer.json"
    tried(path, changed_table(path.read_bytes(), where, deep, value), lambda: use(work))


@SETTINGS
@given(changes=DAMAGE)
def test_damaged_tokenizers(work: Path, changes: list[tuple[str, float, bytes]]) -> None:
    path = work / "tokenizer.json"
    tried(path, damaged(path.read_bytes(), changes, 1 << 20), lambda: use(work))


@SETTINGS
@given(where=PLACES, deep=st.booleans(), value=JSON)
def test_settings_of_tokenizers_with_other_values(work: Path, where: float, deep: bool, value: Any) -> None:
    path = work / "tokenizer_config.json"
    tried(path, changed_table(path.read_bytes(), where, deep, value), lambda: use(work))


@SETTINGS
@given(changes=DAMAGE)
def test_damaged_gguf_files(tiny: Path, changes: list[tuple[str, float, bytes]]) -> None:
    source = gguf_of(tiny)
    dest = tiny.with_name("made")

    def work() -> None:
        convert_gguf(source, dest, sha256="0" * 64)

    tried(source, damaged(source.read_bytes(), changes, 9000), work)
    assert not [path for path in tiny.parent.iterdir() if path.name.startswith(".")]
    if dest.exists():
        read_folder(dest)
        shutil.rmtree(dest)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = dataclasses.replace(MIXED_K, n_layers=1)
    return write_tiny_gguf(tmp_path_factory.mktemp("mixed") / "mixed.gguf", tiny)


BLOCK_DAMAGE = st.lists(
    st.tuples(
        st.booleans(),
        PLACES,
        st.sampled_from((b"\x00\x7c", b"\xff\xff", b"\x01\xfc", b"\xff\x7b")) | st.binary(min_size=1),
    ),
    min_size=1,
    max_size=9,
)


@SETTINGS
@given(changes=BLOCK_DAMAGE, missing=st.just(0) | st.integers(0, 1000))
def test_damaged_blocks(mixed: Path, changes: list[tuple[bool, float, bytes]], missing: int) -> None:
    """A folder of finite numbers, or one of our errors and nothing left. Some changes begin at a block's scale."""
    tensors = read_gguf_header(mixed).tensors
    first, blocks = min(tensor.start for tensor in tensors.values()), tensors["blk.0.ffn_up.weight"]
    raw, dest = bytearray(mixed.read_bytes()), mixed.with_name("made")
    for is_scale, place, value in changes:
        at = first + int(place * (len(raw) - first))
        if is_scale:
            at = blocks.start + int(place * (blocks.n_bytes // 144)) * 144
        raw[at : at + len(value)] = value[: len(raw) - at]
    tried(mixed, bytes(raw[: len(raw) - missing]), lambda: convert_gguf(mixed, dest, sha256="0" * 64))
    assert sorted(path.name for path in mixed.parent.iterdir()) in (["made", "mixed.gguf"], ["mixed.gguf"])
    if dest.exists():
        made = read_folder(dest).tensors.values()
        assert all(np.isfinite(numbers(place)).all() for place in made if place.dtype != "U32")
        shutil.rmtree(dest)


def numbers(place: TensorPlace) -> np.ndarray:
    with place.file.open("rb") as file:
        file.seek(place.start)
        return np.frombuffer(file.read(place.n_bytes), {"F16": "<f2", "F32": "<f4"}[place.dtype])
