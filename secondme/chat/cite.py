"""Puts `[n]` behind the sentences of an answer that the evidence supports, while the answer streams.

Small models mark sources badly, so their own marks are dropped and every mark is earned: a sentence gets `[n]` when
piece n of the evidence holds most of what the sentence says. A sentence that nothing supports stays unmarked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from secondme.recall.evidence import coverage
from secondme.recall.excerpt import Excerpt
from secondme.recall.pieces import Piece
from secondme.text.sentences import Sentence, split_sentences
from secondme.text.terms import QUESTION_WORDS, stem, words
from secondme.types import Citation, Turn

SUPPORTED = 0.6
"""Least share of a sentence's weight that a piece of evidence must hold to be cited for it."""

_END = re.compile(r"[.!?。！？][\"'”’)\]*_]*(?=\s)|\n")
_MODEL_MARK = re.compile(r" ?\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]")
_MARK_START = re.compile(r" ?(?:\[[\d\s,;]{0,12})?$")


class CitationMarker:
    """Feeds on an answer piece by piece and gives it back with marks.

    Text is held back only while it may be a mark of the model's own, and a sentence's last character until the
    next one tells that the sentence is over.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._held = ""
        self._sentence = ""
        self.marked: list[int] = []

    def feed(self, piece: str) -> str:
        """Take the next piece of raw answer and return what can be shown."""
        self._held = _MODEL_MARK.sub("", self._held + piece)
        tail = _MARK_START.search(self._held)
        cut = tail.start() if tail else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        # An ending needs its following space in sight, so the last characters wait for it.
        waiting = re.search(r"[.!?。！？][\"'”’)\]*_]*$", ready)
        if waiting:
            ready, self._held = ready[: waiting.start()], ready[waiting.start() :] + self._held
        return self._mark(ready)

    def finish(self) -> str:
        """Return the rest, with the last sentence's mark."""
        rest, self._held = _MODEL_MARK.sub("", self._held).rstrip(), ""
        return self._mark(rest) + self._close()

    def _mark(self, text: str) -> str:
        out: list[str] = []
        at = 0
        # The lookahead must see the first character after the ending, which may open the next piece only.
        for match in _END.finditer(text):
            newline = match.group() == "\n"
            end = match.start() if newline else match.end()
            self._sentence += text[at:end]
            out += [text[at:end], self._close(), "\n" if newline else ""]
            at = match.end()
        self._sentence += text[at:]
        out.append(text[at:])
        return "".join(out)

    def _close(self) -> str:
        n = self._supporting(self._sentence)
        self._sentence = ""
        if n is None:
            return ""
        if n not in self.marked:
            self.marked.append(n)
        return f" [{n}]"

    def _supporting(self, sentence: str) -> int | None:
        """The piece, from 1, that holds most of the sentence's weight; None below SUPPORTED."""
        weights = _weights(sentence)
        if not weights:
            return None
        shares = [coverage(text, weights) for text in self._texts]
        best = max(range(len(shares)), key=lambda i: (shares[i], -i), default=None)
        return best + 1 if best is not None and shares[best] >= SUPPORTED else None


def _weights(sentence: str) -> dict[str, float]:
    """Stems of a sentence's content words. Numbers weigh double: they are what a wrong source gets wrong."""
    content = [w for w in words(sentence) if w not in QUESTION_WORDS]
    return {stem(w): 2.0 if w.isdigit() else 1.0 for w in content}


def citation(n: int, excerpt: Excerpt, *, marked: bool) -> Citation:
    """Resolve `[n]` to its file, place, stored text and the sentence of it that bears on the question."""
    hit, quote = excerpt.hit, excerpt.quote
    chunk = hit.chunk.chunk
    start = chunk.byte_start + _n_bytes(chunk.text[: quote.start])
    return Citation(
        n=n,
        chunk_id=hit.chunk.id,
        path=hit.chunk.path,
        title=hit.chunk.title,
        project=hit.chunk.project,
        page=chunk.page,
        line_start=chunk.line_start,
        line_end=chunk.line_end,
        byte_start=chunk.byte_start,
        byte_end=chunk.byte_end,
        heading_path=chunk.heading_path,
        text=chunk.text,
        quote=quote.text,
        quote_start=start,
        quote_end=start + _n_bytes(quote.text),
        quote_line=chunk.line_start + chunk.text.count("\n", 0, quote.start),
        score=hit.score,
        marked=marked,
    )


def cited(n: int, piece: Piece, weights: Mapping[str, float], *, project: str, marked: bool) -> Citation:
    """Resolve `[n]` to what it was taken from. By `weights`, the question's stems, a turn's quote is chosen."""
    source = piece.source
    if isinstance(source, Excerpt):
        return citation(n, source, marked=marked)
    if isinstance(source, Turn):
        sentences = split_sentences(source.text) or [Sentence(source.text, 0, len(source.text))]
        quote = max(sentences, key=lambda s: (coverage(s.text, weights), -s.start))
        made = _of_text(n, source.text, quote, project)
        return replace(
            made, title=piece.where, score=piece.score, marked=marked, kind="turn", turn_id=source.id, at=piece.at
        )
    made = _of_text(n, source.text, Sentence(source.text, 0, len(source.text)), source.project)
    return replace(
        made, title=piece.where, score=piece.score, marked=marked, kind="item", item_id=source.id, at=piece.at
    )


def _of_text(n: int, text: str, quote: Sentence, project: str) -> Citation:
    """A citation of a text that is no file's: its offsets are those of the text itself."""
    start = _n_bytes(text[: quote.start])
    return Citation(
        n=n,
        chunk_id=0,
        path="",
        title="",
        project=project,
        page=None,
        line_start=1,
        line_end=text.count("\n") + 1,
        byte_start=0,
        byte_end=_n_bytes(text),
        heading_path=(),
        text=text,
        quote=quote.text,
        quote_start=start,
        quote_end=start + _n_bytes(quote.text),
        quote_line=text.count("\n", 0, quote.start) + 1,
        score=0.0,
        marked=False,
    )


def _n_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
