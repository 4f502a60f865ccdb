"""Which conversation is open, and what is done to conversations: listed, opened, renamed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from textual.message import Message

from secondme.tui import show
from secondme.tui.messages import ConversationsListed, TurnsLoaded
from secondme.types import CancelCheck, Conversation

if TYPE_CHECKING:
    from textual.app import App
    from textual.dom import DOMNode

    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs


class Conversing:
    """The known conversations and the open one; `current` is None for one that has no question yet."""

    def __init__(self, node: DOMNode, jobs: Jobs, project: str) -> None:
        self._node = node
        self._jobs = jobs
        self._project = project
        self._assistant: Assistant | None = None
        self.known: list[Conversation] = []
        self.current: int | None = None

    def open(self, assistant: Assistant) -> None:
        """The store is open: list what it holds."""
        self._assistant = assistant
        self._start(listing_job(assistant, self._project))

    def pause(self) -> None:
        """Memory is being locked: forget what is known, but not which conversation is open."""
        self._assistant = None
        self.known = []

    def current_conversation(self) -> Conversation | None:
        return next((c for c in self.known if c.id == self.current), None)

    def switch(self, conversation_id: int) -> None:
        """Open a stored conversation; its turns arrive as TurnsLoaded."""
        if self._assistant is not None:
            self.current = conversation_id
            self._jobs.start(self._node, "turns", turns_job(self._assistant, conversation_id))

    def rename(self, app: App[Any], conversation: Conversation) -> None:
        """Ask for a title and store it."""
        from secondme.tui.screens.rename import RenameScreen

        def renamed(title: str | None) -> None:
            if title and self._assistant is not None:
                self._start(rename_job(self._assistant, conversation, title))

        app.push_screen(RenameScreen(conversation.title), renamed)

    def delete(self, app: App[Any], conversation: Conversation) -> None:
        """Ask, then delete; the list that follows tells that it is gone."""
        from secondme.tui.screens.confirm import ConfirmScreen

        def agreed(yes: bool | None) -> None:
            if yes and self._assistant is not None:
                self._start(delete_job(self._assistant, conversation))

        question = f"Delete “{show.one_line(conversation.title, 60)}”?"
        consequence = f"Its {show.count(conversation.n_turns, 'turn')} cannot be brought back."
        app.push_screen(ConfirmScreen(question, consequence, "Delete"), agreed)

    def _start(self, job: Job) -> None:
        self._jobs.start(self._node, "conversations", job)


def listing_job(assistant: Assistant, project: str) -> Job:
    """List a project's conversations."""

    def job(_: CancelCheck) -> Iterator[Message]:
        yield ConversationsListed(assistant.conversations(project))

    return job


def turns_job(assistant: Assistant, conversation_id: int) -> Job:
    """Read one conversation."""

    def job(_: CancelCheck) -> Iterator[Message]:
        yield TurnsLoaded(conversation_id, assistant.turns(conversation_id))

    return job


def rename_job(assistant: Assistant, conversation: Conversation, title: str) -> Job:
    """Give a conversation another title."""

    def job(_: CancelCheck) -> Iterator[Message]:
        assistant.rename_conversation(conversation.id, title)
        yield ConversationsListed(assistant.conversations(conversation.project))

    return job


def delete_job(assistant: Assistant, conversation: Conversation) -> Job:
    """Delete a conversation with its turns."""

    def job(_: CancelCheck) -> Iterator[Message]:
        assistant.delete_conversation(conversation.id)
        yield ConversationsListed(assistant.conversations(conversation.project))

    return job
