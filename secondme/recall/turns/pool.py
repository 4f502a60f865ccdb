"""The turns that may bear on a question: the best by words and by vectors, with those around them, as arrays.

Only indexes are asked, so that the number of turns looked at does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import Float32Matrix
from secondme.memory.store import Store
from secondme.recall.turns.asked import Asked
from secondme.types import Turn

BY_WORDS = 80
BY_VECTOR = 80
BY_NAMED_VECTOR = 40
REACH = 2
"""Turns before and after each hit that are weighed as well: an answer stands near what it answers."""

MOST = 500
"""Turns are weighed at some 40 microseconds each. More than MOST are of a store so large that the best stand out: then
FEWER will do."""
FEWER = 180

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """n turns by conversation and in order.

    of: number of the conversation of each, from 0 [n]. days: on which day each was said, as an ordinal [n].
    pooled: float32 [n, n_dims], zeros for a turn without a trace. packed: tokens for `maxsim`, b"" without a trace.
    """

    turns: Sequence[Turn]
    of: NDArray[np.int64]
    starts: NDArray[np.int64]
    days: NDArray[np.int64]
    pooled: Float32Matrix
    packed: Sequence[bytes]
    same: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.turns)

    def shifted(self, values: Floats, offset: int, fill: float = 0.0) -> Floats:
        """What `values` [..., n] are `offset` turns further on in the same conversation; `fill` beyond its ends."""
        found = np.full_like(values, fill)
        n, k = len(self), abs(offset)
        if k >= n:
            return found
        if k not in self.same:
            self.same[k] = self.of[k:] == self.of[:-k]
        same = self.same[k]
        if offset > 0:
            found[..., :-k] = np.where(same, values[..., k:], fill)
        else:
            found[..., k:] = np.where(same, values[..., :-k], fill)
        return found

    def highest(self, values: Floats) -> Floats:
        """The highest of `values` [n, ...] in each turn's conversation."""
        return np.maximum.reduceat(values, self.starts, axis=0)[self.of]

    def summed(self, values: Floats) -> Floats:
        """The sum of `values` [n, ...] over each turn's conversation."""
        return np.add.reduceat(values, self.starts, axis=0)[self.of]

    def counted(self) -> Floats:
        """How many turns of each turn's conversation are here [n]."""
        return self.summed(np.ones(len(self), np.float32))


def gather(asked: Asked, store: Store, project: str | None, exclude_conversation: int | None) -> Pool | None:
    """The turns to weigh; None if there are none."""
    wanted = [(asked.stripped.pooled, BY_VECTOR), (asked.plain.pooled, BY_NAMED_VECTOR)]
    nearest = store.begin_nearest_turns(wanted, project)
    terms = list(dict.fromkeys((*asked.form.terms, *asked.stems)))
    rankings = (store.search_turns_any(terms, BY_WORDS, project), *nearest())
    seeds = _within_reason(dict.fromkeys(hit[0] for rank in zip_longest(*rankings) for hit in rank if hit is not None))
    turns = [t for t in store.turns_around(seeds, REACH) if t.conversation_id != exclude_conversation]
    return pool_of(turns, store, len(asked.stripped.pooled)) if turns else None


def _within_reason(seeds: Iterable[int]) -> list[int]:
    """All of `seeds`, best first, or the first of them where they lie so far apart that too many turns came along.

    Turns of a conversation have ids in a row, nearly always; what is counted wrong is only a little time.
    """
    ranked = list(seeds)
    near: set[int] = set()
    n_within = len(ranked)
    for n, seed in enumerate(ranked):
        if n_within == len(ranked) and len(near) >= FEWER:
            n_within = n
        near.update(range(seed - REACH, seed + REACH + 1))
    return ranked if len(near) <= MOST else ranked[:n_within]


def pool_of(turns: Sequence[Turn], store: Store, n_dims: int = 1) -> Pool:
    """`turns`, at least one, by conversation and in order, with their traces; `n_dims` is told where none has one."""
    traces = store.traces([t.id for t in turns])
    n_dims = next((len(vector) for vector, _ in traces.values()), n_dims)
    nothing = np.zeros(n_dims, np.float32)
    conversations = np.array([t.conversation_id for t in turns])
    begins = np.r_[True, conversations[1:] != conversations[:-1]]
    return Pool(
        turns=turns,
        of=np.cumsum(begins) - 1,
        starts=np.flatnonzero(begins),
        days=np.array([_day(t.created_at) for t in turns]),
        pooled=np.stack([traces[t.id][0] if t.id in traces else nothing for t in turns]),
        packed=[traces[t.id][1] if t.id in traces else b"" for t in turns],
    )


def _day(at: float) -> int:
    """The day of a moment in this machine's time as an ordinal; the first day for what no calendar holds."""
    try:
        return datetime.fromtimestamp(at).toordinal()
    except (ValueError, OverflowError, OSError):
        return date.min.toordinal()


def standardised(values: Floats) -> Floats:
    """z-scores of `values` [..., n]."""
    values = values.astype(np.float32)
    away = values - values.mean(axis=-1, keepdims=True)
    found: Floats = away / (values.std(axis=-1, keepdims=True) + np.float32(1e-6))
    return found


def standardised_each(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """z-scores of columns [n], each under its name after `z.`."""
    rows = standardised(np.stack(list(columns.values())))
    return {f"z.{name}": row for name, row in zip(columns, rows, strict=True)}
