"""Probability tables of the cartridge coder, made from formulas by integer arithmetic alone.

What a file was coded with must be found again bit for bit on every machine and by every later version: no table lies in
a file, and none may depend on a mathematical library. So this module uses whole numbers only; native/src/kv/tables.cpp
does the same steps, and a test keeps the hash of all tables.

A table is a generalised Gaussian, its density proportional to 2 ** -(|x| / a) ** beta, summed over the bins of a
quantizer and rounded to 12 bits. Shapes are beta = 2, 1.5, 1, 0.75; scales are an eighth of an octave of `a` apart.
Values of which less than half a slot would be left have no slot and are written as escapes.
"""

from __future__ import annotations

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

PROB_BITS = 12
TOTAL = 1 << PROB_BITS
N_SHAPES = 4

N_SCALES = 60
"""Scales of each shape in the bank of coefficients."""
N_TABLES = 1 + N_SHAPES * N_SCALES
"""Tables for coefficients: number 0 stands for a coefficient that is always 0, which takes no bits."""
MOST_COEFFICIENT = 15
COEFFICIENT_ESCAPE = 2 * MOST_COEFFICIENT + 1
FIRST_OCTAVE = (-2, -3, -4, -5)
"""log2 of the smallest `a` of each shape, in steps of the quantizer."""

N_LEVEL_SCALES = 64
LEVEL_ESCAPE = 0
"""The symbol of level -128, which is never coded as itself."""

Frequencies = NDArray[np.uint16]

_NODE_BITS = 8
_N_NODES = 64 << _NODE_BITS
EIGHTHS = (65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194)
"""floor(2 ** (i / 8) * 2 ** 16)."""


def _halvings() -> tuple[int, ...]:
    """2 ** -(2 ** -i) for i = 1 .. 16, in 31 bits below the point: roots of roots, rounded down."""
    found, x = [], 1 << 30
    for _ in range(16):
        x = isqrt(x << 31)
        found.append(x)
    return tuple(found)


@cache
def _mass(shape: int) -> NDArray[np.int64]:
    """Integral of 2 ** -t ** beta from 0 to node i, int64 [_N_NODES + 1], nodes 1/256 apart, by the midpoint rule."""
    t = np.arange(_N_NODES, dtype=np.int64) * 256 + 128
    if shape == 0:
        u = t * t >> 16
    elif shape == 1:
        u = t * _roots(t << 16) >> 16
    elif shape == 2:
        u = t
    else:
        u = _roots(t * _roots(t << 16))
    density = np.full(_N_NODES, 1 << 30, np.int64)
    for i, factor in enumerate(_halvings()):
        density = np.where(u >> (15 - i) & 1, density * factor >> 31, density)
    density >>= np.minimum(u >> 16, 62)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(density)])


def _roots(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array([isqrt(int(value)) for value in x], np.int64)


def _below(shape: int, a: int, x: NDArray[np.int64], per_step: int) -> NDArray[np.int64]:
    """Mass from 0 to x / per_step, both in steps; `a` has 16 bits below the point. x >= 0."""
    nodes = _mass(shape)
    t = (x << 32) // (per_step * a)
    node = np.minimum(t >> (16 - _NODE_BITS), _N_NODES - 1)
    part = np.where(t >> (16 - _NODE_BITS) < _N_NODES, t & 255, 256)
    low = nodes[node]
    return np.asarray(low + ((nodes[node + 1] - low) * part >> 8), np.int64)


def _a(octave: int, eighth: int) -> int:
    """2 ** (octave + eighth / 8) with 16 bits below the point."""
    octave += eighth // 8
    value = EIGHTHS[eighth % 8]
    return value << octave if octave >= 0 else value >> -octave


@cache
def coefficient_table(number: int) -> Frequencies:
    """Slots of each symbol, uint16 [32]: symbols 0 .. 30 are -15 .. 15, 31 is the escape; they sum to 4096.

    Bins are those of a quantizer with a dead zone of 0.12: |y| below 0.62 steps is 0. Table 0 has no slots.
    """
    found = np.zeros(COEFFICIENT_ESCAPE + 1, np.uint16)
    if number == 0:
        return found
    shape, scale = divmod(number - 1, N_SCALES)
    edges = np.arange(MOST_COEFFICIENT + 1, dtype=np.int64) * 50 + 31
    mass = _below(shape, _a(FIRST_OCTAVE[shape], scale), edges, 50)
    total = 2 * int(_mass(shape)[-1])
    slots = ((np.diff(mass) << PROB_BITS) + total // 2) // total
    rest = 2 * (total // 2 - int(mass[-1]))
    escape = max(1, ((rest << PROB_BITS) + total // 2) // total)
    found[MOST_COEFFICIENT + 1 : COEFFICIENT_ESCAPE] = slots
    found[:MOST_COEFFICIENT] = slots[::-1]
    found[COEFFICIENT_ESCAPE] = escape
    found[MOST_COEFFICIENT] = TOTAL - 2 * int(slots.sum()) - escape
    return found


def golomb_order(number: int) -> int:
    """Order of the Exp-Golomb code for what a coefficient exceeds its table by."""
    shape, scale = divmod(number - 1, N_SCALES)
    return max(0, FIRST_OCTAVE[shape] + scale // 8)


@cache
def coefficient_reach(number: int) -> int:
    """Largest |z| that has slots of its own in the table; -1 for table 0."""
    slots = coefficient_table(number)[MOST_COEFFICIENT:COEFFICIENT_ESCAPE]
    return int(np.flatnonzero(slots)[-1]) if number else -1


@cache
def level_table(number: int, centre: int, clipped: bool) -> Frequencies:
    """Slots of each symbol, uint16 [256], for levels -127 .. 127 (symbols 1 .. 255) around `centre`; they sum to 4096.

    `number` is shape * 64 + scale, scales from 2 ** -1 levels on. Where `clipped`, all beyond 127 counts as 127, and
    all below -127 as -127, as in blocks that are scaled by their largest element; otherwise it goes to the escape.
    """
    shape, scale = divmod(number, N_LEVEL_SCALES)
    half = int(_mass(shape)[-1])
    edges = 2 * (np.arange(-128, 128, dtype=np.int64) - centre) + 1
    signed = np.sign(edges) * _below(shape, _a(-1, scale), np.abs(edges), 2)
    if clipped:
        signed[0], signed[-1] = -half, half
    room = TOTAL - 1
    cumulative = ((signed + half) * room + half) // (2 * half)
    found = np.zeros(256, np.uint16)
    found[1:] = np.diff(cumulative)
    found[LEVEL_ESCAPE] = TOTAL - int(found[1:].sum())
    return found
