"""Weights on their way from a GGUF file into an MLX folder: in slices, in little memory, and checked."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from secondme.errors import Cancelled, ModelError
from secondme.runtime import mlx_weights
from secondme.runtime.gguf_header import BLOCKS, GgufHeader, GgufTensor, read_gguf_header
from secondme.runtime.mlx_convert import convert_gguf
from secondme.runtime.mlx_folder import read_folder
from secondme.runtime.mlx_gguf import BF16, BITS, F16, F32, IQ4_NL, Q4_K, Q5_1, Q6_K, Part, Plan, plan_of
from secondme.runtime.safetensors_header import read_safetensors_header
from secondme.types import never_cancelled
from tests.tiny_mlx import MIXED_K, TinyMlx, write_tiny_gguf

SHA256 = "0" * 64
NO_NUMBER = {F32: "<u4", F16: "<u2", BF16: "<u2"}
PLACES = {Q6_K: 208}
"""Where a block's half stands, if not at its start."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("mixed") / "mixed.gguf", MIXED_K)


def one_tensor(path: Path, kind: int, shape: tuple[int, ...], raw: bytes, n_heads: int = 0) -> tuple[GgufHeader, Plan]:
    """A file of nothing but a tensor, and a plan that asks for it."""
    path.write_bytes(raw)
    part = Part("model.matrix.weight", GgufTensor(kind, shape, 0, len(raw)), n_heads)
    return GgufHeader(path, len(raw), 1, {}), Plan({}, (part,), "halves", ())


def test_slices_change_nothing(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert_gguf(mixed, tmp_path / "whole", sha256=SHA256)
    for n_elements in (3 * 256, 100 * 256):
        monkeypatch.setattr(mlx_weights, "_SLICE_ELEMENTS", n_elements)
        convert_gguf(mixed, tmp_path / "sliced", sha256=SHA256)
        for path in (tmp_path / "whole").iterdir():
            assert (tmp_path / "sliced" / path.name).read_bytes() == path.read_bytes()
        shutil.rmtree(tmp_path / "sliced")


def test_a_slice_that_needs_more_than_a_half_widens_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = np.zeros((4, 34), np.uint8)
    blocks[:, :2] = np.array([1, 1, 60000, 1], "<f2")[:, None].view(np.uint8)
    header, plan = one_tensor(tmp_path / "in", 8, (4, 32), blocks.tobytes())
    monkeypatch.setattr(mlx_weights, "_SLICE_ELEMENTS", 32)
    with (tmp_path / "out").open("wb") as file:
        mlx_weights.write_weights(header, plan, file, never_cancelled)
    tensors = read_safetensors_header(tmp_path / "out")
    assert tensors["model.matrix.scales"].dtype == tensors["model.matrix.biases"].dtype == "F32"
    assert np.frombuffer((tmp_path / "out").read_bytes()[-16:], "<f4").tolist() == [-128, -128, -128 * 60000, -128]


@pytest.mark.parametrize("kind", [Q4_K, Q5_1, Q6_K, IQ4_NL])
def test_a_large_matrix_takes_little_memory(kind: int, tmp_path: Path) -> None:
    n_elements, n_bytes = BLOCKS[kind]
    shape = (4096, 3072)
    n_blocks = shape[0] * shape[1] // n_elements
    header, plan = one_tensor(tmp_path / "in", kind, shape, bytes(n_blocks * n_bytes))
    tracemalloc.start()
    try:
        with (tmp_path / "out").open("wb") as file:
            mlx_weights.write_weights(header, plan, file, never_cancelled)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = (tmp_path / "out").stat().st_size
    kept = sum(
        place.n_bytes for name, place in read_safetensors_header(tmp_path / "out").items() if "weight" not in name
    )
    assert size > shape[0] * shape[1] * BITS[kind] // 8
    assert peak < kept + 24 * mlx_weights._SLICE_ELEMENTS


@pytest.mark.parametrize("kind", sorted(BITS))
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_scales_that_are_no_numbers(kind: int, number: float, tmp_path: Path) -> None:
    n_elements, n_bytes = BLOCKS[kind]
    blocks = np.zeros((4096 // n_elements, n_bytes), np.uint8)
    at = PLACES.get(kind, 0)
    blocks[-1, at : at + 2] = np.array([number], "<f2").view(np.uint8)
    header, plan = one_tensor(tmp_path / "in", kind, (16, 256), blocks.tobytes(), n_heads=2)
    with (tmp_path / "out").open("wb") as file, pytest.raises(ModelError, match="numbers that are none") as caught:
        mlx_weights.write_weights(header, plan, file, never_cancelled)
    assert caught.value.hint


@pytest.mark.parametrize("kind", [F32, F16, BF16])
@pytest.mark.parametrize("sign", [0, 1])
def test_plain_weights_that_are_no_numbers(kind: int, sign: int, tmp_path: Path) -> None:
    raw = np.zeros(64, NO_NUMBER[kind])
    raw[40] = {F32: 0x7F800001, F16: 0x7C00, BF16: 0x7F81}[kind] | sign << 8 * raw.itemsize - 1
    header, plan = one_tensor(tmp_path / "in", kind, (4, 16), raw.tobytes())
    with (tmp_path / "out").open("wb") as file, pytest.raises(ModelError, match="numbers that are none"):
        mlx_weights.write_weights(header, plan, file, never_cancelled)


def test_a_damaged_block_leaves_no_folder(mixed: Path, tmp_path: Path) -> None:
    raw, tensor = bytearray(mixed.read_bytes()), read_gguf_header(mixed).tensors["blk.1.ffn_up.weight"]
    raw[tensor.start + 144 : tensor.start + 146] = np.array([np.nan], "<f2").tobytes()
    (tmp_path / "bad.gguf").write_bytes(raw)
    with pytest.raises(ModelError, match="numbers that are none"):
        convert_gguf(tmp_path / "bad.gguf", tmp_path / "folder", sha256=SHA256)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["bad.gguf"]


@pytest.mark.parametrize("calls", [1, 5, 30])
def test_stopped_on_the_way_it_leaves_no_folder(
    calls: int, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlx_weights, "_SLICE_ELEMENTS", 64 * 256)
    left = iter(range(calls))
    with pytest.raises(Cancelled):
        convert_gguf(mixed, tmp_path / "folder", sha256=SHA256, cancelled=lambda: next(left, None) is None)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_a_file_that_shrinks_while_it_is_read(mixed: Path, tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    shutil.copy(mixed, source)
    header = read_gguf_header(source)
    plan = plan_of(header)
    os.truncate(source, source.stat().st_size - 4000)
    with (tmp_path / "out").open("wb") as file, pytest.raises(ModelError, match="became shorter"):
        mlx_weights.write_weights(header, plan, file, never_cancelled)


@pytest.mark.parametrize("missing", [1, 144, 100_000])
def test_blocks_that_are_cut_off(missing: int, mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(mixed.read_bytes()[:-missing])
    with pytest.raises(ModelError, match="cut off"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "folder", sha256=SHA256)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    "shape", [(256, 255), (256, 128), (512, 384), (0, 256), (256, 0), (65536,), (4, 64, 256), (256,)]
)
def test_shapes_that_blocks_do_not_fill(shape: tuple[int, ...], mixed: Path) -> None:
    header = read_gguf_header(mixed)
    tensor = dataclasses.replace(header.tensors["blk.0.ffn_up.weight"], shape=shape)
    changed = dataclasses.replace(header, tensors=header.tensors | {"blk.0.ffn_up.weight": tensor})
    with pytest.raises(ModelError, match="impossible shape"):
        plan_of(changed)


def test_widths_are_written_by_module(mixed: Path, tmp_path: Path) -> None:
    convert_gguf(mixed, tmp_path / "folder", sha256=SHA256)
    folder = read_folder(tmp_path / "folder")
    assert folder.config["quantization"]["bits"] == 4 and folder.config["quantization"]["group_size"] == 32
    widths = {
        "embed_tokens": 8,
        "layers.1.self_attn.v_proj": 8,
        "layers.1.self_attn.o_proj": 5,
        "layers.0.mlp.up_proj": 4,
    }
    for module, bits in widths.items():
        packing = folder.packing(f"model.{module}")
        assert packing is not None and (packing.group_size, packing.bits, packing.mode) == (32, bits, "affine")


def test_a_folder_of_five_bits_says_how_many_weights_it_has(tmp_path: Path) -> None:
    from secondme.runtime.mlx_model import _n_params

    counts = []
    for kind in ("Q5_1", "F16"):
        source = write_tiny_gguf(tmp_path / f"{kind}.gguf", TinyMlx(n_layers=1, kind=kind))
        convert_gguf(source, tmp_path / kind, sha256=SHA256)
        counts.append(_n_params(read_folder(tmp_path / kind)))
    assert counts[0] == counts[1]
