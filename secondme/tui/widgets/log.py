"""The conversation: turns and notes from top to bottom, following the end until the owner scrolls away from it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from secondme.tui.widgets.citations import CitationList
from secondme.tui.widgets.turns import AssistantTurn, Note, UserTurn
from secondme.types import Turn

SHOWN_TURNS = 40
"""Turns of an old conversation that are drawn at first; each costs layout time."""

WELCOME = """\
Drop a folder on this window, then ask about it.

Text, Markdown, source code, HTML, PDF and DOCX are read. Everything stays on this computer, encrypted.
ctrl+p shows all commands, f1 all keys."""


class EarlierTurns(Static):
    """Stands for the turns above; a click draws them."""

    def __init__(self, n_turns: int) -> None:
        super().__init__(Content(f"{n_turns} earlier turns · page up or a click shows them"), markup=False)


class ChatLog(VerticalScroll, can_focus=False):
    """Holds the turns of one conversation."""

    def __init__(self) -> None:
        super().__init__(id="log")
        self._earlier: list[Turn] = []

    def compose(self) -> ComposeResult:
        yield Static(Content(WELCOME), id="welcome", markup=False)

    def on_mount(self) -> None:
        self.anchor()

    async def show_turns(self, turns: Sequence[Turn]) -> None:
        """Replace what is shown by a stored conversation."""
        self._earlier = list(turns[:-SHOWN_TURNS])
        await self.remove_children()
        head: list[Widget] = [EarlierTurns(len(self._earlier))] if self._earlier else []
        if not turns:
            head = [Static(Content(WELCOME), id="welcome", markup=False)]
        await self.mount_all([*head, *map(_widget, turns[-SHOWN_TURNS:])])
        self.anchor()

    async def show_earlier(self) -> None:
        """Draw the next turns above."""
        for link in self.query(EarlierTurns):
            earlier, self._earlier = self._earlier[-SHOWN_TURNS:], self._earlier[:-SHOWN_TURNS]
            self.release_anchor()
            await self.mount_all(list(map(_widget, earlier)), after=link)
            await link.remove()
            if self._earlier:
                await self.mount(EarlierTurns(len(self._earlier)), before=0)

    async def on_click(self) -> None:
        if any(link.is_mouse_over for link in self.query(EarlierTurns)):
            await self.show_earlier()

    async def begin(self, question: str) -> AssistantTurn:
        """Show a new question and the empty answer below it."""
        await self.query("#welcome").remove()
        turn = AssistantTurn()
        await self.mount_all([UserTurn(question), turn])
        self.anchor()
        return turn

    async def note(self, text: str, warning: str = "") -> None:
        """Add a line of the program's own, and one below it for what went wrong."""
        notes = [Note(text, "plain"), Note(warning, "warning")]
        await self.mount_all(notes if warning else notes[:1])

    def newest_citations(self) -> CitationList | None:
        return next(iter(reversed(self.query(CitationList))), None)

    async def page(self, direction: int) -> None:
        """Scroll by a page; up from the top draws earlier turns."""
        if direction < 0 and self.scroll_y == 0:
            await self.show_earlier()
        elif direction < 0:
            self.scroll_page_up(animate=False)
        else:
            self.scroll_page_down(animate=False)


def _widget(turn: Turn) -> Widget:
    if turn.role == "user":
        return UserTurn(turn.text)
    return AssistantTurn(turn.text or "(stopped)", turn.citations)
