"""Keys that no query looks at: what fills up the heads that kept fewer tokens than others.

For each head the direction is sought in which even the query that looks there most looks away. Rotation (RoPE) turns
queries, so the sample is turned to positions all over the context; what is left is mostly the slow pairs, in which
queries look at a text's first tokens and so have one direction in common. Stands apart, as part of a calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from secondme.cartridges.turn import rotate
from secondme.runtime.gguf_weights import LlamaWeights
from secondme.runtime.kv import F16Cells, FloatRows, KvShape, Rope

NORM = 512.0
"""Of a padding key. A product with a query stays below 65,504, float16's largest, up to queries of norm 128."""

_ROUNDS, _STEPS, _HARDEST = 40, 30, 250


@dataclass(frozen=True, slots=True)
class Padding:
    """keys: float16 [n_layers * n_kv_heads, k_dim], after RoPE.

    worst: float32 [n_layers * n_kv_heads], the largest logit (query times key / sqrt(k_dim)) of any sampled query.
    """

    keys: F16Cells
    worst: FloatRows


@dataclass(frozen=True, slots=True)
class Sampling:
    """Positions queries are turned to: random ones below `n_ctx`, others in each round of the search."""

    rope: Rope
    n_ctx: int
    seed: int = 0


def padding(
    layers: Sequence[FloatRows], shape: KvShape, sampling: Sampling, *, weights: LlamaWeights | None = None
) -> Padding:
    """From queries before RoPE, float32 [n, n_heads, k_dim] for each layer; n of a thousand or more tell enough.

    But not in the first layer, where a query is what its token makes it and a rare one may look anywhere: with
    `weights`, those of all tokens there are stand in for the sample.
    """
    rng = np.random.default_rng(sampling.seed)
    group = shape.n_heads // shape.n_kv_heads
    found = []
    for number, layer in enumerate(layers):
        for head in range(shape.n_kv_heads):
            heads = slice(head * group, (head + 1) * group)
            if number == 0 and weights is not None:
                queries = _first_queries(weights, shape, heads)
            else:
                queries = np.ascontiguousarray(layer[:, heads])
            found.append(padding_key(partial(_turned, queries, sampling, rng)))
    return Padding(np.stack([key for key, _ in found]), np.array([worst for _, worst in found], np.float32))


def _first_queries(weights: LlamaWeights, shape: KvShape, heads: slice) -> FloatRows:
    """What each token of the vocabulary asks for in the first layer, before RoPE: float32 [n_vocab, heads, k_dim]."""
    first = weights.layers[0]
    projection = first["attn_q"].reshape(shape.n_heads, shape.k_dim, -1)[heads] * first["attn_norm"]
    projection = projection.reshape(-1, projection.shape[-1])
    size = np.sqrt(np.square(weights.embedding).mean(axis=1, keepdims=True) + weights.epsilon)
    return np.asarray((weights.embedding @ projection.T) / size, np.float32).reshape(len(size), -1, shape.k_dim)


def _turned(queries: FloatRows, sampling: Sampling, rng: np.random.Generator) -> FloatRows:
    """Each at a position of its own, [n * heads, k_dim]."""
    positions = rng.integers(0, sampling.n_ctx, len(queries), np.int32)
    return rotate(queries, positions, sampling.rope).reshape(-1, queries.shape[2])


def padding_key(draw: Callable[[], FloatRows]) -> tuple[F16Cells, float]:
    """The key of norm NORM whose largest product with queries is the smallest, and that logit in a draw of its own.

    draw: a sample of queries, float32 [n, k_dim], another one each time. The largest product is softened to a
    log-sum-exp, which is convex, and descended on the unit ball with momentum (Nesterov 1983) over a working set: the
    queries that looked there most in any round so far. So the last rounds go on where chance finds a gap.
    """
    queries = draw()
    k_dim, direction = queries.shape[1], -queries.mean(axis=0)
    direction /= max(float(np.linalg.norm(direction)), 1e-6)
    mean_square = max(float(np.square(queries).sum(axis=1).mean()), 1e-6)
    working = queries[:0]
    for step in range(_ROUNDS):
        queries, n = draw(), min(_HARDEST, len(queries))
        working = np.concatenate([working, queries[np.argpartition(-(queries @ direction), n - 1)[:n]]])
        softness = np.sqrt(mean_square) * max(0.004, 0.06 / 2 ** (step / 5))
        direction = _descend(working, direction, softness, mean_square)
    key = (direction / max(float(np.linalg.norm(direction)), 1e-6) * NORM).astype(np.float16)
    return key, float((draw() @ key.astype(np.float32)).max()) * k_dim**-0.5


def _descend(queries: FloatRows, start: FloatRows, softness: float, mean_square: float) -> FloatRows:
    direction, ahead, momentum = start, start, 1.0
    step = 2 * softness / mean_square
    for _ in range(_STEPS):
        products = (queries @ ahead) / softness
        weights = np.exp(products - products.max())
        moved = ahead - step * (weights @ queries) / weights.sum()
        moved /= max(float(np.linalg.norm(moved)), 1.0)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - direction)
        direction, momentum = moved.astype(np.float32), following
    return direction
