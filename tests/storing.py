"""Small sources, passages and unit vectors for tests of the store, and a look at all it holds."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import apsw
import numpy as np
from numpy.typing import NDArray

from secondme.crypto.keys import StoreKeys
from secondme.memory.store import Store
from secondme.types import Chunk, Citation, FileStamp, SourceFile

KEY = StoreKeys.derived(bytes(range(32)))
N_DIMS = 8


def source_of(path: str, *, project: str = "default", title: str = "", content: bytes = b"") -> SourceFile:
    digest = (content or path.encode("utf-8", "surrogateescape")).ljust(32, b"-")[:32]
    return SourceFile(path, project, "text/plain", title, digest, FileStamp(10, 20, 2**64 - 1))


def chunks_of(texts: Sequence[str], *, headings: tuple[str, ...] = ()) -> list[Chunk]:
    """Passages that tile the joined texts, one a line."""
    made: list[Chunk] = []
    start = 0
    for i, text in enumerate(texts):
        end = start + len(text.encode("utf-8", "surrogatepass"))
        made.append(Chunk(i, text, start, end, i + 1, i + 1, None, headings))
        start = end
    return made


def unit_vectors(n: int, n_dims: int = N_DIMS, seed: int = 1) -> NDArray[np.float32]:
    """Random unit vectors [n, n_dims]."""
    rows = np.random.default_rng(seed).standard_normal((n, n_dims)).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def put(store: Store, path: str, texts: Sequence[str], *, project: str = "default", seed: int = 1) -> int:
    """Store a file of `texts`, setting an embedder of N_DIMS first if there is none."""
    if store.embedder() is None:
        store.set_embedder("test", N_DIMS)
    return store.put_source(source_of(path, project=project), chunks_of(texts), unit_vectors(len(texts), N_DIMS, seed))


def texts_found(store: Store, match: str, project: str | None = None) -> list[str]:
    return [c.chunk.text for c in store.chunks([i for i, _ in store.search_text(match, 1000, project)])]


def citation_of(path: str = "/notes/a.txt", text: str = "the text", chunk_id: int = 1) -> Citation:
    return Citation(
        n=1,
        chunk_id=chunk_id,
        path=path,
        title="A",
        project="default",
        page=3,
        line_start=1,
        line_end=2,
        byte_start=0,
        byte_end=8,
        heading_path=("One", "Two"),
        text=text,
        quote="text",
        quote_start=4,
        quote_end=8,
        quote_line=1,
        score=0.1 + 0.2,
        marked=True,
    )


@contextmanager
def quota(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond so many bytes; the signal for it is ignored by Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def every_value(connection: apsw.Connection) -> Iterable[tuple[str, bytes]]:
    """(table, bytes) of each value in each real table, the indexes' own tables with them, decrypted."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND upper(sql) NOT LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    for name in (str(row[0]) for row in tables):
        for row in connection.execute(f'SELECT * FROM "{name}"').fetchall():
            for value in row:
                yield name, value if isinstance(value, bytes) else str(value).encode("utf-8")


def holding(connection: apsw.Connection, wanted: bytes) -> list[str]:
    """The tables in which `wanted` occurs."""
    return sorted({name for name, value in every_value(connection) if wanted in value})
