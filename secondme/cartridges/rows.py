"""A document's keys and values with a choice of its tokens for each head: what selection makes and codecs carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.kv import FloatRows, KvShape


@dataclass(frozen=True, slots=True)
class HeadRows:
    """Ragged over heads; head (layer, head) is number layer * n_kv_heads + head.

    n_tokens: tokens of the document. offsets: int64 [n_layers * n_kv_heads + 1]; the rows of head i are
    offsets[i]:offsets[i + 1]. tokens: int32 [n_rows], each row's token, 0 the document's first, ascending in a head.
    k: float32 [n_rows, k_dim], before RoPE. v: float32 [n_rows, v_dim].
    """

    shape: KvShape
    n_tokens: int
    offsets: NDArray[np.int64]
    tokens: NDArray[np.int32]
    k: FloatRows
    v: FloatRows

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each head, int64 [n_layers * n_kv_heads]."""
        return np.diff(self.offsets)
