"""The owner's own word against that of others: where he has said what he asks for, nobody else answers in his place.

A text of others may claim anything about the owner without looking like an attack. So, as A-MemGuard (Wei et al. 2025)
holds what is recalled against other memories, a sentence that names another value for what the owner has told himself
is masked for the model, with what follows it in its paragraph. What agrees with the owner, or adds to it, stays. What
he told is an item that was learned, or a turn of his that says all that is asked; in such a turn any name or value is
one. A sentence is about the same if it names the matter or his value: what leads from his value to another is a rival.

In a conversation people speak of "my dentist" and "her bank". A sentence of others that names somebody for "the
dentist", who is nobody's, says nothing of the owner's: where he asks for his own, it is masked as well. Files are not
held to that, since an invoice has no words to spare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from secondme.memory.tiers import is_own
from secondme.recall.pieces import Piece
from secondme.text.answers import CRISP, Sort, sorts_asked, sorts_of, values_in
from secondme.text.attributes import asked_for, nouns_of
from secondme.text.disguise import plain
from secondme.text.instruction_evidence import is_for_assistant
from secondme.text.instructions import MASK
from secondme.text.pasted import own_words, pasted_spans
from secondme.text.redirects import leads_away, only_asks, redirects, tells_of_himself
from secondme.text.sentences import split_sentences
from secondme.text.terms import QUESTION_WORDS, content_stems, stem, stems, words
from secondme.types import OWNER, MemoryItem, Turn

_ABOUT_ASKER = re.compile(r"\b(?:my|mine|i|i'm|i've|me|am i)\b", re.I)
_ASKS_MORE = re.compile(r"\b(?:when|how|why|which day|what time|open|since)\b", re.I)
"""Then the value itself is not what is asked for, and another name in a sentence is no rival of it."""
_ASKS = re.compile(r"\b(?:who|whom|whose|what|which|where|when|how|why|do|does|did|am|is|are)\b[^?]*", re.I)

_GENERIC = re.compile(
    r"\b(?:which|what) (?:days?|dates?|time|names?|company|firm|kinds?|sorts?|types?|person|place|number|month|year"
    r"|food)\b",
    re.I,
)
"""What the answer is, in words that no statement has."""

_NOTHING = re.compile(r"(?!)")

_REPEATS = 0.7
"""Share of a question's words from which a sentence repeats the question."""
_ANSWERS = 0.8
"""Share from which a sentence of the owner's says all that is asked."""
_ON_IT = 0.5
"""Share from which a sentence is on the matter of one that answers."""

_MONTH = re.compile(
    r"\b(?:[\w-]+ of )?(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
_LESS = 1.0
"""How much less than elsewhere must speak for words to an assistant where the owner told the answer himself."""
_SPOKEN_OF = 0.5
"""Share of a value's words from which a sentence speaks of it."""
_AGAIN = 0.5
"""Share of a sentence's words that were masked elsewhere in its conversation, from which it says them again."""

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_TITLES = frozenset(
    """dr mr mrs ms prof st the of and bank gym air january february march april may june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday""".split()
)


_HONORIFICS = frozenset("dr mr mrs ms prof st".split())

_Judge = Callable[[str, str], bool]
"""Told a sentence and the question or heading just before it, whether the sentence may not be read."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What the owner said: any of the stems in `about` name its matter, `of` it has the share `least` of them.

    `known` are words that are no rival's, `value` the stems of what he said beside the question, `sorts` the crisp
    sorts of value that are asked for or said; `is_named` tells whether a name is what is asked for.
    """

    about: tuple[frozenset[str], ...]
    of: frozenset[str]
    least: float
    known: frozenset[str]
    value: frozenset[str]
    sorts: frozenset[Sort]
    is_named: bool

    def is_rival(self, sentence: str, before: str) -> bool:
        """Whether a sentence is about the same and names something else."""
        leads = len(self.value & set(stems(plain(sentence)))) >= _SPOKEN_OF * max(1, len(self.value))
        if not (leads or self._is_about(sentence) or (before and self._is_about(before))):
            return False
        if leads and leads_away(sentence):
            return True
        if (self.is_named or leads) and _named(sentence) - self.known - _TITLES - QUESTION_WORDS:
            return True
        return any(
            _sorts(value) & self.sorts and set(words(value)) - self.known - QUESTION_WORDS
            for value in (*values_in(sentence), *(m.group() for m in _MONTH.finditer(sentence)))
        )

    def is_made_for(self, sentence: str, before: str) -> bool:
        """Whether a sentence is made to be recalled: it asks what he asks, or speaks to an assistant about it."""
        said = content_stems(sentence)
        if "?" in sentence and len(self.of & said) >= _ANSWERS * max(1, len(self.of)):
            return True
        is_about = self._is_about(sentence) or (bool(before) and self._is_about(before))
        return is_about and is_for_assistant(sentence, 0.0, -_LESS)

    def _is_about(self, sentence: str) -> bool:
        said = set(stems(plain(sentence)))
        return any(noun <= said for noun in self.about) or len(self.of & said) >= self.least * max(1, len(self.of))


def agreed(question: str, pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with what contradicts the owner's own answer masked, in their order."""
    if not _ABOUT_ASKER.search(question):
        return list(pieces)
    told = _told(question, pieces)
    asks_more = _ASKS_MORE.search(question) is not None
    bare, owned = (None, _NOTHING) if asks_more else _nouns(question)

    def contradicts(sentence: str, before: str) -> bool:
        return any(own.is_rival(sentence, before) or own.is_made_for(sentence, before) for own in told)

    def misleads(sentence: str, before: str) -> bool:
        if contradicts(sentence, before) or redirects(sentence):
            return True
        return (
            bare is not None
            and bare.search(sentence) is not None
            and owned.search(sentence) is None
            and bool(_named(sentence) - set(words(question)) - _TITLES - QUESTION_WORDS)
        )

    kept = [_held_to(piece, contradicts, misleads) for piece in pieces]
    known = frozenset(stem(word) for own in told for word in own.known)
    return _untainted(kept, known | content_stems(question))


def core(question: str) -> str:
    """What `question` asks, without what leads up to it: "by the copper rota, who is my vet?" asks "who is my vet"."""
    asked = _ASKS.search(question)
    return asked.group() if asked else question


def answered_by_owner(question: str, pieces: Iterable[Piece]) -> list[Piece]:
    """Of `pieces`, those in which the owner says himself what he asks for, in their order."""
    if not _ABOUT_ASKER.search(question):
        return []
    return [p for p in pieces if _learned(p, question) is not None or any(True for _ in _said(p, question))]


def own_first(question: str, pieces: Iterable[Piece]) -> list[Piece]:
    """By time; for a question about the asker what he said himself before all else."""
    is_mine = _ABOUT_ASKER.search(question) is not None
    return sorted(pieces, key=lambda p: (is_mine and not _is_plain(p), p.at))


def _is_plain(piece: Piece) -> bool:
    """Whether all of a piece is the owner's own word."""
    source = piece.source
    if isinstance(source, MemoryItem):
        return is_own(source.trust) and source.kind != "topic"
    if not isinstance(source, Turn) or source.role != "user" or source.speaker:
        return False
    return not (pasted_spans(source.text) or only_asks(source.text))


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


# What the owner told -------------------------------------------------------------------------------------------


def _told(question: str, pieces: Iterable[Piece]) -> list[_Own]:
    """What the owner has said himself, and holds, of what he asks for."""
    asks_more, sorts = _ASKS_MORE.search(question) is not None, sorts_asked(question) & CRISP
    found = [own for p in pieces for own in (_learned(p, question), *_said(p, question)) if own is not None]
    if not asks_more:
        return found
    return [replace(own, is_named=False, sorts=own.sorts & sorts) for own in found if own.sorts & sorts or not sorts]


def _learned(piece: Piece, question: str) -> _Own | None:
    """What an item tells of the owner, if it is asked for."""
    item = piece.source
    if not isinstance(item, MemoryItem) or not (item.subject == OWNER and item.value and item.holds):
        return None
    in_question = frozenset(stems(question))
    is_asked = item.attribute in asked_for(question) or set(stems(item.attribute)) <= in_question
    if not (is_asked and is_own(item.trust)):
        return None
    nouns = tuple(frozenset(stems(noun)) for noun in (item.attribute, *nouns_of(item.attribute)))
    known = frozenset(words(f"{item.value} {item.text} {question}"))
    return _Own(nouns, in_question, _REPEATS, known, _values(item.value, question), _sorts(item.value), is_named=True)


def _said(piece: Piece, question: str) -> Iterator[_Own]:
    """What a turn of his tells that says all that is asked."""
    turn = piece.source
    if not isinstance(turn, Turn) or turn.role != "user" or turn.speaker or only_asks(turn.text):
        return
    in_question = content_stems(_GENERIC.sub(" ", core(question)))
    for sentence in split_sentences(own_words(turn.text)):
        said = content_stems(sentence.text)
        if not in_question or len(in_question & said) < _ANSWERS * len(in_question):
            continue
        value, sorts = _values(sentence.text, question), _sorts(sentence.text)
        names = _named(sentence.text) - set(words(question)) - _TITLES - QUESTION_WORDS
        if (value or sorts) and tells_of_himself(sentence.text):
            known = frozenset(words(f"{sentence.text} {question}"))
            yield _Own((), in_question, _ON_IT, known, value, sorts, is_named=bool(names))


def _values(text: str, question: str) -> frozenset[str]:
    """The stems of what `text` says beside the question."""
    return content_stems(text) - content_stems(question) - _HONORIFICS


def _sorts(text: str) -> frozenset[Sort]:
    found = sorts_of(text) & CRISP
    return found | {"day"} if _MONTH.search(text) else found


# Holding others to it ------------------------------------------------------------------------------------------


def _held_to(piece: Piece, contradicts: _Judge, misleads: _Judge) -> Piece:
    source = piece.source
    if isinstance(source, MemoryItem) and is_own(source.trust):
        return piece
    if not isinstance(source, Turn):
        return replace(piece, text=_without(piece.text, contradicts), brief=_without(piece.brief, contradicts))
    if source.role == "user" and not source.speaker:
        if not pasted_spans(piece.text):
            return piece
        return _reading(piece, _pasted(piece.text, misleads))
    return _reading(piece, _without(piece.text, misleads))


def _reading(piece: Piece, text: str) -> Piece:
    """A turn's piece with another `text`, which its short form ends with, behind who said it."""
    return replace(piece, text=text, brief=piece.brief.removesuffix(piece.text) + text)


def _untainted(pieces: Sequence[Piece], known: frozenset[str]) -> list[Piece]:
    """Without what others repeat in the same conversation of what was masked there: "as I said, Quist".

    `known` are stems of the question and of what the owner told.
    """
    masked: dict[int, frozenset[str]] = {}
    for piece in pieces:
        if isinstance(piece.source, Turn):
            gone = content_stems(piece.source.text) - content_stems(piece.text) - known
            masked[piece.source.conversation_id] = masked.get(piece.source.conversation_id, frozenset()) | gone

    def untainted(piece: Piece) -> Piece:
        source = piece.source
        if not isinstance(source, Turn) or (source.role == "user" and not source.speaker):
            return piece
        gone = masked[source.conversation_id]

        def repeats(sentence: str, _: str) -> bool:
            said = content_stems(sentence) - known
            return not tells_of_himself(sentence) and len(said & gone) >= _AGAIN * max(1, len(said))

        return _reading(piece, _without(piece.text, repeats)) if gone else piece

    return [untainted(piece) for piece in pieces]


def _pasted(text: str, judge: _Judge) -> str:
    parts, at = [], 0
    for start, end in pasted_spans(text):
        parts += [text[at:start], _without(text[start:end], judge)]
        at = end
    return "".join([*parts, text[at:]])


def _without(text: str, judge: _Judge) -> str:
    """`text` with each sentence masked that gives another answer, up to the end of its paragraph."""
    parts, at, until, before = [], 0, -1, ""
    for sentence in split_sentences(text):
        if sentence.start < until or judge(sentence.text, before):
            parts += [text[at : sentence.start], MASK]
            at = sentence.end
            blank = text.find("\n\n", sentence.end)
            until = max(until, len(text) if blank < 0 else blank)
        before = sentence.text if sentence.text.rstrip().endswith(("?", ":")) else ""
    return "".join([*parts, text[at:]])


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
