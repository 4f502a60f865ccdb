"""Rotary position embedding of rows of keys: how a cached key is moved to another position."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible
from secondme.kernels import kv
from secondme.runtime.kv import FloatRows, Rope


def rotate(keys: FloatRows, positions: NDArray[np.int32], rope: Rope) -> FloatRows:
    """Turn keys (float32 [n, k_dim] or [n, heads, k_dim]) by `positions` (int32 [n], or one for all), negative to undo.

    A new array. Raises CartridgeIncompatible where the model's positions follow another formula.
    """
    if rope.pairs == "none":
        return keys.copy()
    if not rope.movable:
        raise CartridgeIncompatible("this model's positions cannot be moved", hint="documents are read as text")
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    occurring, which = np.unique(positions, return_inverse=True)  # a position occurs in many heads
    angles = kv.rope_angles(occurring.astype(np.int32), frequencies)
    return kv.rotate(keys, kv.Angles(angles.cos[which], angles.sin[which]), rope.pairs)
