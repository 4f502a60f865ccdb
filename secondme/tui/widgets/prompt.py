"""The line at the bottom: Enter sends, ctrl+j starts a new line, dropped files arrive as a paste."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from secondme.sanitize import clean_text
from secondme.tui.drop import dropped_paths

PLACEHOLDER = "Ask, or drop a folder here"


class Prompt(TextArea):
    """Sends `Submitted`, `Dropped`, `UndoAsked` and `Paged`; keeps what was asked for the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", show=False),
        Binding("pageup", "page(-1)", "Scroll up", show=False),
        Binding("pagedown", "page(1)", "Scroll down", show=False),
    ]

    class Submitted(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Dropped(Message):
        def __init__(self, paths: tuple[Path, ...]) -> None:
            super().__init__()
            self.paths = paths

    class UndoAsked(Message):
        """Undo, where nothing is typed that it could mean; what was sent comes back with the arrow keys."""

    class Paged(Message):
        """The page keys, which scroll the conversation and not this line."""

        def __init__(self, direction: int) -> None:
            super().__init__()
            self.direction = direction

    def __init__(self) -> None:
        super().__init__(
            id="prompt", placeholder=PLACEHOLDER, compact=True, highlight_cursor_line=False, tab_behavior="focus"
        )
        self._asked: list[str] = []
        self._recalled = 0

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            if text := self.text.strip():
                self.post_message(self.Submitted(text))

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        await self.take_paste(event.text)

    async def take_paste(self, text: str) -> None:
        """Announce dropped files, or insert ordinary text."""
        # In a thread, since a path may lie on a network mount that does not answer.
        if not self.text.startswith("/") and (paths := await asyncio.to_thread(dropped_paths, text)):
            self.post_message(self.Dropped(paths))
            return
        self._type(clean_text(text))
        self.focus()

    def taken(self, text: str) -> None:
        """The owner's text was accepted: remember it and start anew."""
        if not self._asked or self._asked[-1] != text:
            self._asked.append(text)
        self._recalled = len(self._asked)
        self.clear()

    def cover(self) -> str:
        """Let go of everything that was typed, and return the draft."""
        draft = self.text
        self._asked, self._recalled = [], 0
        self.load_text("")
        return draft

    def uncover(self, draft: str) -> None:
        """Put the draft back."""
        self.load_text(draft)
        self.move_cursor(self.document.end)

    def recall_from(self, asked: list[str]) -> None:
        """What the arrow keys bring back, where nothing was asked yet."""
        if not self._asked:
            self._asked, self._recalled = list(asked), len(asked)

    def action_newline(self) -> None:
        self._type("\n")

    def _type(self, text: str) -> None:
        result = self.replace(text, *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    def action_undo(self) -> None:
        if self.text:
            super().action_undo()
        else:
            self.post_message(self.UndoAsked())

    def action_page(self, direction: int) -> None:
        self.post_message(self.Paged(direction))

    def action_cursor_up(self, select: bool = False) -> None:
        if select or not self.cursor_at_first_line or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if select or not self.cursor_at_last_line or not self._recall(1):
            super().action_cursor_down(select)

    def _recall(self, step: int) -> bool:
        """Replace the text by an earlier question; False if it was edited or there is none."""
        shown = self._asked[self._recalled] if self._recalled < len(self._asked) else ""
        wanted = self._recalled + step
        if self.text != shown or not 0 <= wanted <= len(self._asked):
            return False
        self._recalled = wanted
        self.load_text(self._asked[wanted] if wanted < len(self._asked) else "")
        self.move_cursor(self.document.end)
        return True
