"""How times are taken: ways of doing the same in turn, so that a drift of the machine meets them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from secondme.bench.rows import Row
from secondme.bench.vectors.sample import Ids, Sample

Search = Callable[[int], Ids]
"""Ids of the rows found for the query of that number."""

BENCH = "vectors"
_BURST = 5
_MOST = 500


@dataclass(slots=True)
class Runs:
    """Seconds that each run took, and what was found."""

    seconds: list[float] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    found: list[tuple[int, Ids]] = field(default_factory=list)

    @property
    def best(self) -> float:
        """What else the machine does can only slow a run down."""
        return min(self.seconds)

    @property
    def mean(self) -> float:
        """Over the queries, of the best run of each: for searches that some queries take longer for than others."""
        bests: dict[int, float] = {}
        for query, seconds in zip(self.queries, self.seconds, strict=True):
            bests[query] = min(seconds, bests.get(query, seconds))
        return statistics.fmean(bests.values())

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def in_turn(searches: list[Search], n_queries: int, budget_s: float, least: int = 1) -> list[Runs]:
    """Each search for the same queries, in turn, until the budget is used up and `least` are done.

    A few queries at a time: the first of them finds the caches full of what the other search read, the rest do not, as
    in a program that searches by one of them alone.
    """
    for search in searches:
        search(0)
    runs = [Runs() for _ in searches]
    end = time.perf_counter() + budget_s
    n = 0
    while n < least or (n < _MOST and time.perf_counter() < end):
        for search, run in zip(searches, runs, strict=True):
            for query in range(n, n + _BURST):
                started = time.perf_counter()
                ids = search(query % n_queries)
                run.seconds.append(time.perf_counter() - started)
                run.queries.append(query % n_queries)
                if query < n_queries:
                    run.found.append((query, ids))
        n += _BURST
    return runs


def compared(case: str, ours: Runs, name: str, peer: Runs) -> Iterator[Row]:
    """Milliseconds of the best run of each, and of the middle one."""
    n, best, middle = len(ours.seconds), 1000 * ours.best, 1000 * ours.median
    yield Row(BENCH, case, best, "ms", n, name, 1000 * peer.best, 1000 * peer.best / best)
    yield Row(BENCH, f"{case}/median", middle, "ms", n, name, 1000 * peer.median, 1000 * peer.median / middle)


def compared_by_query(case: str, ours: Runs, name: str, peer: Runs) -> Row:
    """Milliseconds of the mean over all queries."""
    value, theirs = 1000 * ours.mean, 1000 * peer.mean
    return Row(BENCH, case, value, "ms", len(ours.seconds), name, theirs, theirs / value)


def recalls(case: str, sample: Sample, ours: Runs, name: str, peer: Runs) -> Row:
    """Shares of the exact nearest found by each, over the same queries."""
    value, peer_value = sample.recall(ours.found), sample.recall(peer.found)
    return Row(BENCH, case, value, "share", len(ours.found), name, peer_value, value / max(peer_value, 1e-9))


def per_call(work: Callable[[], object], n: int) -> float:
    """Seconds of one call, from `n` in a row: for calls too short to be timed alone."""
    started = time.perf_counter()
    for _ in range(n):
        work()
    return (time.perf_counter() - started) / n
