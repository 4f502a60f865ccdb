"""Real embeddings for figures of recall: passages of public texts, cut and embedded as the store's own would be.

Embedding takes longest by far, so vectors are kept in the cache folder, under a hash of their text. That is a plain
file, and the reason why only texts that anyone may read belong here.
"""

from __future__ import annotations

import ast
import hashlib
import random
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from secondme.bench.vectors.sample import FloatMatrix, Sample
from secondme.errors import IngestError, UsageError
from secondme.ingest.chunk import chunk_document, chunk_tokens, embedding_text
from secondme.ingest.parse import ISOLATED, kind_of, parse_kind
from secondme.paths import cache_dir, private_dir
from secondme.runtime.base import Embedder
from secondme.types import Document

N_QUERIES = 200
QUERY_WORDS = 12
_ENDINGS = {".txt", ".md", ".rst", ".html", ".py"}
_MAX_BYTES = 1_000_000
_SAYING = 20
"""Words of a string in a program that says something."""
_PER_FILE = 24
"""Passages of one file, so that a few long files are not all there is."""
_BATCH, _SAVE_EVERY = 32, 512


def real_sample(folder: Path | None, n_passages: int, k: int, embedder: Embedder) -> Sample:
    """`n_passages` of the texts below `folder`, in a fixed mixture; None is the documentation in Python's library.

    A query is a dozen words out of a passage's middle. Raises UsageError if there is too little text.
    """
    texts = _passages(folder or Path(sysconfig.get_path("stdlib")), n_passages, embedder)
    if len(texts) < max(k, 2):
        raise UsageError(f"there is too little text in {folder}", hint="name a folder of plain text files: --texts DIR")
    step = max(1, len(texts) // N_QUERIES)
    asked = [_middle(text) for text in texts[::step][:N_QUERIES]]
    vectors = _Cache(embedder).embed([*texts, *asked])
    return Sample(vectors[: len(texts)], vectors[len(texts) :], k)


def _passages(folder: Path, n: int, embedder: Embedder) -> list[str]:
    files = sorted(p for p in folder.rglob("*") if p.suffix in _ENDINGS and "site-packages" not in p.parts)
    random.Random(5).shuffle(files)
    found: dict[str, None] = {}
    for path in files:
        for text in _cut(path, embedder):
            found[text] = None  # the same licence heads many files
            if len(found) == n:
                return list(found)
    return list(found)


def _cut(path: Path, embedder: Embedder) -> Iterator[str]:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return
        content = path.read_bytes()
        kind = kind_of(path, content)
        if path.suffix == ".py":
            document = _prose(path, content)
        elif kind in ISOLATED:
            return
        else:
            document = parse_kind(kind, path, content)
    except (OSError, SyntaxError, ValueError, IngestError):
        return  # what cannot be read
    chunks = chunk_document(document, embedder.count_tokens, chunk_tokens(embedder.n_ctx))
    for chunk in random.Random(6).sample(chunks, min(_PER_FILE, len(chunks))):
        text = embedding_text(document.title, chunk, embedder.count_tokens, embedder.n_ctx)
        if len(text.split()) > QUERY_WORDS:
            yield text


def _prose(path: Path, content: bytes) -> Document:
    """What a module says in English: its documentation, and other long strings such as the language reference."""
    strings = (
        n.value for n in ast.walk(ast.parse(content)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )
    return Document("\n\n".join(s for s in strings if len(s.split()) >= _SAYING), "text/plain", path.stem)


def _middle(text: str) -> str:
    words = text.split()
    start = (len(words) - QUERY_WORDS) // 2
    return " ".join(words[start : start + QUERY_WORDS])


class _Cache:
    """Vectors by the hash of their text, in one file per model. An interrupted run keeps what it had."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._path = cache_dir() / "bench" / f"passages-{embedder.fingerprint[:16]}.npz"
        self._known: dict[bytes, FloatMatrix] = {}
        if self._path.is_file():
            with np.load(self._path) as stored:
                self._known = {bytes(key): row for key, row in zip(stored["keys"], stored["rows"], strict=True)}

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        """float32 [n, d], unit rows."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts]
        missing = [i for i, key in enumerate(keys) if key not in self._known]
        for start in range(0, len(missing), _BATCH):
            some = missing[start : start + _BATCH]
            rows = self._embedder.embed([texts[i] for i in some])
            self._known |= {keys[i]: row for i, row in zip(some, rows, strict=True)}
            if (start + _BATCH) % _SAVE_EVERY == 0:
                self._save()
        if missing:
            self._save()
        found: FloatMatrix = np.stack([self._known[key] for key in keys])
        return found

    def _save(self) -> None:
        part = private_dir(self._path.parent) / f"{self._path.name}.part"
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, 32)
        with part.open("wb") as file:
            np.savez(file, keys=keys, rows=np.stack(list(self._known.values())))
        part.replace(self._path)
