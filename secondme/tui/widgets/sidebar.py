"""The list of conversations, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from secondme.tui import show
from secondme.types import Conversation


class ConversationList(OptionList):
    """Enter opens, r renames, d deletes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Open"),
        Binding("r", "rename", "Rename"),
        Binding("d,delete", "delete", "Delete"),
    ]

    class Chosen(Message):
        """What the owner wants done with a conversation: `open`, `rename` or `delete`."""

        def __init__(self, conversation: Conversation, what: str) -> None:
            super().__init__()
            self.conversation = conversation
            self.what = what

    def __init__(self) -> None:
        super().__init__(id="conversations", markup=False, compact=True)
        self.conversations: tuple[Conversation, ...] = ()

    def show(self, conversations: Sequence[Conversation], current: int | None) -> None:
        """Replace the list and put the cursor on the current conversation."""
        self.conversations = tuple(sorted(conversations, key=lambda c: c.updated_at, reverse=True))
        self.clear_options()
        self.add_options([Option(entry(c, c.id == current)) for c in self.conversations])
        at = [n for n, c in enumerate(self.conversations) if c.id == current]
        self.highlighted = at[0] if at else None

    def on_focus(self) -> None:
        if self.highlighted is None and self.option_count:
            self.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self.conversations[event.option_index], "open"))

    def action_rename(self) -> None:
        self._send("rename")

    def action_delete(self) -> None:
        self._send("delete")

    def _send(self, what: str) -> None:
        if self.highlighted is not None:
            self.post_message(self.Chosen(self.conversations[self.highlighted], what))


class Sidebar(Vertical):
    """The list under its title."""

    def __init__(self) -> None:
        super().__init__(id="sidebar")

    def compose(self) -> ComposeResult:
        yield Static("Conversations", classes="title", markup=False)
        yield ConversationList()


def entry(conversation: Conversation, current: bool) -> Content:
    title = show.one_line(conversation.title, 80) or "untitled"
    when = Content.styled(f"{show.age(conversation.updated_at)}  ", "dim")
    return Content.assemble(when, (title, "bold") if current else title)
