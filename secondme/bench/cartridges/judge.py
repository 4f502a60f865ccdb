"""Asks the questions of a document of one cache after the other, and compares with the full cache.

The full cache's side is computed once for each document and, given a folder, kept there (`references.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondme.bench.cartridges.documents import Document, Question
from secondme.bench.cartridges.metrics import LogProbs, Reply, Scores, exact, f1, holds, kl_rows, log_probs
from secondme.bench.cartridges.prompts import Tokenizer
from secondme.bench.cartridges.references import Reference, ReferenceFiles
from secondme.errors import Cancelled
from secondme.runtime.kv import Cells, KvReader
from secondme.types import CancelCheck, never_cancelled

FloatRow = NDArray[np.float32]

MAX_TOKENS = 16
"""Of a greedy answer about the text; of others four more than of the gold answer."""

Place = Callable[[KvReader], None]
"""Brings a reader's cache to a state in which the document was read; whatever the cache held before is gone."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a greedy answer ends: at one of the tokens `ends`, after `most`, or with what is `enough` and one more.

    draft: what it probably is.
    """

    ends: frozenset[int]
    most: int
    draft: Sequence[int]
    enough: tuple[int, ...] = ()


class _Asked:
    """What was answered under one cache; `gold` is kept only where it becomes the reference."""

    def __init__(self, continuation: LogProbs) -> None:
        self.continuation = continuation
        self.gold: list[LogProbs] = []
        self.replies: tuple[Reply, ...] = ()
        self.greedy: tuple[tuple[int, ...], ...] = ()

    def add(self, reply: Reply, answer: tuple[int, ...], gold: LogProbs | None) -> None:
        self.replies += (reply,)
        self.greedy += (answer,)
        if gold is not None:
            self.gold.append(gold)


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
        self._files = ReferenceFiles(folder, reader.identity) if folder else None
        self._cancelled = cancelled
        self._last: tuple[Document, Reference] | None = None
        self._read: tuple[Document, Cells] | None = None

    def read_full(self, document: Document) -> Place:
        """A `place` that reads prefix and document anew: prefill itself."""

        def place(reader: KvReader) -> None:
            reader.rewind(0)
            for _ in reader.read([*document.prefix, *document.tokens], cancelled=self._cancelled):
                pass

        return place

    def last_bit_flipped(self, document: Document) -> Place:
        """A `place` of the full cache with the last bit of each float16 flipped: the smallest change there is.

        The runtime rounds activations to 8 bits in every layer, and so makes more of it than it is.
        """
        cells = self.cells(document)
        k, v = ((side.view(np.uint16) ^ 1).view(np.float16) for side in (cells.k, cells.v))
        return lambda reader: reader.place(len(cells), Cells(cells.positions, k, v))

    def no_context(self, document: Document) -> Place:
        """A `place` that reads the prefix only: what the model answers without the document."""

        def place(reader: KvReader) -> None:
            reader.rewind(0)
            for _ in reader.read(list(document.prefix), cancelled=self._cancelled):
                pass

        return place

    def cells(self, document: Document) -> Cells:
        """The full cache of prefix and document: its first len(document.prefix) cells are the prefix's."""
        if self._read is not None and self._read[0] == document:
            return self._read[1]
        cells = self._files.cells(document) if self._files else None
        if cells is None:
            self.read_full(document)(self._reader)
            cells = self._reader.cells()
            if self._files:
                self._files.keep_cells(document, cells)
        return cells

    def reference(self, document: Document) -> Reference:
        """The full cache's answers, from memory, the folder or a prefill."""
        if self._last is None or self._last[0] != document:
            found = self._files.reference(document) if self._files else None
            self._last = (document, found or self._make(document))
        return self._last[1]

    def evaluate(self, document: Document, place: Place, *, greedy: bool = True) -> Scores:
        """Ask everything of the cache that `place` makes. Without `greedy`, answers are empty and only KL, NLL and
        top-1 are right: half the time. Raises Cancelled.
        """
        reference = self.reference(document)
        place(self._reader)
        asked = self._ask(document, reference, greedy)
        kl = float(kl_rows(reference.continuation, asked.continuation).sum())
        return Scores(asked.replies, reference.replies, kl, len(asked.continuation))

    def _make(self, document: Document) -> Reference:
        began = time.perf_counter()
        self.read_full(document)(self._reader)
        prefill_s = time.perf_counter() - began
        self._read = document, self._reader.cells()  # `cells` need not read it once more
        asked = self._ask(document, None, greedy=True)
        made = Reference(asked.replies, prefill_s, asked.greedy, np.concatenate(asked.gold), asked.continuation)
        if self._files:
            self._files.keep(document, made)
        return made

    def _ask(self, document: Document, reference: Reference | None, greedy: bool) -> _Asked:
        """Ask everything of what the reader holds; without a `reference`, it is compared with itself."""
        n_start = self._reader.n_tokens
        asked = _Asked(self._continuation(document))
        self._reader.rewind(n_start)
        common = _common([q.tail for q in document.questions])
        if common:
            self._reader.logits(common)
        at = 0
        for i, question in enumerate(document.questions):
            if self._cancelled():
                raise Cancelled("measuring was stopped")
            self._reader.rewind(n_start + len(common))
            stop = _stop(question, document, reference.greedy[i] if reference else ()) if greedy else None
            gold, answer = self._answer(question, len(common), stop)
            full = reference.gold[at : at + len(gold)] if reference else gold
            at += len(gold)
            asked.add(self._reply(question, full, gold, answer), answer, None if reference else gold)
        return asked

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


def _n_same(rows: LogProbs, tokens: Sequence[int]) -> int:
    """How many of `tokens` the rows before them hold for likeliest, from the first."""
    for i, token in enumerate(tokens):
        if int(rows[i].argmax()) != token:
            return i
    return len(tokens)
