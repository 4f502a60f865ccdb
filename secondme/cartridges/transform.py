"""Between rows and quantized coefficients: classes from scores, steps, a quantizer that weighs bits against errors.

The transforms themselves belong to a model's calibration. Sources: Karhunen-Loeve transform coding with a dead-zone
quantizer; rate-distortion optimized quantization (Sullivan & Wiegand 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.tiers import Tier
from secondme.kernels.kv import DEAD_ZONE, magnitude_costs, shift_table
from secondme.kernels.kv_tables import N_TABLES
from secondme.runtime.kv import FloatRows

MOST = 255
"""Magnitudes from here on count alike when tables are chosen."""
_LARGEST = 32767
CENTROID_UNIT = 1 / 256
_N_ROUNDS = 2
_NEVER_BITS = 64.0
"""Stands for what a table cannot code."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """z: int16 [n, C]. tables: uint8 [C], of class 0. centroids: int8 [2], offsets of |z| = 1 and 2 in 1/256 steps."""

    z: NDArray[np.int16]
    tables: NDArray[np.uint8]
    centroids: NDArray[np.int8]


def classes_of(scores: FloatRows, tier: Tier) -> NDArray[np.uint8]:
    """Class of each row, uint8 [n], from its score (0 to 1), float32 [n]."""
    falling = tier.slope * np.log2(tier.top_score / np.maximum(scores, np.float32(1e-9)))
    return np.asarray(np.clip(np.rint(falling), 0, tier.n_classes - 1), np.uint8)


def class_factors(n_classes: int, eighths: int) -> FloatRows:
    """How much coarser the steps of each class are, float32 [n_classes]."""
    return np.asarray(2.0 ** (np.arange(n_classes) * eighths / 8), np.float32)


def tables_of_classes(tables: NDArray[np.uint8], n_classes: int, eighths: int) -> NDArray[np.uint8]:
    """uint8 [n_classes, C] from those of class 0, [C]."""
    return np.ascontiguousarray(_shifts(n_classes, eighths)[:, tables])


def quantize(y: FloatRows, steps: FloatRows, classes: NDArray[np.uint8], tier: Tier) -> Quantized:
    """Quantize components y [n, C] with `steps` [n_classes], and choose the table of each component.

    The tables are chosen for what a plain quantizer gives; then magnitudes are lowered by one where that saves more
    bits than its error is worth, and the tables are chosen again.
    """
    size: FloatRows = (np.abs(y) / steps[classes][:, None]).astype(np.float32)
    large = _Large.of(size, classes, tier.n_classes)
    z = np.minimum(np.floor(large.size + (0.5 - DEAD_ZONE)), _LARGEST).astype(np.int32)
    first = np.minimum(np.floor(large.size + 0.5), _LARGEST).astype(np.int32)
    for _ in range(_N_ROUNDS if tier.thrift > 0 else 0):
        tables = tables_of_classes(_choose(large, z, tier), tier.n_classes, tier.class_eighths)
        z = _thrifty(large, first, _centroids(large.size, z), tables, tier.thrift)
    found = np.zeros(y.size, np.int16)
    found[large.at] = np.where(y.ravel()[large.at] < 0, -z, z)
    return Quantized(found.reshape(y.shape), _choose(large, z, tier), _centroids(large.size, z))


@dataclass(frozen=True, slots=True)
class _Large:
    """The components of at least half a step, [m]; the others are 0 and only counted.

    at: int64, where they are among all [n * C]. size: float32, in steps. cell: int64, class * C + component.
    rows: int64 [n_classes], rows of each class.
    """

    at: NDArray[np.int64]
    size: FloatRows
    cell: NDArray[np.int64]
    rows: NDArray[np.int64]
    n_components: int

    @staticmethod
    def of(size: FloatRows, classes: NDArray[np.uint8], n_classes: int) -> _Large:
        n_components = size.shape[1]
        at = np.flatnonzero(size.ravel() >= 0.5)
        row, component = np.divmod(at, n_components)
        cell = classes[row].astype(np.int64) * n_components + component
        return _Large(at, size.ravel()[at], cell, np.bincount(classes, minlength=n_classes), n_components)


def centroid_offsets(centroids: NDArray[np.int8]) -> FloatRows:
    """Where |z| = 1 and 2 are put, float32 [2], in steps."""
    return np.asarray(np.arange(1, 3) + centroids * CENTROID_UNIT, np.float32)


def _thrifty(
    large: _Large, z: NDArray[np.int32], centroids: NDArray[np.int8], tables: NDArray[np.uint8], thrift: float
) -> NDArray[np.int32]:
    """Lower magnitudes by one where (error) + thrift * (bits) falls. tables: [n_classes, C]."""
    costs = magnitude_costs(MOST)
    flat = np.where(np.isfinite(costs), costs, np.float32(_NEVER_BITS)).ravel()
    at = tables.ravel()[large.cell].astype(np.int64) * (MOST + 1)
    lower = np.maximum(z - 1, 0)
    bits = flat[at + np.minimum(z, MOST)] - flat[at + np.minimum(lower, MOST)]
    offsets = np.array([0, *centroids], np.float32) * np.float32(CENTROID_UNIT)
    error = large.size - z - offsets[np.minimum(z, 2)]
    error_below = large.size - lower - offsets[np.minimum(lower, 2)]
    return np.where((z > 0) & (error_below**2 - error**2 < thrift * bits), lower, z)


def _centroids(size: FloatRows, z: NDArray[np.int32]) -> NDArray[np.int8]:
    found = np.zeros(2, np.int8)
    for k in (1, 2):
        chosen = size[z == k]
        if len(chosen):
            found[k - 1] = np.clip(np.rint((chosen.mean(dtype=np.float64) - k) / CENTROID_UNIT), -127, 127)
    return found


def _choose(large: _Large, z: NDArray[np.int32], tier: Tier) -> NDArray[np.uint8]:
    """The cheapest table of each component, of class 0; other classes have it shifted."""
    n_classes, n_components = len(large.rows), large.n_components
    width = min(int(z.max(initial=0)), MOST) + 1
    counts = np.bincount(large.cell * width + np.minimum(z, MOST), minlength=n_classes * n_components * width)
    counts = counts.reshape(n_classes, n_components, width)
    counts[:, :, 0] += large.rows[:, None] - counts.sum(axis=2)
    costs = magnitude_costs(MOST)[:, :width].astype(np.float64)
    total = np.zeros((n_components, N_TABLES - 1))
    for of_class, shifted in zip(counts, _shifts(n_classes, tier.class_eighths), strict=True):
        if of_class.any():
            total += of_class @ costs[shifted[1:]].T
    best: NDArray[np.uint8] = (total.argmin(axis=1) + 1).astype(np.uint8)
    best[~counts[:, :, 1:].any(axis=(0, 2))] = 0
    return best


@cache
def _shifts(n_classes: int, eighths: int) -> NDArray[np.uint8]:
    rows = [[shift_table(number, c * eighths) for number in range(N_TABLES)] for c in range(n_classes)]
    return np.array(rows, np.uint8)
