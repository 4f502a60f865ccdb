"""What ingest costs beside embedding, how fast unchanged files are passed over, and how much memory it all takes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.runtime.base import Embedder
from secondme.types import IngestDone

KEY = StoreKeys.derived(bytes(32))


def run(embedder: Embedder, *, n_files: int, n_unchanged: int) -> Iterator[Row]:
    """Rows over `n_files` real files (the interpreter's own library) and `n_unchanged` small ones."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = _corpus(Path(folder) / "corpus", n_files)
        done = _ingest(corpus, Path(folder) / "a.db", embedder)
        own = done.elapsed_s - done.embed_s
        yield Row(
            "ingest",
            "overhead_over_embedding",
            own / done.embed_s,
            "share",
            n_files,
            "embedding",
            1.0,
            done.embed_s / own,
        )
        yield Row("ingest", "files_per_s", n_files / done.elapsed_s, "files/s", n_files)
        yield Row("ingest", "mb_per_s", done.n_bytes / 1e6 / done.elapsed_s, "MB/s", n_files)
        yield _rescan(Path(folder), n_unchanged)


def _corpus(folder: Path, n_files: int) -> Path:
    """Copies of library modules, smallest first left out: files a developer would drop."""
    folder.mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted((p for p in library.glob("*.py") if 2_000 < p.stat().st_size < 30_000), key=lambda p: p.name)
    for path in files[:n_files]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _rescan(folder: Path, n: int) -> Row:
    """Seconds to pass over `n` unchanged files; embedded by hashing, because only the second pass is timed."""
    from secondme.runtime.echo import HashEmbedder

    files = folder / "many"
    for i in range(n):
        path = files / f"{i // 100}" / f"note-{i}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {i}\n\nA short note about topic {i % 37}.\n", "utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    _ingest(files, folder / "b.db", HashEmbedder())
    started = time.perf_counter()
    done = _ingest(files, folder / "b.db", HashEmbedder())
    elapsed = time.perf_counter() - started
    if done.n_unchanged != n:
        raise RuntimeError(f"{n - done.n_unchanged} of {n} files were read again")
    return Row("ingest", "rescan_s", elapsed, "s", n)


def _ingest(folder: Path, database: Path, embedder: Embedder) -> IngestDone:
    from secondme.ingest.pipeline import IngestOptions, ingest
    from secondme.memory.store import Store

    store = Store.open(database, KEY)
    try:
        for event in ingest([folder], store, embedder, IngestOptions(project="bench")):
            if isinstance(event, IngestDone):
                return event
    finally:
        store.close()
    raise RuntimeError("ingest did not end")


_RSS = """
import sys, numpy as np
from pathlib import Path
import psutil
from secondme.runtime.llama import LlamaEmbedder, LlamaGenerator, LlamaOptions
generator = LlamaGenerator(Path(sys.argv[1]), options=LlamaOptions(n_ctx=4096))
embedder = LlamaEmbedder(Path(sys.argv[2]))
for _ in generator.prefill(generator.tokenize("the tide " * 600)): pass
embedder.embed(["the tide"] * 8)
if sys.argv[3] != "-":
    from secondme.crypto.keys import StoreKeys
    from secondme.memory.store import Store
    from secondme.chat.turn import Engines, Question, answer
    import secondme.tui.app
    store = Store.open(Path(sys.argv[3]), StoreKeys.derived(bytes(32)))
    for question in ("what is topic 7 about?", "which notes name the harbour?"):
        for event in answer(Question(question, style="write"), Engines(store, embedder, generator)):
            if type(event).__name__ == 'TokenText': break
print(psutil.Process().memory_info().rss)
"""


def rss(generator_path: Path, embedder_path: Path, *, n_chunks: int) -> Row:
    """Resident memory of the whole program with `n_chunks` stored, beyond a process that holds the two models alone."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "rss.db"
        _fill(database, n_chunks)
        base = [sys.executable, "-c", _RSS, str(generator_path), str(embedder_path)]
        alone, whole = (
            int(subprocess.run([*base, store], check=True, capture_output=True, text=True).stdout)
            for store in ("-", str(database))
        )
    return Row("ingest", "rss_mb", (whole - alone) / 1e6, "MB", n_chunks)


def _fill(database: Path, n_chunks: int) -> None:
    import numpy as np

    from secondme.memory.store import Store
    from secondme.types import Chunk, FileStamp, SourceFile

    rng = np.random.default_rng(7)
    store = Store.open(database, KEY)
    store.set_embedder("bench", 384)
    text = "A note about topic {0} by the harbour, with the names of the ships and the state of the tide. " * 8
    for i in range(0, n_chunks, 50):
        chunks = []
        at = 0
        for j in range(min(50, n_chunks - i)):
            piece = text.format(i + j)
            chunks.append(Chunk(j, piece, at, at + len(piece), 1, 1, None, ()))
            at += len(piece)
        vectors = rng.standard_normal((len(chunks), 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        source = SourceFile(f"/bench/{i}.txt", "default", "text/plain", f"{i}", i.to_bytes(32), FileStamp(at, 0, i))
        store.put_source(source, chunks, vectors)
    store.close()
