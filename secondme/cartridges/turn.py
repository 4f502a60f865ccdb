"""Rotary position embedding of rows of keys: how a cached key is moved to another position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible
from secondme.kernels import kv
from secondme.runtime.kv import FloatRows, Rope


def rotate(keys: FloatRows, positions: NDArray[np.int32], rope: Rope) -> FloatRows:
    """Turn keys (float32 [n, k_dim] or [n, heads, k_dim]) by `positions` (int32 [n], or one for all), negative to undo.

    A new array. Raises CartridgeIncompatible where the model's positions follow another formula.
    """
    occurring, which = np.unique(positions, return_inverse=True)  # a position occurs in many heads
    turns = turned(occurring.astype(np.int32), rope)
    if turns is None or rope.pairs == "none":
        return keys.copy()
    return kv.rotate(keys, at(turns, which), rope.pairs)


def turned(positions: NDArray[np.int32], rope: Rope) -> kv.Angles | None:
    """The angles of each position; None where a model turns no keys. Raises CartridgeIncompatible as `rotate` does."""
    if rope.pairs == "none":
        return None
    if not rope.movable:
        raise CartridgeIncompatible("this model's positions cannot be moved", hint="documents are read as text")
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    return kv.rope_angles(positions, frequencies)


def at(turns: kv.Angles, which: NDArray[np.integer[Any]]) -> kv.Angles:
    """The angles with these numbers."""
    return kv.Angles(turns.cos[which], turns.sin[which])
