"""Features of the second pass, seeded by the first: what the best turns are like, where they stand, and what they name.

Turns that resemble the best ones, share their rare words (the second hop of a question that needs several turns), or
stand beside them gain; the scores of the first pass take part as one feature among others.
Source: Lavrenko and Croft 2001, "Relevance-Based Language Models"; Xu et al. 2021 on feedback by dense vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.pool import Pool
from secondme.recall.turns.words import Counted

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

SEEDS = 8
_TAUGHT_BY = 5
_N_TAUGHT = 12
_LOWEST = -8.0
_RARE = 0.06
"""A word that links two turns stands in at most this share of the turns at hand."""


def second_features(asked: Asked, pool: Pool, counted: Counted, columns: Columns, scores: Floats) -> Columns:
    """Columns [n] by name; `scores` [n] are the first pass's, `columns` its features."""
    order = np.argsort(-scores, kind="stable")
    found = _ranked(scores, order) | _beside(pool, scores) | _conversation(pool, scores, order)
    found |= _alike(pool, scores, order)
    found |= _taught(asked, counted, scores, order) | _linked(asked, pool, counted, scores, order)
    found["asked_before: score-1"] = columns["asks-1"] * found["beside-1"]
    found["asks: score+1"] = columns["asks"] * found["beside+1"]
    several = np.float32(columns["plural: speaker"].any() or columns["perfect: speaker"].any())
    for name in ("alike_8", "elsewhere_8", "linked_elsewhere", "rank_in_conversation", "conversation_share", "taught"):
        found[f"several: {name}"] = several * found[name]
    return found


def _ranked(scores: Floats, order: NDArray[np.int64]) -> Columns:
    rank = np.empty(len(scores), np.float32)
    rank[order] = np.arange(len(scores))
    return {
        "score": (scores - scores[order[:10]].mean()).astype(np.float32),
        "rank": np.log1p(rank),
        "reciprocal_rank": 1 / (1 + rank),
        "in_5": (rank < 5).astype(np.float32),
        "in_10": (rank < 10).astype(np.float32),
    }


def _beside(pool: Pool, scores: Floats) -> Columns:
    """The scores of the turns before and after, against the best of all."""
    top = scores.max()
    moved = {o: pool.shifted(scores, o, float(scores.min())) for o in (-3, -2, -1, 1, 2, 3)}
    found = {f"beside{o:+d}": np.maximum(v - top, _LOWEST).astype(np.float32) for o, v in moved.items()}
    found |= {f"beside_share{o:+d}": np.exp(v - top).astype(np.float32) for o, v in moved.items()}
    best = np.max(list(moved.values()), axis=0)
    found["best_beside"] = np.clip(best - scores, -6, 6).astype(np.float32)
    found["beaten_beside"] = (best > scores).astype(np.float32)
    return found


def _conversation(pool: Pool, scores: Floats, order: NDArray[np.int64]) -> Columns:
    top = scores.max()
    shares = np.exp(scores - top)
    shares /= shares.sum()
    share = pool.summed(shares)
    within = np.lexsort((-scores, pool.of))
    rank = np.empty(len(scores), np.float32)
    rank[within] = np.arange(len(scores)) - pool.starts[pool.of[within]]
    among = np.zeros(len(scores), np.float32)
    among[order[:20]] = 1
    return {
        "conversation_best": np.maximum(pool.highest(scores) - top, _LOWEST).astype(np.float32),
        "conversation_share": share.astype(np.float32),
        "conversation_log_share": np.log(share + 1e-4).astype(np.float32),
        "conversation_others": (share - shares).astype(np.float32),
        "conversation_among_20": pool.summed(among),
        "rank_in_conversation": np.log1p(rank),
        "first_in_conversation": (rank == 0).astype(np.float32),
    }


def _alike(pool: Pool, scores: Floats, order: NDArray[np.int64]) -> Columns:
    """Cosines to the best turns, others than itself; and to those of other conversations."""
    seeds = order[:SEEDS]
    cosines = pool.pooled @ pool.pooled[seeds].T
    cosines[seeds, np.arange(len(seeds))] = 0
    weights = np.exp(scores[seeds] - scores[seeds[0]]).astype(np.float32)
    apart = np.where(pool.of[seeds][None] != pool.of[:, None], cosines, 0)
    found = {}
    for k in (1, 3, SEEDS):
        some = np.where(seeds[None, :k] == np.arange(len(pool))[:, None], 0, weights[None, :k])
        found[f"alike_{k}"] = ((cosines[:, :k] * some).sum(axis=1) / (some.sum(axis=1) + 1e-3)).astype(np.float32)
        found[f"elsewhere_{k}"] = (apart[:, :k] * weights[:k]).max(axis=1, initial=0).astype(np.float32)
    return found


def _taught(asked: Asked, counted: Counted, scores: Floats, order: NDArray[np.int64]) -> Columns:
    """How much of what the best turns say beyond the question a turn says as well."""
    seeds = order[:_TAUGHT_BY]
    shares = np.exp(scores[seeds] - scores[seeds[0]])
    rarity = counted.rarity.astype(np.float32)
    taught = np.zeros(len(rarity), np.float32)
    for seed, share in zip(seeds.tolist(), shares, strict=True):
        said = counted.said_by(seed)
        new = counted.beyond(said, asked)
        taught[new] += share * rarity[new] / np.float32(len(said) or 1)
    best = np.argsort(-taught, kind="stable")[:_N_TAUGHT]
    weighed = np.zeros(len(taught), np.float64)
    weighed[best] = taught[best]
    values = (counted.summed(weighed).astype(np.float32) / (weighed.max(initial=0) or 1)).astype(np.float32)
    others = values.copy()
    others[seeds] = 0
    return {"taught": values, "taught_others": others}


def _linked(asked: Asked, pool: Pool, counted: Counted, scores: Floats, order: NDArray[np.int64]) -> Columns:
    """Rare words shared with one of the best turns, and with one of another conversation."""
    most = max(2.0, _RARE * len(pool))
    linked, elsewhere = np.zeros(len(pool), np.float32), np.zeros(len(pool), np.float32)
    for seed in order[:_TAUGHT_BY].tolist():
        said = counted.said_by(seed)
        rare = counted.beyond(said[counted.spread[said] <= most], asked)
        weighed = np.zeros(len(counted.rarity), np.float64)
        weighed[rare] = counted.rarity[rare]
        shared = counted.summed(weighed).astype(np.float32)
        shared *= np.float32(np.exp(scores[seed] - scores[order[0]]))
        shared[seed] = 0
        linked = np.maximum(linked, shared)
        elsewhere = np.maximum(elsewhere, np.where(pool.of != pool.of[seed], shared, 0))
    return {"linked": np.log1p(linked), "linked_elsewhere": np.log1p(elsewhere)}
