"""What threads tell the screens. Each is posted by the runner in `jobs.py`; widgets define their own beside them.

None bubbles: a job reports to the screen that started it, and a failed job must not reach the app, which would leave.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.types import (
    AnswerEvent,
    ContextUsage,
    Conversation,
    MemoryItem,
    Notice,
    Opened,
    PrefillProgress,
    ProjectStatus,
    StoredSource,
    Turn,
)

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.crypto.unlock import AskKind
    from secondme.tui.excerpt import Excerpt
    from secondme.tui.jobs import Running
    from secondme.tui.opening import BuildView
    from secondme.tui.tally import IngestView, Mailbox


class JobEnded(Message, bubble=False):
    """A job is over; `error` is set unless it ran to its end or was cancelled."""

    def __init__(self, running: Running, error: Exception | None) -> None:
        super().__init__()
        self.running = running
        self.error = error


class PassphraseWanted(Message, bubble=False):
    """The store needs a passphrase; the thread waits for `reply`. `note` says why the last one was refused."""

    def __init__(self, kind: AskKind, reply: Future[str], note: str) -> None:
        super().__init__()
        self.kind = kind
        self.reply = reply
        self.note = note


class Unlocked(Message, bubble=False):
    """The store is open."""

    def __init__(self, assistant: Assistant) -> None:
        super().__init__()
        self.assistant = assistant


class Locked(Message, bubble=False):
    """The store is closed and its keys are gone; `error` is what went wrong on the way."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error


class ModelReady(Message, bubble=False):
    """Both models are in memory."""

    def __init__(self, name: str, usage: ContextUsage | None) -> None:
        super().__init__()
        self.name = name
        self.usage = usage


class ConversationsListed(Message, bubble=False):
    def __init__(self, conversations: list[Conversation]) -> None:
        super().__init__()
        self.conversations = conversations


class TurnsLoaded(Message, bubble=False):
    def __init__(self, conversation_id: int, turns: list[Turn]) -> None:
        super().__init__()
        self.conversation_id = conversation_id
        self.turns = turns


class ConversationStarted(Message, bubble=False):
    """A question opened a new conversation."""

    def __init__(self, conversation_id: int) -> None:
        super().__init__()
        self.conversation_id = conversation_id


class AnswerStep(Message, bubble=False):
    """The next event of an answer; None wakes the screen for text that waits in the mailbox."""

    def __init__(self, event: AnswerEvent | None) -> None:
        super().__init__()
        self.event = event


class IngestStep(Message, bubble=False):
    """Wakes the screen for the newest state of adding files, which waits in the mailbox."""

    def __init__(self, mailbox: Mailbox[IngestView], *, watching: bool) -> None:
        super().__init__()
        self.mailbox = mailbox
        self.watching = watching


class IngestEnded(Message, bubble=False):
    """A round of adding files is over; `watching` tells that the disk asked for it and not the owner."""

    def __init__(self, view: IngestView, *, watching: bool) -> None:
        super().__init__()
        self.view = view
        self.watching = watching


class PassageLoaded(Message, bubble=False):
    def __init__(self, excerpt: Excerpt) -> None:
        super().__init__()
        self.excerpt = excerpt


class SourcesListed(Message, bubble=False):
    def __init__(self, sources: list[StoredSource]) -> None:
        super().__init__()
        self.sources = sources


class ProjectStep(Message, bubble=False):
    """The project is being opened: how far reading is, or what is not as it could be."""

    def __init__(self, event: PrefillProgress | Notice) -> None:
        super().__init__()
        self.event = event


class ProjectOpened(Message, bubble=False):
    """The project's documents lie before the model."""

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self.opened = opened


class BuildStep(Message, bubble=False):
    """Wakes the screen for the newest state of preparing documents, which waits in the mailbox."""

    def __init__(self, mailbox: Mailbox[BuildView]) -> None:
        super().__init__()
        self.mailbox = mailbox


class BuildEnded(Message, bubble=False):
    """All documents of the project are prepared, as far as they can be."""

    def __init__(self, view: BuildView) -> None:
        super().__init__()
        self.view = view


class Unlearned(Message, bubble=False):
    """What was learned last is forgotten; `again` are lines of what it had closed, and what holds again."""

    def __init__(self, again: list[str]) -> None:
        super().__init__()
        self.again = again


class MemoriesListed(Message, bubble=False):
    """What is known, and first what waits for the owner's word."""

    def __init__(self, items: list[MemoryItem]) -> None:
        super().__init__()
        self.items = items


class MemoryDescribed(Message, bubble=False):
    """Why an item is believed, and what was so before it; each line is safe for a terminal."""

    def __init__(self, item_id: int, lines: list[str]) -> None:
        super().__init__()
        self.item_id = item_id
        self.lines = lines


class ProjectDescribed(Message, bubble=False):
    def __init__(self, status: ProjectStatus) -> None:
        super().__init__()
        self.status = status
