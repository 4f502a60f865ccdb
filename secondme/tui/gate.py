"""Opens the store from a thread: asks the owner through a screen, and asks again after a wrong passphrase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.errors import Cancelled, WrongPassphrase
from secondme.tui.messages import ModelReady, PassphraseWanted, Unlocked
from secondme.types import CancelCheck

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.crypto.unlock import AskKind
    from secondme.tui.jobs import Job

OpenAssistant = Callable[[], "Assistant"]
Post = Callable[[Message], object]
_POLL_S = 0.1


class Gate:
    """Asks for the passphrase by message and waits for the reply. `asked` tells whether this try needed one."""

    def __init__(self, post: Post, cancelled: CancelCheck, note: str = "") -> None:
        self._post = post
        self._cancelled = cancelled
        self._note = note
        self.asked = False

    def ask(self, kind: AskKind) -> str:
        """Return the owner's passphrase. Raises NoKey if the owner gave none, Cancelled if the app is closing."""
        self.asked = True
        reply: Future[str] = Future()
        self._post(PassphraseWanted(kind, reply, self._note))
        while not self._cancelled():
            try:
                return reply.result(_POLL_S)
            except NotYet:
                continue
        raise Cancelled("the app was closed")


def unlock_job(open_assistant: OpenAssistant, passphrase: str | None, post: Post) -> Job:
    """Import the core and open the store. A passphrase that came from outside is tried once."""

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        from secondme.assistant import Credentials

        assistant = open_assistant()
        gate = Gate(post, cancelled)
        while True:
            try:
                assistant.unlock(Credentials(passphrase, gate.ask))
            except WrongPassphrase as error:
                if not gate.asked:
                    raise
                gate = Gate(post, cancelled, error.message)
            else:
                break
        yield Unlocked(assistant)

    return job


def load_job(assistant: Assistant) -> Job:
    """Load both models."""

    def job(_: CancelCheck) -> Iterator[Message]:
        assistant.load_models()
        yield ModelReady(assistant.generator.info.name, assistant.usage)

    return job
