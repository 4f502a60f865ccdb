"""Conversations: listed, opened, renamed, deleted; and what is in memory."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input, OptionList

from secondme.memory.store import Store
from secondme.tui.screens.confirm import ConfirmScreen
from secondme.tui.screens.rename import RenameScreen
from secondme.tui.screens.sources import SourcesScreen
from secondme.tui.widgets.log import SHOWN_TURNS, ChatLog, EarlierTurns
from secondme.tui.widgets.prompt import Prompt
from secondme.tui.widgets.sidebar import ConversationList
from secondme.tui.widgets.turns import AssistantTurn, UserTurn
from tests.tui.driving import HOSTILE, app_over, driven, is_harmless, opened, screen_text, until


async def test_switch_rename_and_delete(store: Store) -> None:
    assistant = opened(store)
    for title in ("about coats", HOSTILE):
        conversation = assistant.new_conversation("default", title)
        store.add_turn(conversation, "user", f"question in {title}", ())
        store.add_turn(conversation, "assistant", f"answer in {title}", ())
    async with driven(app_over(assistant), size=(120, 30)) as pilot:
        screen = pilot.app.screen
        await until(pilot, lambda: "about coats" in screen_text(screen))
        listed = screen.query_one(ConversationList)
        at = next(n for n, c in enumerate(listed.conversations) if c.title == "about coats")
        listed.focus()
        listed.highlighted = at
        await pilot.press("enter")
        await until(pilot, lambda: "answer in about coats" in screen_text(screen))
        listed.focus()
        await until(pilot, lambda: "r rename" in screen_text(screen))
        listed.highlighted = 1 - at
        await pilot.press("enter")
        await until(pilot, lambda: "ABCDEF" in screen_text(screen))
        assert is_harmless(screen_text(screen).replace("\n", ""))
        listed.focus()
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, RenameScreen))
        assert is_harmless(pilot.app.screen.query_one(Input).value)
        pilot.app.screen.query_one(Input).value = "about tents"
        await pilot.press("enter")
        await until(pilot, lambda: "about tents" in screen_text(screen))
        assert {c.title for c in assistant.conversations()} == {"about coats", "about tents"}
        listed.focus()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("enter")  # keeps
        assert len(assistant.conversations()) == 2
        listed.focus()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(assistant.conversations()) == 1)
        await until(pilot, lambda: "about tents" not in screen_text(screen))
        assert "Drop a folder" in screen_text(screen)  # the open one is gone, so a new one begins


async def test_new_conversation_and_its_title(store: Store) -> None:
    assistant = opened(store)
    async with driven(app_over(assistant), size=(120, 30)) as pilot:
        prompt = pilot.app.screen.query_one(Prompt)
        for question in ("what is in the hall and why does it matter so very much to me today?", "second"):
            await pilot.press("ctrl+n")
            prompt.load_text(question)
            await pilot.press("enter")
            await until(pilot, lambda: "ctrl+p commands" in screen_text(pilot.app.screen) and prompt.text == "")
            await until(pilot, lambda: pilot.app.screen.query(AssistantTurn))
        await until(pilot, lambda: len(assistant.conversations()) == 2)
        titles = sorted(c.title for c in assistant.conversations())
        assert titles[0] == "second"
        assert titles[1].endswith("…") and len(titles[1]) <= 61


async def test_a_long_conversation_is_drawn_in_parts(store: Store) -> None:
    assistant = opened(store)
    conversation = assistant.new_conversation("default", "long")
    for n in range(SHOWN_TURNS + 6):
        store.add_turn(conversation, "user", f"question {n}", ())
    async with driven(app_over(assistant), size=(120, 30)) as pilot:
        listed = pilot.app.screen.query_one(ConversationList)
        await until(pilot, lambda: listed.option_count)
        await pilot.press("shift+tab", "enter")  # the list takes the focus with its newest chosen
        log = pilot.app.screen.query_one(ChatLog)
        await until(pilot, lambda: len(log.query(UserTurn)) == SHOWN_TURNS)
        assert "6 earlier turns" in str(log.query_one(EarlierTurns).render())
        log.scroll_home(animate=False)
        await pilot.press("pageup")
        await until(pilot, lambda: len(log.query(UserTurn)) == SHOWN_TURNS + 6)
        assert not log.query(EarlierTurns)
        assert str(log.query(UserTurn).first().render()) == "question 0"


async def test_what_is_in_memory(store: Store, notes: Path) -> None:
    assistant = opened(store)
    list(assistant.ingest([notes]))
    async with driven(app_over(assistant)) as pilot:
        await pilot.press("ctrl+p")
        pilot.app.screen.query_one(Input).value = "files in mem"
        await until(pilot, lambda: "what was left out" in screen_text(pilot.app.screen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, SourcesScreen))
        await until(pilot, lambda: "2 files" in screen_text(pilot.app.screen))
        files = pilot.app.screen.query_one("#files", OptionList)
        assert files.option_count == 3 and "1 left out" in screen_text(pilot.app.screen)
        pilot.app.screen.query_one(Input).value = "camp"
        await until(pilot, lambda: files.option_count == 1)
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(assistant.sources()) == 2)
        assert (notes / "camp.txt").exists()
        await until(pilot, lambda: isinstance(pilot.app.screen, SourcesScreen))
        await pilot.press("escape")
