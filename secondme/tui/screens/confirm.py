"""Asks before something is removed. Nothing is chosen until a key or a button says so; Enter keeps."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from secondme.sanitize import clean_text


class ConfirmScreen(ModalScreen[bool]):
    """Dismissed with True only if the owner agreed."""

    CSS_PATH = "dialog.tcss"
    AUTO_FOCUS = "#keep"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str, consequence: str, verb: str) -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence
        self._verb = verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static(Content(clean_text(self._question)), classes="title", markup=False)
            yield Static(Content(clean_text(self._consequence)), classes="text", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Keep", id="keep", compact=True)
                yield Button(f"{self._verb} (y)", id="go", variant="error", compact=True)

    def action_answer(self, agreed: bool) -> None:
        self.dismiss(agreed)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "go")
