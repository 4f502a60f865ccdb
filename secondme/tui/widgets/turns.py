"""The pieces of a conversation on screen: what was asked, what was answered, and notes of the program itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from secondme.sanitize import clean_line, clean_text
from secondme.tui import show
from secondme.tui.errors import error_lines
from secondme.tui.learning import UNDO_HINT, learned_lines
from secondme.tui.widgets.citations import CitationList
from secondme.types import (
    Answer,
    AnswerEvent,
    Citation,
    Learned,
    MemoryItem,
    Notice,
    PrefillProgress,
    Recalled,
    SecretAsked,
    TokenText,
)

if TYPE_CHECKING:
    from textual.widgets.markdown import Markdown, MarkdownStream

REVEALED_S = 20.0
"""How long a secret stays on the screen."""

STOPPED = {"cancelled": "stopped", "length": "cut at the greatest length of an answer"}


class UserTurn(Static):
    """A question, as it was typed."""

    def __init__(self, text: str) -> None:
        super().__init__(Content(clean_text(text)), markup=False)


class Note(Static):
    """A line of the program's own; `kind` is its CSS class: `plain`, `warning` or `error`."""

    def __init__(self, text: str, kind: str = "plain") -> None:
        super().__init__(Content(clean_text(text)), markup=False, classes=f"-{kind}")


class Secrets(Static, can_focus=True):
    """Secrets that were asked for by name: their values are shown for a while, when the owner says so."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "reveal", "Show", show=True)]

    def __init__(self, items: tuple[MemoryItem, ...]) -> None:
        super().__init__("", markup=False)
        self._items = items

    def on_mount(self) -> None:
        self._show(revealed=False)

    def on_unmount(self) -> None:
        self._items = ()  # Textual may hold a closed widget for long

    def on_click(self) -> None:
        self.action_reveal()

    def action_reveal(self) -> None:
        self._show(revealed=True)
        self.set_timer(REVEALED_S, lambda: self._show(revealed=False))

    def _show(self, *, revealed: bool) -> None:
        lines = [
            f"{clean_line(item.attribute)}: {clean_text(item.value or item.text) if revealed else '•••••'}"
            for item in self._items
        ]
        if not revealed:
            lines.append(f"a click, or tab and enter, shows it for {REVEALED_S:.0f} seconds; the model never sees it")
        self.update(Content("\n".join(lines)))


class AssistantTurn(Vertical):
    """An answer: its progress line while it is made, its Markdown, its citations and what it cost."""

    def __init__(self, text: str = "", citations: tuple[Citation, ...] = ()) -> None:
        super().__init__()
        self._text = text
        self._citations = citations
        self._undoable = False
        self._progress = Static("", markup=False, classes="progress")
        self._body: Markdown | None = None
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        self._progress.display = False
        yield self._progress
        if self._text:
            yield self._prose(self._text)
        if self._citations:
            yield CitationList(self._citations)

    @property
    def citation_list(self) -> CitationList | None:
        return next(iter(self.query(CitationList)), None)

    async def show_event(self, event: AnswerEvent) -> None:
        """Bring the turn up to date; an Answer completes it."""
        match event:
            case Recalled() | PrefillProgress() if self._body is not None:
                pass  # text overtook it in the mailbox
            case Recalled():
                self._say(_found(event))
            case PrefillProgress(n_done, n_total):
                self._say(f"reading  {show.bar(n_done, n_total)}  {n_done:,}/{n_total:,} tokens")
            case Notice(message):
                await self.mount(Note(f"note: {message}", "warning"), after=self._progress)
            case Learned():
                await self._show_learned(event)
            case SecretAsked(items):
                await self.mount(Secrets(items))
            case TokenText(text):
                await self._append(text)
            case Answer():
                await self._complete(event)

    async def fail(self, error: BaseException) -> None:
        """End the turn with an error under what was said."""
        await self._end_stream()
        await self.mount(Note(error_lines(error), "error"))
        self.settle()

    def waiting(self, what: str) -> None:
        self._say(what)

    def settle(self) -> None:
        """The job is over; nothing more will come."""
        self._progress.display = False
        self.add_class("-settled")

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """`[n]` opens its citation; any other link is only shown, since what wrote it is not trusted."""
        from secondme.tui.markdown import cited

        event.stop()
        n = cited(event.href)
        if n is None:
            self.app.notify(show.one_line(event.href, 300), title="Link", markup=False)
        elif (citations := self.citation_list) is not None:
            citations.choose(n)

    def _say(self, text: str) -> None:
        self._progress.update(Content(text))
        self._progress.display = True

    def _prose(self, text: str = "") -> Markdown:
        from secondme.tui.markdown import SafeMarkdown

        self._body = SafeMarkdown(text)
        return self._body

    async def _show_learned(self, learned: Learned) -> None:
        notes = [Note(line, "learned") for line in learned_lines(learned)]
        self._undoable = bool(learned.items or learned.pending)
        await self.mount_all(notes)

    async def _drop_what_is_said(self, text: str) -> None:
        """Where the answer itself says what was remembered, the notes above it need not."""
        said = " ".join(text.split()).casefold()
        for note in self.query(Note).filter(".-learned"):
            if str(note.render()).casefold().partition(": ")[2] in said:
                await note.remove()

    async def _append(self, text: str) -> None:
        if self._stream is None:
            body = self._prose()
            await self.mount(body)
            self._stream = body.get_stream(body)
            self._progress.display = False
        await self._stream.write(clean_text(text))

    async def _end_stream(self) -> None:
        self._progress.display = False
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.stop()

    async def _complete(self, answer: Answer) -> None:
        await self._end_stream()
        text = clean_text(answer.text)
        await self._drop_what_is_said(text)
        if self._body is None and text:
            await self.mount(self._prose(text))
        elif self._body is not None and self._body.source.strip() != text.strip():
            await self._body.update(text)
        if reason := STOPPED.get(answer.stopped):
            await self.mount(Note(reason, "warning"))
        if self._undoable:
            await self.mount(Note(UNDO_HINT))
        if answer.citations:
            await self.mount(CitationList(answer.citations))
        if cost := _cost(answer):
            await self.mount(Note(cost))


def _found(recalled: Recalled) -> str:
    counts = ((len(recalled.hits), "passage"), (recalled.n_turns, "remark"), (recalled.n_items, "fact"))
    named = [show.count(n, what) for n, what in counts if n]
    return f"reading {', '.join(named)}" if named else "nothing found"


def _cost(answer: Answer) -> str:
    timings = answer.timings
    if not timings.n_answer_tokens or timings.decode_s <= 0:
        return ""
    rate = timings.n_answer_tokens / timings.decode_s
    return f"{show.count(timings.n_answer_tokens, 'token')} · {rate:,.0f}/s · first after {timings.first_token_s:.1f} s"
