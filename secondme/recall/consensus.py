"""The owner's own word against that of others: where he has said what he asks for, nobody else answers in his place.

A text of others may claim anything about the owner without looking like an attack. So, as A-MemGuard (Wei et al. 2025)
holds what is recalled against other memories, a sentence that names another value for what the owner has told himself
is masked for the model, with what follows it in its paragraph. What agrees with the owner, or adds to it, stays.

In a conversation people speak of "my dentist" and "her bank". A sentence of others that names somebody for "the
dentist", who is nobody's, says nothing of the owner's: where he asks for his own, it is masked as well. Files are not
held to that, since an invoice has no words to spare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from secondme.memory.tiers import is_own
from secondme.recall.pieces import Piece
from secondme.text.attributes import asked_for, nouns_of
from secondme.text.disguise import plain
from secondme.text.instructions import MASK
from secondme.text.pasted import pasted_spans
from secondme.text.sentences import split_sentences
from secondme.text.terms import QUESTION_WORDS, stems, words
from secondme.types import OWNER, MemoryItem, Turn

_ABOUT_ASKER = re.compile(r"\b(?:my|mine|i|i'm|i've|me|am i)\b", re.I)
_ASKS_MORE = re.compile(r"\b(?:when|how|why|which day|what time|open|since)\b", re.I)
"""Then the value itself is not what is asked for, and another name in a sentence is no rival of it."""

_NOTHING = re.compile(r"(?!)")

_REPEATS = 0.7
"""Share of a question's words from which a sentence repeats the question."""


_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_TITLES = frozenset(
    """dr mr mrs ms prof st the of and bank gym air january february march april may june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday""".split()
)


_Judge = Callable[[str], bool]


def agreed(question: str, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with what contradicts the owner's own answer masked, in their order."""
    if not _ABOUT_ASKER.search(question) or _ASKS_MORE.search(question):
        return list(pieces)
    told = _told(question, pieces)
    bare, owned = _nouns(question)

    def contradicts(sentence: str) -> bool:
        return any(_rivals(sentence, question, item) for item in told)

    def misleads(sentence: str) -> bool:
        return contradicts(sentence) or (
            bare is not None
            and bare.search(sentence) is not None
            and owned.search(sentence) is None
            and bool(_named(sentence) - set(words(question)) - _TITLES - QUESTION_WORDS)
        )

    return [_held_to(piece, contradicts, misleads) for piece in pieces]


def _nouns(question: str) -> tuple[re.Pattern[str] | None, re.Pattern[str]]:
    """Patterns for what is asked for where it is nobody's, and where it is somebody's; None if it has no noun."""
    nouns = {noun for name in asked_for(question) for noun in (name, *nouns_of(name))}
    if not nouns:
        return None, _NOTHING
    either = "|".join(re.escape(noun) for noun in sorted(nouns, key=len, reverse=True))
    return re.compile(
        rf"(?:\b(?:the|an?|this|that|any|every|as|for|under|on|about|says|called)\s+(?:[\w-]+\s+)?|(?:^"
        rf"|[.:,;=>-])\s*)(?:{either})\b",
        re.I,
    ), re.compile(rf"(?:\b(?:my|your|his|her|their|our|its)|['’]s?)\s+(?:[\w-]+\s+){{0,2}}(?:{either})\b", re.I)


def _told(question: str, pieces: Iterable[Piece]) -> list[MemoryItem]:
    """What the owner has said himself, and holds, of what he asks for."""
    asked = asked_for(question)
    in_question = set(stems(question))
    return [
        item
        for item in (p.source for p in pieces if isinstance(p.source, MemoryItem))
        if item.subject == OWNER
        and item.value
        and item.holds
        and is_own(item.trust)
        and (item.attribute in asked or set(stems(item.attribute)) <= in_question)
    ]


def _held_to(piece: Piece, contradicts: _Judge, misleads: _Judge) -> Piece:
    source = piece.source
    if isinstance(source, MemoryItem) and is_own(source.trust):
        return piece
    if not isinstance(source, Turn):
        return replace(piece, text=_without(piece.text, contradicts), brief=_without(piece.brief, contradicts))
    if source.role == "user" and not source.speaker:
        if not pasted_spans(piece.text):
            return piece
        return replace(piece, text=_pasted(piece.text, misleads), brief=_pasted(piece.brief, misleads))
    return replace(piece, text=_without(piece.text, misleads), brief=_without(piece.brief, misleads))


def _pasted(text: str, judge: _Judge) -> str:
    parts, at = [], 0
    for start, end in pasted_spans(text):
        parts += [text[at:start], _without(text[start:end], judge)]
        at = end
    return "".join([*parts, text[at:]])


def _without(text: str, judge: _Judge) -> str:
    """`text` with each sentence masked that gives another answer, up to the end of its paragraph."""
    parts, at, until = [], 0, -1
    for sentence in split_sentences(text):
        if sentence.start < until or judge(sentence.text):
            parts += [text[at : sentence.start], MASK]
            at = sentence.end
            blank = text.find("\n\n", sentence.end)
            until = max(until, len(text) if blank < 0 else blank)
    return "".join([*parts, text[at:]])


def _rivals(sentence: str, question: str, item: MemoryItem) -> bool:
    """Whether a sentence is about what `item` tells and names something else for it."""
    said = set(stems(plain(sentence)))
    about = any(set(stems(noun)) <= said for noun in (item.attribute, *nouns_of(item.attribute)))
    asked = set(stems(question))
    if not about and len(asked & said) < _REPEATS * len(asked):
        return False
    known = set(words(f"{item.value} {item.text} {question}"))
    return bool(_named(sentence) - known - _TITLES - QUESTION_WORDS)


def _named(sentence: str) -> set[str]:
    """Words with a capital, folded; the first of the sentence only if the second has one too."""
    found = _WORD.findall(sentence)
    capital = [w[0].isupper() for w in found]
    return {
        folded
        for n, word in enumerate(found)
        if capital[n] and (n > 0 or (len(found) > 1 and capital[1]))
        for folded in words(word)
    }
