"""The project's documents: opened behind the chat, prepared in the background, shown on a page of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.screen import Screen
from textual.widgets import Static

from secondme.cartridges.events import (
    BuildEvent,
    BuildProgress,
    BuildsDone,
    BuildSkipped,
    BuildStarted,
    CartridgeStored,
)
from secondme.config import Config
from secondme.errors import UsageError
from secondme.memory.store import Store
from secondme.tui.app import SecondMeApp
from secondme.tui.opening import BuildView, build_views
from secondme.tui.screens.documents import DocumentsScreen, total_line
from secondme.tui.screens.sources import SourcesScreen
from secondme.tui.widgets.log import ChatLog
from secondme.tui.widgets.status import BuildLine, StatusLine, build_line, opened_line
from secondme.types import Opened, OpenedDocument, PrefillProgress, ProjectStatus
from tests.tui.driving import HOSTILE, app_over, driven, is_harmless, opened, screen_text, until
from tests.tui.test_flow import answered, ask, drop


def document(path: str = "/notes/trip.md", way: str = "cartridge", **fields: object) -> OpenedDocument:
    known = {"n_tokens": 1200, "tier": "T1", "size_bytes": 2_700_000, "f16_bytes": 27_000_000, "prefill_s": 6.0}
    if way != "cartridge":
        known = {"n_tokens": 40}
    return OpenedDocument(1, path, "Trip", opened_as=way, **(known | fields))  # type: ignore[arg-type]


def opened_with(*documents: OpenedDocument, open_s: float = 0.2) -> Opened:
    return Opened("default", "", (1, 2), documents, "1", open_s)


@pytest.mark.parametrize(
    ("documents", "line"),
    [
        ([], ""),
        ([document(way="recall")], ""),
        ([document(way="text")], "1 document open"),
        ([document()], "1 document open (from a cartridge, 2.7 MB, 5.8 s saved)"),
        (
            [document(), document("/b.md"), document("/c.md", way="text"), document(way="recall")],
            "3 documents open (2 from cartridges, 5.4 MB, 12 s saved)",
        ),
    ],
)
def test_the_status_line_says_what_is_open_and_what_it_saved(documents: list[OpenedDocument], line: str) -> None:
    assert opened_line(opened_with(*documents)) == line


def test_building_is_told_in_one_line() -> None:
    events: list[BuildEvent] = [
        BuildStarted(1, "/notes/a.md", 400, 0, 2),
        BuildProgress(1, "reading", 100, 400),
        CartridgeStored(1, "/notes/a.md", "T0", True, 400, 10, 100, 1.0),
        BuildStarted(2, f"/notes/{HOSTILE}.md", 50, 1, 2),
        BuildProgress(2, "scoring", 25, 50),
        BuildSkipped(2, "/notes/b.md", "no room"),
        BuildsDone(1, 1, 2.0),
    ]
    views = list(build_views(iter(events)))
    assert build_line(BuildView()) == ""
    assert "1/2 · a.md, reading 25%" in build_line(views[1])
    assert "2/2" in build_line(views[4]) and "scoring 50%" in build_line(views[4])
    assert is_harmless(build_line(views[4]))
    assert views[-1].done is not None and views[-1].n_stored == 1 and views[-1].skipped == events[5]


def test_the_page_counts_what_is_read_and_what_is_pending() -> None:
    read = opened_with(document(), document(way="recall", why="no room beside the others"))
    status = ProjectStatus("default", 1, read.documents, n_unread=3, n_pending=1, tier="T1")
    line = total_line(status, read)
    assert line == "1 of 5 documents before the model, 1,200 tokens, opened in 0.2 s, 5.8 s saved · 1 being prepared"
    assert "no cartridges: a reason" in total_line(ProjectStatus("p", 0, (), 0, 0, "T1", why_not="a reason"), None)


async def test_what_was_dropped_lies_before_the_model_and_leaves_it_when_removed(store: Store, notes: Path) -> None:
    assistant = opened(store)
    async with driven(app_over(assistant)) as pilot:
        app = pilot.app

        def on(kind: type[Screen[Any]]) -> bool:
            return isinstance(app.screen, kind)

        await drop(pilot, f"'{notes}' ")
        await until(pilot, lambda: "2 documents open" in screen_text(app.screen))
        now = assistant.opened
        assert now is not None and now.n_read == 2
        await app.run_action("screen.documents")
        await until(pilot, lambda: on(DocumentsScreen) and "before the model" in screen_text(app.screen))
        page = screen_text(app.screen)
        assert "2 of 2 documents" in page and "house.md" in page and "read as text" in page
        await pilot.press("down")
        assert str(notes) in str(app.screen.query_one("#detail", Static).content)
        await pilot.press("escape")
        await app.run_action("screen.sources")
        await until(pilot, lambda: on(SourcesScreen) and "2 files" in screen_text(app.screen))
        await pilot.press("delete", "y")
        await until(pilot, lambda: on(SourcesScreen) and "1 file," in screen_text(app.screen))
        await pilot.press("escape")
        await until(pilot, lambda: "1 document open" in screen_text(app.screen))


async def test_reading_is_shown_and_locking_takes_all_of_it_away(store: Store, notes: Path) -> None:
    async with driven(app_over(opened(store))) as pilot:
        app = pilot.app
        await drop(pilot, f"'{notes}' ")
        await until(pilot, lambda: "2 documents open" in screen_text(app.screen))
        line = app.screen.query_one(BuildLine)
        line.show_reading(PrefillProgress(30, 60))
        await pilot.pause()
        assert "reading short documents" in screen_text(app.screen)
        line.show_view(BuildView(path="/a/trip.md", stage="reading", n_tokens_done=1, n_tokens=2, n_total=1))
        await pilot.pause()
        assert "trip.md, reading 50%" in screen_text(app.screen)
        assert isinstance(app, SecondMeApp)
        await app.chat.cover()
        await pilot.pause()
        assert "documents open" not in screen_text(app.screen) and "trip.md" not in screen_text(app.screen)
        assert app.screen.query_one(StatusLine).is_mounted


async def test_going_on_shows_the_last_conversation(store: Store, notes: Path) -> None:
    first = store.new_conversation("default", "Older")
    store.add_turn(first, "user", "What about the older one?", ())
    second = store.new_conversation("default", "Newer")
    store.add_turn(second, "user", "What about the newer one?", ())
    assistant = opened(store)
    app = SecondMeApp(lambda: assistant, Config(), go_on=True)
    async with driven(app) as pilot:
        await until(pilot, lambda: "What about the newer one?" in screen_text(app.screen))
        assert "What about the older one?" not in screen_text(app.screen)
        await drop(pilot, f"'{notes}' ")
        await ask(pilot, "Where is the coat?")
        await answered(pilot)
        assert len(store.turns(second)) == 3
        assert app.screen.query_one(ChatLog).is_mounted


async def test_going_on_with_a_project_that_is_not_there_ends_the_app(store: Store) -> None:
    assistant = opened(store)
    app = SecondMeApp(lambda: assistant, Config(), project="nowhere", go_on=True)
    async with driven(app, ready=False) as pilot:
        await until(pilot, lambda: app.failure is not None)
    assert isinstance(app.failure, UsageError) and app.return_code == UsageError.exit_code
