"""Recall and citations on passages of files: Cranfield (graded judgements) and XQuAD (paragraphs with questions)."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.bench.recall import Tools
from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.memory.store import Store
from secondme.recall.fuse import Ranking, zscore_fusion
from secondme.recall.retrieve import CANDIDATES, Recall, embed_question, retrieve, retrieve_by
from secondme.runtime.base import Embedder, FloatMatrix, Generator
from secondme.text.terms import content_terms, match_expression
from secondme.types import Answer, Chunk, FileStamp, Hit, SourceFile

if TYPE_CHECKING:
    from secondme.chat.turn import Engines

KEY = StoreKeys.derived(bytes(32))


@dataclass(frozen=True, slots=True)
class Case:
    """A question with what each document that bears on it is worth and, where there is one, the answer's own words."""

    question: str
    gains: Mapping[str, int]
    answer: str = ""

    @property
    def relevant(self) -> frozenset[str]:
        return frozenset(self.gains)


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    documents: dict[str, str]
    cases: tuple[Case, ...]


def cranfield_rows(path: Path, tools: Tools) -> Iterator[Row]:
    """`cranfield/ndcg@10` with gains of one, as published figures have it, and graded; and the time of a search."""
    collection = _cranfield(path)
    with _Stored(collection, tools.embedder) as store:
        yield from _ndcg(_Asked(collection, _cases(collection, tools.options.limit), store, tools.embedder))


def xquad_rows(path: Path, tools: Tools) -> Iterator[Row]:
    """`xquad/hit@k`, what the gate lets through and stops, and with a generator what answers cite."""
    collection, embedder = _xquad(path), tools.embedder
    cases = _cases(collection, tools.options.limit)
    with _Stored(collection, embedder) as store:
        yield from _hits(_Asked(collection, cases, store, embedder))
        if tools.generator is not None:
            yield from _cited(cases, store, embedder, tools.generator)
    yield _refused(collection, cases, embedder)


def _cases(collection: Collection, limit: int) -> Sequence[Case]:
    step = max(1, len(collection.cases) // limit) if limit else 1
    return collection.cases[::step][: limit or None]


def _cranfield(path: Path) -> Collection:
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    documents = {str(d["id"]): f"{d['title']}\n\n{d['text']}" for d in table["docs"]}
    cases = [Case(q["text"], _gains(table["qrels"].get(str(q["qid"]), {}))) for q in table["queries"]]
    return Collection("cranfield", documents, tuple(c for c in cases if c.gains))


def _gains(grades: Mapping[str, str | int]) -> dict[str, int]:
    """4 for a complete answer, which Cranfield writes as 1, to 1 for what was of least interest, written 4.

    Source: Cleverdon, Mills and Keen 1966, "Factors determining the performance of indexing systems".
    """
    return {document: max(1, 5 - int(grade)) for document, grade in grades.items() if int(grade) > 0}


def _xquad(path: Path) -> Collection:
    paragraphs: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    documents = {str(i): p["context"] for i, p in enumerate(paragraphs)}
    cases = [
        Case(qa["question"].strip(), {str(i): 1}, qa["answers"][0]) for i, p in enumerate(paragraphs) for qa in p["qas"]
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


@dataclass(frozen=True, eq=False)
class _Asked:
    """Questions asked of a store that holds the collection's documents."""

    collection: Collection
    cases: Sequence[Case]
    store: Store
    embedder: Embedder

    @cached_property
    def vectors(self) -> list[FloatMatrix]:
        return [embed_question(case.question, self.embedder) for case in self.cases]

    def ranked(self, k: int) -> list[list[str]]:
        """Documents for every question as recall ranks them, best first, each once."""
        return [self._documents(r.hits, k) for r in self.recalled(k * 3)]

    def recalled(self, k: int) -> Iterator[Recall]:
        for case, vector in zip(self.cases, self.vectors, strict=True):
            yield retrieve_by(case.question, vector, self.store, k=k)

    def plain(self, k: int) -> dict[str, list[list[str]]]:
        """The same by what recall is made of: the index of words, the vectors, and simple fusions of the two."""
        names: dict[str, list[list[str]]] = {"words": [], "vectors": [], "rrf": [], "plain fusion": []}
        for case, vector in zip(self.cases, self.vectors, strict=True):
            terms = content_terms(case.question)
            by_text = self.store.search_text(match_expression(terms), CANDIDATES, None) if terms else []
            by_vector = self.store.search_vectors(vector, CANDIDATES, None)
            orders = {
                "words": [i for i, _ in by_text],
                "vectors": [i for i, _ in by_vector],
                "rrf": _best(_reciprocal((by_text, by_vector))),
                "plain fusion": _best(zscore_fusion((by_text, by_vector))),
            }
            for name, order in orders.items():
                chunks = self.store.chunks(order[: k * 3])
                names[name].append(list(dict.fromkeys(c.path for c in chunks))[:k])
        return names

    @staticmethod
    def _documents(hits: Sequence[Hit], k: int) -> list[str]:
        return list(dict.fromkeys(h.chunk.path for h in hits))[:k]


def _reciprocal(rankings: Sequence[Ranking]) -> dict[int, float]:
    """Reciprocal rank fusion with its usual constant, 60. Source: Cormack, Clarke and Büttcher 2009."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, (i, _) in enumerate(ranking, 1):
            scores[i] = scores.get(i, 0.0) + 1 / (60 + rank)
    return scores


def _best(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda i: (-scores[i], i))


def _ndcg(asked: _Asked) -> Iterator[Row]:
    name, ours, others = asked.collection.name, asked.ranked(10), asked.plain(10)
    peer = "plain fusion"
    for case, graded in (("ndcg@10", False), ("graded_ndcg@10", True)):
        value, plain = _mean_ndcg(asked.cases, ours, graded), _mean_ndcg(asked.cases, others[peer], graded)
        yield Row("recall", f"{name}/{case}", value, "%", len(ours), peer, plain, value / plain if plain else None)
    for other in ("words", "vectors", "rrf"):
        yield Row("recall", f"{name}/ndcg@10/{other}", _mean_ndcg(asked.cases, others[other], False), "%", len(ours))
    yield _time(asked)


def _mean_ndcg(cases: Sequence[Case], ranked: Sequence[Sequence[str]], graded: bool) -> float:
    """nDCG@10 in per cent. Source: Järvelin and Kekäläinen 2002, with the discount log2(rank + 1)."""
    values = []
    for case, order in zip(cases, ranked, strict=True):
        gains = [float(g) if graded else 1.0 for g in case.gains.values()]
        best = sorted(gains, reverse=True)[:10]
        got = [(float(case.gains[d]) if graded else 1.0) if d in case.gains else 0.0 for d in order[:10]]
        values.append(_discounted(got) / _discounted(best))
    return 100 * sum(values) / len(values)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(i + 2) for i, gain in enumerate(gains))


def _time(asked: _Asked) -> Row:
    """95th percentile of a search for 8 passages, without embedding the question."""
    times: list[float] = []
    for case, vector in zip(asked.cases, asked.vectors, strict=True):
        started = time.perf_counter()
        retrieve_by(case.question, vector, asked.store)
        times.append(time.perf_counter() - started)
    p95 = sorted(times)[int(0.95 * (len(times) - 1))]
    return Row("recall", f"search_p95_ms/{asked.store.n_chunks}", 1000 * p95, "ms", len(times))


def _hits(asked: _Asked) -> Iterator[Row]:
    name, ours, plain = asked.collection.name, asked.ranked(5), asked.plain(5)["plain fusion"]
    for k in (1, 5):
        value, other = _hit_share(asked.cases, ours, k), _hit_share(asked.cases, plain, k)
        ratio = value / other if other else None
        yield Row("recall", f"{name}/hit@{k}", value, "%", len(ours), "plain fusion", other, ratio)
    found = sum(r.found for r in asked.recalled(8)) / len(asked.cases)
    yield Row("recall", f"{name}/answerable_found", 100 * found, "%", len(asked.cases))


def _hit_share(cases: Sequence[Case], ranked: Sequence[Sequence[str]], k: int) -> float:
    return 100 * sum(bool(c.relevant & set(r[:k])) for c, r in zip(cases, ranked, strict=True)) / len(cases)


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
        for event in answer(Question(case.question, style="write"), Engines(store, embedder, generator)):
            if isinstance(event, Answer):
                counts = _count(counts, case, event)
                prompts.append(event.timings.n_prompt_tokens)
    for name, count in counts.items():
        yield Row("recall", f"xquad/{name}", 100 * count / len(cases), "%", len(cases))
    yield Row("recall", "prompt_tokens", sum(prompts) / len(prompts), "tokens", len(prompts))
    yield _quoted(cases, Engines(store, embedder, generator))


def _quoted(cases: Sequence[Case], engines: Engines) -> Row:
    """The answer's own words in what is quoted, where a small model does not write."""
    from secondme.chat.turn import Question, answer

    held = 0
    for case in cases:
        for event in answer(Question(case.question, style="quote"), engines):
            if isinstance(event, Answer):
                held += case.answer.lower() in event.text.lower()
    return Row("recall", "xquad/answer_recall/quoted", 100 * held / len(cases), "%", len(cases))


def _count(counts: Mapping[str, float], case: Case, given: Answer) -> dict[str, float]:
    holds = [case.answer.lower() in " ".join(c.text.split()).lower() for c in given.citations]
    marked = [h for h, c in zip(holds, given.citations, strict=True) if c.marked]
    return {
        "cited@1": counts["cited@1"] + (bool(holds) and holds[0]),
        "cited@any": counts["cited@any"] + any(holds),
        "marked": counts["marked"] + any(marked),
        "answer_recall": counts["answer_recall"] + (case.answer.lower() in given.text.lower()),
    }
