"""Reads the header of a safetensors file and checks it before MLX's loader sees the path.

Own code for the same reasons as for GGUF: only the header is read, any damage ends in one clear error, and no number
in the file decides how much memory is asked for.
Format: safetensors, README of its repository (length of the header, JSON, data without holes).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.errors import ModelError

ITEM_BYTES = {"U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
"""Bytes of one element by dtype, of those that weights are kept in."""

MAX_HEADER_BYTES = 32 << 20  # 200,000 tensors; the largest models have a third of that
_MAX_DIMS = 8
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")  # bare, and as torch zips it
_HINT = "fetch the model again, or choose another one"


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor in a file. dtype: as safetensors writes it; start and n_bytes: its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    n_bytes: int


def read_safetensors_header(path: Path) -> dict[str, TensorPlace]:
    """The tensors of a file by name. Raises ModelError if it is not a whole safetensors file, or cannot be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if head[:4] in _PICKLES or head[:2] in _PICKLES:
                raise ModelError(
                    f"{path} is a pickle, which can run code when it is read, and no safetensors file", hint=_HINT
                )
            length = int.from_bytes(head, "little")
            if len(head) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise _damaged(path, "it has no header of a safetensors file, or is cut off inside it")
            raw = file.read(length)
    except OSError as error:
        raise ModelError(f"{path} cannot be read", hint="check its permissions and the disk") from error
    return _places(path, raw, 8 + length, size)


def _places(path: Path, raw: bytes, start: int, size: int) -> dict[str, TensorPlace]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a table")
    header.pop("__metadata__", None)
    if not header:
        raise _damaged(path, "it holds no weights")
    places = {name: _place(path, entry, start) for name, entry in header.items()}
    at = start
    for place in sorted(places.values(), key=lambda place: (place.start, place.n_bytes)):
        if place.start != at:
            raise _damaged(path, "its tensors overlap or leave holes")
        at += place.n_bytes
    if at > size:
        raise _damaged(path, f"it is cut off, {at - size} bytes are missing")
    if at < size:
        raise _damaged(path, "it holds more than its tensors")
    return places


def _place(path: Path, entry: Any, start: int) -> TensorPlace:
    if not isinstance(entry, dict):
        raise _damaged(path, "a tensor has no description")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _damaged(path, "a tensor has a type that weights are not kept in")
    shape, offsets = _counts(entry.get("shape"), _MAX_DIMS), _counts(entry.get("data_offsets"), 2)
    if shape is None or offsets is None or len(offsets) != 2:
        raise _damaged(path, "a tensor has an impossible shape or place")
    n_bytes = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != n_bytes:
        raise _damaged(path, "a tensor's shape does not fit its bytes")
    return TensorPlace(dtype, tuple(shape), path, start + offsets[0], n_bytes)


def _counts(value: Any, most: int) -> list[int] | None:
    """`value` if it is a list of at most `most` whole numbers that a size can be."""
    if not isinstance(value, list) or len(value) > most:
        return None
    return value if all(type(n) is int and 0 <= n < 1 << 48 for n in value) else None


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is damaged: {why}", hint=_HINT)
