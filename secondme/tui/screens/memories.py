"""What is known: what waits for the owner's word first, why each is believed, and what was so before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from secondme.tui.learning import item_line
from secondme.tui.messages import JobEnded, MemoriesListed, MemoryDescribed
from secondme.tui.screens.confirm import ConfirmScreen
from secondme.types import CancelCheck, MemoryItem

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job, Jobs

KEYS = (("esc", "close"), ("↑↓", "choose"), ("ctrl+y", "it is so"), ("delete", "forget it"))
QUOTE_CHARS = 300
MAX_BEFORE = 3
"""Earlier versions that are named."""


class MemoriesScreen(ModalScreen[None]):
    """Typing filters by words."""

    CSS_PATH = "memories.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("delete", "forget", "Forget", priority=True),
        Binding("ctrl+y", "approve", "It is so", priority=True),
    ]

    def __init__(self, assistant: Assistant, jobs: Jobs, project: str) -> None:
        super().__init__()
        self._assistant = assistant
        self._jobs = jobs
        self._project = project
        self._items: list[MemoryItem] = []
        self._shown: list[MemoryItem] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Static("reading …", id="total", markup=False)
            yield Input(placeholder="filter by words", id="filter")
            yield OptionList(id="items", markup=False, compact=True)
            yield Static("", id="detail", markup=False)
            yield Static(show.keys(KEYS), classes="keys", markup=False)

    def on_mount(self) -> None:
        self._work(lambda: None)

    def on_unmount(self) -> None:
        self._items = self._shown = []  # Textual may hold a closed screen for long

    def _work(self, change: Callable[[], object]) -> None:
        self._jobs.start(self, "memories", changing_job(self._assistant, self._project, change))

    def on_memories_listed(self, message: MemoriesListed) -> None:
        self._items = message.items
        waiting = sum(item.state != "active" for item in self._items)
        total = f"{show.count(len(self._items) - waiting, 'thing')} known"
        self.query_one("#total", Static).update(
            Content(f"{total}, {waiting:,} waiting for your word" if waiting else total)
        )
        self._fill()

    def on_input_changed(self) -> None:
        self._fill()

    def _fill(self) -> None:
        wanted = self.query_one("#filter", Input).value.casefold()
        rows = self.query_one("#items", OptionList)
        at = rows.highlighted or 0
        self._shown = [item for item in self._items if wanted in item_line(item).casefold()]
        rows.clear_options()
        rows.add_options([Option(_row(item)) for item in self._shown])
        rows.highlighted = min(at, len(self._shown) - 1) if self._shown else None
        self._describe()

    def on_option_list_option_highlighted(self) -> None:
        self._describe()

    def action_move(self, step: int) -> None:
        rows = self.query_one("#items", OptionList)
        if step > 0:
            rows.action_cursor_down()
        else:
            rows.action_cursor_up()

    def _chosen(self) -> MemoryItem | None:
        at = self.query_one("#items", OptionList).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    def _describe(self) -> None:
        item = self._chosen()
        self.query_one("#detail", Static).update(Content(""))
        if item is not None:
            self._jobs.start(self, "memory", describing_job(self._assistant, item))

    def on_memory_described(self, message: MemoryDescribed) -> None:
        item = self._chosen()
        if item is not None and item.id == message.item_id:
            self.query_one("#detail", Static).update(Content("\n".join(message.lines)))

    def action_approve(self) -> None:
        item = self._chosen()
        if item is None or item.state == "active":
            self.app.notify("this waits for no word of yours", markup=False)
            return
        self._work(lambda: self._assistant.memories.approve(item.id))

    def action_forget(self) -> None:
        item = self._chosen()
        if item is None:
            return
        if item.state != "active":
            self._work(lambda: self._assistant.memories.reject(item.id))
            return

        def agreed(yes: bool | None) -> None:
            if yes:
                self._work(lambda: self._assistant.memories.forget([item.id]))

        consequence = "What it took the place of holds again. The conversation in which it was said stays."
        self.app.push_screen(ConfirmScreen(f"Forget: {item_line(item, 80)}?", consequence, "Forget"), agreed)

    def on_job_ended(self, message: JobEnded) -> None:
        message.stop()
        if message.error is not None:
            show_error(self.app, message.error)


def changing_job(assistant: Assistant, project: str, change: Callable[[], object]) -> Job:
    """Do something to what is known, and list it anew."""

    def job(_: CancelCheck) -> Iterator[Message]:
        change()
        yield MemoriesListed([*assistant.memories.open(project), *assistant.memories.several(project)])

    return job


def describing_job(assistant: Assistant, item: MemoryItem) -> Job:
    """Read where an item was said, and what was so before it."""

    def job(_: CancelCheck) -> Iterator[Message]:
        from secondme.recall.reasons import maker

        lines = [f"m{item.id} · {maker(item)} · since {show.age(item.valid_from)}"]
        lines += [f"{r.where}: “{show.one_line(r.quote, QUOTE_CHARS)}”" for r in assistant.memories.why(item)]
        before = [old for old in assistant.memories.history(item.id) if old.id != item.id and not old.holds]
        lines += [f"before: {item_line(old)}" for old in before[-MAX_BEFORE:]]
        yield MemoryDescribed(item.id, [show.one_line(line, 400) for line in lines])

    return job


_MARKS = {"pending": "?  ", "quarantined": "!  "}


def _row(item: MemoryItem) -> Content:
    if mark := _MARKS.get(item.state):
        return Content.assemble((mark, "bold $text-warning"), item_line(item))
    return Content.assemble("   ", item_line(item), (f"  {item.kind}", "dim"))
