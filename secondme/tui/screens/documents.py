"""How the project's documents lie before the model: from a cartridge, read as text, or found by search alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from secondme.tui import show
from secondme.tui.errors import show_error
from secondme.tui.messages import JobEnded, ProjectDescribed
from secondme.types import CancelCheck, Opened, OpenedDocument, ProjectStatus

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs

KEYS = (("esc", "close"), ("↑↓", "choose"))
_MARKS = {"cartridge": ("●", "$text-success"), "text": ("○", "$text-primary"), "recall": ("·", "dim")}
_WAYS = {"cartridge": "from its cartridge", "text": "read as text", "recall": "found by search"}


class DocumentsScreen(ModalScreen[None]):
    """The documents as they are open now; before that, as they would open."""

    CSS_PATH = "documents.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, assistant: Assistant, jobs: Jobs, project: str, opened: Opened | None) -> None:
        super().__init__()
        self._assistant = assistant
        self._jobs = jobs
        self._project = project
        self._opened = opened
        self._documents: tuple[OpenedDocument, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("reading …", id="total", markup=False)
            yield OptionList(id="documents", markup=False, compact=True)
            yield Static("", id="detail", markup=False)
            yield Static(show.keys(KEYS), classes="keys", markup=False)

    def on_mount(self) -> None:
        self._jobs.start(self, "documents", status_job(self._assistant, self._project))

    def on_unmount(self) -> None:
        self._documents = ()  # Textual may hold a closed screen for long
        self._opened = None

    def on_project_described(self, message: ProjectDescribed) -> None:
        status, opened = message.status, self._opened
        self._documents = opened.documents if opened is not None else status.documents
        self.query_one("#total", Static).update(Content(total_line(status, opened)))
        documents = self.query_one("#documents", OptionList)
        documents.clear_options()
        documents.add_options([Option(_row(d)) for d in self._documents])
        documents.highlighted = 0 if self._documents else None
        documents.focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._documents):
            self.query_one("#detail", Static).update(_detail(self._documents[event.option_index]))

    def on_job_ended(self, message: JobEnded) -> None:
        message.stop()
        if message.error is not None:
            self.query_one("#total", Static).update(Content("nothing is known of this project yet"))
            show_error(self.app, message.error)


def status_job(assistant: Assistant, project: str) -> Job:
    """Look at what a project would open with."""

    def job(_: CancelCheck) -> Iterator[Message]:
        yield ProjectDescribed(assistant.project_status(project))

    return job


def total_line(status: ProjectStatus, opened: Opened | None) -> str:
    """`3 of 5 documents before the model, 4,120 tokens, opened in 0.2 s, 34 s saved · 1 being prepared`."""
    documents = opened.documents if opened is not None else status.documents
    read = [d for d in documents if d.opened_as != "recall"]
    n_all = len(documents) + status.n_unread
    parts = [f"{len(read):,} of {show.count(n_all, 'document')} before the model"]
    if read:
        parts.append(show.count(sum(d.n_tokens for d in read), "token"))
    if opened is not None and any(d.opened_as == "cartridge" for d in read):
        parts.append(f"opened in {show.seconds(opened.open_s)}, {show.seconds(opened.saved_s)} saved")
    line = ", ".join(parts)
    if status.why_not:
        return f"{line} · no cartridges: {show.one_line(status.why_not, 120)}"
    return f"{line} · {status.n_pending:,} being prepared" if status.n_pending else line


def _row(document: OpenedDocument) -> Content:
    mark, style = _MARKS[document.opened_as]
    tier = f"  {document.tier} {show.size(document.size_bytes)}" if document.tier else ""
    why = f": {show.one_line(document.why, 80)}" if document.why else ""
    return Content.assemble(
        (f" {mark} ", style),
        (f"{document.n_tokens:>7,} ", "dim"),
        show.file_name(document.path),
        (f"{tier}  {_WAYS[document.opened_as]}{why}", "dim"),
    )


def _detail(document: OpenedDocument) -> Content:
    lines = [show.short_path(document.path)]
    if document.tier and document.size_bytes:
        ratio = document.f16_bytes / document.size_bytes
        lines.append(
            f"cartridge {document.tier}: {show.size(document.size_bytes)}, {ratio:.1f} times smaller than in the model;"
            f" reading it took {show.seconds(document.prefill_s)}"
        )
    if document.why:
        lines.append(show.one_line(document.why, 200))
    return Content("\n".join(lines))
