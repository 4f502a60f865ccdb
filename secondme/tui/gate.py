"""Opens the store from a thread: asks the owner through a screen, and asks again after a wrong passphrase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.errors import Cancelled, SecondMeError, UsageError, WrongPassphrase
from secondme.tui.messages import Locked, ModelReady, PassphraseWanted, Unlocked
from secondme.types import CancelCheck

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.crypto.unlock import AskKind
    from secondme.tui.jobs import Job, Jobs

OpenAssistant = Callable[[], "Assistant"]
Post = Callable[[Message], object]
LOCK_S = 5.0
"""How long locking waits for a thread that is inside a model or a parser."""
_POLL_S = 0.1


class Gate:
    """Asks for the passphrase by message and waits for the reply. `asked` tells whether this try needed one.

    What was replied is overwritten by `forget`.
    """

    def __init__(self, post: Post, cancelled: CancelCheck, note: str = "") -> None:
        self._post = post
        self._cancelled = cancelled
        self._note = note
        self.asked = False
        self._reply: Future[str] | None = None

    def ask(self, kind: AskKind) -> str:
        """Return the owner's passphrase. Raises NoKey if the owner gave none, Cancelled if the app is closing."""
        self.asked = True
        reply: Future[str] = Future()
        self._reply = reply
        self._post(PassphraseWanted(kind, reply, self._note))
        while not self._cancelled():
            try:
                return reply.result(_POLL_S)
            except NotYet:
                continue
        raise Cancelled("the app was closed")

    def forget(self) -> None:
        """Overwrite the passphrase that was given."""
        from secondme.crypto.erase import erase

        if self._reply is not None and self._reply.done() and self._reply.exception() is None:
            erase(self._reply.result())


def unlock_job(open_assistant: OpenAssistant, passphrase: str | None, post: Post, *, project: str = "") -> Job:
    """Import the core and open the store. A passphrase that came from outside is tried once, and overwritten.

    If a `project` is named, memory must hold it: the job raises UsageError otherwise.
    """

    def job(cancelled: CancelCheck) -> Iterator[Message]:
        from secondme.assistant import Credentials
        from secondme.crypto.erase import erase

        assistant = open_assistant()
        gate = Gate(post, cancelled)
        while True:
            try:
                assistant.unlock(Credentials(passphrase, gate.ask))
            except WrongPassphrase as error:
                if not gate.asked:
                    raise
                note = f"{error.message}\n{error.hint}" if error.hint else error.message
                gate.forget()
                gate = Gate(post, cancelled, note)
            else:
                break
            finally:
                gate.forget()
                erase(passphrase)
        if project and all(row.name != project for row in assistant.projects()):
            assistant.close()
            raise UsageError("there is no project of that name", hint="make it: secondme project new NAME")
        yield Unlocked(assistant)

    return job


def lock_job(assistant: Assistant, jobs: Jobs) -> Job:
    """Let what runs come to its end, for a few seconds, and lock memory.

    What does not end meets a closed store: nothing of it is half written, and its file is read again later.
    """

    def job(_: CancelCheck) -> Iterator[Message]:
        error: Exception | None = None
        try:
            jobs.hold(LOCK_S)
            assistant.lock()
        except SecondMeError as caught:
            error = caught
        finally:
            jobs.go_on()
        yield Locked(error)

    return job


def load_job(assistant: Assistant) -> Job:
    """Load both models."""

    def job(_: CancelCheck) -> Iterator[Message]:
        assistant.load_models()
        yield ModelReady(assistant.generator.info.name, assistant.usage)

    return job
