"""What is in memory: every file with its passages, every file left out with its reason; one can be removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from secondme.tui import show
from secondme.tui.errors import show_error
from secondme.tui.messages import JobEnded, SourcesListed
from secondme.tui.screens.confirm import ConfirmScreen
from secondme.types import CancelCheck, StoredSource

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs

KEYS = (("esc", "close"), ("↑↓", "choose"), ("delete", "remove from memory"))


class SourcesScreen(ModalScreen[bool]):
    """Typing filters by path. Its result tells whether something was removed."""

    CSS_PATH = "sources.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close"),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("delete", "forget", "Remove", priority=True),
    ]

    def __init__(self, assistant: Assistant, jobs: Jobs, project: str) -> None:
        super().__init__()
        self._assistant = assistant
        self._jobs = jobs
        self._project = project
        self._sources: list[StoredSource] = []
        self._shown: list[StoredSource] = []
        self._removed = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("reading …", id="total", markup=False)
            yield Input(placeholder="filter by name", id="filter")
            yield OptionList(id="files", markup=False, compact=True)
            yield Static("", id="detail", markup=False)
            yield Static(show.keys(KEYS), classes="keys", markup=False)

    def on_mount(self) -> None:
        self._jobs.start(self, "sources", sources_job(self._assistant, self._project))

    def on_unmount(self) -> None:
        self._sources = self._shown = []  # Textual may hold a closed screen for long

    def on_sources_listed(self, message: SourcesListed) -> None:
        self._sources = sorted(message.sources, key=lambda s: s.path)
        kept = sum(1 for s in self._sources if s.skip_reason is None)
        n_chunks = sum(s.n_chunks for s in self._sources)
        skipped = len(self._sources) - kept
        total = f"{show.count(kept, 'file')}, {show.count(n_chunks, 'passage')}"
        self.query_one("#total", Static).update(Content(f"{total}, {skipped:,} left out" if skipped else total))
        self._fill()

    def on_input_changed(self) -> None:
        self._fill()

    def _fill(self) -> None:
        wanted = self.query_one("#filter", Input).value.casefold()
        files = self.query_one("#files", OptionList)
        at = files.highlighted or 0
        self._shown = [s for s in self._sources if wanted in s.path.casefold()]
        files.clear_options()
        files.add_options([Option(_row(s)) for s in self._shown])
        files.highlighted = min(at, len(self._shown) - 1) if self._shown else None
        self._show_detail()

    def on_option_list_option_highlighted(self) -> None:
        self._show_detail()

    def action_move(self, step: int) -> None:
        files = self.query_one("#files", OptionList)
        if step > 0:
            files.action_cursor_down()
        else:
            files.action_cursor_up()

    def _chosen(self) -> StoredSource | None:
        at = self.query_one("#files", OptionList).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    def _show_detail(self) -> None:
        source = self._chosen()
        self.query_one("#detail", Static).update(_detail(source) if source else Content(""))

    def action_forget(self) -> None:
        source = self._chosen()
        if source is None:
            return

        def removed(agreed: bool | None) -> None:
            if agreed:
                self._removed = True
                self._jobs.start(self, "sources", forget_job(self._assistant, source, self._project))

        question = f"Remove {show.file_name(source.path)} from memory?"
        consequence = "Answers that rest on it go, too. The file stays on the disk and returns only if you add it."
        self.app.push_screen(ConfirmScreen(question, consequence, "Remove"), removed)

    def action_close(self) -> None:
        self.dismiss(self._removed)

    def on_job_ended(self, message: JobEnded) -> None:
        message.stop()
        if message.error is not None:
            show_error(self.app, message.error)


def sources_job(assistant: Assistant, project: str) -> Job:
    """List what a project holds."""

    def job(_: CancelCheck) -> Iterator[Message]:
        yield SourcesListed(assistant.sources(project))

    return job


def forget_job(assistant: Assistant, source: StoredSource, project: str) -> Job:
    """Remove one file and list what is left."""

    def job(_: CancelCheck) -> Iterator[Message]:
        assistant.forget_source(source)
        yield SourcesListed(assistant.sources(project))

    return job


def _row(source: StoredSource) -> Content:
    if source.skip_reason is not None:
        reason = show.one_line(source.skip_reason, 80)
        return Content.assemble(
            ("   – ", "$text-warning"), (show.file_name(source.path), "dim"), (f"  {reason}", "dim")
        )
    folder = show.short_path(source.path.rpartition("/")[0], 48)
    return Content.assemble((f"{source.n_chunks:>4} ", "dim"), show.file_name(source.path), (f"  {folder}", "dim"))


def _detail(source: StoredSource) -> Content:
    state = source.skip_reason or f"{show.count(source.n_chunks, 'passage')}, read {show.age(source.ingested_at)}"
    return Content(f"{show.short_path(source.path)}\n{show.one_line(state, 200)}")
