"""Asks for a conversation's new title."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from secondme.sanitize import clean_line

MAX_TITLE = 120


class RenameScreen(ModalScreen[str | None]):
    """Dismissed with the new title, or None."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = clean_line(title)[:MAX_TITLE]

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("Rename the conversation", classes="title", markup=False)
            yield Input(self._title, max_length=MAX_TITLE)
            yield Static(Content.assemble(("enter", "bold"), " save   ", ("esc", "bold"), " cancel"), classes="keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(clean_line(event.value).strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)
