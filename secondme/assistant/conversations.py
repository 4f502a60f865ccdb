"""Conversations: a question and its answer, and what was said before."""

from __future__ import annotations

from collections.abc import Iterator

from secondme.assistant.documents import DEFAULT_PROJECT
from secondme.assistant.learning import Said
from secondme.assistant.parts import Parts
from secondme.types import AnswerEvent, CancelCheck, Conversation, Learned, StoreStats, Turn, never_cancelled


class Conversations(Parts):
    """What is done with conversations."""

    def answer(
        self,
        question: str,
        *,
        conversation_id: int | None = None,
        project: str = DEFAULT_PROJECT,
        attached: str = "",
        cancelled: CancelCheck = never_cancelled,
    ) -> Iterator[AnswerEvent]:
        """Answer a question; with a conversation, its turns are read first, both new turns are stored, and what the
        owner tells is learned.

        Where `project` is open (`open_project`), its documents lie before the question. Secrets that the question names
        come as a SecretAsked, to be shown by the caller or not; no model is given them.
        """
        from secondme.assistant.answering import Asked, answer

        asked = Asked(question, conversation_id, project, attached)
        yield from answer(asked, self, cancelled=cancelled)

    def tell(self, said: Said) -> tuple[int, Learned]:
        """Store a turn that asks for no answer, and learn from it if it is the owner's; returns its id."""
        from secondme.assistant.learning import tell

        return tell(self, said)

    def new_conversation(
        self, project: str = DEFAULT_PROJECT, title: str = "New conversation", *, at: float | None = None
    ) -> int:
        self.check_name(project)
        return self.store.new_conversation(project, title, at=at)

    def conversations(self, project: str | None = None) -> list[Conversation]:
        return self.store.conversations(project)

    def rename_conversation(self, conversation_id: int, title: str) -> None:
        self.store.rename_conversation(conversation_id, title)

    def delete_conversation(self, conversation_id: int) -> None:
        self.store.delete_conversation(conversation_id)

    def turns(self, conversation_id: int) -> list[Turn]:
        return self.store.turns(conversation_id)

    def turn(self, turn_id: int) -> Turn | None:
        """One turn; None if it is gone."""
        found = self.store.turns_by_ids([turn_id])
        return found[0] if found else None

    def stats(self) -> StoreStats:
        return self.store.stats()
