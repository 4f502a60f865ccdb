"""What is known of a model's keys and values before any document is read: transforms, scales, padding keys.

Made once for each model (`calibrating.py`) and kept as one small file whose SHA-256 goes into every cartridge: a
cartridge can be decoded with no other. The file is not trusted: sizes, finiteness and invertibility are checked.

Layout (little endian): b"SMKC", version u16, length of the header u16, the header (canonical JSON: weights, shape,
RoPE), the arrays of `_layout` one after the other, SHA-256 of all before it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible
from secondme.runtime.kv import F16Cells, FloatRows, KvIdentity, KvShape, Rope

VERSION = 1
MAX_FILE_BYTES = 1 << 26
_MAGIC = b"SMKC"
_HEAD = struct.Struct("<4sHH")
_LARGEST = 65504.0
"""The largest float16; float32 products of three such numbers stay finite."""
_WORST_CONDITION = 1e5


@dataclass(frozen=True)
class Transform:
    """Of the keys before RoPE, or of the values, of all heads; head (layer, head) is layer * n_kv_heads + head.

    A row x of head h is mean[h] + y @ synthesis[h], y its components, most telling first, scaled so that an error of
    1 in any component of any head is about as bad. mean: float32 [n_heads, D]. weights: float16 [n_heads, D, D] and
    scales: float32 [n_heads], whose product is `synthesis`.
    """

    mean: FloatRows
    weights: F16Cells
    scales: FloatRows

    @cached_property
    def synthesis(self) -> FloatRows:
        """float32 [n_heads, D, D]."""
        return np.ascontiguousarray(self.weights.astype(np.float32) * self.scales[:, None, None])

    @cached_property
    def analysis(self) -> FloatRows:
        """Its inverse, float32 [n_heads, D, D]: y = (x - mean) @ analysis."""
        return np.ascontiguousarray(np.linalg.inv(self.synthesis.astype(np.float64)), dtype=np.float32)


@dataclass(frozen=True)
class Calibration:
    """One model's. prediction: float16 [n_heads, k_dim, v_dim]; what a key tells of its value:
    value - mean is about (key - mean) @ prediction. padding: float16 [n_heads, k_dim], keys after RoPE that no query
    looks at. digest: SHA-256 (hex) of the file.
    """

    weights: str
    shape: KvShape
    rope: Rope
    keys: Transform
    values: Transform
    prediction: F16Cells
    padding: F16Cells
    digest: str

    @cached_property
    def value_from_key(self) -> FloatRows:
        """`prediction` as float32."""
        return np.ascontiguousarray(self.prediction, dtype=np.float32)

    def check_fits(self, identity: KvIdentity) -> None:
        """Raises CartridgeIncompatible unless it was made for this model."""
        if (self.weights, self.shape, self.rope) != (identity.weights, identity.shape, identity.rope):
            raise CartridgeIncompatible(
                "the calibration belongs to another model", hint="make one: secondme models calibrate NAME --text PATH"
            )


def read_calibration(path: Path) -> Calibration:
    """Raises CartridgeIncompatible for a file that is damaged, of another version, or none; OSError."""
    with path.open("rb") as file:
        return parse_calibration(file.read(MAX_FILE_BYTES + 1))


def parse_calibration(data: bytes) -> Calibration:
    """Raises CartridgeIncompatible."""
    try:
        return _parse(data)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, struct.error, np.linalg.LinAlgError) as e:
        raise CartridgeIncompatible(
            "the calibration file is damaged or of another version",
            hint="make it again: secondme models calibrate NAME --text PATH",
        ) from e


def build_calibration(calibration: Calibration) -> tuple[bytes, Calibration]:
    """(the file's bytes, the calibration as it is read back from them). Raises CartridgeIncompatible."""
    names = {"weights": calibration.weights, "shape": dataclasses.asdict(calibration.shape)}
    header = _canonical({**names, "rope": dataclasses.asdict(calibration.rope)})
    parts = [_HEAD.pack(_MAGIC, VERSION, len(header)), header]
    for (path, dtype, shape), array in zip(_layout(calibration.shape), _arrays(calibration), strict=True):
        if array.shape != shape:
            raise ValueError(f"{path} has the wrong shape")
        parts.append(np.ascontiguousarray(array, dtype=dtype).tobytes())
    body = b"".join(parts)
    data = body + hashlib.sha256(body).digest()
    return data, parse_calibration(data)


def _parse(data: bytes) -> Calibration:
    magic, version, header_size = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != VERSION or len(data) > MAX_FILE_BYTES:
        raise ValueError("version")
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError("checksum")
    raw = data[_HEAD.size : _HEAD.size + header_size]
    header = json.loads(raw)
    if _canonical(header) != raw or set(header) != {"weights", "shape", "rope"}:
        raise ValueError("header")
    shape, rope = _shape(header["shape"]), _rope(header["rope"])
    arrays, at = [], _HEAD.size + header_size
    for _, dtype, dims in _layout(shape):
        size = int(np.prod(dims)) * np.dtype(dtype).itemsize
        arrays.append(_checked(np.frombuffer(data[:-32][at : at + size], dtype).reshape(dims)))
        at += size
    if at != len(data) - 32:
        raise ValueError("length")
    keys, values = (_transform(*arrays[i : i + 3]) for i in (0, 3))
    weights = header["weights"]
    if not isinstance(weights, str) or len(weights) != 64 or set(weights) - set("0123456789abcdef"):
        raise ValueError("weights")
    digest = hashlib.sha256(data).hexdigest()
    return Calibration(weights, shape, rope, keys, values, arrays[6], arrays[7], digest)


def _layout(shape: KvShape) -> list[tuple[str, str, tuple[int, ...]]]:
    n, k, v = shape.n_layers * shape.n_kv_heads, shape.k_dim, shape.v_dim
    return [
        ("keys.mean", "<f4", (n, k)),
        ("keys.weights", "<f2", (n, k, k)),
        ("keys.scales", "<f4", (n,)),
        ("values.mean", "<f4", (n, v)),
        ("values.weights", "<f2", (n, v, v)),
        ("values.scales", "<f4", (n,)),
        ("prediction", "<f2", (n, k, v)),
        ("padding", "<f2", (n, k)),
    ]


def _arrays(c: Calibration) -> list[NDArray[Any]]:
    sides = [getattr(side, name) for side in (c.keys, c.values) for name in ("mean", "weights", "scales")]
    return [*sides, c.prediction, c.padding]


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    if not np.isfinite(array).all() or (np.abs(array) > _LARGEST).any():
        raise ValueError("number")
    return array.astype(array.dtype.newbyteorder("="))


def _transform(mean: FloatRows, weights: F16Cells, scales: FloatRows) -> Transform:
    if (scales <= 0).any() or np.linalg.cond(weights.astype(np.float64)).max(initial=1) > _WORST_CONDITION:
        raise ValueError("transform")
    return Transform(mean, weights, scales)


def _shape(fields: dict[str, Any]) -> KvShape:
    bounds = {"n_layers": 512, "n_kv_heads": 1024, "n_heads": 1024, "k_dim": 1024, "v_dim": 1024}
    if set(fields) != set(bounds) or any(type(v) is not int or not 0 < v <= bounds[k] for k, v in fields.items()):
        raise ValueError("shape")
    return KvShape(**fields)


def _rope(fields: dict[str, Any]) -> Rope:
    kinds = {"pairs": str, "n_dims": int, "freq_base": float, "freq_scale": float, "factors": list, "movable": bool}
    if set(fields) != set(kinds) or any(type(fields[k]) is not kind for k, kind in kinds.items()):
        raise ValueError("rope")
    if fields["pairs"] not in ("none", "adjacent", "halves") or any(type(f) is not float for f in fields["factors"]):
        raise ValueError("rope")
    return Rope(**{**fields, "factors": tuple(fields["factors"])})


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
