"""What the program answers with a document before the model, from a cartridge or read, and by search alone.

The whole way of a question: recall, prompt, decoding. It is by these rows that `projects/plan.py` chooses.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

from secondme.bench.cartridges.documents import Document, Question
from secondme.bench.cartridges.metrics import f1, holds
from secondme.bench.cartridges.tiers import Say
from secondme.bench.rows import Row
from secondme.cartridges.build import Stop
from secondme.cartridges.files import Shelf
from secondme.cartridges.tiers import TierName
from secondme.chat import turn
from secondme.crypto.unlock import unlock
from secondme.ingest.chunk import chunk_document, embedding_text
from secondme.memory.store import Store
from secondme.projects.builder import build_pending
from secondme.projects.library import Library
from secondme.projects.open import open_project
from secondme.runtime.base import Embedder, Generator
from secondme.types import Answer, CancelCheck, FileStamp, Opened, SourceFile
from secondme.types import Document as Parsed

PROJECT = "bench"
WAYS = ("recall", "cartridge", "text")


@dataclass(frozen=True, slots=True)
class _Given:
    """An answer's text, and seconds from the question to its first token."""

    question: Question
    text: str
    first_token_s: float


def rows(
    documents: Sequence[Document], engines: tuple[Generator, Embedder], tier: TierName, say: Say, cancelled: CancelCheck
) -> Iterator[Row]:
    """`answers/<way>/facts` (% answered letter by letter), `.../f1` (%, questions about the text), and
    `.../first_token_s` (seconds), each document a project of its own. Raises Cancelled.
    """
    given: dict[str, list[_Given]] = {way: [] for way in WAYS}
    for n, document in enumerate(documents, 1):
        with tempfile.TemporaryDirectory(prefix="secondme-bench-") as name:
            for way, answer in _answers(Path(name), document, engines, tier, cancelled):
                if not given[way] or given[way][-1].question not in document.questions:
                    say(f"answers about document {n}: {way}")
                given[way].append(answer)
    for way, answers in given.items():
        if not answers:
            continue
        facts = [holds(a.text, a.question.answers[0]) for a in answers if a.question.kind == "fact"]
        texts = [f1(a.text, a.question.answers) for a in answers if a.question.kind == "text"]
        for case, values, unit in (("facts", [100.0 * x for x in facts], "%"), ("f1", [100 * x for x in texts], "%")):
            if values:
                yield Row("cartridges", f"answers/{way}/{case}", sum(values) / len(values), unit, len(values))
        seconds = sorted(a.first_token_s for a in answers)
        yield Row("cartridges", f"answers/{way}/first_token_s", seconds[len(seconds) // 2], "s", len(seconds))


def _answers(
    folder: Path, document: Document, engines: tuple[Generator, Embedder], tier: TierName, cancelled: CancelCheck
) -> Iterator[tuple[str, _Given]]:
    generator, embedder = engines
    with unlock(folder, passphrase=token_hex(16)) as keys:
        store = Store.open(folder / "store.db", keys.store)
        shelf = Shelf(store, keys)
        try:
            store.set_embedder(embedder.fingerprint, embedder.n_dims)
            _put(store, document, embedder)
            library = Library(store, shelf, generator, tier)
            for _ in build_pending(library, [PROJECT], Stop(cancelled)):
                pass
            for way in WAYS:
                opened = _opened(library, way, cancelled)
                if way == "cartridge" and not _is_from_cartridge(opened):
                    continue  # so short that it is read
                for question in document.questions:
                    yield way, _asked(question, turn.Engines(store, embedder, generator), opened, cancelled)
        finally:
            shelf.close()
            store.close()


def _put(store: Store, document: Document, embedder: Embedder) -> None:
    title = "Document"
    chunks = chunk_document(Parsed(document.text, "text/plain", title), embedder.count_tokens)
    texts = [embedding_text(title, chunk, embedder.count_tokens, embedder.n_ctx) for chunk in chunks]
    size = len(document.text.encode())
    source = SourceFile("/document.txt", PROJECT, "text/plain", title, bytes(32), FileStamp(size, 0, 0))
    store.put_source(source, chunks, embedder.embed(texts))


def _opened(library: Library, way: str, cancelled: CancelCheck) -> Opened | None:
    """The project before the model: from its cartridge, read as text, or not at all."""
    library.generator.forget()
    if way == "recall":
        return None
    opened = next(e for e in open_project(library, PROJECT, cancelled=cancelled) if isinstance(e, Opened))
    if way == "text":
        library.generator.forget()
        for _ in library.generator.prefill(opened.tokens, cancelled=cancelled):
            pass
        opened = replace(opened, documents=tuple(replace(d, opened_as="text") for d in opened.documents))
    return opened


def _is_from_cartridge(opened: Opened | None) -> bool:
    return opened is not None and any(d.opened_as == "cartridge" for d in opened.documents)


def _asked(question: Question, engines: turn.Engines, opened: Opened | None, cancelled: CancelCheck) -> _Given:
    asked = turn.Question(question.text, PROJECT, opened=opened, style="write")
    events = turn.answer(asked, engines, cancelled=cancelled)
    answer = next(event for event in events if isinstance(event, Answer))
    return _Given(question, answer.text, answer.timings.first_token_s)
