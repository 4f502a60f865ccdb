"""The main path, driven as an owner would: drop, ask, read, look at the place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import TextArea

from secondme.errors import ModelNotFound
from secondme.memory.store import Store
from secondme.runtime.base import DecodedText, DecodeEnd, FloatMatrix, Sampling
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui.screens.preview import PreviewScreen
from secondme.tui.widgets.citations import CitationList
from secondme.tui.widgets.log import ChatLog
from secondme.tui.widgets.prompt import Prompt
from secondme.tui.widgets.status import IngestLine
from secondme.tui.widgets.turns import AssistantTurn, Note, UserTurn
from secondme.types import CancelCheck, PrefillProgress, TokenText, never_cancelled
from tests.tui.conftest import COAT, TENT
from tests.tui.driving import app_over, driven, opened, screen_text, until


class HeldGenerator(EchoGenerator):
    """Echoes, but holds each token back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Event()

    def decode(
        self, sampling: Sampling, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[DecodedText | DecodeEnd]:
        for n, event in enumerate(super().decode(sampling, cancelled=cancelled)):
            self.begun.set()
            while n > 3 and not self.go.wait(0.005) and not cancelled():
                pass
            yield event


class HeldEmbedder(HashEmbedder):
    """Embeds, but holds texts about tents back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Event()

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        if any("tent" in text for text in texts):
            self.begun.set()
            assert self.go.wait(8)
        return super().embed(texts, cancelled=cancelled)


def notes_shown(pilot: Pilot[None]) -> str:
    return "\n".join(str(note.render()) for note in pilot.app.screen.query(Note))


async def drop(pilot: Pilot[None], paste: str) -> None:
    pilot.app.screen.query_one(Prompt).post_message(events.Paste(paste))
    await pilot.pause()


async def ask(pilot: Pilot[None], question: str) -> None:
    prompt = pilot.app.screen.query_one(Prompt)
    prompt.focus()
    prompt.load_text(question)
    await pilot.press("enter")


async def answered(pilot: Pilot[None], n: int = 1) -> None:
    await until(pilot, lambda: len(pilot.app.screen.query("AssistantTurn.-settled")) == n)
    await pilot.pause(0.1)  # until it is laid out


async def test_drop_ask_and_open_the_place(store: Store, notes: Path) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await drop(pilot, f"'{notes}' ")
        await until(pilot, lambda: "2 files added" in notes_shown(pilot))
        assert "left out empty.md" in notes_shown(pilot)
        assert pilot.app.screen.query_one(Prompt).text == ""
        await ask(pilot, COAT)
        await answered(pilot)
        screen = screen_text(pilot.app.screen)
        assert f"{COAT} [1]" in screen
        assert "[1] house.md:17  House" in screen
        assert "/4,096" in screen  # the context meter
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewScreen))
        await until(pilot, lambda: "hangs in the hall" in screen_text(pilot.app.screen))
        area = pilot.app.screen.query_one(TextArea)
        assert area.selected_text.strip() == COAT
        shown = screen_text(pilot.app.screen)
        line = next(line for line in shown.splitlines() if COAT in line)
        assert line.split(COAT)[0].split()[-1] == "17"  # the file's own line number
        assert str(notes / "house.md")[-20:] in shown
        assert "changed" not in shown
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, PreviewScreen)


async def test_a_file_edited_since_is_said_so(store: Store, notes: Path) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await drop(pilot, str(notes / "camp.txt"))
        await until(pilot, lambda: "1 file added" in notes_shown(pilot))
        await ask(pilot, TENT)
        await answered(pilot)
        (notes / "camp.txt").write_text("Something else altogether now.\n")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "the file has changed since it was read" in screen_text(pilot.app.screen))
        assert TENT in screen_text(pilot.app.screen)
        await pilot.press("escape")
        (notes / "camp.txt").unlink()
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "the file is no longer there" in screen_text(pilot.app.screen))


async def test_ordinary_text_is_pasted(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await drop(pilot, "two\nlines \x1b]52;c;eA==\x07of text")
        assert pilot.app.screen.query_one(Prompt).text == "two\nlines of text"
        await pilot.press("ctrl+j", "x")
        assert pilot.app.screen.query_one(Prompt).text == "two\nlines of text\nx"


async def test_a_drop_while_a_list_has_the_focus(store: Store, notes: Path) -> None:
    async with driven(app_over(opened(store)), size=(120, 30)) as pilot:
        pilot.app.screen.query_one("#conversations").focus()
        pilot.app.post_message(events.Paste(str(notes / "camp.txt")))
        await until(pilot, lambda: "1 file added" in notes_shown(pilot))


async def test_progress_is_seen_and_questions_are_answered_meanwhile(store: Store, notes: Path) -> None:
    assistant = opened(store)
    embedder = assistant._models.loaded_embedder = HeldEmbedder()
    async with driven(app_over(assistant)) as pilot:
        await drop(pilot, str(notes / "house.md"))
        await until(pilot, lambda: "1 file added" in notes_shown(pilot))
        await drop(pilot, str(notes / "camp.txt"))
        await until(pilot, embedder.begun.is_set)
        await until(pilot, lambda: "camp.txt" in screen_text(pilot.app.screen))
        line = pilot.app.screen.query_one(IngestLine)
        assert line.display and "0/1" in str(line.render())
        await ask(pilot, COAT)
        await answered(pilot)
        assert f"{COAT} [1]" in screen_text(pilot.app.screen)
        assert line.display
        embedder.go.set()
        await until(pilot, lambda: not line.display)


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_an_answer_can_be_stopped(store: Store, notes: Path, key: str) -> None:
    generator = HeldGenerator()
    assistant = opened(store, generator)
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant)) as pilot:
        await ask(pilot, COAT)
        await until(pilot, generator.begun.is_set)
        await until(pilot, lambda: "echo" in screen_text(pilot.app.screen))
        assert "esc stop the answer" in screen_text(pilot.app.screen)
        await until(pilot, lambda: "reading" not in screen_text(pilot.app.screen))
        log = pilot.app.screen.query_one(ChatLog)
        assert [type(w) for w in log.children] == [UserTurn, AssistantTurn]
        await ask(pilot, "another question meanwhile")
        await until(pilot, lambda: "one answer at a time" in screen_text(pilot.app.screen))
        assert pilot.app.screen.query_one(Prompt).text == "another question meanwhile"
        await pilot.press(key)
        await answered(pilot)
        assert "stopped" in notes_shown(pilot)
        assert COAT not in str(pilot.app.screen.query_one(AssistantTurn).query("SafeMarkdown").first().source)  # type: ignore[attr-defined]
        assert pilot.app.is_running
        [conversation] = assistant.conversations()
        assert [t.role for t in assistant.turns(conversation.id)] == ["user", "assistant"]


async def test_ctrl_c_leaves_only_when_pressed_twice(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "press ctrl+c again" in screen_text(pilot.app.screen))
        assert pilot.app.return_code is None
        await pilot.press("ctrl+c")
        assert pilot.app.return_code == 0


async def test_quitting_stops_everything_that_runs(store: Store, notes: Path) -> None:
    generator = HeldGenerator()
    assistant = opened(store, generator)
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant)) as pilot:
        await ask(pilot, COAT)
        await until(pilot, generator.begun.is_set)
        await pilot.press("ctrl+q")
        assert pilot.app.return_code == 0
    assert assistant._memory.opened is None  # closed, since every thread came back


async def test_memory_that_holds_nothing_says_so(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, "anything at all?")
        await answered(pilot)
        assert "Memory holds nothing about this." in screen_text(pilot.app.screen)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "no answer with citations" in screen_text(pilot.app.screen))


class BrokenGenerator(EchoGenerator):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def prefill(self, tokens: Sequence[int], *, cancelled: CancelCheck = never_cancelled) -> Iterator[PrefillProgress]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ModelNotFound("no model x", hint="pull it"), "error: no model x"),
        (ValueError("the owner's diary"), "error: unexpected ValueError at test_flow.py:"),
    ],
)
async def test_a_failing_answer_is_one_line_and_the_next_is_tried(
    store: Store, notes: Path, error: Exception, line: str
) -> None:
    assistant = opened(store, BrokenGenerator(error))
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant)) as pilot:
        await ask(pilot, COAT)
        await answered(pilot)
        screen = screen_text(pilot.app.screen)
        assert line in screen and "hint: " in screen and "diary" not in screen
        assistant._models.loaded_generator = EchoGenerator()
        await ask(pilot, COAT)
        await answered(pilot, 2)
        assert "[1]" in screen_text(pilot.app.screen)


async def test_typed_commands(store: Store, notes: Path) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, f"/add {notes}")
        await until(pilot, lambda: "2 files added" in notes_shown(pilot))
        await ask(pilot, "/add /no/such/thing")
        await until(pilot, lambda: "no such file or folder" in screen_text(pilot.app.screen))
        assert pilot.app.screen.query_one(Prompt).text == "/add /no/such/thing"  # to be corrected
        await ask(pilot, "/nonsense")
        await until(pilot, lambda: "there is no command /nonsense" in screen_text(pilot.app.screen))
        await ask(pilot, "/help")
        await until(pilot, lambda: "what is known about you" in screen_text(pilot.app.screen))
        await pilot.press("end")
        await until(pilot, lambda: "stop adding files" in screen_text(pilot.app.screen))
        await pilot.press("escape")
        await ask(pilot, "/quit")
        await until(pilot, lambda: pilot.app.return_code == 0)


async def test_earlier_questions_come_back_with_the_arrow_keys(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        for n, question in enumerate(["first", "second"], start=1):
            await ask(pilot, question)
            await answered(pilot, n)
        prompt = pilot.app.screen.query_one(Prompt)
        await pilot.press("up")
        assert prompt.text == "second"
        await pilot.press("up")
        assert prompt.text == "first"
        await pilot.press("up", "down", "down")
        assert prompt.text == ""
        await pilot.press("x", "up")
        assert prompt.text == "x"  # what was begun is not lost


async def test_citations_by_digit_and_by_their_mark(store: Store, notes: Path) -> None:
    assistant = opened(store)
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant)) as pilot:
        await ask(pilot, COAT)
        await answered(pilot)
        pilot.app.screen.query_one(CitationList).focus()
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewScreen))
        await pilot.press("right")
        await pilot.press("escape")
        lines = screen_text(pilot.app.screen).splitlines()
        row = next(n for n, line in enumerate(lines) if "echo: " in line)
        await pilot.click(offset=(lines[row].index("[1]") + 1, row))
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewScreen))


async def test_a_dropped_folder_is_followed(store: Store, notes: Path) -> None:
    assistant = opened(store)
    async with driven(app_over(assistant)) as pilot:
        await drop(pilot, str(notes))
        await until(pilot, lambda: "2 files added" in notes_shown(pilot))
        await pilot.pause(0.3)
        (notes / "new.md").write_text("The bicycle has a flat tyre.\n")
        await until(pilot, lambda: any(s.path.endswith("new.md") for s in assistant.sources()), timeout_s=12)
        await until(pilot, lambda: "a folder changed" in screen_text(pilot.app.screen))


async def test_progress_that_text_overtook_is_not_shown() -> None:
    """The mailbox hands text over before events that wait in the queue."""

    class Page(App[None]):
        def compose(self) -> ComposeResult:
            yield AssistantTurn()

    app = Page()
    async with app.run_test() as pilot:
        turn = app.query_one(AssistantTurn)
        await turn.show_event(PrefillProgress(1, 2))
        await pilot.pause()
        assert "1/2 tokens" in screen_text(app.screen)
        await turn.show_event(TokenText("Hello."))
        await turn.show_event(PrefillProgress(2, 2))
        await pilot.pause()
        assert "Hello." in screen_text(app.screen) and "tokens" not in screen_text(app.screen)
