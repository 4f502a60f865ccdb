"""Searching lists of near vectors instead of all: time and recall beside our own scan, lists (faiss) and graphs."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import numpy as np

from secondme.bench.rows import Row
from secondme.bench.vectors import graphs
from secondme.bench.vectors.sample import Ids, Sample, random_sample
from secondme.bench.vectors.setting import Setting
from secondme.bench.vectors.timing import BENCH, Runs, Search, compared_by_query, in_turn
from secondme.kernels import _native
from secondme.kernels.index import Mode, Stats, VectorIndex

N_ADDED = 10_000
"""Rows by which the cost of adding is measured, at most a tenth of all."""

N_TIMED = 50
_STEP_US = 20_000


def run(setting: Setting) -> Iterator[Row]:
    """Searches through the lists that `maintain` makes of the setting's index, with as many probes as it chooses."""
    sample, index = setting.sample, setting.index
    case, n_rows = f"ivf/{sample.shape}", sample.n_rows
    build_s = settle(index)
    stats = index.stats()
    yield Row(BENCH, f"{case}/build", build_s, "s", stats.n_lists)
    lists, scan = setting.searching(Mode.LISTS), setting.searching()
    reached = graphs.judged(lists, sample)
    recall = f"recall@{sample.k}/random/ivf/{n_rows}"
    yield compared_by_query(case, *_turns(setting, lists, "our exact scan", scan))
    yield Row(BENCH, recall, reached, "share", len(sample.queries))
    yield Row(BENCH, f"recall@10/reported/ivf/{n_rows}", stats.recall, "share", stats.n_probes)
    for peer in graphs.wanted(setting.libraries):
        tuned = graphs.tuned(peer, sample, reached)
        name = f"{peer.name} at {tuned.effort}"
        yield compared_by_query(case, *_turns(setting, lists, name, tuned.search))
        yield Row(
            BENCH, recall, reached, "share", len(sample.queries), name, tuned.recall, reached / max(tuned.recall, 1e-9)
        )
        yield Row(BENCH, f"{case}/build", build_s, "s", 1, peer.name, tuned.build_s, tuned.build_s / build_s)
        del tuned
        gc.collect()
    yield _traverse(setting, stats)
    yield _insert(index, sample)


def _turns(setting: Setting, lists: Search, name: str, other: Search) -> tuple[Runs, str, Runs]:
    """Of as many queries as there is time for several runs of."""
    n = min(N_TIMED, len(setting.sample.queries))
    ours, theirs = in_turn([lists, other], n, setting.budget_s, least=n)
    return ours, name, theirs


def _traverse(setting: Setting, stats: Stats) -> Row:
    """Microseconds to find the lists to search, inside native code: the query is quantized and held against as many
    centroids. They lie in pages like rows, so an index of as many rows does the same work."""
    sample = setting.sample
    index = VectorIndex(sample.n_dims, fine=False)
    index.add(sample.ids[: stats.n_lists], sample.rows[: stats.n_lists])
    n_probes = max(1, min(stats.n_probes, stats.n_lists))
    best = min(_native.search_seconds(index._native, query, n_probes, 20) for query in sample.queries)
    return Row(BENCH, f"traverse/{sample.n_rows}", 1e6 * best, "us", stats.n_lists)


def settle(index: VectorIndex) -> float:
    """Seconds of one core until there is nothing left to do for the lists."""
    started = time.perf_counter()
    while index.maintain(_STEP_US):
        pass
    return time.perf_counter() - started


def _insert(index: VectorIndex, sample: Sample) -> Row:
    """Microseconds of adding a row, with all that is done for the lists because of it; a hundred rows at a time."""
    n = max(1, min(N_ADDED, sample.n_rows // 10))
    new = random_sample(1, sample.n_dims, 1, n_queries=n).queries
    ids: Ids = np.arange(sample.n_rows, sample.n_rows + n, dtype=np.int64)
    started = time.perf_counter()
    for first in range(0, n, 100):
        index.add(ids[first : first + 100], new[first : first + 100])
        index.maintain(_STEP_US)
    settle(index)
    return Row(BENCH, f"ivf/{sample.shape}/insert", 1e6 * (time.perf_counter() - started) / n, "us", n)
