"""One question of the owner's: its turns are stored around the answer, what it tells is learned, and the log says what
the answer used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from secondme.assistant.learning import Said
from secondme.assistant.learning import tell as tell_memory
from secondme.errors import StoreError, StoreFull
from secondme.types import (
    Answer,
    AnswerEvent,
    CancelCheck,
    ContextUsage,
    Learned,
    Message,
    Notice,
    Opened,
    Recalled,
    SecretAsked,
    Timings,
    TokenText,
    Turn,
)

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts
    from secondme.chat.direct import Told
    from secondme.chat.turn import Question
    from secondme.memory.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; with a conversation, its turns are read first and both new turns are stored."""

    question: str
    conversation_id: int | None
    project: str
    attached: str = ""
    started: float = field(default_factory=time.perf_counter)


def answer(asked: Asked, parts: Parts, *, cancelled: CancelCheck) -> Iterator[AnswerEvent]:
    """The question is stored, and what it tells is learned, before the answer begins: a crash loses no word of the
    owner. What memory can tell by itself takes no model."""
    from secondme.chat.direct import Asked as AskedOfMemory
    from secondme.chat.direct import acknowledge, is_statement, tell

    store = parts.store
    before = store.turns(asked.conversation_id) if asked.conversation_id is not None else []
    learned = Learned()
    if asked.conversation_id is not None:
        _, learned = tell_memory(parts, Said(asked.conversation_id, "user", asked.question, asked.project))
        if learned:
            yield learned
    if learned and is_statement(asked.question):
        yield from _say(asked, parts, acknowledge(learned))
        return
    last = next((t for t in reversed(before) if t.role == "assistant"), None)
    told = None if asked.attached else tell(AskedOfMemory(asked.question, asked.project, last), store)
    yield from _told(asked, parts, told) if told else _generated(asked, parts, before, learned, cancelled)


# Without a model -----------------------------------------------------------------------------------------------


def _say(asked: Asked, parts: Parts, text: str) -> Iterator[AnswerEvent]:
    """A sentence of the program's own, as an answer."""
    from secondme.chat.direct import Told

    yield from _told(asked, parts, Told(text))


def _told(asked: Asked, parts: Parts, told: Told) -> Iterator[AnswerEvent]:
    yield Recalled((), n_items=len(told.citations))
    if told.secrets:
        yield SecretAsked(told.secrets)
    yield TokenText(told.text)
    elapsed = time.perf_counter() - asked.started
    timings = Timings(elapsed, 0.0, 0.0, elapsed, 0, 0, 0)
    usage = parts.usage or ContextUsage(0, 0)
    yield from _ended(asked, parts.store, Answer(told.text, told.citations, told.found, "end", usage, timings))


# With the model ------------------------------------------------------------------------------------------------


def _generated(
    asked: Asked, parts: Parts, before: list[Turn], learned: Learned, cancelled: CancelCheck
) -> Iterator[AnswerEvent]:
    from secondme.chat import turn

    parts.check_embedder()
    with parts.opener.waited_for(cancelled):
        for event in parts.opener.ready(asked.project, cancelled=cancelled):
            if not isinstance(event, Opened):
                yield event
        question = _question(asked, parts, before, learned)
        engines = turn.Engines(parts.store, parts.embedder, parts.generator)
        yield from map(Notice, parts.take_notes())
        for step in turn.answer(question, engines, cancelled=cancelled):
            if isinstance(step, Answer):
                yield from _ended(asked, parts.store, step)
            else:
                yield step


def _question(asked: Asked, parts: Parts, before: list[Turn], learned: Learned) -> Question:
    from secondme.chat.turn import AnswerStyle, Question
    from secondme.recall.masking import masks

    hidden = masks(parts.store, asked.project)
    history = tuple(Message(t.role, hidden.for_model("turn", t.id, t.text, is_owners=True)) for t in before)
    return Question(
        asked.question,
        asked.project,
        history,
        asked.attached,
        parts.opener.opened(asked.project),
        conversation_id=asked.conversation_id,
        without=frozenset(item.id for item in (*learned.items, *learned.pending, *learned.confirmed)),
        whole_history=parts.config.whole_history_tokens,
        style=cast(AnswerStyle, parts.config.answers),
    )


# Afterwards ----------------------------------------------------------------------------------------------------


def _ended(asked: Asked, store: Store, answer: Answer) -> Iterator[AnswerEvent]:
    """Store the answer and log what it used; on a full disk it can still be read."""
    turn_id = None
    if asked.conversation_id is not None:
        turn_id = store.add_turn(asked.conversation_id, "assistant", answer.text, answer.citations)
    try:
        _note_use(store, answer, turn_id)
    except StoreFull:
        yield Notice("the disk is full, so that the log does not say what this answer used")
    yield answer


def _note_use(store: Store, answer: Answer, turn_id: int | None) -> None:
    """Log which passages and items the model read, and which are marked in what it said; items last longer by it."""
    read = [c for c in answer.citations if c.chunk_id or c.item_id]
    if not read:
        return
    passages, items = ([c for c in read if c.kind == kind] for kind in ("passage", "item"))
    marked = " ".join(str(c.chunk_id) for c in passages if c.marked)
    marked_items = [c.item_id for c in items if c.marked]
    subjects = [f"passage:{c.chunk_id}" for c in passages] + [f"item:{c.item_id}" for c in items]
    subjects += [f"turn:{turn_id}"] if turn_id else []
    detail = {"by": "answer", "marked": marked} | (
        {"marked_items": " ".join(map(str, marked_items))} if marked_items else {}
    )
    store.note("used" if marked or marked_items else "shown", subjects, detail=detail)
    with suppress(StoreError):  # forgotten meanwhile by another thread
        store.use_items(marked_items or [c.item_id for c in items])
