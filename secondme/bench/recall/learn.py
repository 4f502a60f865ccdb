"""Learns the fusion of turns from conversations whose evidence is known: two linear passes and a gate.

Each pass is a softmax over a question's turns: every turn of the evidence against all that are not, its loss a
question's mean, times the square root of how many there are; quadratic regularisation; solved by Newton's method, so
that the same data gives the same weights. The second pass learns from scores of first passes that had not seen the
conversation. Features are those of the shipped weights.
Source: Cao et al. 2007, "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet's top-one loss).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secondme.bench.recall import Tools
from secondme.bench.recall.locomo import KEPT, Question, Sample, Stored
from secondme.errors import UsageError
from secondme.recall.turns.gate import gate_features
from secondme.recall.turns.recall import SECOND_LOOK, Weighed, second_pass, weigh
from secondme.recall.turns.second import second_features
from secondme.recall.turns.weights import Linear, Weights, shipped, write
from secondme.recall.turns.words import Counted

Doubles = NDArray[np.float64]

STRENGTH = 120.0
"""Of the regularisation; from 40 to 300 the figures moved by a tenth of a point."""
GATE_STRENGTH = 20.0
LEAST_DEVIATION = 0.02
"""Features that hardly vary are not blown up."""
N_STEPS = 25
LEAST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A question of conversation `of` with its turns weighed, and which of them are evidence [n]."""

    of: int
    question: Question
    weighed: Weighed
    counted: Counted
    target: NDArray[np.bool_]


def learn(stored: Stored, tools: Tools) -> Weights:
    """Weights from all samples, with those for each sample that were learned without it.

    Raises UsageError for fewer than three: the second pass for one learns from a first that saw neither it nor another.
    """
    if len(stored.samples) < LEAST:
        raise UsageError(f"{len(stored.samples)} conversations teach nothing", hint=f"bring {LEAST} or more")
    examples = [e for n, sample in enumerate(stored.samples) for e in _examples(n, sample, stored, tools)]
    tools.say(f"learning from {len(examples)} questions")
    learner = _Learner(examples, shipped())
    whole = learner.without(frozenset())
    held_out = {sample.digest: learner.without(frozenset({n})) for n, sample in enumerate(stored.samples)}
    options = tools.options
    assert options.locomo is not None and options.learn is not None
    command = f"secondme bench recall --locomo {options.locomo.name} --learn {options.learn.name}"
    return replace(whole, command=command, held_out=held_out)


def save(weights: Weights, tools: Tools) -> None:
    """Write them where `--learn` says."""
    path = tools.options.learn
    assert path is not None
    write(weights, path)
    tools.say(f"wrote {path}")


def _examples(n: int, sample: Sample, stored: Stored, tools: Tools) -> list[Example]:
    found = []
    for question in sample.questions:
        where = (sample.project, None, sample.now)
        weighed = weigh(question.text, stored.store, tools.embedder, where, shipped())
        if weighed is not None:
            target = np.array([t.id in question.relevant for t in weighed.pool.turns])
            found.append(Example(n, question, weighed, Counted(weighed.asked, weighed.pool), target))
    tools.say(f"weighed the turns for {len(found)} questions of {sample.project}")
    return found


class _Learner:
    """Fits both passes and the gate without some conversations; first passes are kept, since many share one."""

    def __init__(self, examples: Sequence[Example], like: Weights) -> None:
        self._examples = examples
        self._like = like
        self._conversations = sorted({e.of for e in examples})
        rows = [_matrix(like.first, e.weighed.columns) for e in examples]
        self._first_rows = rows
        self._first_scale = _scale(rows)
        self._first = cache(self._fit_first)

    def without(self, left_out: frozenset[int]) -> Weights:
        first = self._first(left_out)
        second = self._fit_second(left_out)
        weights = Weights(first, second, self._like.gate, "")
        return replace(weights, gate=self._fit_gate(left_out, weights))

    def _fit_first(self, left_out: frozenset[int]) -> Linear:
        names = self._like.first.names
        pairs = [
            _candidates(rows, e.target, e.weighed.columns["plain_fusion"])
            for rows, e in zip(self._first_rows, self._examples, strict=True)
            if e.of not in left_out
        ]
        return _fitted(names, pairs, self._first_scale)

    def _fit_second(self, left_out: frozenset[int]) -> Linear:
        names = self._like.second.names
        pairs = []
        for e in self._examples:
            if e.of not in left_out:
                first = self._first(left_out | {e.of}).scores(e.weighed.columns)
                pairs.append(_candidates(_matrix(self._like.second, _again(e, first)), e.target, first))
        return _fitted(names, pairs, _scale([rows for rows, _ in pairs]))

    def _fit_gate(self, left_out: frozenset[int], weights: Weights) -> Linear:
        """Logistic; its zero is where KEPT of the questions with an answer pass."""
        rows, answerable = [], []
        for e in self._examples:
            if e.of not in left_out:
                scores = second_pass(e.weighed.asked, e.weighed.pool, e.counted, e.weighed.columns, weights)
                columns = gate_features(e.weighed.asked, e.weighed.pool, e.weighed.columns, scores)
                rows.append(_matrix(weights.gate, columns)[0])
                answerable.append(e.question.category != "adversarial")
        return _logistic(weights.gate.names, np.array(rows), np.array(answerable))


def _again(example: Example, first: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    weighed = example.weighed
    found = second_features(weighed.asked, weighed.pool, example.counted, weighed.columns, first)
    return weighed.columns | found


def _matrix(linear: Linear, columns: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack([columns[name] for name in linear.names], axis=1).astype(np.float32)


def _candidates(
    rows: NDArray[np.float32], target: NDArray[np.bool_], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    best = np.argsort(-scores, kind="stable")[:SECOND_LOOK]
    return rows[best], target[best]


def _scale(rows: Sequence[NDArray[np.float32]]) -> tuple[Doubles, Doubles]:
    """Means and deviations of all rows [f]."""
    n = sum(map(len, rows))
    mean = sum((r.sum(axis=0, dtype=np.float64) for r in rows), np.zeros(rows[0].shape[1])) / n
    squares = sum((((r - mean) ** 2).sum(axis=0) for r in rows), np.zeros(rows[0].shape[1])) / n
    return mean, np.maximum(np.sqrt(squares), LEAST_DEVIATION)


def _fitted(
    names: Sequence[str],
    pairs: Collection[tuple[NDArray[np.float32], NDArray[np.bool_]]],
    scale: tuple[Doubles, Doubles],
) -> Linear:
    mean, deviation = scale
    used = [((rows - mean) / deviation, target) for rows, target in pairs if target.any()]
    weights = listwise([rows for rows, _ in used], [target for _, target in used], STRENGTH)
    return _linear(names, weights, scale)


def listwise(rows: Sequence[Doubles], targets: Sequence[NDArray[np.bool_]], strength: float) -> Doubles:
    """Weights [f] that minimise the softmax loss of `rows` [n, f] against `targets` [n], a pair a question."""
    starts = np.cumsum([0, *(len(r) for r in rows[:-1])])
    of = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    x = np.concatenate(rows)
    loads = np.sqrt([t.sum() for t in targets])
    wanted = np.concatenate([t / t.sum() for t in targets]) * loads[of]
    pull = wanted @ x

    def loss(w: Doubles) -> tuple[float, Doubles]:
        scores = x @ w
        top = np.maximum.reduceat(scores, starts)
        raised = np.exp(scores - top[of])
        totals = np.add.reduceat(raised, starts)
        value = loads @ (np.log(totals) + top) - wanted @ scores + strength / 2 * (w @ w)
        return float(value), raised / totals[of]

    weights = np.zeros(x.shape[1])
    value, shares = loss(weights)
    for _ in range(N_STEPS):
        means = np.add.reduceat(x * shares[:, None], starts, axis=0)
        gradient = loads @ means - pull + strength * weights
        curvature = (x * (shares * loads[of])[:, None]).T @ x - (means * loads[:, None]).T @ means
        step = np.linalg.solve(curvature + strength * np.eye(len(weights)), gradient)
        size = 1.0
        while (found := loss(weights - size * step))[0] > value - 1e-4 * size * (gradient @ step) and size > 1e-3:
            size /= 2
        weights = weights - size * step
        gain, (value, shares) = value - found[0], found
        if gain < 1e-5 * abs(value):
            break
    return weights


def _logistic(names: Sequence[str], rows: NDArray[np.float32], positive: NDArray[np.bool_]) -> Linear:
    """Both classes weigh the same; the bias lets KEPT of the positive ones through."""
    mean = rows.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(rows.std(axis=0, dtype=np.float64), LEAST_DEVIATION)
    x = np.c_[(rows - mean) / deviation, np.ones(len(rows))]
    loads = np.where(positive, 0.5 / max(1, positive.sum()), 0.5 / max(1, (~positive).sum())) * len(rows)
    penalty = np.diag([*[GATE_STRENGTH] * len(names), 1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(N_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (loads * (likely - positive)) + penalty @ weights
        curvature = (x * (loads * likely * (1 - likely))[:, None]).T @ x + penalty
        weights = weights - np.linalg.solve(curvature, gradient)
    scores = np.sort((x[:, :-1] @ weights[:-1])[positive])
    least = float(scores[int((1 - KEPT) * len(scores))]) if len(scores) else 0.0
    return _linear(names, weights[:-1], (mean, deviation), -least)


def _linear(names: Sequence[str], weights: Doubles, scale: tuple[Doubles, Doubles], bias: float = 0.0) -> Linear:
    mean, deviation = (x.astype(np.float32) for x in scale)
    return Linear(tuple(names), weights.astype(np.float32), mean, deviation, bias)
