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
from textual.widgets import Input, Static

from secondme.errors import NoKey
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.crypto.unlock import AskKind
    from secondme.tui.messages import PassphraseWanted

NEW = """\
No system keyring is at hand, so a passphrase will protect your memory.
Nobody can recover it: without the passphrase, what is stored stays unreadable for ever. \
Five or more random words are strong."""
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
            yield Input(password=True, id="first", placeholder="passphrase")
            again = Input(password=True, id="again", placeholder="the same again")
            again.display = new
            yield again
            yield Static(Content(self._note), id="note", markup=False)
            yield Static(Content.assemble(("enter", "bold"), " go on   ", ("esc", "bold"), " quit"), classes="keys")

    def ask_again(self, wanted: PassphraseWanted) -> None:
        """The last passphrase was refused."""
        self._kind, self._reply = wanted.kind, wanted.reply
        self._say(wanted.note, wrong=True)
        for field in self.query(Input):
            field.disabled = False
            field.value = ""
        self.query_one("#first", Input).focus()

    def on_unmount(self) -> None:
        self._refuse()

    def action_leave(self) -> None:
        self._refuse()

    @on(Input.Submitted, "#first")
    def _first(self) -> None:
        if self._kind == "new" and self.query_one("#first", Input).value:
            self.query_one("#again", Input).focus()
        else:
            self._send()

    @on(Input.Submitted, "#again")
    def _again(self) -> None:
        self._send()

    def _send(self) -> None:
        first, again = (self.query_one(name, Input) for name in ("#first", "#again"))
        if not first.value:
            self._say("type the passphrase first", wrong=True)
            first.focus()
        elif self._kind == "new" and first.value != again.value:
            self._say("the two differ; once more", wrong=True)
            again.value = ""
            again.focus()
        elif not self._reply.done():
            self._say("opening …")
            first.disabled = again.disabled = True
            self._reply.set_result(first.value)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        note = self.query_one("#note", Static)
        note.set_class(wrong, "-wrong")
        note.update(Content(clean_line(text)))

    def _refuse(self) -> None:
        if not self._reply.done():
            hint = "memory opens with its passphrase only"
            self._reply.set_exception(NoKey("no passphrase was given", hint=hint))
