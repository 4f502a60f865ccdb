"""What is on screen while memory is locked: nothing of the owner's, and a way back in."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from secondme.errors import Cancelled
from secondme.sanitize import clean_line
from secondme.tui import show
from secondme.tui.widgets.secret import SecretInput

if TYPE_CHECKING:
    from secondme.tui.messages import PassphraseWanted

CLOSING = "Locking …"
LOCKED = "Memory is locked: its keys are gone from this computer's RAM."
DRAFT = "What you had begun to type is kept until you unlock or quit."
LOCKED_KEYS = (("enter", "unlock"), ("ctrl+q", "quit"))
ASKING_KEYS = (("enter", "unlock"), ("esc", "stay locked"), ("ctrl+q", "quit"))


class LockScreen(Screen[None]):
    """Asks for an unlocking by `UnlockWanted`, and for the passphrase when it is told that one is needed."""

    CSS_PATH = "lock.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "unlock", "Unlock"),
        Binding("escape", "stay", "Stay locked"),
    ]

    class UnlockWanted(Message):
        """The owner wants back in."""

    def __init__(self, *, has_draft: bool) -> None:
        super().__init__()
        self._has_draft = has_draft
        self._reply: Future[str] | None = None
        self._open = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("secondme", classes="title", markup=False)
            yield Static(CLOSING, id="state", markup=False)
            yield SecretInput("passphrase or recovery code", id="secret")
            yield Static("", id="note", markup=False)
            yield Static("", classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(SecretInput).display = False

    @property
    def asking(self) -> bool:
        """Whether a passphrase is waited for."""
        return self._reply is not None

    def locked(self, note: str = "") -> None:
        """The keys are gone; `note` says why they are not back."""
        self._open = True
        self._refuse()
        field = self.query_one(SecretInput)
        field.clear()
        field.display = False
        state = f"{LOCKED}\n{DRAFT}" if self._has_draft else LOCKED
        self.query_one("#state", Static).update(Content(state))
        self._say(note, wrong=bool(note))
        self.query_one(".keys", Static).update(show.keys(LOCKED_KEYS))

    def ask(self, wanted: PassphraseWanted) -> None:
        """A passphrase is needed; asked again after a wrong one."""
        self._reply = wanted.reply
        field = self.query_one(SecretInput)
        field.clear()
        field.disabled, field.display = False, True
        field.focus()
        self._say(wanted.note, wrong=bool(wanted.note))
        self.query_one(".keys", Static).update(show.keys(ASKING_KEYS))

    def on_unmount(self) -> None:
        self._refuse()

    def action_unlock(self) -> None:
        if self._open and not self.asking:
            self._open = False
            self._say("opening …")
            self.post_message(self.UnlockWanted())

    def action_stay(self) -> None:
        if self._reply is not None and not self._reply.done():
            self.locked()

    @on(SecretInput.Submitted)
    def _send(self) -> None:
        field = self.query_one(SecretInput)
        if field.is_empty:
            self._say("type the passphrase first", wrong=True)
        elif self._reply is not None and not self._reply.done():
            self._say("opening …")
            field.disabled = True
            self._reply.set_result(field.take())

    def _refuse(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Cancelled("memory stays locked"))
        self._reply = None

    def _say(self, text: str, *, wrong: bool = False) -> None:
        note = self.query_one("#note", Static)
        note.set_class(wrong, "-wrong")
        note.update(Content("\n".join(map(clean_line, text.splitlines()))))
