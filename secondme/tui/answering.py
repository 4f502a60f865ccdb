"""The answer under way: at most one at a time, its job, and the turn it is written into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.tui.messages import AnswerStep, ConversationsListed, ConversationStarted
from secondme.tui.tally import gathered
from secondme.types import AnswerEvent, CancelCheck

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

    @property
    def busy(self) -> bool:
        return self._running is not None

    def begin(self, running: Running, turn: AssistantTurn) -> None:
        self._running = running
        self._turn = turn

    async def step(self, event: AnswerEvent) -> None:
        if self._turn is not None:
            await self._turn.show_event(event)

    def stop(self) -> bool:
        """Ask the answer to end within a token; False if there is none."""
        if self._running is None or self._turn is None:
            return False
        self._running.stop()
        self._turn.waiting("stopping …")
        return True

    async def ended(self, running: Running, error: Exception | None) -> None:
        """The job is over; an error is shown under what had been said."""
        if running is not self._running or self._turn is None:
            return
        if error is not None:
            await self._turn.fail(error)
        else:
            self._turn.settle()
        self._running = self._turn = None


def answer_job(assistant: Assistant, question: str, conversation_id: int | None, project: str) -> Job:
    """Answer in a conversation; without one, start it, titled by the question."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        here = conversation_id
        if here is None:
            here = assistant.new_conversation(project, title_of(question))
            yield ConversationStarted(here)
            yield ConversationsListed(assistant.conversations(project))
        events = assistant.answer(question, conversation_id=here, project=project, cancelled=cancelled)
        for event in gathered(events):
            yield AnswerStep(event)
        yield ConversationsListed(assistant.conversations(project))

    return job


def title_of(question: str) -> str:
    """The first words of a question, as a title."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[:TITLE_CHARS].rsplit(" ", 1)[0] + "…"
