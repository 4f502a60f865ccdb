"""Making a model's calibration: statistics of its keys, values and queries on texts, then a transform for each head.

For each head a metric says how bad an error in a row is: d' S d. Components are the Karhunen-Loeve transform of rows
whitened by S, scaled so that one quantizer step is about as bad everywhere; then equal steps are the best allocation of
bits to components, heads and layers (reverse water-filling). S comes from gradients of the model's own predictions
(`gradients.py`) where its weights can be read, else keys are measured by the attention scores they change and values by
their own size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.calibration import Calibration, Transform, build_calibration
from secondme.cartridges.gradients import Gradients, Sensitivity
from secondme.cartridges.pad import Sampling, padding
from secondme.cartridges.turn import rotate
from secondme.errors import Cancelled, CartridgeIncompatible, ModelError
from secondme.runtime.base import Generator
from secondme.runtime.gguf_weights import LlamaWeights
from secondme.runtime.kv import Cells, F16Cells, FloatRows, KvIdentity, KvReader, KvShape, Rope
from secondme.types import CancelCheck, Message, never_cancelled

Moments = NDArray[np.float64]

_FLOOR = 1e-3
"""Of a metric's mean diagonal, added to it: no direction is free of charge."""
_RIDGE = 1e-2
"""Of the keys' mean variance, added where values are predicted from them."""
_PLAIN_SHARE = 0.3
"""Of a metric: what is known without gradients, which are few and noisy beside it."""
_LEAST_PEAK = 1e-4
_SEED = 5
_BEFORE = "You are a helpful assistant. Answer from the documents.\n\nDocuments:\n\n"
_AGAIN = "Repeat the documents exactly, word for word."


@dataclass(frozen=True, slots=True)
class Recipe:
    """How each text is read. prefix: tokens before it. n_tokens: of it at most. again: tokens before each of its
    `n_pieces` when it is repeated. n_further: tokens of how it goes on. weights: None where they cannot be read.
    n_positions: of the longest context.
    """

    prefix: tuple[int, ...]
    again: tuple[int, ...]
    weights: LlamaWeights | None
    n_positions: int
    n_tokens: int = 560
    n_pieces: int = 3
    n_further: int = 160


def recipe_for(generator: Generator, weights: LlamaWeights | None) -> Recipe:
    """Texts stand where documents do, in a system message, and are asked for again by the owner.

    Models without a usable chat template get the plain words.
    """
    try:
        messages = [Message("system", _BEFORE), Message("user", _AGAIN)]
        prefix, again = generator.chat_parts(messages)
    except ModelError:
        prefix, again = generator.tokenize(_BEFORE), generator.tokenize(f"\n\n{_AGAIN}\n\n")
    return Recipe(tuple(prefix), tuple(again), weights, generator.info.n_ctx_train)


@dataclass(frozen=True, slots=True)
class CalibrationProgress:
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """data: the file's bytes. used_gradients: whether the model's weights could be read."""

    data: bytes
    calibration: Calibration
    used_gradients: bool


@dataclass
class Statistics:
    """Sums over rows seen so far, float64, of each head, [n_heads, ...]: of keys before RoPE (k), values (v) and their
    products; of what keys before RoPE are multiplied by (qq); and of gradients (gk, gv), of `n_gradients` rows.
    queries: for each layer, all queries before RoPE that may ever look at padding; of a sample, a rare one that does
    may be missing. A text's first token is left out: it sees itself alone, and its queries are unlike all others.
    """

    shape: KvShape
    rope: Rope
    n_rows: int = 0
    n_queries: int = 0
    n_gradients: int = 0
    sums: dict[str, Moments] = field(default_factory=dict)
    queries: list[list[FloatRows]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, k, v = self.shape.n_layers * self.shape.n_kv_heads, self.shape.k_dim, self.shape.v_dim
        sizes: dict[str, tuple[int, ...]] = {"k": (k,), "v": (v,), "kk": (k, k), "vv": (v, v), "kv": (k, v)}
        sizes |= {"qq": (k, k), "gk": (k, k), "gv": (v, v)}
        self.sums = {name: np.zeros((n, *size)) for name, size in sizes.items()}
        self.queries = [[] for _ in range(self.shape.n_layers)]

    def add_cells(self, cells: Cells) -> None:
        """Take in keys and values of a text's tokens."""
        for layer in range(self.shape.n_layers):
            keys = rotate(cells.k[layer].astype(np.float32), -cells.positions, self.rope).astype(np.float64)
            values = cells.v[layer].astype(np.float64)
            for i in range(self.shape.n_kv_heads):
                self._add_head(layer * self.shape.n_kv_heads + i, keys[:, i], values[:, i])
        self.n_rows += len(cells)

    def _add_head(self, head: int, keys: Moments, values: Moments) -> None:
        s = self.sums
        s["k"][head] += keys.sum(axis=0)
        s["v"][head] += values.sum(axis=0)
        s["kk"][head] += keys.T @ keys
        s["vv"][head] += values.T @ values
        s["kv"][head] += keys.T @ values

    def add_queries(self, layer: int, queries: FloatRows, start: int) -> None:
        """queries: float32 [n, n_heads, k_dim] after RoPE, from position `start` on. Each looks back at every distance
        in turn, so its products with keys before RoPE are those of the query turned to a random position.
        """
        plain = self.keep_queries(layer, queries, start)
        rng = np.random.default_rng([_SEED, layer, start])
        distances = rng.integers(0, max(start, 1), len(queries), np.int32)
        turned = rotate(plain, distances, self.rope).astype(np.float64) * self.shape.k_dim**-0.5
        group = self.shape.n_heads // self.shape.n_kv_heads
        for i in range(self.shape.n_kv_heads):
            rows = turned[:, i * group : (i + 1) * group].reshape(-1, self.shape.k_dim)
            self.sums["qq"][layer * self.shape.n_kv_heads + i] += rows.T @ rows
        if layer == 0:
            self.n_queries += len(queries) * group

    def keep_queries(self, layer: int, queries: FloatRows, start: int) -> FloatRows:
        """Take them in for the search of padding only; returns them before RoPE."""
        plain = rotate(queries, -np.arange(start, start + len(queries), dtype=np.int32), self.rope)
        self.queries[layer].append(plain[1:] if start == 0 else plain)
        return plain

    def add_gradients(self, found: Sequence[Sensitivity]) -> None:
        """Of all texts read after one document. A row's gradients grow with the attention it gets, and a cartridge has
        finer steps for rows of high scores; so each row is divided by the square root of the most it got.
        """
        peak = np.maximum(np.max([f.peak for f in found], axis=0), np.float32(_LEAST_PEAK))
        share = (peak**-0.25)[:, :, None]
        for each in found:
            for name, rows in (("gk", each.keys), ("gv", each.values)):
                weighed = (rows * share).astype(np.float64)
                self.sums[name] += np.swapaxes(weighed, 1, 2) @ weighed / each.n_predictions
        self.n_gradients += peak.shape[1]


def calibrate(
    reader: KvReader, texts: Sequence[Sequence[int]], recipe: Recipe, *, cancelled: CancelCheck = never_cancelled
) -> Iterator[CalibrationProgress | Calibrated]:
    """Read `texts` (token ids) one after the other; the last event is the calibration. The reader's cache is replaced.

    Raises Cancelled; CartridgeIncompatible where the texts are too short, or the model's keys are of no use to this.
    """
    statistics = Statistics(reader.identity.shape, reader.identity.rope)
    n_steps = 1 + (recipe.n_pieces + 1 if recipe.weights else 0)
    for i, text in enumerate(texts):
        for step in _read_text(reader, text, recipe, statistics, cancelled):
            yield CalibrationProgress(i * n_steps + step, len(texts) * n_steps)
    if statistics.n_rows < 2 * max(statistics.shape.k_dim, statistics.shape.v_dim):
        raise CartridgeIncompatible("there is too little text to calibrate with", hint="name more or longer texts")
    queries = [np.concatenate(layer) for layer in statistics.queries]
    sampling = Sampling(statistics.rope, recipe.n_positions)
    keys = padding(queries, statistics.shape, sampling, weights=recipe.weights).keys
    data, made = calibration_of(statistics, reader.identity, keys)
    yield Calibrated(data, made, recipe.weights is not None)


def _read_text(
    reader: KvReader, text: Sequence[int], recipe: Recipe, statistics: Statistics, cancelled: CancelCheck
) -> Iterator[int]:
    """Yields the number of steps done so far."""
    start, document = len(recipe.prefix), list(text[: recipe.n_tokens])
    at = [0] * statistics.shape.n_layers

    def capture(take: Callable[[int, FloatRows, int], object], layer: int, queries: FloatRows, _: FloatRows) -> None:
        take(layer, queries, at[layer])
        at[layer] += len(queries)

    reader.rewind(0)
    for _ in reader.read(
        [*recipe.prefix, *document], capture=partial(capture, statistics.add_queries), cancelled=cancelled
    ):
        pass
    cells = reader.cells()
    statistics.add_cells(Cells(cells.positions[start:], cells.k[:, start:], cells.v[:, start:]))
    # A template's own tokens between two turns look where no others do.
    for _ in reader.read(recipe.again, capture=partial(capture, statistics.keep_queries), cancelled=cancelled):
        pass
    yield 1
    if recipe.weights is None:
        return
    gradients = Gradients(recipe.weights, statistics.shape, statistics.rope, cells, start)
    found = []
    for i, (tokens, skip) in enumerate(_further(text, document, recipe)):
        if cancelled():
            raise Cancelled("calibrating was stopped")
        found.append(gradients.of(tokens, skip=skip, seed=_SEED + i))
        yield 2 + i
    statistics.add_gradients(found)


def _further(text: Sequence[int], document: list[int], recipe: Recipe) -> Iterator[tuple[list[int], int]]:
    """What is predicted after the document, and after how many tokens: its own pieces again, and how it goes on."""
    bounds = np.linspace(0, len(document), recipe.n_pieces + 1).astype(int)
    for first, last in pairwise(bounds):
        yield [*recipe.again, *document[first:last]], len(recipe.again)
    goes_on = list(text[len(document) : len(document) + recipe.n_further])
    if goes_on:
        yield goes_on, 0


def calibration_of(statistics: Statistics, identity: KvIdentity, padding: F16Cells) -> tuple[bytes, Calibration]:
    """(the file's bytes, the calibration). Raises CartridgeIncompatible for a degenerate one."""
    n, s = statistics.n_rows, statistics.sums
    mean_k, mean_v = s["k"] / n, s["v"] / n
    cov_k = s["kk"] / n - mean_k[:, :, None] * mean_k[:, None]
    cov_v = s["vv"] / n - mean_v[:, :, None] * mean_v[:, None]
    cross = s["kv"] / n - mean_k[:, :, None] * mean_v[:, None]
    prediction = np.linalg.solve(_floored(cov_k, _RIDGE), cross)
    told = np.swapaxes(prediction, 1, 2) @ cross
    rest = cov_v - told - np.swapaxes(told, 1, 2) + np.swapaxes(prediction, 1, 2) @ cov_k @ prediction
    key_metric, value_metric = _metrics(statistics, cov_v)
    made = Calibration(
        weights=identity.weights,
        shape=statistics.shape,
        rope=identity.rope,
        keys=_transform(mean_k, cov_k, key_metric),
        values=_transform(mean_v, rest, value_metric),
        prediction=prediction.astype(np.float16),
        padding=padding,
        digest="",
    )
    return build_calibration(made)


def _metrics(statistics: Statistics, cov_v: Moments) -> tuple[Moments, Moments]:
    """Of keys and of values, [n_heads, D, D], such that an error of 1 is about as bad in any head."""
    s, shape = statistics.sums, statistics.shape
    logits = s["qq"] / statistics.n_queries
    plain = np.broadcast_to(np.eye(shape.v_dim), cov_v.shape)
    if not statistics.n_gradients:
        size = _trace(cov_v).reshape(shape.n_layers, -1).mean(axis=1) / shape.v_dim
        return logits, plain / np.repeat(size, shape.n_kv_heads)[:, None, None]
    keys, values = (s[name] / statistics.n_gradients for name in ("gk", "gv"))
    scale = shape.k_dim / np.exp(np.log(np.maximum(_trace(keys), 1e-30)).mean())
    return scale * _blend(keys, logits), scale * _blend(values, plain)


def _blend(metric: Moments, other: Moments) -> Moments:
    share = (_trace(metric) / _trace(other))[:, None, None]
    blended: Moments = (1 - _PLAIN_SHARE) * metric + _PLAIN_SHARE * share * other
    return blended


def _trace(matrices: Moments) -> Moments:
    return np.asarray(np.trace(matrices, axis1=1, axis2=2), np.float64)


def _transform(mean: Moments, covariance: Moments, metric: Moments) -> Transform:
    """Whitened by the metric, then by descending variance."""
    root, inverse = _roots(_floored(metric, _FLOOR))
    axes = np.linalg.eigh(root @ covariance @ root)[1][:, :, ::-1]
    axes = axes * np.where(axes.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    synthesis = np.swapaxes(axes, 1, 2) @ inverse
    scales = np.abs(synthesis).max(axis=(1, 2))
    weights = (synthesis / scales[:, None, None]).astype(np.float16)
    return Transform(mean.astype(np.float32), weights, scales.astype(np.float32))


def _floored(matrices: Moments, share: float) -> Moments:
    size = matrices.shape[-1]
    level = _trace(matrices) / size
    floored: Moments = matrices + (share * level + 1e-12)[:, None, None] * np.eye(size)
    return floored


def _roots(matrices: Moments) -> tuple[Moments, Moments]:
    """Square roots of symmetric positive definite matrices, and their inverses."""
    values, axes = np.linalg.eigh(matrices)
    size = np.sqrt(np.maximum(values, 1e-300))
    turned = np.swapaxes(axes, 1, 2)
    return (axes * size[:, None]) @ turned, (axes / size[:, None]) @ turned
