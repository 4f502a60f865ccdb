"""One question of the owner's: its turns are stored around the answer, and the log says what the answer used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondme.errors import StoreFull
from secondme.types import Answer, AnswerEvent, CancelCheck, Message, Notice

if TYPE_CHECKING:
    from secondme.chat.turn import Engines
    from secondme.memory.store import Store
    from secondme.types import Opened


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; with a conversation, its turns are read first and both new turns are stored."""

    question: str
    conversation_id: int | None
    project: str
    attached: str
    opened: Opened | None


def answer(asked: Asked, engines: Engines, *, cancelled: CancelCheck) -> Iterator[AnswerEvent]:
    """The question is stored before the answer begins, so that a crash loses no word of the owner."""
    from secondme.chat import turn

    store, history = engines.store, tuple[Message, ...]()
    if asked.conversation_id is not None:
        history = tuple(Message(t.role, t.text) for t in store.turns(asked.conversation_id))
        store.add_turn(asked.conversation_id, "user", asked.question, ())
    question = turn.Question(asked.question, asked.project, history, asked.attached, asked.opened)
    for event in turn.answer(question, engines, cancelled=cancelled):
        if isinstance(event, Answer):
            turn_id = None
            if asked.conversation_id is not None:
                turn_id = store.add_turn(asked.conversation_id, "assistant", event.text, event.citations)
            try:
                _note_use(store, event, turn_id)
            except StoreFull:
                yield Notice("the disk is full, so that the log does not say what this answer used")
        yield event


def _note_use(store: Store, answer: Answer, turn_id: int | None) -> None:
    """Log which passages the model read, and which are marked in what it said."""
    read = [c for c in answer.citations if c.chunk_id]
    if read:
        marked = " ".join(str(c.chunk_id) for c in read if c.marked)
        subjects = [f"passage:{c.chunk_id}" for c in read] + ([f"turn:{turn_id}"] if turn_id else [])
        store.note("used" if marked else "shown", subjects, detail={"by": "answer", "marked": marked})
