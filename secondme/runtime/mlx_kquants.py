"""The K-quants of a GGUF file: super-blocks of 256 elements as eight groups of 32 that MLX can hold.

Layouts: ggml (`ggml-common.h`, `ggml-quants.c`). Q4_K and Q5_K have a scale and a minimum of six bits for each group of
32, in units of two halves of the super-block: element = d * scale * q - dmin * minimum. That is MLX's own formula, and
the products are exact in float32 (11 and 6 bits), not in a half.

Q6_K has a scale for each 16 elements, and MLX no group smaller than 32: element = d * scale * q, so that two scales
share a group. Such a group gets 256 levels in place of 64, a whole number of them to a step of the larger scale: that
half stays what it was, the other one moves by an eighth of the larger step at most where the levels suffice for four
to a step, by a sixth where they do for three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Groups = tuple[Bytes, NDArray[np.floating], NDArray[np.floating]]
"""Levels [n_groups, 32] of a byte each, and scales and biases [n_groups]: element = scale * level + bias."""

_N_GROUPS = 8
_NIBBLE, _FOUR = np.uint8(0x0F), np.uint8(4)
_SIX_BITS, _TWO_BITS, _BIT = np.uint8(0x3F), np.uint8(3), np.uint8(1)
_HALVES = np.array([0, 4], np.uint8)
_QUARTERS = np.array([0, 2, 4, 6], np.uint8)
_EIGHTHS = np.arange(8, dtype=np.uint8)
_SPAN = 254.0
"""Levels between the least and the greatest of a group; one less than there are, for both are rounded."""


def q4_k(blocks: Bytes) -> Groups:
    """`blocks`: [n, 144], two halves, 12 bytes of scales and minima, 128 of nibbles."""
    return _nibbles(blocks[:, 16:]).reshape(-1, 32), *_scales_and_biases(blocks)


def q5_k(blocks: Bytes) -> Groups:
    """`blocks`: [n, 176], as Q4_K, and 32 bytes before the nibbles: bit g of byte i is the fifth of group g."""
    fifth = blocks[:, None, 16:48] >> _EIGHTHS[:, None] & _BIT
    levels = _nibbles(blocks[:, 48:]) | fifth << _FOUR
    return levels.reshape(-1, 32), *_scales_and_biases(blocks)


def q6_k(blocks: Bytes) -> Groups:
    """`blocks`: [n, 210], 128 bytes of nibbles, 64 of upper bits, 16 signed scales, a half. Not to the last bit."""
    low = blocks[:, :128].reshape(-1, 2, 1, 2, 32) >> _HALVES[:, None, None] & _NIBBLE
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> _QUARTERS[:, None] & _TWO_BITS
    steps = (low.reshape(-1, 2, 4, 32) | high << _FOUR).reshape(-1, _N_GROUPS, 2, 16).astype(np.int16) - 32
    scales = blocks[:, 192:208].copy().view(np.int8).astype(np.int16).reshape(-1, _N_GROUPS, 2, 1)
    levels, step, least = _regrouped((steps * scales).reshape(-1, 32), np.abs(scales).max(axis=(2, 3)).ravel())
    unit = np.repeat(halves(blocks, 208).astype(np.float32), _N_GROUPS) * step
    return levels, unit, unit * least


def halves(blocks: Bytes, at: int) -> NDArray[np.float16]:
    """The half-precision number at byte `at` of each block."""
    return blocks[:, at : at + 2].copy().view("<f2")[:, 0]


def _nibbles(data: Bytes) -> Bytes:
    """[n, 8, 32]: 32 bytes hold a group in their lower halves and the next one in their upper halves."""
    pairs = data.reshape(-1, 4, 1, 32) >> _HALVES[:, None] & _NIBBLE
    return pairs.reshape(-1, _N_GROUPS, 32)


def _scales_and_biases(blocks: Bytes) -> tuple[Floats, Floats]:
    """Four bytes hold the first scales, four the first minima, in six bits; the rest is in four and the spare bits."""
    scales, minima, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    six_scales = np.concatenate([scales & _SIX_BITS, rest & _NIBBLE | scales >> np.uint8(6) << _FOUR], axis=1)
    six_minima = np.concatenate([minima & _SIX_BITS, rest >> _FOUR | minima >> np.uint8(6) << _FOUR], axis=1)
    unit, least = (halves(blocks, at).astype(np.float32)[:, None] for at in (0, 2))
    return (unit * six_scales).ravel(), (-least * six_minima).ravel()


def _regrouped(values: NDArray[np.int16], anchors: NDArray[np.int16]) -> tuple[Bytes, Floats, Floats]:
    """Whole numbers [n, 32] as levels, their step [n], and the level [n], from zero, that counts as the first.

    anchors: the larger scale of each group; `values` of that scale are multiples of it, of 63 steps or 64.
    """
    least = values.min(axis=1)
    span = np.maximum(values.max(axis=1) - least, 1).astype(np.float32)
    anchor = np.maximum(anchors, 1).astype(np.float32)
    per_anchor = np.floor(_SPAN * anchor / span).astype(np.float32)
    finer = per_anchor / anchor
    first = np.rint(least * finer).astype(np.float32)
    levels = np.rint(values * finer[:, None]) - first[:, None]
    return levels.astype(np.uint8), anchor / per_anchor, first
