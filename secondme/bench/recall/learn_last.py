"""Weights for log-odds that a statement belongs to a matter, learned from which one of it was said last.

Each of a row of statements belongs with probability m, by itself; the one that holds is the last that belongs: its m
times 1 - m of all that follow. Normalised over the row, its logarithm is what is learned to be high. Of many statements
beside each other, what was said last wins only if it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Loss = Callable[[Doubles], tuple[float, Doubles]]

_N_STEPS = 200
_N_REMEMBERED = 10
_LEAST_GAIN = 1e-7


def last_of(rows: Sequence[Doubles], targets: Sequence[NDArray[np.bool_]], strength: float) -> Doubles:
    """Weights [f + 1], the bias last, from `rows` [n, f] by time and `targets` [n], which of them may be the one."""
    starts = np.cumsum([0, *(len(r) for r in rows[:-1])])
    of = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    x = np.c_[np.concatenate(rows), np.ones(len(of))]
    target = np.concatenate(targets).astype(np.float64)
    penalty = np.append(np.full(x.shape[1] - 1, strength), 0.0)

    def before(values: Doubles) -> Doubles:
        """Sums of what stands earlier in the same row."""
        sums = np.cumsum(values) - values
        return np.asarray(sums - sums[starts][of], np.float64)

    def loss(w: Doubles) -> tuple[float, Doubles]:
        odds = x @ w
        out = -np.logaddexp(0, odds)
        likely = -np.logaddexp(0, -odds) + np.add.reduceat(out, starts)[of] - before(out) - out
        top = np.maximum.reduceat(likely, starts)[of]
        raised = np.exp(likely - top)
        totals, hit = np.add.reduceat(raised, starts), np.add.reduceat(raised * target, starts) + 1e-300
        pull = raised * target / hit[of] - raised / totals[of]
        belongs = np.exp(-np.logaddexp(0, -odds))
        slope = pull * (1 - belongs) - belongs * before(pull)
        value = (np.log(totals) - np.log(hit)).sum() + (penalty * w) @ w / 2
        return float(value), penalty * w - x.T @ slope

    return _minimised(loss, np.zeros(x.shape[1]))


def _minimised(loss: Loss, start: Doubles) -> Doubles:
    """By L-BFGS (Liu and Nocedal 1989) with halved steps."""
    w, moves, turns = start, list[Doubles](), list[Doubles]()
    value, slope = loss(w)
    for _ in range(_N_STEPS):
        step = -_bent(slope, moves, turns)
        size, (new_value, new_slope) = 1.0, loss(w + step)
        while new_value > value + 1e-4 * size * (slope @ step) and size > 1e-9:
            size /= 2
            new_value, new_slope = loss(w + size * step)
        gain = value - new_value
        if (size * step) @ (new_slope - slope) > 1e-12:
            moves, turns = [*moves, size * step][-_N_REMEMBERED:], [*turns, new_slope - slope][-_N_REMEMBERED:]
        w, value, slope = w + size * step, new_value, new_slope
        if gain < _LEAST_GAIN * abs(value):
            break
    return w


def _bent(slope: Doubles, moves: Sequence[Doubles], turns: Sequence[Doubles]) -> Doubles:
    """`slope` times what the last steps tell of the inverse of the curvature."""
    bent, shares = slope.copy(), []
    for move, turn in zip(reversed(moves), reversed(turns), strict=True):
        shares.append(float(move @ bent) / float(turn @ move))
        bent -= shares[-1] * turn
    if moves:
        bent *= float(moves[-1] @ turns[-1]) / float(turns[-1] @ turns[-1])
    else:
        bent /= max(1.0, float(np.linalg.norm(slope)))
    for move, turn, share in zip(moves, turns, reversed(shares), strict=True):
        bent += (share - float(turn @ bent) / float(turn @ move)) * move
    return bent
