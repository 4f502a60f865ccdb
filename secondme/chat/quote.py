"""Answers in the evidence's own words: what a small model gets instead of a pen of its own.

Of 40 development questions about paragraphs, the quoted sentence held the answer to 31 and what the default model wrote
to 11, and much of the rest that it wrote was invented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from secondme.chat.direct import to_owner
from secondme.recall.evidence import coverage
from secondme.recall.excerpt import Excerpt
from secondme.recall.gather import Evidence
from secondme.recall.items import is_about_past
from secondme.recall.pieces import Piece, day
from secondme.recall.succession import Told, matter, pointers
from secondme.recall.telling import Telling
from secondme.text.answers import is_to_be_written, requests
from secondme.text.question import kind_of
from secondme.text.sentences import split_sentences
from secondme.types import MemoryItem, Turn

MAX_CHARS = 600
"""A longer sentence is none: a table, or a file without full stops."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence that answers, as it is told; `piece` is what it was taken from."""

    piece: Piece
    text: str


def quoted(question: str, evidence: Evidence) -> list[Quote]:
    """The sentence of what was found that bears most on the question, behind what the owner corrected it by.

    What holds now is told first, unless the question is about the past. Nothing where a quotation cannot be the answer:
    to requests ("summarise this"), and to what would be or might be.
    """
    if kind_of(question) in ("none", "would") or (requests(question) and is_to_be_written(question)):
        return []
    found = [(coverage(sentence, evidence.weights), piece, sentence) for piece, sentence in _candidates(evidence)]
    fitting = [candidate for candidate in found if candidate[0] > 0 and len(candidate[2]) <= MAX_CHARS]
    if not fitting:
        return []
    _, piece, sentence = max(fitting, key=lambda candidate: candidate[0])
    later = [p for p in _later(question, piece, evidence) if len(p.text) <= MAX_CHARS]
    newest = [Quote(p, _told(p, " ".join(p.text.split()))) for p in later]
    said = " ".join(sentence.split())
    if not later or is_about_past(question):
        return [Quote(piece, _told(piece, said)), *newest]
    return [*reversed(newest), Quote(piece, _told_before(piece, said))]


def _later(question: str, piece: Piece, evidence: Evidence) -> list[Piece]:
    """What corrected a piece, and what holds now in its place where the owner said that later."""
    found, lead = _corrections(question, piece, evidence), evidence.lead
    is_own = isinstance(piece.source, MemoryItem) or piece.is_owners_turn
    if lead is None or not is_own or not isinstance(lead.source, Turn) or lead.at <= piece.at:
        return found
    return found if lead in found or lead.source.id in piece.turn_ids else [*found, lead]


def _corrections(question: str, piece: Piece, evidence: Evidence) -> list[Piece]:
    """What the owner said later that points back at a turn of his, "make that Friday"; its words alone find nothing."""
    own = [p for p in evidence.turns if p.is_owners_turn]
    if piece not in own:
        return []
    told = [Told(Telling(t.text), t.created_at, 0.0, t.id, t.conversation_id, n) for n, t in enumerate(map(_turn, own))]
    return [own[n] for n in pointers(matter(question), told[own.index(piece)], told)]


def _turn(piece: Piece) -> Turn:
    assert isinstance(piece.source, Turn)
    return piece.source


def _candidates(evidence: Evidence) -> Iterator[tuple[Piece, str]]:
    """Of equal ones the first is taken: what is known before what was read, and that before what was said."""
    for piece in sorted(evidence.items, key=lambda p: -p.score)[:1]:
        if isinstance(piece.source, MemoryItem):
            yield piece, to_owner(piece.source)
    for piece in evidence.passages[:1]:
        if isinstance(piece.source, Excerpt):
            yield piece, _of_passage(piece, piece.source, evidence.weights)
    for piece in evidence.turns:
        yield piece, _best(piece.text, evidence.weights)


def _of_passage(piece: Piece, excerpt: Excerpt, weights: Mapping[str, float]) -> str:
    """Its quoted sentence, unless that gives orders: those were taken out of `brief`."""
    return excerpt.quote.text if excerpt.quote.text in piece.brief else _best(piece.brief, weights)


def _best(text: str, weights: Mapping[str, float]) -> str:
    sentences = [s.text for s in split_sentences(text)] or [text]
    return max(sentences, key=lambda s: coverage(s, weights))


def _told_before(piece: Piece, sentence: str) -> str:
    """What was corrected since, so that nobody takes it for what holds."""
    if isinstance(piece.source, Turn):
        return f"Before that, on {day(piece.at)}: “{sentence}”"
    return f"Before that: {_told(piece, sentence)}"


def _told(piece: Piece, sentence: str) -> str:
    if not isinstance(piece.source, Turn):
        return sentence if piece.kind == "item" else f"“{sentence}”"
    if piece.is_owners_turn:
        return f"You said on {day(piece.at)}: “{sentence}”"
    return f"{piece.where[0].upper()}{piece.where[1:]}: “{sentence}”"
