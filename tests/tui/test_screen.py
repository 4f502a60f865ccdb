"""The frame: first paint, every size, every command, and a crash that says nothing of the owner's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from secondme.config import Config
from secondme.memory.store import Store
from secondme.tui.app import SecondMeApp
from secondme.tui.commands import COMMANDS
from secondme.tui.screens.help import HelpScreen
from secondme.tui.widgets.prompt import Prompt
from secondme.tui.widgets.sidebar import Sidebar
from secondme.tui.widgets.turns import AssistantTurn
from tests.tui.conftest import COAT
from tests.tui.driving import PARROT, PARROT_FILE, app_over, driven, is_harmless, opened, screen_text, until

FIRST_PAINT = """
import asyncio, sys
from secondme.config import Config
from secondme.tui.app import SecondMeApp

seen = {}
HEAVY = ("numpy", "apsw", "llama_cpp", "cryptography", "keyring", "markdown_it", "pygments", "secondme.assistant")

def open_assistant():
    strips = app.screen._compositor.render_strips(app.screen.size)
    seen["screen"] = "".join(segment.text for strip in strips for segment in strip)
    seen["heavy"] = [name for name in HEAVY if name in sys.modules and name != "secondme.assistant"]
    raise RuntimeError

app = SecondMeApp(open_assistant, Config())

async def main():
    async with app.run_test() as pilot:
        while "screen" not in seen:
            await pilot.pause(0.01)

asyncio.run(main())
print("drop a folder" in seen["screen"], seen["heavy"])
"""


def test_the_first_paint_waits_for_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_PAINT], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "True []", done.stderr[-2000:]


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60), (20, 5)])
async def test_every_size(store: Store, notes: Path, size: tuple[int, int]) -> None:
    assistant = opened(store)
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant), size=size) as pilot:
        prompt = pilot.app.screen.query_one(Prompt)
        prompt.load_text(COAT)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query("CitationList"))
        assert prompt.region.height >= 1 and prompt.region.bottom <= size[1]
        chat = pilot.app.screen
        shown = chat.query_one(Sidebar).display
        assert shown == (size[0] >= 100)
        await pilot.press("ctrl+b")
        assert chat.query_one(Sidebar).display != shown
        small = size == (40, 10)
        for action in ("citations", "sources", "rename", "delete") if small else ("citations",):
            await pilot.app.run_action(f"screen.{action}")
            await pilot.pause()
            assert pilot.app.screen is not chat
            assert screen_text(pilot.app.screen).strip()
            await pilot.press("escape")
            assert pilot.app.screen is chat
        await pilot.resize_terminal(size[1] * 2, size[0])
        await pilot.pause()


async def test_the_palette_offers_every_command_and_no_screenshot(store: Store) -> None:
    async with driven(app_over(opened(store)), size=(100, 60)) as pilot:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Rename conversation" in screen_text(pilot.app.screen))
        shown = screen_text(pilot.app.screen)
        assert all(command.title in shown for command in COMMANDS)
        assert "screenshot" not in shown.lower()
        pilot.app.screen.query_one(Input).value = "help"
        await until(pilot, lambda: "Rename conversation" not in screen_text(pilot.app.screen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))


async def test_themes(store: Store) -> None:
    async with driven(app_over(opened(store), replace(Config(), theme="nord"))) as pilot:
        assert pilot.app.theme == "nord"
        await pilot.press("ctrl+q")


async def test_an_unknown_theme_is_said_and_survived(store: Store) -> None:
    async with driven(app_over(opened(store), replace(Config(), theme="no-such"))) as pilot:
        await until(pilot, lambda: "there is no theme no-such" in screen_text(pilot.app.screen))


def crash_in_a_handler(app: SecondMeApp, secret: str) -> None:
    def boom() -> None:
        raise ValueError(f"cannot show {secret}")

    app.call_later(boom)


def crash_of_the_terminal(app: SecondMeApp, secret: str) -> None:
    app.panic(f"traceback with {secret}")


@pytest.mark.parametrize("crash", [crash_in_a_handler, crash_of_the_terminal])
async def test_a_crash_prints_nothing_of_the_owners(
    store: Store, capfd: pytest.CaptureFixture[str], crash: Callable[[SecondMeApp, str], None]
) -> None:
    app = app_over(opened(store))
    with pytest.raises((ValueError, Exception)):
        async with driven(app) as pilot:
            await pilot.pause()
            crash(app, "the owner's diary")
            await pilot.pause(0.2)
    assert app.failure is not None and "diary" not in app.failure.message
    assert "diary" not in "".join(capfd.readouterr())
    assert app._exit_renderables == []


async def test_hostile_answers_and_questions(store: Store, tmp_path: Path) -> None:
    hostile_name = "x\x1b]52;c;eA==\x07\u202e.md"
    (tmp_path / hostile_name).write_text(PARROT_FILE)
    assistant = opened(store)
    list(assistant.ingest([tmp_path / hostile_name]))
    async with driven(app_over(assistant), size=(200, 40)) as pilot:
        prompt = pilot.app.screen.query_one(Prompt)
        prompt.load_text(PARROT)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query(AssistantTurn) and pilot.app.screen.query("CitationList"))
        shown = screen_text(pilot.app.screen)
        assert is_harmless(shown.replace("\n", "")) and "[@click=app.bell]K[/]" in shown
        for action in ("screen.citations", "screen.sources"):
            await pilot.app.run_action(action)
            await until(pilot, lambda: "x" in screen_text(pilot.app.screen))
            await pilot.pause(0.1)
            assert is_harmless(screen_text(pilot.app.screen).replace("\n", ""))
            await pilot.press("escape")
