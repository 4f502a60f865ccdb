"""Recall and citations on passages of files: Cranfield (graded judgements) and XQuAD (paragraphs with questions)."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.bench.recall import Tools
from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.memory.store import Store
from secondme.recall.retrieve import retrieve
from secondme.runtime.base import Embedder, Generator
from secondme.types import Answer, Chunk, FileStamp, SourceFile

KEY = StoreKeys.derived(bytes(32))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the documents that hold its answer and, where there is one, the answer's own words."""

    question: str
    relevant: frozenset[str]
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    documents: dict[str, str]
    cases: tuple[Case, ...]


def cranfield_rows(path: Path, tools: Tools) -> Iterator[Row]:
    """`cranfield/ndcg@10`, and the time of a search."""
    collection = _cranfield(path)
    with _Stored(collection, tools.embedder) as store:
        yield from _ndcg(collection, _cases(collection, tools.options.limit), store, tools.embedder)


def xquad_rows(path: Path, tools: Tools) -> Iterator[Row]:
    """`xquad/hit@k`, what the gate lets through and stops, and with a generator what answers cite."""
    collection, embedder = _xquad(path), tools.embedder
    cases = _cases(collection, tools.options.limit)
    with _Stored(collection, embedder) as store:
        yield from _hits(collection, cases, store, embedder)
        if tools.generator is not None:
            yield from _cited(cases, store, embedder, tools.generator)
    yield _refused(collection, cases, embedder)


def _cases(collection: Collection, limit: int) -> Sequence[Case]:
    step = max(1, len(collection.cases) // limit) if limit else 1
    return collection.cases[::step][: limit or None]


def _cranfield(path: Path) -> Collection:
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    documents = {str(d["id"]): f"{d['title']}\n\n{d['text']}" for d in table["docs"]}
    cases = [
        Case(q["text"], frozenset(d for d, grade in table["qrels"].get(str(q["qid"]), {}).items() if int(grade) > 0))
        for q in table["queries"]
    ]
    return Collection("cranfield", documents, tuple(c for c in cases if c.relevant))


def _xquad(path: Path) -> Collection:
    paragraphs: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    documents = {str(i): p["context"] for i, p in enumerate(paragraphs)}
    cases = [
        Case(qa["question"].strip(), frozenset({str(i)}), qa["answers"][0])
        for i, p in enumerate(paragraphs)
        for qa in p["qas"]
    ]
    return Collection("xquad", documents, tuple(cases))


class _Stored:
    """The collection in a real, encrypted store in a temporary folder, a document a file."""

    def __init__(self, collection: Collection, embedder: Embedder) -> None:
        self._collection = collection
        self._embedder = embedder
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Store:
        self.store = Store.open(Path(self._folder.name) / "recall.db", KEY)
        self.store.set_embedder(self._embedder.fingerprint, self._embedder.n_dims)
        for key, text in self._collection.documents.items():
            _put(self.store, key, text, self._embedder)
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self._folder.cleanup()


def _put(store: Store, key: str, text: str, embedder: Embedder) -> None:
    from secondme.ingest.chunk import chunk_document, embedding_text
    from secondme.types import Document

    document = Document(text, "text/plain", "")
    chunks: list[Chunk] = chunk_document(document, embedder.count_tokens)
    texts = [embedding_text("", c, embedder.count_tokens, embedder.n_ctx) for c in chunks]
    source = SourceFile(key, "default", "text/plain", "", key.encode(), FileStamp(len(text), 0, 0))
    store.put_source(source, chunks, embedder.embed(texts))


def _ranked(question: str, store: Store, embedder: Embedder, k: int) -> list[str]:
    """Documents, best first, each once."""
    hits = retrieve(question, store, embedder, k=k * 3).hits
    return list(dict.fromkeys(h.chunk.path for h in hits))[:k]


def _ndcg(collection: Collection, cases: Sequence[Case], store: Store, embedder: Embedder) -> Iterator[Row]:
    """nDCG@10 with binary gains, as the published figures of this collection use."""
    values: list[float] = []
    times: list[float] = []
    for case in cases:
        started = time.perf_counter()
        ranked = _ranked(case.question, store, embedder, 10)
        times.append(time.perf_counter() - started)
        gain = sum(1 / math.log2(i + 2) for i, d in enumerate(ranked) if d in case.relevant)
        ideal = sum(1 / math.log2(i + 2) for i in range(min(10, len(case.relevant))))
        values.append(gain / ideal)
    yield Row("recall", f"{collection.name}/ndcg@10", 100 * sum(values) / len(values), "%", len(values))
    p95 = sorted(times)[int(0.95 * (len(times) - 1))]
    yield Row("recall", f"search_p95_ms/{store.stats().n_chunks}", 1000 * p95, "ms", len(times))


def _hits(collection: Collection, cases: Sequence[Case], store: Store, embedder: Embedder) -> Iterator[Row]:
    ranks = [_ranked(c.question, store, embedder, 5) for c in cases]
    for k in (1, 5):
        share = sum(bool(c.relevant & set(r[:k])) for c, r in zip(cases, ranks, strict=True)) / len(cases)
        yield Row("recall", f"{collection.name}/hit@{k}", 100 * share, "%", len(cases))
    found = sum(retrieve(c.question, store, embedder).found for c in cases) / len(cases)
    yield Row("recall", f"{collection.name}/answerable_found", 100 * found, "%", len(cases))


def _refused(collection: Collection, cases: Sequence[Case], embedder: Embedder) -> Row:
    """Share of questions refused when the half of the documents that could answer them is not in memory."""
    away = {d for i, d in enumerate(collection.documents) if i % 2}
    rest = {d: t for d, t in collection.documents.items() if d not in away}
    asked = [c for c in cases if c.relevant <= away]
    with _Stored(Collection(collection.name, rest, ()), embedder) as store:
        refused = sum(not retrieve(c.question, store, embedder).found for c in asked)
    return Row("recall", f"{collection.name}/unanswerable_refused", 100 * refused / len(asked), "%", len(asked))


def _cited(cases: Sequence[Case], store: Store, embedder: Embedder, generator: Generator) -> Iterator[Row]:
    """Whether the first, and whether any, cited passage holds the answer's own words; F1 of the answer's words."""
    from secondme.chat.turn import Engines, Question, answer

    counts = {"cited@1": 0.0, "cited@any": 0.0, "marked": 0.0, "answer_recall": 0.0}
    prompts: list[int] = []
    for case in cases:
        for event in answer(Question(case.question), Engines(store, embedder, generator)):
            if isinstance(event, Answer):
                counts = _count(counts, case, event)
                prompts.append(event.timings.n_prompt_tokens)
    for name, count in counts.items():
        yield Row("recall", f"xquad/{name}", 100 * count / len(cases), "%", len(cases))
    yield Row("recall", "prompt_tokens", sum(prompts) / len(prompts), "tokens", len(prompts))


def _count(counts: Mapping[str, float], case: Case, given: Answer) -> dict[str, float]:
    holds = [case.answer.lower() in " ".join(c.text.split()).lower() for c in given.citations]
    marked = [h for h, c in zip(holds, given.citations, strict=True) if c.marked]
    return {
        "cited@1": counts["cited@1"] + (bool(holds) and holds[0]),
        "cited@any": counts["cited@any"] + any(holds),
        "marked": counts["marked"] + any(marked),
        "answer_recall": counts["answer_recall"] + (case.answer.lower() in given.text.lower()),
    }
