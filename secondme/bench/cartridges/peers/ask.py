"""All questions of a document in one pass over a cache of any shape; runs in the peers' environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from secondme.bench.cartridges.peers.exchange import Asked

NAME = "secondme_rows"
_rows: list[Rows] = []


@dataclass(frozen=True, slots=True)
class Rows:
    """A layer's cache. keys, values: float32 [1, heads, n, D]; bias: float32 [heads, n] of zeros and, where a head has
    no row, -inf; None where all have."""

    keys: Any
    values: Any
    bias: Any


@dataclass(frozen=True, slots=True)
class Sheet:
    """Questions side by side, blind to each other: what all tails begin with is read once.

    ids, positions: int64 [1, n]; sees: bool [n, n]. at: where the gold tokens are foretold; gold: what they are;
    question: whose they are, int64 [n_gold].
    """

    ids: Any
    positions: Any
    sees: Any
    at: Any
    gold: Any
    question: Any
    n_questions: int


def sheet(questions: Sequence[Asked], start: int) -> Sheet:
    """start: the position after prefix and document."""
    tails = [q.tail for q in questions]
    n_common = 0
    while all(len(t) > n_common + 1 for t in tails) and len({t[n_common] for t in tails}) == 1:
        n_common += 1
    ids, positions, owner = list(tails[0][:n_common]), list(range(n_common)), [-1] * n_common
    at: list[int] = []
    gold: list[int] = []
    question: list[int] = []
    for i, asked in enumerate(questions):
        branch = [*asked.tail[n_common:], *asked.gold[:-1]]
        first = len(ids) + len(asked.tail) - n_common - 1
        at += range(first, first + len(asked.gold))
        gold += asked.gold
        question += [i] * len(asked.gold)
        ids += branch
        positions += range(n_common, n_common + len(branch))
        owner += [i] * len(branch)
    who = torch.tensor(owner)
    sees = (who[None] == who[:, None]) | (who[None] == -1)
    return Sheet(
        torch.tensor([ids]),
        torch.tensor([positions]) + start,
        sees & torch.ones_like(sees).tril(),
        torch.tensor(at),
        torch.tensor(gold),
        torch.tensor(question),
        len(questions),
    )


def log_probs(model: Any, rows: list[Rows], asked: Sheet) -> Any:
    """Log-probabilities float32 [n_gold, n_vocab] at the gold tokens, over the cache `rows`."""
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    _rows[:] = rows
    try:
        mask = torch.where(asked.sees, 0.0, -torch.inf)[None, None]
        out = model.model(
            input_ids=asked.ids, position_ids=asked.positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
    finally:
        model.config._attn_implementation = before
        _rows.clear()
    return functional.log_softmax(model.lm_head(out[0, asked.at]).float(), -1)


def kl_sums(full: Any, other: Any, asked: Sheet) -> list[float]:
    """KL(full || other) in nats, summed over each question's gold tokens."""
    rows = (full.exp() * (full - other)).sum(-1).clamp_min(0).double()
    return list(torch.zeros(asked.n_questions, dtype=torch.double).index_add_(0, asked.question, rows).tolist())


def all_likeliest(log_probabilities: Any, asked: Sheet) -> list[bool]:
    """For each question, whether every gold token is the likeliest: then a greedy answer begins with the gold one."""
    wrong = (log_probabilities.argmax(-1) != asked.gold).long()
    n_wrong = torch.zeros(asked.n_questions, dtype=torch.long).index_add_(0, asked.question, wrong)
    return [n == 0 for n in n_wrong.tolist()]


def _attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    rows = _rows[module.layer_idx]
    keys, values = torch.cat((rows.keys, key), 2), torch.cat((rows.values, value), 2)
    n, n_rows = query.shape[2], rows.keys.shape[2]
    groups = query.shape[1] // key.shape[1]
    if rows.bias is None:
        stored = torch.zeros(1, 1, n, n_rows)
    else:
        stored = rows.bias.repeat_interleave(groups, 0)[None, :, None].expand(1, -1, n, n_rows)
    mask = torch.cat((stored, attention_mask.expand(1, stored.shape[1], n, n)), -1)
    out = functional.scaled_dot_product_attention(
        query,
        keys.repeat_interleave(groups, 1),
        values.repeat_interleave(groups, 1),
        attn_mask=mask,
        scale=options.get("scaling"),
    )
    return out.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
