"""Writes the tensors of a GGUF file as the one safetensors file that MLX reads, a slice of rows in memory at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from secondme.errors import Cancelled, ModelError
from secondme.runtime.gguf_header import GgufHeader
from secondme.runtime.mlx_gguf import BITS, GROUP, PLAIN, Part, Plan
from secondme.types import CancelCheck

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SLICE_ELEMENTS = 1 << 18
"""Five megabytes on the way from one packing to the other; more at a time is no faster."""
_HEADER_BYTES_PER_TENSOR = 256  # a name, a type, a shape and two offsets
_NO_NUMBERS = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}
"""The bits that are all set in what is infinite or no number."""
_DTYPES = {"float16": "F16", "float32": "F32"}


def write_weights(header: GgufHeader, plan: Plan, file: BinaryIO, cancelled: CancelCheck) -> None:
    """Raises ModelError if the weights hold numbers that are none, Cancelled, and OSError."""
    writer = _Writer(file, _HEADER_BYTES_PER_TENSOR * (3 * len(plan.parts) + 4))
    with header.path.open("rb") as source:
        for part in plan.parts:
            if part.tensor.kind in PLAIN:
                _copy(header, part, source, writer, cancelled)
            else:
                _pack(header, part, source, writer, cancelled)
    writer.finish()


class _Writer:
    """Tensors one after the other; their header goes into room left at the front."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file = file
        self._room = room
        self._at = 0
        self._entries: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
        file.seek(8 + room)

    def add(self, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[NDArray[Any]]) -> None:
        start = self._at
        for piece in pieces:
            self._at += self._file.write(piece.tobytes())
        self._entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, self._at)}

    def finish(self) -> None:
        text = json.dumps(self._entries).encode()
        self._file.seek(0)
        self._file.write(self._room.to_bytes(8, "little") + text.ljust(self._room))


def _copy(header: GgufHeader, part: Part, source: BinaryIO, writer: _Writer, cancelled: CancelCheck) -> None:
    import numpy as np

    from secondme.runtime.mlx_pack import unturned

    dtype, shape = PLAIN[part.tensor.kind], part.tensor.shape
    mask = _NO_NUMBERS[dtype]

    def pieces() -> Iterator[NDArray[Any]]:
        for raw, n_rows, n_heads in _slices(header, part, source, cancelled):
            rows = np.frombuffer(raw, "<u4" if dtype == "F32" else "<u2").reshape(n_rows, -1)
            if np.any(rows & mask == mask):
                raise _no_numbers(header)
            yield unturned(rows, n_heads) if n_heads else rows

    writer.add(part.name, dtype, shape, pieces())


def _pack(header: GgufHeader, part: Part, source: BinaryIO, writer: _Writer, cancelled: CancelCheck) -> None:
    """The levels as they come; scales and biases, which follow them in the file, are kept until then."""
    import numpy as np

    from secondme.runtime.mlx_pack import pack, unturned

    (n_rows, n_in), kind = part.tensor.shape, part.tensor.kind
    kept: dict[str, list[NDArray[np.generic]]] = {"scales": [], "biases": []}

    def levels() -> Iterator[NDArray[np.generic]]:
        for raw, n, n_heads in _slices(header, part, source, cancelled):
            packed = pack(kind, raw, n, n_in)
            if not (np.isfinite(packed.scales).all() and np.isfinite(packed.biases).all()):
                raise _no_numbers(header)
            for suffix, rows in (("scales", packed.scales), ("biases", packed.biases)):
                kept[suffix].append(unturned(rows, n_heads) if n_heads else rows)
            yield unturned(packed.weight, n_heads) if n_heads else packed.weight

    writer.add(f"{part.module}.weight", "U32", (n_rows, n_in * BITS[kind] // 32), levels())
    for suffix, rows in kept.items():
        whole = np.result_type(*rows)  # float32 if a slice needed it
        pieces = (piece.astype(whole, copy=False) for piece in rows)
        writer.add(f"{part.module}.{suffix}", _DTYPES[whole.name], (n_rows, n_in // GROUP), pieces)


def _slices(
    header: GgufHeader, part: Part, source: BinaryIO, cancelled: CancelCheck
) -> Iterator[tuple[bytes, int, int]]:
    """The bytes of some rows, how many those are, and of how many heads, which are never cut; 0 if it has none."""
    tensor = part.tensor
    n_rows, n_in = tensor.shape[0], math.prod(tensor.shape[1:])
    together = n_rows // part.n_heads if part.n_heads else 1
    step = max(_SLICE_ELEMENTS // n_in // together, 1) * together
    source.seek(tensor.start)
    for first in range(0, n_rows, step):
        if cancelled():
            raise Cancelled("stopped")
        n = min(step, n_rows - first)
        raw = source.read(tensor.n_bytes // n_rows * n)
        if len(raw) < tensor.n_bytes // n_rows * n:
            raise ModelError(f"{header.path.name} became shorter while it was read", hint="fetch the model again")
        yield raw, n, n // together if part.n_heads else 0


def _no_numbers(header: GgufHeader) -> ModelError:
    return ModelError(
        f"{header.path} is damaged: its weights hold numbers that are none",
        hint="fetch the file again, or choose another model",
    )
