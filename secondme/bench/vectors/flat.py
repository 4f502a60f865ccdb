"""Comparing a query with every row: times beside the peers' exact searches, filters, and the memory's own speed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np

from secondme.bench.rows import Row
from secondme.bench.vectors import peers
from secondme.bench.vectors.sample import Ids, in_large_pages
from secondme.bench.vectors.setting import N_PARTS, Setting
from secondme.bench.vectors.timing import BENCH, compared, recalls
from secondme.kernels import _native
from secondme.kernels.index import Mode

READ_BLOCK, READ_WAYS = 24_576, 3
"""What `read_seconds` knows: it reads whole blocks."""

SIGN_CANDIDATES = 200
"""What the peer's form of sign bits leaves for float32, as many as it needs for a recall like ours."""


def run(setting: Setting) -> Iterator[Row]:
    yield from _scan(setting)
    yield from _signs(setting)
    yield from _filtered(setting)
    yield _bandwidth(setting)


def _scan(setting: Setting) -> Iterator[Row]:
    """The int8 scan with 16-bit rescoring, against each peer in turn; times are of the whole Python call for either."""
    sample = setting.sample
    case, n_rows = f"scan/{sample.shape}", sample.n_rows
    for peer in peers.flat(setting.libraries):
        search = peer.build(sample)
        ours, theirs = setting.in_turn(setting.searching(), search)
        yield from compared(case, ours, peer.name, theirs)
        yield recalls(f"recall@{sample.k}/random/{n_rows}", sample, ours, peer.name, theirs)
        del search
        gc.collect()


def _signs(setting: Setting) -> Iterator[Row]:
    """Sign bits first, then int8, then 16 bits."""
    sample = setting.sample
    signs, scan = setting.searching(Mode.SIGNS), setting.searching()
    case = f"signs/{sample.shape}"
    ours, exact = setting.in_turn(signs, scan)
    yield from compared(case, ours, "our exact scan", exact)
    yield recalls(f"recall@{sample.k}/random/signs/{sample.n_rows}", sample, ours, "our exact scan", exact)
    if "faiss" in setting.libraries:
        name = "faiss binary + float32"
        ours, theirs = setting.in_turn(signs, peers.faiss_binary(sample, SIGN_CANDIDATES))
        yield from compared(case, ours, name, theirs)
        yield recalls(f"recall@{sample.k}/random/signs/{sample.n_rows}", sample, ours, name, theirs)


def _filtered(setting: Setting) -> Iterator[Row]:
    """A share of the rows, scattered as a project's may be, and adjacent as those of files are."""
    index, sample = setting.index, setting.sample
    for share in (1, 10, 50):
        wanted = range(share * N_PARTS // 100)
        for kind, where in (("", index.filter(projects=wanted)), ("/adjacent", index.filter(sources=wanted))):

            def filtered(query: int, where: _native.Filter = where) -> Ids:
                return index.search(sample.queries[query], sample.k, where)[0]

            ours, whole = setting.in_turn(filtered, setting.searching())
            best, all_rows = 1000 * ours.best, 1000 * whole.best
            n = len(ours.seconds)
            yield Row(BENCH, f"filtered/{share}%{kind}", best, "ms", n, "unfiltered", all_rows, all_rows / best)


def _bandwidth(setting: Setting) -> Row:
    """Gigabytes of int8 scanned a second, against reading as many bytes in the best of three ways, and nothing else."""
    index, sample = setting.index, setting.sample
    n_bytes = sample.n_rows * ((sample.n_dims + 63) // 64 * 64)
    as_many = in_large_pages(-(-n_bytes // READ_BLOCK), READ_BLOCK, np.uint8).ravel()
    as_many.fill(1)  # or it would be one page of zeros

    def scan(query: int) -> Ids:
        return index.candidates(sample.queries[query], sample.k)[0]

    def read(query: int) -> Ids:
        _native.read_seconds(as_many, query % READ_WAYS)
        return sample.ids[:0]

    ours, plain = setting.in_turn(scan, read)
    rate, of_reading = n_bytes / 1e9 / ours.best, as_many.nbytes / 1e9 / plain.best
    case, n = f"bandwidth_share/{sample.shape}", len(ours.seconds)
    return Row(BENCH, case, rate, "GB/s", n, "reading alone", of_reading, rate / of_reading)
