"""A made-up calibration and rows of a few kilobytes, for tests of what is coded with one."""

from __future__ import annotations

import numpy as np

from secondme.cartridges.calibration import Calibration, Transform, build_calibration
from secondme.cartridges.rows import HeadRows
from secondme.cartridges.select import select
from secondme.runtime.kv import FloatRows, KvIdentity, KvShape, Rope

SHAPE = KvShape(n_layers=3, n_kv_heads=2, n_heads=4, k_dim=16, v_dim=24)
ROPE = Rope("adjacent", 16, 10000.0)
IDENTITY = KvIdentity("a" * 64, "b" * 64, "c" * 64, SHAPE, ROPE, "f16", False, "tests", 1)


def a_calibration(seed: int = 0, identity: KvIdentity = IDENTITY) -> tuple[bytes, Calibration]:
    rng = np.random.default_rng(seed)
    shape = identity.shape
    n = shape.n_layers * shape.n_kv_heads

    def transform(dim: int) -> Transform:
        axes = np.linalg.qr(rng.standard_normal((n, dim, dim)))[0] * rng.uniform(0.2, 1, (n, dim, 1))
        mean = rng.standard_normal((n, dim)).astype(np.float32)
        return Transform(mean, axes.astype(np.float16), rng.uniform(0.5, 2, n).astype(np.float32))

    return build_calibration(
        Calibration(
            identity.weights,
            shape,
            identity.rope,
            transform(shape.k_dim),
            transform(shape.v_dim),
            (0.1 * rng.standard_normal((n, shape.k_dim, shape.v_dim))).astype(np.float16),
            (512 * rng.standard_normal((n, shape.k_dim))).astype(np.float16),
            "",
        )
    )


def some_rows(calibration: Calibration, n_tokens: int, n_kept: int, seed: int = 0) -> tuple[HeadRows, FloatRows]:
    """Rows whose components fall off as those of real ones do, and their scores."""
    rng = np.random.default_rng(seed)
    n = SHAPE.n_layers * SHAPE.n_kv_heads
    chosen = select(rng.random((n, n_tokens)).astype(np.float32) ** 6, n_kept)
    heads = np.repeat(np.arange(n), chosen.counts)
    sides = []
    for side, dim in ((calibration.keys, SHAPE.k_dim), (calibration.values, SHAPE.v_dim)):
        y = rng.laplace(size=(len(heads), dim)) * 4.0 * 0.8 ** np.arange(dim)
        rows = np.einsum("nc,ncd->nd", y, side.synthesis[heads]) + side.mean[heads]
        sides.append(rows.astype(np.float32))
    return HeadRows(SHAPE, n_tokens, chosen.offsets, chosen.tokens, *sides), chosen.scores
