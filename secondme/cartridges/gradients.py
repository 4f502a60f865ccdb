"""How much a model's predictions depend on each key and value it looks at: gradients through a plain Llama model.

The model predicts a text while it looks at a document's cells. For each prediction a token is drawn from what the model
holds for likely, and the gradient of its log-probability is taken with respect to all keys and values: its second
moment is the Fisher information, and half of d' F d is the KL divergence that an error d of a row causes (Amari 1998).
Stands apart from `calibrating.py`, which needs no more of a model than its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.turn import rotate
from secondme.runtime.gguf_weights import LlamaWeights
from secondme.runtime.kv import Cells, FloatRows, KvShape, Rope


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Of one document's rows. keys (before RoPE), values: float32 [n_heads, n_rows, D], sums of gradients over a text's
    predictions, whose cross terms are 0 on average. peak: float32 [n_heads, n_rows], the most attention a row got.
    n_predictions: how many.
    """

    keys: FloatRows
    values: FloatRows
    peak: FloatRows
    n_predictions: int


@dataclass(frozen=True, slots=True)
class Gradients:
    """A model, and the cells it looks at, those of the document from `start` on."""

    weights: LlamaWeights
    shape: KvShape
    rope: Rope
    cells: Cells
    start: int

    def of(self, tokens: Sequence[int], *, skip: int, seed: int) -> Sensitivity:
        """`tokens` follow the cells; predictions count from the one after token number `skip` on."""
        trace = self.forward(tokens)
        rng = np.random.default_rng(seed)
        return _backward(self, trace, trace.drawn(rng, skip), skip)

    def forward(self, tokens: Sequence[int]) -> Forward:
        """Read `tokens` behind the cells."""
        return Forward(self, tokens)


class _Layer:
    """What the way back needs of one layer's way there."""

    x: FloatRows
    h: FloatRows
    q: FloatRows
    k: list[FloatRows]
    v: list[FloatRows]
    attention: list[FloatRows]
    middle: FloatRows
    h2: FloatRows
    gate: FloatRows
    up: FloatRows


class Forward:
    """The way there: `h`, float32 [n, n_embd], times `output` is the logits after each token."""

    def __init__(self, model: Gradients, tokens: Sequence[int]) -> None:
        self.model = model
        self.n = len(tokens)
        self.positions = np.arange(self.n, dtype=np.int32) + np.int32(model.cells.positions[-1] + 1)
        self.layers: list[_Layer] = []
        x = model.weights.embedding[np.asarray(tokens)]
        for i in range(model.shape.n_layers):
            x = self._layer(i, x)
        self.x = x
        self.h = _norm(x, model.weights.norm, model.weights.epsilon)

    def drawn(self, rng: np.random.Generator, skip: int) -> FloatRows:
        """Gradient of the drawn tokens' log-probabilities with respect to `h`, float32 [n - skip, n_embd]."""
        output = self.model.weights.output
        logits = self.h[skip:] @ output.T
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        at = (np.cumsum(p, axis=1) < rng.random((len(p), 1)).astype(np.float32)).sum(axis=1)
        at = np.minimum(at, p.shape[1] - 1)
        return np.asarray(output[at] - p @ output, np.float32)

    def _layer(self, i: int, x: FloatRows) -> FloatRows:
        m, w, t = self.model, self.model.weights.layers[i], _Layer()
        s, eps = m.shape, m.weights.epsilon
        t.x, t.h = x, _norm(x, w["attn_norm"], eps)
        q = (t.h @ w["attn_q"].T).reshape(self.n, s.n_heads, s.k_dim)
        k = (t.h @ w["attn_k"].T).reshape(self.n, s.n_kv_heads, s.k_dim)
        v = (t.h @ w["attn_v"].T).reshape(self.n, s.n_kv_heads, s.v_dim)
        t.q, k = rotate(q, self.positions, m.rope), rotate(k, self.positions, m.rope)
        group = s.n_heads // s.n_kv_heads
        out = np.empty((self.n, s.n_heads, s.v_dim), np.float32)
        t.k, t.v, t.attention = [], [], []
        for head in range(s.n_kv_heads):
            keys = np.concatenate([m.cells.k[i, :, head].astype(np.float32), k[:, head]])
            values = np.concatenate([m.cells.v[i, :, head].astype(np.float32), v[:, head]])
            queries = _of_group(t.q, head, group)
            scores = (queries @ keys.T) * np.float32(s.k_dim**-0.5)
            scores.reshape(group, self.n, -1)[:, :, -self.n :] += _causal(self.n)
            attention = _softmax(scores)
            out[:, head * group : (head + 1) * group] = (attention @ values).reshape(group, self.n, -1).swapaxes(0, 1)
            for kept, part in ((t.k, keys), (t.v, values), (t.attention, attention)):
                kept.append(part)
        t.middle = x + out.reshape(self.n, -1) @ w["attn_output"].T
        t.h2 = _norm(t.middle, w["ffn_norm"], eps)
        t.gate, t.up = t.h2 @ w["ffn_gate"].T, t.h2 @ w["ffn_up"].T
        self.layers.append(t)
        return np.asarray(t.middle + (t.gate * _sigmoid(t.gate) * t.up) @ w["ffn_down"].T, np.float32)


def _backward(model: Gradients, trace: Forward, last: FloatRows, skip: int) -> Sensitivity:
    s, n = model.shape, trace.n
    n_rows = len(model.cells) - model.start
    n_heads = s.n_layers * s.n_kv_heads
    keys = np.empty((n_heads, n_rows, s.k_dim), np.float32)
    values = np.empty((n_heads, n_rows, s.v_dim), np.float32)
    peak = np.empty((n_heads, n_rows), np.float32)
    dh = np.zeros_like(trace.h)
    dh[skip:] = last
    dx = _norm_back(dh, trace.x, model.weights.norm, model.weights.epsilon)
    where = model.cells.positions[model.start :]
    for i in reversed(range(s.n_layers)):
        t = trace.layers[i]
        dx = _feed_forward_back(model, i, t, dx)
        out = (dx @ model.weights.layers[i]["attn_output"]).reshape(n, s.n_heads, s.v_dim)
        own: list[list[FloatRows]] = [[], [], []]
        for head in range(s.n_kv_heads):
            dq, dk, dv = _attention_back(model, t, out, head)
            at = i * s.n_kv_heads + head
            keys[at] = rotate(dk[model.start : -n][:, None], -where, model.rope)[:, 0]
            values[at] = dv[model.start : -n]
            peak[at] = t.attention[head][:, model.start : -n].max(axis=0)
            for parts, part in zip(own, (dq, dk[-n:], dv[-n:]), strict=True):
                parts.append(part)
        dx = dx + _projections_back(model, i, trace, own)
    return Sensitivity(keys, values, peak, n - skip)


def _feed_forward_back(model: Gradients, i: int, t: _Layer, dx: FloatRows) -> FloatRows:
    w = model.weights.layers[i]
    act = _sigmoid(t.gate)
    dy = dx @ w["ffn_down"]
    dgate = dy * t.up * act * (1 + t.gate * (1 - act))
    dh: FloatRows = dgate @ w["ffn_gate"]
    dh += (dy * t.gate * act) @ w["ffn_up"]
    return dx + _norm_back(dh, t.middle, w["ffn_norm"], model.weights.epsilon)


def _attention_back(model: Gradients, t: _Layer, out: FloatRows, head: int) -> tuple[FloatRows, FloatRows, FloatRows]:
    """Gradients of this head's queries [n, group, D], and of the keys and values it looks at."""
    s = model.shape
    group = s.n_heads // s.n_kv_heads
    do, attention = _of_group(out, head, group), t.attention[head]
    da = do @ t.v[head].T
    ds = attention * (da - (da * attention).sum(axis=1, keepdims=True)) * np.float32(s.k_dim**-0.5)
    dq = (ds @ t.k[head]).reshape(group, -1, s.k_dim).swapaxes(0, 1)
    return dq, ds.T @ _of_group(t.q, head, group), attention.T @ do


def _projections_back(model: Gradients, i: int, trace: Forward, own: list[list[FloatRows]]) -> FloatRows:
    w, t, n = model.weights.layers[i], trace.layers[i], trace.n
    dq = rotate(np.concatenate(own[0], axis=1), -trace.positions, model.rope)
    dk = rotate(np.stack(own[1], axis=1), -trace.positions, model.rope)
    dv = np.stack(own[2], axis=1)
    dh: FloatRows = dq.reshape(n, -1) @ w["attn_q"]
    dh += dk.reshape(n, -1) @ w["attn_k"]
    dh += dv.reshape(n, -1) @ w["attn_v"]
    return _norm_back(dh, t.x, w["attn_norm"], model.weights.epsilon)


def _of_group(x: FloatRows, head: int, group: int) -> FloatRows:
    """[n, n_heads, D] -> the queries of one key/value head, [group * n, D]."""
    return np.ascontiguousarray(x[:, head * group : (head + 1) * group].swapaxes(0, 1)).reshape(-1, x.shape[2])


def _causal(n: int) -> FloatRows:
    return np.where(np.arange(n)[None] > np.arange(n)[:, None], np.float32(-1e30), np.float32(0))


def _softmax(scores: FloatRows) -> FloatRows:
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def _sigmoid(x: FloatRows) -> FloatRows:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)


def _norm(x: FloatRows, weight: FloatRows, epsilon: float) -> FloatRows:
    return np.asarray(x * _inverse_rms(x, epsilon) * weight, np.float32)


def _inverse_rms(x: FloatRows, epsilon: float) -> NDArray[np.float32]:
    return np.asarray(1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + epsilon), np.float32)


def _norm_back(dy: FloatRows, x: FloatRows, weight: FloatRows, epsilon: float) -> FloatRows:
    r = _inverse_rms(x, epsilon)
    scaled = dy * weight
    return np.asarray(r * scaled - x * (r**3) * (scaled * x).mean(axis=1, keepdims=True), np.float32)
