"""What the cases share: the vectors, the index over them, and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from secondme.bench.vectors.sample import BLOCK_ROWS, Ids, Sample
from secondme.bench.vectors.timing import Runs, Search, in_turn
from secondme.kernels.index import Attributes, Mode, VectorIndex

N_PARTS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """index: ours over all rows of `sample`. budget_s: for the runs of one case. libraries: the peers wanted."""

    sample: Sample
    index: VectorIndex
    budget_s: float
    libraries: frozenset[str]

    def searching(self, mode: Mode = Mode.EXACT) -> Search:
        return partial(exactly, self.index, self.sample, mode)

    def in_turn(self, *searches: Search) -> list[Runs]:
        return in_turn(list(searches), len(self.sample.queries), self.budget_s)


def exactly(index: VectorIndex, sample: Sample, mode: Mode, query: int) -> Ids:
    """What a search finds whose doubts are settled by float32 rows, as the store's are."""
    found = index.search_exactly(sample.queries[query], sample.k, sample.rows.__getitem__, mode=mode)
    assert found is not None, "no row goes"
    return found[0]


def filled(sample: Sample, isa: str | None, *, n_remembered: int = 0) -> VectorIndex:
    """An index of all rows, which keeps lists at any size once `maintain` is called.

    The rows of a project are scattered, which is the worst for filters; those of a source are adjacent, as they are
    when files are added one after the other.
    """
    index = VectorIndex(sample.n_dims, signs=True, isa=isa, n_remembered=n_remembered, flat_limit=1)
    projects = np.random.default_rng(9).permutation(sample.n_rows) % N_PARTS
    sources = sample.ids * N_PARTS // sample.n_rows
    for start in range(0, sample.n_rows, BLOCK_ROWS):
        some = slice(start, start + BLOCK_ROWS)
        kind = Attributes(project=_i32(projects[some]), source=_i32(sources[some]))
        index.add(sample.ids[some], sample.rows[some], kind)
    return index


def _i32(values: Ids) -> NDArray[np.int32]:
    return values.astype(np.int32)
