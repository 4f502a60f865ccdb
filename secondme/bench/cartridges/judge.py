"""Asks the questions of a document of one cache after the other, and compares with the full cache.

The full cache's side is computed once for each document and, given a folder, kept there: log-probabilities and cells
as NumPy arrays in the clear, so for public documents only.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.bench.cartridges.documents import Document, Question
from secondme.bench.cartridges.metrics import LogProbs, Reply, Scores, exact, f1, holds, kl_rows, log_probs
from secondme.bench.cartridges.prompts import Tokenizer
from secondme.errors import Cancelled
from secondme.runtime.kv import Cells, KvReader
from secondme.types import CancelCheck, never_cancelled

FloatRow = NDArray[np.float32]

MAX_TOKENS = 16
"""Of a greedy answer about the text; of others four more than of the gold answer."""

Place = Callable[[KvReader], None]
"""Brings a reader's cache to a state in which the document was read; whatever the cache held before is gone."""


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


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a greedy answer ends: at one of the tokens `ends`, after `most`, or with what is `enough` and one more.

    draft: what it probably is.
    """

    ends: frozenset[int]
    most: int
    draft: Sequence[int]
    enough: tuple[int, ...] = ()


class Judge:
    """Over one reader; not thread-safe. `folder` keeps references between runs."""

    def __init__(
        self,
        reader: KvReader,
        tokenizer: Tokenizer,
        *,
        folder: Path | None = None,
        cancelled: CancelCheck = never_cancelled,
    ) -> None:
        self._reader = reader
        self._tokenizer = tokenizer
        self._folder = folder
        self._cancelled = cancelled
        self._last: tuple[str, Reference] | None = None

    def read_full(self, document: Document) -> Place:
        """A `place` that reads prefix and document anew: prefill itself."""

        def place(reader: KvReader) -> None:
            reader.rewind(0)
            for _ in reader.read([*document.prefix, *document.tokens], cancelled=self._cancelled):
                pass

        return place

    def no_context(self, document: Document) -> Place:
        """A `place` that reads the prefix only: what the model answers without the document."""

        def place(reader: KvReader) -> None:
            reader.rewind(0)
            for _ in reader.read(list(document.prefix), cancelled=self._cancelled):
                pass

        return place

    def cells(self, document: Document) -> Cells:
        """The full cache of prefix and document: its first len(document.prefix) cells are the prefix's."""
        files = [self._path(document, f"{name}.npy") for name in ("positions", "k", "v")]
        if files[0] and all(f and f.exists() for f in files):
            positions, k, v = (np.load(f) for f in files if f)
            return Cells(positions, k, v)
        self.read_full(document)(self._reader)
        cells = self._reader.cells()
        for file, array in zip(files, (cells.positions, cells.k, cells.v), strict=True):
            if file:
                _save(file, array)
        return cells

    def reference(self, document: Document) -> Reference:
        """The full cache's answers, from memory, the folder or a prefill."""
        if self._last is None or self._last[0] != document.name:
            self._last = (document.name, self._load(document) or self._make(document))
        return self._last[1]

    def evaluate(self, document: Document, place: Place, *, greedy: bool = True) -> Scores:
        """Ask everything of the cache that `place` makes. Without `greedy`, answers are empty and only KL, NLL and
        top-1 are right: half the time. Raises Cancelled.
        """
        reference = self.reference(document)
        place(self._reader)
        return self._ask(document, reference, greedy)[0]

    def _make(self, document: Document) -> Reference:
        began = time.perf_counter()
        self.read_full(document)(self._reader)
        prefill_s = time.perf_counter() - began
        made = replace(self._ask(document, None, greedy=True)[1], prefill_s=prefill_s)
        self._store(document, made)
        return made

    def _ask(self, document: Document, reference: Reference | None, greedy: bool) -> tuple[Scores, Reference]:
        n_start = self._reader.n_tokens
        continuation = self._continuation(document)
        self._reader.rewind(n_start)
        common = _common([q.tail for q in document.questions])
        if common:
            self._reader.logits(common)
        rows: list[LogProbs] = []
        replies: list[Reply] = []
        answers: list[tuple[int, ...]] = []
        at = 0
        for i, question in enumerate(document.questions):
            if self._cancelled():
                raise Cancelled("measuring was stopped")
            self._reader.rewind(n_start + len(common))
            stop = _stop(question, document, reference.greedy[i] if reference else ()) if greedy else None
            gold, answer = self._answer(question, len(common), stop)
            full = reference.gold[at : at + len(gold)] if reference else gold
            at += len(gold)
            replies.append(self._reply(question, full, gold, answer))
            rows.append(gold if reference is None else gold[:0])
            answers.append(answer)
        made = Reference(tuple(replies), 0.0, tuple(answers), np.concatenate(rows), continuation)
        base = reference or made
        kl = float(kl_rows(base.continuation, continuation).sum())
        return Scores(tuple(replies), base.replies, kl, len(continuation)), made

    def _continuation(self, document: Document) -> LogProbs:
        """Log-probabilities after each token of the continuation but the last."""
        if len(document.continuation) < 2:
            return np.zeros((0, 1), np.float32)
        return log_probs(self._reader.logits(document.continuation[:-1]))

    def _answer(self, question: Question, n_common: int, stop: _Stop | None) -> tuple[LogProbs, tuple[int, ...]]:
        """(log-probabilities at the gold tokens, greedy answer or none). The cache holds the tails' common part."""
        tail, gold = question.tail[n_common:], question.gold
        start = self._reader.n_tokens + len(tail)
        rows = self._reader.logits([*tail, *gold])[len(tail) - 1 :]
        answer: list[int] = []
        if stop is not None:
            n_same = _n_same(rows, gold)
            answer = self._go_on(list(gold[:n_same]), rows[n_same], start, stop)
        return log_probs(rows[:-1]), tuple(answer)

    def _go_on(self, answer: list[int], row: FloatRow, start: int, stop: _Stop) -> list[int]:
        """Greedy tokens after `answer`, whose next logits are `row`. What the full cache answered is tried as a whole:
        a few tokens at once cost hardly more than one.
        """
        while len(answer) < stop.most:
            token = int(row.argmax())
            if token in stop.ends:
                break
            answer.append(token)
            if tuple(answer[:-1]) == stop.enough:
                break  # the token after it only shows whether the answer is a part of a longer word
            self._reader.rewind(start + len(answer) - 1)
            guess = stop.draft[len(answer) :] if list(stop.draft[: len(answer)]) == answer else ()
            rows = self._reader.logits([token, *guess])
            n_same = _n_same(rows, guess)
            answer += guess[:n_same]
            row = rows[n_same]
        return answer[: stop.most]

    def _reply(self, question: Question, full: LogProbs, gold: LogProbs, answer: Sequence[int]) -> Reply:
        text = self._tokenizer.detokenize(answer).strip()
        at = np.arange(len(gold))
        return Reply(
            kind=question.kind,
            n=len(gold),
            kl=float(kl_rows(full, gold).sum()),
            nll=float(-gold[at, list(question.gold)].sum(dtype=np.float64)),
            top1=int((full.argmax(-1) == gold.argmax(-1)).sum()),
            text=text,
            exact=exact(text, question.answers),
            f1=f1(text, question.answers),
            holds=holds(text, question.answers[0]),
        )

    # Files -------------------------------------------------------------------------------------------------------

    def _path(self, document: Document, name: str) -> Path | None:
        if self._folder is None:
            return None
        identity = self._reader.identity
        key = json.dumps(
            [
                document.name,
                document.prefix,
                document.tokens,
                document.continuation,
                [(q.tail, q.gold) for q in document.questions],
                sorted(document.ends),
                asdict(identity),
            ]
        )
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}-{name}"

    def _store(self, document: Document, made: Reference) -> None:
        for name in ("gold", "continuation"):
            if path := self._path(document, f"{name}.npy"):
                _save(path, getattr(made, name))
        if path := self._path(document, "answers.json"):
            path.write_text(json.dumps([[asdict(r) for r in made.replies], made.prefill_s, made.greedy]), "utf-8")

    def _load(self, document: Document) -> Reference | None:
        path = self._path(document, "answers.json")
        if path is None or not path.exists():
            return None
        replies, prefill_s, greedy = json.loads(path.read_text("utf-8"))
        gold, continuation = (np.load(str(self._path(document, f"{n}.npy"))) for n in ("gold", "continuation"))
        return Reference(tuple(Reply(**r) for r in replies), prefill_s, tuple(map(tuple, greedy)), gold, continuation)


def _save(path: Path, array: Any) -> None:
    """As a whole or not at all, because several may write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{id(array)}.part.npy")
    np.save(part, array)
    part.replace(path)


def _stop(question: Question, document: Document, draft: Sequence[int]) -> _Stop:
    if question.kind == "text":
        return _Stop(document.ends, MAX_TOKENS, draft)
    return _Stop(document.ends, len(question.gold) + 4, draft, question.gold)


def _common(tails: Sequence[tuple[int, ...]]) -> list[int]:
    """Tokens that all tails begin with; at least one of each stays."""
    n = max(0, min(map(len, tails), default=0) - 1)
    first = tails[0] if tails else ()
    while any(tail[:n] != first[:n] for tail in tails):
        n -= 1
    return list(first[:n])


def _n_same(rows: Any, tokens: Sequence[int]) -> int:
    """How many of `tokens` the rows before them hold for likeliest, from the first."""
    for i, token in enumerate(tokens):
        if int(rows[i].argmax()) != token:
            return i
    return len(tokens)
