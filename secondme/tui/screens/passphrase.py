"""Asks for the passphrase; twice for a new one. Stays up while it is checked, and says why one was refused."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from secondme.errors import NoKey
from secondme.sanitize import clean_line
from secondme.tui.widgets.secret import SecretInput

if TYPE_CHECKING:
    from secondme.crypto.unlock import AskKind
    from secondme.tui.messages import PassphraseWanted

NEW = """\
No system keyring is at hand, so a passphrase will protect your memory.
Nobody can recover it: without the passphrase, what is stored stays unreadable for ever, unless you make a recovery \
code in time (secondme keys add-recovery). Five or more random words are strong."""
EXISTING = "Your memory is encrypted. Its passphrase opens it."


class PassphraseScreen(ModalScreen[None]):
    """Replies to PassphraseWanted; Esc replies with NoKey."""

    CSS_PATH = "passphrase.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Quit")]

    def __init__(self, wanted: PassphraseWanted) -> None:
        super().__init__()
        self._kind: AskKind = wanted.kind
        self._reply: Future[str] = wanted.reply
        self._note = wanted.note

    def compose(self) -> ComposeResult:
        new = self._kind == "new"
        with Vertical(classes="panel"):
            yield Static("Choose a passphrase" if new else "Unlock", classes="title", markup=False)
            yield Static(Content(NEW if new else EXISTING), markup=False)
            yield SecretInput("passphrase" if new else "passphrase or recovery code", id="first")
            again = SecretInput("the same again", id="again")
            again.display = new
            yield again
            yield Static(Content(self._note), id="note", markup=False)
            yield Static(Content.assemble(("enter", "bold"), " go on   ", ("esc", "bold"), " quit"), classes="keys")

    def ask_again(self, wanted: PassphraseWanted) -> None:
        """The last passphrase was refused."""
        self._kind, self._reply = wanted.kind, wanted.reply
        self._say(wanted.note, wrong=True)
        for field in self.query(SecretInput):
            field.disabled = False
            field.clear()
        self.query_one("#first", SecretInput).focus()

    def on_unmount(self) -> None:
        self._refuse()

    def action_leave(self) -> None:
        self._refuse()

    @on(SecretInput.Submitted, "#first")
    def _first(self) -> None:
        if self._kind == "new" and not self.query_one("#first", SecretInput).is_empty:
            self.query_one("#again", SecretInput).focus()
        else:
            self._send()

    @on(SecretInput.Submitted, "#again")
    def _again(self) -> None:
        self._send()

    def _send(self) -> None:
        first, again = (self.query_one(name, SecretInput) for name in ("#first", "#again"))
        if first.is_empty:
            self._say("type the passphrase first", wrong=True)
            first.focus()
        elif self._kind == "new" and not first.is_same_as(again):
            self._say("the two differ; once more", wrong=True)
            again.clear()
            again.focus()
        elif not self._reply.done():
            self._say("opening …")
            first.disabled = again.disabled = True
            again.clear()
            self._reply.set_result(first.take())

    def _say(self, text: str, *, wrong: bool = False) -> None:
        note = self.query_one("#note", Static)
        note.set_class(wrong, "-wrong")
        note.update(Content(clean_line(text)))

    def _refuse(self) -> None:
        if not self._reply.done():
            hint = "memory opens with its passphrase only"
            self._reply.set_exception(NoKey("no passphrase was given", hint=hint))
