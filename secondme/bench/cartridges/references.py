"""The full cache's answers to a document's questions, and a folder that keeps them between runs.

Log-probabilities and cells lie there as NumPy arrays in the clear: a folder is for public documents only, and the
benchmark itself names none.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secondme.bench.cartridges.documents import Document
from secondme.bench.cartridges.metrics import LogProbs, Reply
from secondme.runtime.kv import Cells, KvIdentity


@dataclass(frozen=True, slots=True)
class Reference:
    """The full cache's side. prefill_s: seconds of reading prefix and document. greedy: tokens of the answers.

    gold: float32 [all gold tokens of all questions, n_vocab]. continuation: [its tokens less one, n_vocab].
    """

    replies: tuple[Reply, ...]
    prefill_s: float
    greedy: tuple[tuple[int, ...], ...]
    gold: LogProbs
    continuation: LogProbs


class ReferenceFiles:
    """References and cells of documents under one model, in `folder`."""

    def __init__(self, folder: Path, identity: KvIdentity) -> None:
        self._folder = folder
        self._identity = identity

    def reference(self, document: Document) -> Reference | None:
        answers = self._path(document, "answers.json")
        if not answers.exists():
            return None
        replies, prefill_s, greedy = json.loads(answers.read_text("utf-8"))
        gold, continuation = (np.load(self._path(document, f"{name}.npy")) for name in ("gold", "continuation"))
        return Reference(tuple(Reply(**r) for r in replies), prefill_s, tuple(map(tuple, greedy)), gold, continuation)

    def keep(self, document: Document, made: Reference) -> None:
        _save(self._path(document, "gold.npy"), made.gold)
        _save(self._path(document, "continuation.npy"), made.continuation)
        answers = [[asdict(reply) for reply in made.replies], made.prefill_s, made.greedy]
        self._path(document, "answers.json").write_text(json.dumps(answers), "utf-8")

    def cells(self, document: Document) -> Cells | None:
        files = [self._path(document, f"{name}.npy") for name in ("positions", "k", "v")]
        return Cells(*map(np.load, files)) if all(file.exists() for file in files) else None

    def keep_cells(self, document: Document, cells: Cells) -> None:
        for name in ("positions", "k", "v"):
            _save(self._path(document, f"{name}.npy"), getattr(cells, name))

    def _path(self, document: Document, name: str) -> Path:
        asked = [(q.tail, q.gold) for q in document.questions]
        text = [document.name, document.prefix, document.tokens, document.continuation, asked, sorted(document.ends)]
        key = json.dumps([*text, asdict(self._identity)])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}-{name}"


def _save(path: Path, array: Any) -> None:
    """As a whole or not at all, because several may write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{id(array)}.part.npy")
    np.save(part, array)
    part.replace(path)
