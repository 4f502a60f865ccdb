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
    x = y / steps[classes][:, None]
    size = np.abs(x)
    z = np.minimum(np.floor(size + (0.5 - DEAD_ZONE)), _LARGEST).astype(np.int32)
    tables = _choose(z, classes, tier)
    centroids = _centroids(size, z)
    if tier.thrift > 0:
        first = np.minimum(np.floor(size + 0.5), _LARGEST).astype(np.int32)
        for _ in range(_N_ROUNDS):
            z = _thrifty(
                size, first, centroids, tables_of_classes(tables, tier.n_classes, tier.class_eighths)[classes], tier
            )
            tables = _choose(z, classes, tier)
            centroids = _centroids(size, z)
    return Quantized(np.where(x < 0, -z, z).astype(np.int16), tables, centroids)


def centroid_offsets(centroids: NDArray[np.int8]) -> FloatRows:
    """Where |z| = 1 and 2 are put, float32 [2], in steps."""
    return np.asarray(np.arange(1, 3) + centroids * CENTROID_UNIT, np.float32)


def _thrifty(
    size: FloatRows, z: NDArray[np.int32], centroids: NDArray[np.int8], tables: NDArray[np.uint8], tier: Tier
) -> NDArray[np.int32]:
    """Lower magnitudes by one where (error) + thrift * (bits) falls. tables: [n, C]."""
    costs = magnitude_costs(MOST)
    flat = np.where(np.isfinite(costs), costs, np.float32(64)).ravel()
    at = tables.astype(np.int64) * (MOST + 1)
    lower = np.maximum(z - 1, 0)
    bits = flat[at + np.minimum(z, MOST)] - flat[at + np.minimum(lower, MOST)]
    points = np.concatenate([[0.0], np.arange(1, 4) + np.append(centroids, centroids[1])[:3] * CENTROID_UNIT])
    offset = float(centroids[1]) * CENTROID_UNIT

    def put(m: NDArray[np.int32]) -> FloatRows:
        return np.where(m < 3, points[np.minimum(m, 3)], m + offset).astype(np.float32)

    worse = (size - put(lower)) ** 2 - (size - put(z)) ** 2
    return np.where((z > 0) & (worse < tier.thrift * bits), lower, z)


def _centroids(size: FloatRows, z: NDArray[np.int32]) -> NDArray[np.int8]:
    found = np.zeros(2, np.int8)
    for k in (1, 2):
        chosen = size[z == k]
        if len(chosen):
            found[k - 1] = np.clip(np.rint((chosen.mean(dtype=np.float64) - k) / CENTROID_UNIT), -127, 127)
    return found


def _choose(z: NDArray[np.int32], classes: NDArray[np.uint8], tier: Tier) -> NDArray[np.uint8]:
    """The cheapest table of each component, of class 0; other classes have it shifted."""
    n_components = z.shape[1]
    width = MOST + 1
    costs = magnitude_costs(MOST).astype(np.float64)
    shifts = _shifts(tier.n_classes, tier.class_eighths)
    total = np.zeros((n_components, N_TABLES))
    any_set = np.zeros(n_components, bool)
    for c in np.unique(classes):
        rows = np.minimum(z[classes == c], MOST)
        flat = rows + np.arange(n_components, dtype=np.int32) * width
        counts = np.bincount(flat.ravel(), minlength=n_components * width).reshape(n_components, width)
        any_set |= counts[:, 1:].any(axis=1)
        used = int(rows.max(initial=0)) + 1
        total[:, 1:] += counts[:, :used] @ costs[shifts[c][1:], :used].T
    best: NDArray[np.uint8] = (total[:, 1:].argmin(axis=1) + 1).astype(np.uint8)
    best[~any_set] = 0
    return best


@cache
def _shifts(n_classes: int, eighths: int) -> NDArray[np.uint8]:
    rows = [[shift_table(number, c * eighths) for number in range(N_TABLES)] for c in range(n_classes)]
    return np.array(rows, np.uint8)
