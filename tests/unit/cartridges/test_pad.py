"""Padding keys: for made-up queries, and for what a real model asks, in and beyond the sample."""

from __future__ import annotations

import numpy as np
import pytest

from secondme.cartridges.pad import NORM, Sampling, padding, padding_key
from secondme.cartridges.turn import rotate
from secondme.runtime.kv import FloatRows, KvShape, Rope


def test_the_key_is_the_one_with_the_widest_margin() -> None:
    """Queries in a cone around an axis: the best direction is against the axis, whatever their mean is."""
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.uniform(-0.9, 0.9, 3000), np.full(2000, 0.9), [-0.9]])
    queries = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    key, worst = padding_key(lambda: queries)
    direction = key.astype(np.float32) / NORM
    np.testing.assert_allclose(direction, [-1, 0], atol=0.03)
    assert worst == pytest.approx(-NORM * np.cos(0.9) / np.sqrt(2), rel=0.05)


def test_a_head_whose_queries_look_everywhere_is_known_by_its_worst() -> None:
    queries = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    key, worst = padding_key(lambda: queries)
    assert worst > 0  # the caller sees that nothing separates them
    assert np.linalg.norm(key.astype(np.float32)) <= NORM * 1.001


def test_rotated_queries_are_avoided_at_positions_that_were_not_sampled() -> None:
    shape, rope = KvShape(2, 2, 4, 16, 16), Rope("halves", 16, 1e6)
    rng = np.random.default_rng(3)
    layers = [rng.normal(size=(600, 4, 16)).astype(np.float32) for _ in range(2)]
    for layer in layers:
        layer[:, :, 7] += 4  # of the slowest pair
    found = padding(layers, shape, Sampling(rope, n_ctx=4096))
    assert found.keys.shape == (4, 16) and found.keys.dtype == np.float16
    assert found.worst.max() < -30
    unseen = rotate(layers[1], rng.integers(0, 4096, 600, np.int32), rope)
    logits = np.einsum("nd,d->n", unseen[:, 2], found.keys[3].astype(np.float32)) / 4
    assert logits.max() < -10


def test_the_same_queries_give_the_same_keys() -> None:
    shape, rope = KvShape(1, 1, 1, 8, 8), Rope("adjacent", 8, 1e4)
    layers: list[FloatRows] = [np.random.default_rng(1).normal(size=(500, 1, 8)).astype(np.float32)]
    first, second = (padding(layers, shape, Sampling(rope, 512)).keys for _ in range(2))
    np.testing.assert_array_equal(first, second)
