"""The answer under way: at most one at a time, its job, and the turn it is written into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.tui.messages import AnswerStep, ConversationsListed, ConversationStarted
from secondme.tui.tally import Mailbox
from secondme.types import AnswerEvent, CancelCheck, TokenText

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Running
    from secondme.tui.widgets.turns import AssistantTurn

TITLE_CHARS = 60


class Answering:
    """Which answer is being written. `busy` from the question until its thread is back."""

    def __init__(self) -> None:
        self._running: Running | None = None
        self._turn: AssistantTurn | None = None
        self._text: Mailbox[str] = Mailbox(add)

    @property
    def busy(self) -> bool:
        return self._running is not None

    def begin(self, turn: AssistantTurn) -> Mailbox[str]:
        """A new answer goes into `turn`; its text is to arrive in the mailbox."""
        self._turn = turn
        self._text = Mailbox(add)
        return self._text

    def started(self, running: Running) -> None:
        self._running = running

    async def step(self, event: AnswerEvent) -> None:
        """Show an event, and before it the text that came before it."""
        if self._turn is not None:
            if text := self._text.drain():
                await self._turn.show_event(TokenText(text))
            await self._turn.show_event(event)

    async def look(self) -> bool:
        """Show text that waits; False if there was none."""
        text = self._text.take()
        if text is not None and self._turn is not None:
            await self._turn.show_event(TokenText(text))
        return text is not None

    def stop(self) -> bool:
        """Ask the answer to end within a token; False if there is none."""
        if self._running is None or self._turn is None:
            return False
        self._running.stop()
        self._turn.waiting("stopping …")
        return True

    def drop(self) -> None:
        """Memory is being locked: stop the answer and let go of what is on screen."""
        if self._running is not None:
            self._running.stop()
        self._text.drain()
        self._turn = None

    async def ended(self, running: Running, error: Exception | None) -> None:
        """The job is over; an error is shown under what had been said."""
        if running is not self._running:
            return
        turn, self._running, self._turn = self._turn, None, None
        if turn is not None and error is not None:
            await turn.fail(error)
        elif turn is not None:
            turn.settle()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and where it was asked; `conversation_id` None starts a conversation titled by it."""

    question: str
    conversation_id: int | None
    project: str


def answer_job(assistant: Assistant, asked: Asked, text: Mailbox[str]) -> Job:
    """Answer a question. Its text goes to the mailbox, everything else arrives as messages."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        here, project = asked.conversation_id, asked.project
        if here is None:
            here = assistant.new_conversation(project, title_of(asked.question))
            yield ConversationStarted(here)
            yield ConversationsListed(assistant.conversations(project))
        for event in assistant.answer(asked.question, conversation_id=here, project=project, cancelled=cancelled):
            if not isinstance(event, TokenText):
                yield AnswerStep(event)
            elif text.put(event.text):
                yield AnswerStep(None)
        yield ConversationsListed(assistant.conversations(project))

    return job


def title_of(question: str) -> str:
    """The first words of a question, as a title."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[:TITLE_CHARS].rsplit(" ", 1)[0] + "…"
