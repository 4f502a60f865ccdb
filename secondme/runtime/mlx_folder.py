"""Reads and checks an MLX model folder, without MLX: config.json, safetensors, and what a conversion says of itself.

A folder may come from anywhere. Nothing in it names a file outside it, a class or a module; whatever is wrong with it
ends in one clear ModelError before MLX sees a byte.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.errors import ModelError, ModelNotFound
from secondme.runtime.mlx_origin import FILE_NAME as ORIGIN
from secondme.runtime.mlx_origin import Origin, check_files, parse_origin
from secondme.runtime.mlx_shapes import Packing, Quantization, check_shapes, quantization_of
from secondme.runtime.safetensors_header import TensorPlace, read_safetensors_header

__all__ = ["MlxFolder", "Packing", "Quantization", "TensorPlace", "read_folder", "read_json"]

CONFIG, TOKENIZER, INDEX = "config.json", "tokenizer.json", "model.safetensors.index.json"

_MAX_CONFIG_BYTES = 4 << 20
_MAX_INDEX_BYTES = 64 << 20
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_SHARD = re.compile(r"(model-)(\d{5})(-of-)(\d{5})(\.safetensors)")
_MAX_SHARDS = 1000
_HINT = "fetch the model again, or choose another one: secondme models list"


@dataclass(frozen=True, slots=True)
class MlxFolder:
    """A folder that was checked. `size_bytes` is that of the weights; `origin` is None unless it was converted here."""

    path: Path
    name: str
    config: dict[str, Any]
    tensors: dict[str, TensorPlace]
    weight_files: tuple[Path, ...]
    size_bytes: int
    quantization: Quantization | None
    origin: Origin | None

    def packing(self, module: str) -> Packing | None:
        """How the weights of a module such as `model.layers.0.mlp.up_proj` are packed; None if they are plain."""
        if self.quantization is None or f"{module}.scales" not in self.tensors:
            return None
        return self.quantization.overrides.get(module, self.quantization.default)


def read_folder(path: Path) -> MlxFolder:
    """Read and check the folder. Raises ModelNotFound, and ModelError with the reason if MLX could not run it."""
    if not path.exists():
        raise ModelNotFound(f"there is no model folder {path}", hint="check the path, or see secondme models list")
    if not path.is_dir():
        raise ModelError(f"{path} is not a folder", hint="give the folder that holds config.json and *.safetensors")
    config = read_json(path, CONFIG, _MAX_CONFIG_BYTES)
    _check_code(config, path)
    quantization = quantization_of(config, path)
    if not (path / TOKENIZER).is_file():
        raise ModelError(f"{path} is half a model: there is no {TOKENIZER} in it", hint=_HINT)
    inside(path, TOKENIZER)
    weight_files, index = _weight_files(path)
    tensors: dict[str, TensorPlace] = {}
    for file in weight_files:
        tensors |= read_safetensors_header(file)
    _check_index(index, tensors, path)
    check_shapes(config, tensors, quantization, path)
    size_bytes = sum(place.n_bytes for place in tensors.values())
    return MlxFolder(path, path.name, config, tensors, weight_files, size_bytes, quantization, _origin(path))


def read_json(folder: Path, name: str, most: int = _MAX_CONFIG_BYTES) -> dict[str, Any]:
    """The table in a JSON file of at most `most` bytes. Raises ModelError if it is missing, too large or no table."""
    path = inside(folder, name)
    try:
        table = json.loads(read_bytes(path, most))
    except FileNotFoundError as error:
        raise ModelError(f"{folder} is half a model: there is no {name} in it", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: it is not JSON", hint=_HINT) from error
    if not isinstance(table, dict):
        raise ModelError(f"{path} is damaged: it is not a table", hint=_HINT)
    return table


def read_bytes(path: Path, most: int) -> bytes:
    """All of a file. Raises ModelError if it is larger than `most` bytes or cannot be read, FileNotFoundError."""
    try:
        size = path.stat().st_size
        if size > most:
            raise ModelError(f"{path} is impossibly large", hint=_HINT)
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelError(f"{path} cannot be read", hint="check its permissions and the disk") from error


def inside(folder: Path, name: str) -> Path:
    """The file `name` directly in `folder`. Raises ModelError if it lies anywhere else, through a link too."""
    path = folder / name
    try:
        is_inside = Path(name).name == name and name not in ("", ".", "..") and "\\" not in name and "\0" not in name
        is_inside = is_inside and path.resolve().parent == folder.resolve()
    except (OSError, RuntimeError, ValueError):
        is_inside = False
    if not is_inside:
        raise ModelError(
            f"{folder} names a file outside itself",
            hint="copy the files themselves into it (cp -rL), or choose another",
        )
    return path


def _check_code(config: Mapping[str, Any], path: Path) -> None:
    if "auto_map" in config or "model_file" in config:
        raise ModelError(f"{path} wants to run code of its own", hint="this program runs none: choose another model")


def _weight_files(path: Path) -> tuple[tuple[Path, ...], dict[str, str]]:
    """The files of the weights, and which of them holds each tensor if the folder says so."""
    index = _index(path)
    names = sorted(set(index.values())) or sorted(file.name for file in path.glob("model*.safetensors"))
    for name in _with_missing(names):
        if not inside(path, name).is_file():
            raise ModelError(f"{path} is half a model: its part {name} is missing", hint=_HINT)
    if names:
        return tuple(path / name for name in names), index
    if any(file.suffix in _PICKLES for file in path.iterdir()):
        raise ModelError(
            f"{path} holds its weights in a pickle, which can run code when it is read",
            hint="choose a model with *.safetensors: secondme models list",
        )
    raise ModelError(f"{path} is half a model: there are no weights (model*.safetensors) in it", hint=_HINT)


def _index(path: Path) -> dict[str, str]:
    if not os.path.lexists(path / INDEX):
        return {}
    table = read_json(path, INDEX, _MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise ModelError(f"{path / INDEX} is damaged: it does not say where the weights are", hint=_HINT)
    if not all(name.endswith(".safetensors") for name in table.values()):
        raise ModelError(
            f"{path} holds its weights in another format than safetensors", hint="choose a model with *.safetensors"
        )
    return table


def _with_missing(names: list[str]) -> list[str]:
    """`names`, and those that the numbering of parts says must be there."""
    wanted = dict.fromkeys(names)
    for name in names:
        match = _SHARD.fullmatch(name)
        if match and int(match[4]) <= _MAX_SHARDS:
            for i in range(int(match[4])):
                wanted[f"{match[1]}{i + 1:05}{match[3]}{match[4]}{match[5]}"] = None
    return list(wanted)


def _check_index(index: Mapping[str, str], tensors: Mapping[str, TensorPlace], path: Path) -> None:
    for name, file in index.items():
        place = tensors.get(name)
        if place is None or place.file.name != file:
            raise ModelError(f"{path} is half a model: a tensor is not in the part that should hold it", hint=_HINT)


def _origin(path: Path) -> Origin | None:
    if not os.path.lexists(path / ORIGIN):
        return None
    origin = parse_origin(read_json(path, ORIGIN), path)
    found = {file.name for file in path.iterdir() if not file.name.startswith(".")} - {ORIGIN}  # .DS_Store is no harm
    for name in found:
        inside(path, name)
    check_files(origin, path, found)
    return origin
