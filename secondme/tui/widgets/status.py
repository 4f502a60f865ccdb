"""The lines below the prompt: what is being added, where things stand, and which keys work now."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from secondme.tui import show
from secondme.tui.opening import BuildView
from secondme.tui.tally import IngestView
from secondme.tui.widgets.citations import CitationList
from secondme.tui.widgets.sidebar import ConversationList
from secondme.types import ContextUsage, Opened, PrefillProgress


class IngestLine(Static):
    """Progress of adding files; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__("", id="ingest", markup=False)
        self.display = False

    def show_view(self, view: IngestView | None) -> None:
        self.display = view is not None
        if view is not None:
            self.update(Content(ingest_line(view)))


class BuildLine(Static):
    """Progress of opening the project, and of preparing its documents; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__("", id="build", markup=False)
        self.display = False

    def show_reading(self, progress: PrefillProgress) -> None:
        self._say(f"opening  {show.bar(progress.n_done, progress.n_total)}  reading short documents")

    def show_view(self, view: BuildView) -> None:
        self._say(build_line(view))

    def hide(self) -> None:
        self.display = False

    def _say(self, line: str) -> None:
        self.display = bool(line)
        self.update(Content(line))


class StatusLine(Horizontal):
    """Project, its documents and the model at the left, the context meter at the right."""

    def __init__(self, project: str) -> None:
        super().__init__(id="status")
        self._project = project
        self._model = ""
        self._documents = ""
        self._left = Static("", markup=False, classes="left")
        self._meter = Static("", markup=False, classes="meter")

    def compose(self) -> ComposeResult:
        yield self._left
        yield self._meter

    def show_model(self, model: str) -> None:
        """`model` is its name, or what is happening to it."""
        self._model = model
        self._show_left()

    def show_opened(self, opened: Opened | None) -> None:
        """What lies before the model; None for nothing."""
        self._documents = opened_line(opened) if opened is not None else ""
        self._show_left()

    def _show_left(self) -> None:
        parts = (show.one_line(self._project, 24), self._documents, show.one_line(self._model, 60))
        self._left.update(Content(" · ".join(part for part in parts if part)))

    def show_usage(self, usage: ContextUsage | None) -> None:
        if usage is None:
            return
        bar = show.bar(usage.n_used, usage.n_context, 8)
        self._meter.update(Content.assemble(("context ", "dim"), show.context(usage), (f" {bar}", "dim")))

    def hide_usage(self) -> None:
        self._meter.update(Content(""))


QUIT = ("ctrl+q", "quit")
BUSY_KEYS = (("esc", "stop the answer"), QUIT)
LIST_KEYS = (("enter", "open"), ("r", "rename"), ("d", "delete"), ("tab", "go on"), QUIT)
CITATION_KEYS = (("enter", "open"), ("1-9", "open that one"), ("tab", "go on"), QUIT)
IDLE_KEYS = (("enter", "send"), ("ctrl+p", "commands"), QUIT, ("ctrl+o", "citations"), ("ctrl+b", "conversations"))


class KeyLine(Static):
    """The keys that matter now."""

    def __init__(self) -> None:
        super().__init__("", id="keys", markup=False)

    def show_for(self, focused: Widget | None, *, busy: bool) -> None:
        """What the keys do depends on where they go."""
        if isinstance(focused, ConversationList):
            keys: tuple[tuple[str, str], ...] = LIST_KEYS
        elif isinstance(focused, CitationList):
            keys = CITATION_KEYS
        else:
            keys = BUSY_KEYS if busy else IDLE_KEYS
        self.update(show.keys(keys))


def ingest_line(view: IngestView) -> str:
    """`adding ━━━━── 12/200 · 345 passages · notes/trip.md`."""
    if not view.n_total:
        return f"looking  {show.count(view.n_found, 'file')} found"
    n_chunks = view.n_chunks + view.n_chunks_file
    counted = f"{view.n_done:,}/{view.n_total:,} · {show.count(n_chunks, 'passage')}"
    skipped = f" · {view.n_skipped:,} skipped" if view.n_skipped else ""
    return f"adding  {show.bar(view.n_done, view.n_total)}  {counted}{skipped} · {show.file_name(view.path)}"


def build_line(view: BuildView) -> str:
    """`preparing ━━━━── 3/20 · trip.md, reading 45%`; empty before the first document."""
    if not view.n_total:
        return ""
    share = f" {100 * view.n_tokens_done // view.n_tokens}%" if view.n_tokens else ""
    return (
        f"preparing  {show.bar(view.n_done, view.n_total)}  {view.n_done + 1:,}/{view.n_total:,}"
        f" · {show.file_name(view.path)}, {view.stage}{share}"
    )


def opened_line(opened: Opened) -> str:
    """`5 documents open (4 from cartridges, 2.1 MB, 34 s saved)`; empty if the model has none before it."""
    if not opened.n_read:
        return ""
    loaded = [d for d in opened.documents if d.opened_as == "cartridge"]
    line = f"{show.count(opened.n_read, 'document')} open"
    if not loaded:
        return line
    size = show.size(sum(d.size_bytes for d in loaded))
    which = "" if len(loaded) == opened.n_read else f"{len(loaded):,} "
    source = "from cartridges" if len(loaded) > 1 else "from a cartridge"
    return f"{line} ({which}{source}, {size}, {show.seconds(opened.saved_s)} saved)"
