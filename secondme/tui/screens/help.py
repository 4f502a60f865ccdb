"""All keys and commands on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from secondme.tui import show
from secondme.tui.commands import COMMANDS

KEYS = (
    ("enter", "send"),
    ("ctrl+j", "new line"),
    ("up, down", "earlier questions"),
    ("page up, page down", "scroll the conversation"),
    ("esc", "stop the answer"),
    ("ctrl+z", "in an empty line: forget what was learned last"),
    ("ctrl+o", "open the newest answer's citations"),
    ("tab", "go to the next list; 1-9 there opens a citation"),
    ("ctrl+b", "show or hide the conversations; r renames, d deletes"),
    ("ctrl+n", "new conversation"),
    ("ctrl+l", "lock memory"),
    ("ctrl+p", "all commands"),
    ("ctrl+q", "quit"),
)


class HelpScreen(ModalScreen[None]):
    """Closed by any of the usual keys."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,f1,enter", "dismiss", "Close")]

    def __init__(self, idle_lock_minutes: int) -> None:
        super().__init__()
        self._idle_lock_minutes = idle_lock_minutes

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="panel"):
            yield Static("Keys", classes="title", markup=False)
            yield from (Static(_row(key, what), markup=False) for key, what in KEYS)
            yield Static("Commands", classes="title", markup=False)
            typed = ((c.slash, c.help) for c in COMMANDS if c.slash)
            yield from (Static(_row(slash, what), markup=False) for slash, what in typed)
            yield Static("Drop files or folders on the window to add them.", classes="text", markup=False)
            yield Static(_locking(self._idle_lock_minutes), classes="text", markup=False)


def _locking(minutes: int) -> str:
    if not minutes:
        return "Memory does not lock by itself: idle_lock_minutes is 0 in the settings."
    return (
        f"After {show.count(minutes, 'minute')} without a key or the mouse memory locks: its keys leave the RAM, and"
        " the screen is covered. An answer or files being added are finished first. What you had begun to type is kept"
        " in RAM, and is there after unlocking."
    )


def _row(key: str, what: str) -> Content:
    return Content.assemble((f"{key:<20}", "bold"), (what, "$text-muted"))
