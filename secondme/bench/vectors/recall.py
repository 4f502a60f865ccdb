"""What each form of search finds of the exact answer, on real embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from secondme.bench.rows import Row
from secondme.bench.vectors.clusters import settle
from secondme.bench.vectors.sample import Ids, Sample
from secondme.bench.vectors.setting import exactly
from secondme.bench.vectors.timing import BENCH, Search
from secondme.kernels.index import Mode, VectorIndex


def run(sample: Sample, isa: str | None) -> Iterator[Row]:
    """Shares of the k nearest by float32, over all queries; the name of a case ends with the number of rows."""
    for form, search in _forms(sample, isa):
        found = [(query, search(query)) for query in range(len(sample.queries))]
        share = sample.recall(found)
        case = f"recall@{sample.k}/{form}/{sample.n_rows}"
        yield Row(BENCH, case, share, "share", len(found), "float32 exact", 1.0, share)


def _forms(sample: Sample, isa: str | None) -> Iterator[tuple[str, Search]]:
    index = VectorIndex(sample.n_dims, signs=True, isa=isa, flat_limit=1)
    index.add(sample.ids, sample.rows)

    def searching(mode: Mode) -> Search:
        return partial(exactly, index, sample, mode)

    def int8(query: int) -> Ids:
        return index.candidates(sample.queries[query], sample.k)[0]

    yield "exact", searching(Mode.EXACT)
    yield "int8", int8
    yield "signs", searching(Mode.SIGNS)
    settle(index)
    yield "lists", searching(Mode.LISTS)
