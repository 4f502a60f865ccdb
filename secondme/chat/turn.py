"""The answer to a question: evidence, prompt, prefill, decode, citations. Knows no screen and stores nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from secondme.chat.cite import CitationMarker, cited
from secondme.chat.direct import fact, to_owner
from secondme.chat.prompt import ANSWER_TOKENS, Prompt, Reading, build_prompt, piece_tokens, require_fit
from secondme.chat.quote import Quote, quoted
from secondme.errors import Cancelled
from secondme.memory.store import Store
from secondme.recall.excerpt import Excerpt
from secondme.recall.gather import Evidence, Scope, gather
from secondme.recall.pieces import Piece, of_passage
from secondme.runtime.base import DecodeEnd, Embedder, Generator, Sampling
from secondme.text.answers import asked_about, asks
from secondme.text.sentences import Sentence, split_sentences
from secondme.text.terms import QUESTION_WORDS, words
from secondme.types import (
    Answer,
    AnswerEvent,
    CancelCheck,
    Chunk,
    Citation,
    Hit,
    MemoryItem,
    Message,
    Notice,
    Opened,
    Recalled,
    StoredChunk,
    Timings,
    TokenText,
    Trust,
    never_cancelled,
)

NOTHING_FOUND = "Memory holds nothing about this."
NOTED = "Noted."
"""To what asks nothing and calls nothing to mind: the turn is in memory by then."""

SAMPLING = Sampling(max_tokens=ANSWER_TOKENS, repeat_penalty=1.1)
"""Greedy, so that the same question gets the same answer; the penalty counts the answer's own tokens only."""

_GOES_ON = re.compile(r"\W*(?:and|but|or|so|then|also|(?:what|how) about)\b", re.I)
_STATEMENT = re.compile(
    r"[.!]\W*$|\b(?:i|i'm|i've|my|we|our|they|he|she)\b|\bthe [\w ]{1,30} (?:is|are|was|were|went|has|had)\b", re.I
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

AnswerStyle = Literal["auto", "write", "quote"]
Stopped = Literal["end", "length", "cancelled", "nothing"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where.

    `history` are earlier turns of conversation `conversation_id`, oldest first; `project` None means everywhere;
    `attached` is text handed over with the question, read first whatever recall finds; `opened` is the project whose
    documents lie before. `without` are items that were made of the question itself. Up to `whole_history` tokens all
    that was said in other conversations is read; 0 is never. `style`: whether the model writes the answer or the
    evidence is quoted; auto is a quotation where the model is small.
    """

    text: str
    project: str | None = None
    history: tuple[Message, ...] = ()
    attached: str = ""
    opened: Opened | None = None
    conversation_id: int | None = None
    without: frozenset[int] = frozenset()
    whole_history: int = 0
    style: AnswerStyle = "auto"

    def is_quoted(self, *, is_small: bool) -> bool:
        """Text that is handed over is always the model's to read."""
        return not self.attached and (is_small if self.style == "auto" else self.style == "quote")


@dataclass(frozen=True, slots=True)
class Engines:
    """The parts an answer needs."""

    store: Store
    embedder: Embedder
    generator: Generator


@dataclass(slots=True)
class _Clock:
    """Seconds spent in each stage of one answer."""

    started: float = field(default_factory=time.perf_counter)
    recall_s: float = 0.0
    prefill_s: float = 0.0
    first_token_s: float = 0.0
    decode_s: float = 0.0
    n_tokens: int = 0

    def since(self, mark: float) -> float:
        return time.perf_counter() - mark


def answer(question: Question, engines: Engines, *, cancelled: CancelCheck = never_cancelled) -> Iterator[AnswerEvent]:
    """Answer from memory. The last event is an Answer; a cancelled one holds what had been said.

    Raises ContextOverflow if the question alone does not fit; nothing is cut silently, a Notice says what was left out.
    """
    clock = _Clock()
    attached = (_attached(question),) if question.attached else ()
    reading = Reading(engines.generator, question.opened)
    require_fit(question.text, attached, reading)
    evidence = gather(asked_about(_with_context(question)), engines.store, engines.embedder, _scope(question, reading))
    reading = replace(reading, profile=evidence.profile, whole_history=question.whole_history)
    pieces = attached + evidence.pieces
    clock.recall_s = clock.since(clock.started)
    yield _recalled(pieces)
    if not pieces and not evidence.found and not _can_tell_without(reading):
        reply = NOTED if question.conversation_id is not None and _tells(question.text) else NOTHING_FOUND
        yield TokenText(reply)
        yield _nothing(reply, engines.generator, clock)
        return
    if question.is_quoted(is_small=reading.generator.info.is_small):
        if told := fact(evidence):
            yield from _told(told, evidence, engines.generator, clock)
            return
        if quotes := quoted(question.text, evidence):
            yield from _quoted(quotes, evidence, question.project or "", engines.generator, clock)
            return
        if question.conversation_id is not None and _tells(question.text):  # a small model would make something up
            yield TokenText(NOTED)
            yield _nothing(NOTED, engines.generator, clock)
            return
    prompt = build_prompt(question.text, pieces, question.history, reading, n_needed=len(attached))
    yield from _notices(prompt, found=bool(pieces))
    unread = tuple(p for p in pieces if p not in prompt.pieces)
    said = _Said(prompt, (*prompt.pieces, *unread), evidence, question.project or "")
    yield from _generate(said, engines.generator, clock, cancelled)


def _tells(text: str) -> bool:
    """Whether `text` is a statement, and not a question, a request, or words to search for."""
    return not asks(text) and _STATEMENT.search(text) is not None


def _scope(question: Question, reading: Reading) -> Scope:
    """The conversation under way is left out where the model reads it anyway."""
    is_read = not question.is_quoted(is_small=reading.generator.info.is_small)
    return Scope(
        project=question.project,
        exclude_conversation=question.conversation_id if is_read else None,
        without=question.without,
        budget=reading.n_evidence,
        cost=lambda piece: piece_tokens(1, piece, reading),
        whole_history=question.whole_history,
    )


def _recalled(pieces: Sequence[Piece]) -> Recalled:
    hits = tuple(p.source.hit for p in pieces if isinstance(p.source, Excerpt))
    n_turns, n_items = (sum(p.kind == kind for p in pieces) for kind in ("turn", "item"))
    return Recalled(hits, n_turns, n_items)


def _with_context(question: Question) -> str:
    """A follow-up such as "and why?" is searched together with the question before it."""
    previous = next((m.content for m in reversed(question.history) if m.role == "user"), "")
    few = len(question.text.split()) <= 4
    follows = few and (_GOES_ON.match(question.text) or not set(words(question.text)) - QUESTION_WORDS)
    return f"{previous}\n{question.text}" if previous and follows else question.text


def _attached(question: Question) -> Piece:
    """Text that came with the question, as a passage. It is not stored, so its id is 0."""
    text = question.attached
    chunk = Chunk(0, text, 0, len(text.encode("utf-8", "surrogatepass")), 1, text.count("\n") + 1, None, ())
    stored = StoredChunk(0, 0, "-", question.project or "", "standard input", "text/plain", Trust.OWNER, chunk)
    first = (split_sentences(text) or [Sentence(text, 0, len(text))])[0]
    return of_passage(Excerpt(Hit(stored, 1.0, None, None, None), first, text))


def _nothing(reply: str, generator: Generator, clock: _Clock) -> Answer:
    timings = Timings(clock.recall_s, 0.0, 0.0, clock.since(clock.started), 0, 0, 0)
    return Answer(reply, (), False, "nothing", generator.usage, timings)


def _told(pieces: tuple[Piece, ...], evidence: Evidence, generator: Generator, clock: _Clock) -> Iterator[AnswerEvent]:
    """What is known, in its own words: a small model would only blur it."""
    lines = [f"{to_owner(p.source)} [{n}]" for n, p in enumerate(pieces, 1) if isinstance(p.source, MemoryItem)]
    cites = tuple(cited(n, p, evidence.weights, project="", marked=True) for n, p in enumerate(pieces, 1))
    yield from _at_once("\n".join(lines), cites, generator, clock)


def _quoted(
    quotes: Sequence[Quote], evidence: Evidence, project: str, generator: Generator, clock: _Clock
) -> Iterator[AnswerEvent]:
    """Sentences of what was found; the rest is cited behind them."""
    numbers = [evidence.pieces.index(quote.piece) + 1 for quote in quotes]
    cites = tuple(
        cited(n, p, evidence.weights, project=project, marked=n in numbers) for n, p in enumerate(evidence.pieces, 1)
    )
    lines = [f"{quote.text} [{n}]" for quote, n in zip(quotes, numbers, strict=True)]
    yield from _at_once("\n\n".join(lines), cites, generator, clock)


def _at_once(text: str, cites: tuple[Citation, ...], generator: Generator, clock: _Clock) -> Iterator[AnswerEvent]:
    """An answer that no model wrote."""
    yield TokenText(text)
    timings = Timings(clock.recall_s, 0.0, 0.0, clock.since(clock.started), 0, 0, 0)
    yield Answer(text, cites, True, "end", generator.usage, timings)


def _can_tell_without(reading: Reading) -> bool:
    """Whether a question that nothing bears on may be one about the open documents as a whole.

    A small model answers such a question from nothing at all.
    """
    return reading.opened is not None and reading.opened.n_read > 0 and not reading.generator.info.is_small


def _notices(prompt: Prompt, *, found: bool) -> Iterator[Notice]:
    if prompt.n_turns_left_out:
        yield Notice(f"{prompt.n_turns_left_out} earlier turns did not fit into the context and were not read")
    if found and not prompt.pieces:
        yield Notice("no evidence fits into the context beside the question, so the answer rests on none")


@dataclass(frozen=True, slots=True)
class _Said:
    """What a prompt says, and what it rests on: the `pieces` it quotes, then what was found beside them."""

    prompt: Prompt
    pieces: tuple[Piece, ...]
    evidence: Evidence
    project: str

    def cite(self, marked: Sequence[int]) -> tuple[Citation, ...]:
        """All that was found, in its order; what is marked in the answer says so."""
        return tuple(
            cited(n, piece, self.evidence.weights, project=self.project, marked=n in marked)
            for n, piece in enumerate(self.pieces, start=1)
        )


def _generate(said: _Said, generator: Generator, clock: _Clock, cancelled: CancelCheck) -> Iterator[AnswerEvent]:
    prompt = said.prompt
    n_cached = _common_prefix(generator.cached_tokens, prompt.tokens)
    marker = CitationMarker([p.spoken for p in said.pieces])
    shown: list[str] = []
    stopped: Stopped = "cancelled"
    mark = time.perf_counter()
    try:
        yield from generator.prefill(prompt.tokens, cancelled=cancelled)
        clock.prefill_s = clock.since(mark)
        mark = time.perf_counter()
        repeats = RepetitionGuard()
        for event in generator.decode(SAMPLING, cancelled=cancelled):
            if isinstance(event, DecodeEnd):
                stopped = _stopped(event)
                break
            clock.n_tokens += 1
            clock.first_token_s = clock.first_token_s or clock.since(clock.started)
            yield from _show(marker.feed(event.text), shown)
            if repeats.repeated(event.text):
                stopped = "end"
                break
        clock.decode_s = clock.since(mark)
        yield from _show(marker.finish(), shown)
    except Cancelled:
        pass
    timings = Timings(
        clock.recall_s,
        clock.prefill_s,
        clock.decode_s,
        clock.first_token_s,
        len(prompt.tokens),
        n_cached,
        clock.n_tokens,
    )
    yield Answer("".join(shown).strip(), said.cite(marker.marked), True, stopped, generator.usage, timings)


class RepetitionGuard:
    """Notices an answer that goes in circles, as small models do: a whole sentence or line said before."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._open = ""

    def repeated(self, piece: str) -> bool:
        """Take the next piece; True if it completed a sentence of three words or more for a second time."""
        *closed, self._open = _SENTENCE_END.split(self._open + piece)
        for sentence in closed:
            key = " ".join(sentence.lower().split())
            if key.count(" ") >= 2:
                if key in self._said:
                    return True
                self._said.add(key)
        return False


def _show(text: str, shown: list[str]) -> Iterator[TokenText]:
    if text:
        shown.append(text)
        yield TokenText(text)


def _stopped(event: DecodeEnd) -> Stopped:
    if event.reason == "cancelled":
        return "cancelled"
    return "length" if event.reason in ("length", "context") else "end"


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n
