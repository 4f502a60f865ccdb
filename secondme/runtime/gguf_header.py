"""Reads the header of a GGUF file and checks it before the C++ loader sees the path.

Own code, because it must stay cheap for files of many gigabytes (only the header is read), must end in one clear
error for any damage, and must know the memory a context takes before anything is loaded.
Format: GGUF v2 and v3, little endian (ggml `docs/gguf.md`).
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondme.errors import ModelError, ModelNotFound

GgufValue = int | float | bool | str | tuple[int, ...]
TensorPlace = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor's blocks lie. kind: ggml's number of its type; shape: the dimension that lies together last."""

    kind: int
    shape: tuple[int, ...]
    start: int
    n_bytes: int


_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_COUNT = 1 << 24  # entries, tensors or array elements; the largest vocabularies have under a million
_MAX_STRING = 1 << 26
_MAX_TENSOR_DIMS = 4
_MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
_MAX_POOLING = 4
_TOKENIZER = "tokenizer."
_TOKENS_KEY = "tokenizer.ggml.tokens"
_ROPE = "rope_"
_KEPT_ARRAY = 4096  # longer arrays (vocabularies, merges) are walked over, not kept
_U64 = struct.Struct("<Q")
_HINT = "fetch the file again, or choose another model"


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What is known of a model without loading it. `metadata` leaves out long arrays and arrays of strings.

    tokenizer_spans: (key, first byte, byte after the last) of the values in the file that belong to the tokenizer.
    rope_tensors: (type, first byte in the file, elements) of the tensors of RoPE factors, by name.
    tensors: all of them by name; n_bytes is 0 for a type that is not known here.
    """

    path: Path
    size_bytes: int
    n_tensors: int
    metadata: dict[str, GgufValue]
    tokenizer_spans: tuple[tuple[str, int, int], ...] = ()
    rope_tensors: dict[str, TensorPlace] = field(default_factory=dict)
    tensors: dict[str, GgufTensor] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def number(self, key: str, default: int = 0) -> int:
        """The integer `ARCHITECTURE.key`; of a list with one entry per layer, the largest."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, tuple):
            return max(value, default=default)
        return int(value) if isinstance(value, int) else default

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values in float16 for one token, over all layers."""
        n_layers, n_heads = self.number("block_count"), max(self.number("attention.head_count"), 1)
        head_dim = self.number("embedding_length") // n_heads
        sizes = self.number("attention.key_length", head_dim) + self.number("attention.value_length", head_dim)
        per_layer = self.metadata.get(f"{self.architecture}.attention.head_count_kv", n_heads)
        heads = sum(per_layer) if isinstance(per_layer, tuple) else int(per_layer) * n_layers
        return 2 * heads * sizes


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check the header of `path`. Raises ModelNotFound, and ModelError if it is not a whole GGUF file."""
    if not path.exists():
        raise ModelNotFound(f"there is no model file {path}", hint="check the path, or see secondme models list")
    if not path.is_file():
        raise ModelError(f"{path} is not a file", hint="give the path of a .gguf file")
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head != _MAGIC:
                what = "is empty" if not head else "is not a GGUF model file"
                raise ModelError(f"{path} {what}", hint=_HINT)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return _Reader(view, path).header()
    except OSError as error:
        raise ModelError(f"{path} cannot be read", hint="check its permissions and the disk") from error


class _Reader:
    """A cursor over the mapped file; every read checks that the bytes are there."""

    def __init__(self, view: mmap.mmap, path: Path) -> None:
        self._view = view
        self._path = path
        self._size = len(view)
        self._at = 4

    def header(self) -> GgufHeader:
        version = self._scalar("I")
        if version not in (2, 3):
            raise ModelError(f"{self._path} has GGUF version {version}, this program reads 2 and 3", hint=_HINT)
        n_tensors, n_entries = self._count(), self._count()
        metadata: dict[str, GgufValue] = {}
        spans: list[tuple[str, int, int]] = []
        for _ in range(n_entries):
            key = self._string()
            start = self._at
            if key == _TOKENS_KEY:
                self._check_vocabulary()
            elif (value := self._value(self._scalar("I"))) is not None:
                metadata[key] = value
            if key.startswith(_TOKENIZER):
                spans.append((key, start, self._at))
        tensors = self._check_tensors(n_tensors, metadata)
        rope = {name: (t.kind, t.start, math.prod(t.shape)) for name, t in tensors.items() if name.startswith(_ROPE)}
        header = GgufHeader(self._path, self._size, n_tensors, metadata, tuple(spans), rope, tensors)
        self._check_plausible(header)
        return header

    def _check_plausible(self, header: GgufHeader) -> None:
        """Values for which llama.cpp ends the whole process instead of refusing the file; found by damaging each."""
        name, metadata = header.architecture, header.metadata
        if name and not 1 <= header.number("block_count", 1) <= _MAX_LAYERS:
            raise self._damaged("its number of layers is impossible")
        if not 0 <= header.number("pooling_type") <= _MAX_POOLING:
            raise self._damaged("its pooling type is unknown")
        for key in ("layer_norm_epsilon", "layer_norm_rms_epsilon"):
            epsilon = metadata.get(f"{name}.attention.{key}", 0.0)
            if not (isinstance(epsilon, float) and 0 <= epsilon < 1):
                raise self._damaged("its layer norm is impossible")

    def _check_tensors(self, n_tensors: int, metadata: dict[str, GgufValue]) -> dict[str, GgufTensor]:
        """Returns the places of all tensors (see GgufHeader)."""
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._damaged("its alignment is impossible")
        if n_tensors == 0:
            raise self._damaged("it holds no weights")
        found = dict[str, GgufTensor]()
        for _ in range(n_tensors):
            name = self._string()
            n_dims = self._scalar("I")
            if not 1 <= n_dims <= _MAX_TENSOR_DIMS:
                raise self._damaged("a tensor has an impossible shape")
            shape = tuple(self._scalar("Q") for _ in range(n_dims))[::-1]
            kind, offset = self._scalar("I"), self._scalar("Q")
            if name in found:
                raise self._damaged("it holds a tensor twice")
            found[name] = GgufTensor(kind, shape, offset, _tensor_bytes(kind, math.prod(shape)))
        start = -(-self._at // alignment) * alignment
        if (missing := start + max(tensor.start + tensor.n_bytes for tensor in found.values()) - self._size) > 0:
            raise self._damaged(f"it is cut off, {missing} bytes are missing")
        return {name: replace(tensor, start=start + tensor.start) for name, tensor in found.items()}

    def _value(self, kind: int) -> GgufValue | None:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise self._damaged(f"a value has the unknown type {kind}")
        return self._scalar_value(_SCALARS[kind])

    def _array(self) -> tuple[int, ...] | None:
        kind, count = self._scalar("I"), self._count()
        if kind == _STRING:
            self._skip_strings(count)
            return None
        if kind not in _SCALARS:
            raise self._damaged(f"a list has the unknown type {kind}")
        letter = _SCALARS[kind]
        if count > _KEPT_ARRAY or letter in "fd":
            self._skip(count * struct.calcsize("<" + letter))
            return None
        return tuple(int(self._scalar(letter)) for _ in range(count))

    def _check_vocabulary(self) -> None:
        """llama.cpp ends the whole process when two tokens have the same text."""
        kind, element_kind, count = self._scalar("I"), self._scalar("I"), self._count()
        if (kind, element_kind) != (_ARRAY, _STRING):
            raise self._damaged("its vocabulary is not a list of texts")
        start = self._at
        self._skip_strings(count)
        raw, at, seen = self._view[start : self._at], 0, set[bytes]()
        for _ in range(count):
            end = at + 8 + _U64.unpack_from(raw, at)[0]
            seen.add(raw[at + 8 : end])
            at = end
        if len(seen) != count:
            raise self._damaged("its vocabulary holds a token twice")

    def _skip_strings(self, count: int) -> None:
        # The one hot loop: vocabulary and merges of a large model are nearly a million strings.
        view, at, last, unpack = self._view, self._at, self._size - _U64.size, _U64.unpack_from
        for _ in range(count):
            if at > last:
                raise self._damaged("it is cut off inside its header")
            at += unpack(view, at)[0] + 8
        self._at = at
        self._skip(0)

    def _count(self) -> int:
        count = self._scalar("Q")
        if count > _MAX_COUNT:
            raise self._damaged("a count is impossible")
        return count

    def _length(self) -> int:
        length = self._scalar("Q")
        if length > _MAX_STRING:
            raise self._damaged("a text is impossibly long")
        return length

    def _string(self) -> str:
        length = self._length()
        start = self._at
        self._skip(length)
        return self._view[start : start + length].decode("utf-8", "replace")

    def _scalar(self, letter: str) -> int:
        return int(self._scalar_value(letter))

    def _scalar_value(self, letter: str) -> int | float | bool:
        start = self._at
        self._skip(struct.calcsize("<" + letter))
        value: int | float | bool = struct.unpack_from("<" + letter, self._view, start)[0]
        return value

    def _skip(self, n_bytes: int) -> None:
        if self._at + n_bytes > self._size:
            raise self._damaged("it is cut off inside its header")
        self._at += n_bytes

    def _damaged(self, why: str) -> ModelError:
        return ModelError(f"{self._path} is damaged: {why}", hint=_HINT)


BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Elements and bytes of a block by tensor type (ggml.h); an unknown type counts as nothing, llama.cpp judges it."""


def _tensor_bytes(kind: int, n_elements: int) -> int:
    block, size = BLOCKS.get(kind, (1, 0))
    return -(-n_elements // block) * size
