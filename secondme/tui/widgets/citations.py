"""The list under an answer: one line per passage that was read, opening the preview at its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList

from secondme.tui import show
from secondme.types import Citation

QUOTE_CHARS = 200


class CitationList(OptionList):
    """Enter, a click, or the digit of a citation opens it. Passages the answer does not mark are dimmed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,o", "select", "Open", show=True)]

    class Chosen(Message):
        """`at` is the index into `citations`."""

        def __init__(self, citations: tuple[Citation, ...], at: int) -> None:
            super().__init__()
            self.citations = citations
            self.at = at

    def __init__(self, citations: Sequence[Citation]) -> None:
        self.citations = tuple(citations)
        super().__init__(*map(citation_line, self.citations), markup=False, compact=True)

    def on_mount(self) -> None:
        self.highlighted = None

    def on_focus(self) -> None:
        if self.highlighted is None and self.option_count:
            self.highlighted = 0

    def on_blur(self) -> None:
        self.highlighted = None

    def on_key(self, event: events.Key) -> None:
        if event.character and event.character.isdecimal() and self.choose(int(event.character)):
            event.stop()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self.citations, event.option_index))

    def choose(self, n: int) -> bool:
        """Open citation `[n]`; False if there is none."""
        for at, citation in enumerate(self.citations):
            if citation.n == n:
                # A parent may call this; Textual stops a message at the parent that seems to have sent it.
                self.post_message(self.Chosen(self.citations, at).set_sender(self))
                return True
        return False


def citation_line(citation: Citation) -> Content:
    """`[1] trip.md:12  Clothes  “take the red coat”`; the preview shows the whole path and all headings."""
    where = show.cited_place(citation)
    parts: list[tuple[str, str]] = [(f"[{citation.n}] ", "bold" if citation.marked else "dim"), (where, "$text-accent")]
    if citation.heading_path:
        parts.append((f"  {show.one_line(citation.heading_path[-1], 40)}", "dim"))
    if quote := show.one_line(citation.quote, QUOTE_CHARS):
        parts.append((f"  “{quote}”", "$text-muted"))
    line = Content.assemble(*parts)
    return line if citation.marked else line.stylize("dim")
