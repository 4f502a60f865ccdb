"""`secondme bench vectors`: the index beside the libraries that people use, on the same vectors, in the same run.

    sample.py    random vectors of any number, and the exact answer
    texts.py     real embeddings, for recall
    setting.py   what the cases share             timing.py    how times are taken
    flat.py      every row: forms, filters        peers.py     beside exact searches of others
    clusters.py  lists of near rows               graphs.py    beside approximate searches of others
    stored.py    through the encrypted store      lookaside.py repeated and near queries
    native.py    kernels and calls alone          readers.py   many readers, one writer
    recall.py    what each form finds of the exact answer

Nothing here is imported before it is known that it is wanted, and that NumPy and the peers run on one thread.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.rows import Row
from secondme.errors import UsageError

if TYPE_CHECKING:
    from secondme.runtime.base import Embedder

MAX_DIMS = 4096
MAX_K = 4096
PEERS = {
    "sqlite-vec": "sqlite_vec",
    "numpy": "numpy",
    "faiss": "faiss",
    "usearch": "usearch",
    "numkong": "numkong",
    "hnswlib": "hnswlib",
    "usearch-graph": "usearch",
}
"""What `--peers` may name, with the module it takes. The last two build graphs: many minutes at a million rows."""

ALWAYS_THERE = frozenset({"sqlite-vec", "numpy"})
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. peers: names with commas, `all`, or "" for those that are there anyway. texts: a folder of
    public texts, None for those in Python's library; n_passages: how many of their passages are embedded, None for one
    in fifty rows, at most 4,000. libraries: the peers, once `checked`."""

    n_rows: int = 100_000
    n_dims: int = 384
    k: int = 10
    isa: str | None = None
    peers: str = ""
    texts: Path | None = None
    n_passages: int | None = None
    libraries: frozenset[str] = field(default=ALWAYS_THERE)

    @property
    def budget_s(self) -> float:
        """For the runs of one case: two seconds at 100,000 rows."""
        return min(6.0, max(0.03, self.n_rows / 50_000))

    @property
    def n_real(self) -> int:
        return self.n_passages if self.n_passages is not None else min(4000, max(32, self.n_rows // 50))


def use_one_thread() -> None:
    """Before NumPy or a peer is imported: their own threads make times incomparable, and 40 times worse under load."""
    for name in _THREADS:
        os.environ.setdefault(name, "1")


def run(options: Options, load: Callable[[], Embedder]) -> Iterator[Row]:
    """Rows for `options` as `checked` returns them; `load` brings the embedding model, which is needed last."""
    from secondme.bench.vectors import clusters, flat, lookaside, native, readers, recall, stored
    from secondme.bench.vectors.sample import random_sample
    from secondme.bench.vectors.setting import Setting, filled
    from secondme.bench.vectors.texts import real_sample

    sample = random_sample(options.n_rows, options.n_dims, options.k)
    setting = Setting(sample, filled(sample, options.isa), options.budget_s, options.libraries)
    yield from flat.run(setting)
    yield from clusters.run(setting)
    del setting
    yield from lookaside.run(sample, options.isa)
    if options.isa is None:  # the store uses the best there is, whatever is asked for here
        yield from stored.run(sample, options.budget_s)
    del sample
    yield from native.run(options.isa, options.budget_s)
    yield from readers.run(options.isa, options.n_dims, options.budget_s)
    real = real_sample(options.texts, options.n_real, min(options.k, options.n_real), load())
    yield from recall.run(real, options.isa)


def checked(options: Options) -> Options:
    """`options` with their libraries. Raises UsageError for what cannot be measured here."""
    if options.n_rows < 1:
        raise UsageError(f"{options.n_rows} rows cannot be searched", hint="ask for one or more: --rows N")
    if not 1 <= options.n_dims <= MAX_DIMS:
        raise UsageError(f"vectors of {options.n_dims} dimensions cannot be kept", hint=f"--dims 1 to {MAX_DIMS}")
    most = min(options.n_rows, MAX_K)
    if not 1 <= options.k <= most:
        raise UsageError(f"{options.k} results cannot be had of {options.n_rows} rows", hint=f"--k 1 to {most}")
    if options.n_passages is not None and options.n_passages < options.k:
        raise UsageError(f"{options.k} results cannot be had of {options.n_passages} passages", hint="--passages N")
    if options.texts is not None and not options.texts.is_dir():
        raise UsageError(f"there is no folder {options.texts}", hint="name a folder of plain text files: --texts DIR")
    use_one_thread()
    from secondme.kernels import capabilities

    isas = [name for name in capabilities().isas if name != "numpy"]
    if not isas:
        raise UsageError("the kernels are not built", hint="run: make chat")
    if options.isa is not None and options.isa not in isas:
        raise UsageError(f"no {options.isa} kernels run here", hint=f"--isa is one of {', '.join(isas)}")
    return replace(options, libraries=_libraries(options.peers) if options.peers else ALWAYS_THERE)


def _libraries(names: str) -> frozenset[str]:
    wanted = frozenset(PEERS) if names == "all" else frozenset(name.strip() for name in names.split(","))
    if unknown := sorted(wanted - PEERS.keys()):
        raise UsageError(f"there is no peer {unknown[0]}", hint=f"there are: all, {', '.join(PEERS)}")
    missing = sorted({name for name in wanted if importlib.util.find_spec(PEERS[name]) is None})
    if missing:
        raise UsageError(f"not installed: {', '.join(missing)}", hint="make bench PEERS=1")
    return wanted
