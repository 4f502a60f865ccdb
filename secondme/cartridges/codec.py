"""T1 to T3: rows with a choice of tokens for each head, transformed, quantized and entropy-coded, layer by layer.

A section holds one layer; they are decoded in order, because what a layer keeps tells what the next one does. Keys come
first: a value is coded as what its (decoded) key does not tell of it. Section, little endian:

    header     number of classes u8, eighths of an octave between classes u8, steps of keys and of values f32
    streams    length u32 and bytes of each: which tokens each head keeps and their classes; the tables of components;
               for each head its keys, and its values: centroids 2 x i8, then the coefficients

Nothing that is read is trusted: sizes come from the manifest, and what does not fit raises CorruptCartridge.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges import choices
from secondme.cartridges.calibration import Calibration, Transform
from secondme.cartridges.rows import HeadRows
from secondme.cartridges.tiers import Tier
from secondme.cartridges.transform import (
    Quantized,
    centroid_offsets,
    class_factors,
    classes_of,
    quantize,
    tables_of_classes,
)
from secondme.errors import CorruptCartridge
from secondme.kernels import kv
from secondme.runtime.kv import FloatRows, KvShape
from secondme.runtime.side_by_side import each_layer

CODEC = 1
"""Version of the coding, part of every manifest."""
_HEADER = struct.Struct("<BBff")
_LENGTH = struct.Struct("<I")
_MAX_CLASSES = 32
_MAX_EIGHTHS = 64
_LEAST_STEP, _LARGEST_STEP = 1e-6, 1e6
_HINT = "nothing is lost: the document's text is read instead, and the cartridge is made again"


@dataclass(frozen=True, slots=True)
class _Side:
    """Keys or values of one head: transform, step of class 0 and centroids."""

    transform: Transform
    head: int
    steps: FloatRows
    centroids: NDArray[np.int8]

    def components(self, rows: FloatRows) -> FloatRows:
        found: FloatRows = (rows - self.transform.mean[self.head]) @ self.transform.analysis[self.head]
        return found

    def synthesis(self) -> kv.Synthesis:
        matrix = self.transform.synthesis[self.head]
        return kv.Synthesis(self.steps, centroid_offsets(self.centroids), matrix, self.transform.mean[self.head])


def encode(rows: HeadRows, scores: FloatRows, calibration: Calibration, tier: Tier) -> list[bytes]:
    """A section for each layer. scores: float32 [n_rows], attention (0 to 1) that each row got."""
    n_kv_heads = rows.shape.n_kv_heads
    classes = classes_of(scores, tier)
    kept = np.zeros((rows.n_tokens, n_kv_heads), np.uint8)
    sections = []
    for layer in range(rows.shape.n_layers):
        before, kept = kept, np.zeros_like(kept)
        for i in range(n_kv_heads):
            chosen = _rows_of(rows, layer * n_kv_heads + i)
            kept[rows.tokens[chosen], i] = classes[chosen] + 1
        heads = [_HeadCoder(rows, classes, calibration, tier, layer * n_kv_heads + i) for i in range(n_kv_heads)]
        sections.append(_section(heads, choices.encode(kept, before, tier.n_classes), tier))
    return sections


def decode(sections: Sequence[bytes], n_tokens: int, calibration: Calibration) -> HeadRows:
    """The rows of a document of `n_tokens` tokens, layers side by side on all cores. Raises CorruptCartridge."""
    shape = calibration.shape
    if len(sections) != shape.n_layers:
        raise CorruptCartridge("the cartridge has the wrong number of layers", hint=_HINT)
    try:
        layers = [_Layer(section, number, calibration) for number, section in enumerate(sections)]
        kept, before = [], np.zeros((n_tokens, shape.n_kv_heads), np.uint8)
        for layer in layers:
            before = choices.decode(layer.stream(), before, layer.n_classes)
            kept.append(before)
        rows = _empty_rows(shape, np.stack(kept) if kept else before[None])
        each_layer(lambda number: _decode_layer(layers[number], kept[number], rows), len(layers))
    except (ValueError, struct.error):
        raise CorruptCartridge("the cartridge's rows cannot be decoded", hint=_HINT) from None
    return rows


# Encoding -------------------------------------------------------------------------------------------------------


def _rows_of(rows: HeadRows, head: int) -> slice:
    return slice(int(rows.offsets[head]), int(rows.offsets[head + 1]))


class _HeadCoder:
    """Quantizes one head's keys, decodes them again, and quantizes what they do not tell of the values."""

    def __init__(
        self, rows: HeadRows, classes: NDArray[np.uint8], calibration: Calibration, tier: Tier, head: int
    ) -> None:
        chosen = _rows_of(rows, head)
        self.classes = classes[chosen]
        self._tier = tier
        factors = class_factors(tier.n_classes, tier.class_eighths)
        none = np.zeros(2, np.int8)
        keys = _Side(calibration.keys, head, np.float32(tier.key_step) * factors, none)
        values = _Side(calibration.values, head, np.float32(tier.value_step) * factors, none)
        self.keys = quantize(keys.components(rows.k[chosen]), keys.steps, self.classes, tier)
        read = _Side(keys.transform, head, keys.steps, self.keys.centroids)
        decoded = kv.decode_head(self.stream(self.keys), self.classes, self.tables(self.keys), read.synthesis())
        told = (decoded - calibration.keys.mean[head]) @ calibration.value_from_key[head]
        self.values = quantize(values.components(rows.v[chosen] - told), values.steps, self.classes, tier)

    def tables(self, coded: Quantized) -> NDArray[np.uint8]:
        return tables_of_classes(coded.tables, self._tier.n_classes, self._tier.class_eighths)

    def stream(self, coded: Quantized) -> bytes:
        return kv.encode_rows(coded.z, self.tables(coded), self.classes)


def _section(heads: Sequence[_HeadCoder], kept: bytes, tier: Tier) -> bytes:
    streams = [kept, choices.encode_tables([t.tables for head in heads for t in (head.keys, head.values)])]
    for head in heads:
        streams += [head.keys.centroids.tobytes() + head.stream(head.keys)]
        streams += [head.values.centroids.tobytes() + head.stream(head.values)]
    header = _HEADER.pack(tier.n_classes, tier.class_eighths, tier.key_step, tier.value_step)
    return header + b"".join(_LENGTH.pack(len(stream)) + stream for stream in streams)


# Decoding -------------------------------------------------------------------------------------------------------


class _Layer:
    """The streams of one section, in order. Raises ValueError or struct.error for what is no section."""

    def __init__(self, section: bytes, layer: int, calibration: Calibration) -> None:
        self._data, self._at = section, _HEADER.size
        self.calibration = calibration
        self.first_head = layer * calibration.shape.n_kv_heads
        self.n_classes, self.eighths, self.key_step, self.value_step = _HEADER.unpack_from(section)
        if not 0 < self.n_classes <= _MAX_CLASSES or not 0 < self.eighths <= _MAX_EIGHTHS:
            raise ValueError("classes")
        if not all(_LEAST_STEP <= step <= _LARGEST_STEP for step in (self.key_step, self.value_step)):
            raise ValueError("steps")

    def stream(self) -> bytes:
        (size,) = _LENGTH.unpack_from(self._data, self._at)
        self._at += _LENGTH.size + size
        if self._at > len(self._data):
            raise ValueError("stream")
        return self._data[self._at - size : self._at]

    def rows(
        self,
        side: tuple[Transform, int, float],
        tables: NDArray[np.uint8],
        classes: NDArray[np.uint8],
        out: FloatRows,
    ) -> None:
        """The next stream's rows to `out`; side: transform, number of the head, step of class 0."""
        transform, head, step = side
        data = self.stream()
        if len(data) < 2:
            raise ValueError("centroids")
        steps = np.asarray(np.float32(step) * class_factors(self.n_classes, self.eighths), np.float32)
        synthesis = _Side(transform, head, steps, np.frombuffer(data[:2], np.int8)).synthesis()
        table_of = tables_of_classes(tables, self.n_classes, self.eighths)
        kv.decode_head(data[2:], classes, table_of, synthesis, out=out)

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ValueError("length")


def _empty_rows(shape: KvShape, kept: NDArray[np.uint8]) -> HeadRows:
    """Room for the rows of every head, with their tokens; kept: [n_layers, n_tokens, n_kv_heads], 0 for not kept."""
    by_head = kept.transpose(0, 2, 1).reshape(-1, kept.shape[1])
    heads, tokens = np.nonzero(by_head)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(heads, minlength=len(by_head)))]).astype(np.int64)
    keys, values = (np.empty((len(tokens), dim), np.float32) for dim in (shape.k_dim, shape.v_dim))
    return HeadRows(shape, kept.shape[1], offsets, tokens.astype(np.int32), keys, values)


def _decode_layer(layer: _Layer, kept: NDArray[np.uint8], rows: HeadRows) -> None:
    """Write keys and values of one layer's heads into `rows`; kept: classes + 1, or 0."""
    c = layer.calibration
    tables = choices.decode_tables(layer.stream(), 2 * c.shape.n_kv_heads, (c.shape.k_dim, c.shape.v_dim))
    for i in range(c.shape.n_kv_heads):
        head = layer.first_head + i
        chosen = _rows_of(rows, head)
        classes = kept[rows.tokens[chosen], i] - np.uint8(1)
        keys, values = rows.k[chosen], rows.v[chosen]
        layer.rows((c.keys, head, layer.key_step), tables[2 * i], classes, keys)
        layer.rows((c.values, head, layer.value_step), tables[2 * i + 1], classes, values)
        kv.add_told(keys, c.keys.mean[head], c.value_from_key[head], values)
    layer.finish()
