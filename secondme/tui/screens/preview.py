"""A citation at its place: the stored passage with its neighbours, the quote marked, and a key to open the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea
from textual.widgets.text_area import Selection

from secondme.errors import SecondMeError
from secondme.tui import show
from secondme.tui.errors import show_error
from secondme.tui.excerpt import Excerpt, excerpt_job
from secondme.tui.messages import JobEnded, PassageLoaded
from secondme.tui.opener import has_lines, launch_for, start
from secondme.types import Citation

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Jobs

KEYS = (("esc", "close"), ("←→", "other citations"), ("o", "open the file"))


class Passage(TextArea):
    """Lets go of its text when it is closed; Textual keeps the widget for its changes of theme."""

    def on_unmount(self) -> None:
        self.load_text("")


class PreviewScreen(ModalScreen[None]):
    """Shows `citations[at]`; the arrow keys go through the others."""

    CSS_PATH = "preview.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", priority=True),
        Binding("right,n", "turn(1)", "Next", priority=True),
        Binding("left,p", "turn(-1)", "Previous", priority=True),
        Binding("o", "open", "Open the file", priority=True),
    ]

    def __init__(self, assistant: Assistant, jobs: Jobs, citations: tuple[Citation, ...], at: int) -> None:
        super().__init__()
        self._assistant = assistant
        self._jobs = jobs
        self._citations = citations
        self._at = at
        self._media_type = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("", id="where", markup=False)
            yield Static("", id="warning", markup=False)
            yield Passage("", id="passage", read_only=True, show_cursor=False, compact=True)
            yield Static(show.keys(KEYS), classes="keys", markup=False)

    def on_mount(self) -> None:
        self._load()

    def on_unmount(self) -> None:
        self._citations = ()  # Textual may hold a closed screen for long

    @property
    def citation(self) -> Citation:
        return self._citations[self._at]

    def _load(self) -> None:
        self.query_one("#where", Static).update(_where(self.citation))
        self._jobs.start(self, "preview", excerpt_job(self._assistant, self.citation))

    def on_passage_loaded(self, message: PassageLoaded) -> None:
        if not self._citations:
            return
        excerpt = message.excerpt
        self._media_type = excerpt.media_type
        warning = self.query_one("#warning", Static)
        warning.display = bool(excerpt.warning)
        warning.update(Content(excerpt.warning))
        self._show_passage(excerpt)

    def _show_passage(self, excerpt: Excerpt) -> None:
        area = self.query_one("#passage", TextArea)
        area.show_line_numbers = self.citation.page is None and self.citation.kind == "passage"
        area.line_number_start = excerpt.line
        area.load_text(excerpt.text)
        start, end = _location(excerpt.text, excerpt.start), _location(excerpt.text, excerpt.end)
        area.selection = Selection(start, end)
        # The quote's start, since its end may lie below the last row.
        self.call_after_refresh(area.scroll_to, y=max(0, area.wrapped_document.location_to_offset(start).y - 2))

    def on_job_ended(self, message: JobEnded) -> None:
        message.stop()
        if message.error is not None:
            show_error(self.app, message.error)

    def action_turn(self, step: int) -> None:
        self._at = (self._at + step) % len(self._citations)
        self._load()

    def action_open(self) -> None:
        if self.citation.kind != "passage":
            self.app.notify("this was said, or learned: there is no file to open", markup=False)
            return
        line = self.citation.quote_line if has_lines(self._media_type) and self.citation.page is None else None
        try:
            launch = launch_for(self.citation.path, line)
            if launch.takes_terminal:
                with self.app.suspend():
                    start(launch)
                self.app.refresh()
            else:
                start(launch)
                self.app.notify(f"opened with {launch.argv[0].rsplit('/', 1)[-1]}", markup=False)
        except SecondMeError as error:
            show_error(self.app, error)


def _where(citation: Citation) -> Content:
    if citation.kind != "passage":
        return Content.assemble((f"[{citation.n}] ", "bold"), (show.cited_place(citation), "bold $text-accent"))
    lines = f"lines {citation.line_start}-{citation.line_end}"
    page = f"page {citation.page}" if citation.page is not None else lines
    parts: list[tuple[str, str]] = [
        (f"[{citation.n}] ", "bold"),
        (show.short_path(citation.path), "bold $text-accent"),
        (f"\n{page}", "$text-muted"),
    ]
    if citation.heading_path:
        parts.append((f" · {show.headings(citation, 120)}", "$text-muted"))
    return Content.assemble(*parts)


def _location(text: str, at: int) -> tuple[int, int]:
    """Row and column of a character; after cleaning, only a newline ends a row."""
    return text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1)
