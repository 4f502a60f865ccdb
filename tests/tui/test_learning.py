"""What the owner tells is remembered before their eyes, undone by a key, decided about, and looked up."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList, Static

from secondme.memory.store import Store
from secondme.tui.learning import learned_lines
from secondme.tui.screens.confirm import ConfirmScreen
from secondme.tui.screens.memories import MemoriesScreen
from secondme.tui.screens.preview import PreviewScreen
from secondme.tui.widgets import turns
from secondme.tui.widgets.prompt import Prompt
from secondme.types import Learned, MemoryItem, NewItem, Trust
from tests.tui.driving import HOSTILE, app_over, driven, is_harmless, opened, screen_text, until
from tests.tui.test_flow import answered, ask, notes_shown

WORK = "I work at Brindle Clocks."


def texts(store: Store) -> list[str]:
    return [item.text for item in store.items(holding=True) if item.kind == "semantic"]


async def test_what_is_told_is_remembered_and_taken_back(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, WORK)
        await answered(pilot)
        assert "Remembered: I work at Brindle Clocks." in screen_text(pilot.app.screen)
        assert "takes it back" in notes_shown(pilot) and "Brindle" not in notes_shown(pilot)  # it is said once
        assert any("Brindle Clocks" in text for text in texts(store))
        await pilot.press("ctrl+z")
        await until(pilot, lambda: "taken back" in notes_shown(pilot))
        assert not any("Brindle Clocks" in text for text in texts(store))
        await pilot.press("ctrl+z")
        await until(pilot, lambda: "nothing was learned that could be undone" in screen_text(pilot.app.screen))


async def test_a_key_that_undoes_typing_is_left_to_typing(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, WORK)
        await answered(pilot)
        await pilot.press("a", "b", "ctrl+z")
        assert any("Brindle Clocks" in text for text in texts(store))
        assert pilot.app.screen.query_one(Prompt).text != "ab"


async def test_a_correction_is_said_and_its_undo_brings_the_old_back(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, WORK)
        await answered(pilot)
        await ask(pilot, "I work at Harbour Tools now.")
        await answered(pilot, 2)
        assert "No longer so: I work at Brindle Clocks." in screen_text(pilot.app.screen)
        assert [("Brindle" in t, "Harbour" in t) for t in texts(store)] == [(False, True)]
        await ask(pilot, "/undo")
        await until(pilot, lambda: "so again: I work at Brindle Clocks." in notes_shown(pilot))
        assert [("Brindle" in t, "Harbour" in t) for t in texts(store)] == [(True, False)]


async def test_a_secret_is_shown_to_the_owner_alone_and_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "REVEALED_S", 1.0)
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, "My wifi password is vermilion-47-otter.")
        await answered(pilot)
        assert "Kept as a secret" in screen_text(pilot.app.screen) and "vermilion" not in notes_shown(pilot)
        await ask(pilot, "What is my wifi password?")
        await answered(pilot, 2)
        secrets = pilot.app.screen.query_one(turns.Secrets)
        assert "vermilion" not in str(secrets.render())
        secrets.focus()
        await pilot.press("enter")
        await until(pilot, lambda: "vermilion-47-otter" in str(secrets.render()))
        await until(pilot, lambda: "vermilion" not in str(secrets.render()))


async def test_what_is_known_can_be_looked_through_decided_and_forgotten(store: Store) -> None:
    waiting = NewItem("semantic", "The owner sails.", subject="owner", trust=Trust.DOCUMENT, state="pending")
    store.add_item(waiting)
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, WORK)
        await answered(pilot)
        await ask(pilot, "/memory")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesScreen))
        screen = pilot.app.screen
        await until(pilot, lambda: "1 thing known, 1 waiting for your word" in screen_text(screen))
        assert "The owner sails." in str(screen.query_one("#items", OptionList).get_option_at_index(0).prompt)
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "2 things known" in screen_text(screen))
        await pilot.press(*"brindle")
        await until(pilot, lambda: screen.query_one("#items", OptionList).option_count == 1)
        await until(pilot, lambda: "you said on" in str(screen.query_one("#detail", Static).render()))
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: texts(store) == ["The owner sails."])
        await pilot.press("escape")


async def test_a_memory_that_was_cited_opens_and_says_whether_it_still_holds(store: Store) -> None:
    async with driven(app_over(opened(store))) as pilot:
        await ask(pilot, WORK)
        await answered(pilot)
        await ask(pilot, "What do you know about me?")
        await answered(pilot, 2)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewScreen))
        await until(pilot, lambda: "Brindle Clocks" in screen_text(pilot.app.screen))
        assert "no longer" not in screen_text(pilot.app.screen)
        await pilot.press("o")
        await until(pilot, lambda: "there is no file to open" in screen_text(pilot.app.screen))
        await pilot.press("escape")
        store.close_item(store.items(holding=True)[0].id)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "this is so no longer" in screen_text(pilot.app.screen))
        await pilot.press("escape")


def test_lines_are_harmless_and_few() -> None:
    def item(n: int) -> MemoryItem:
        return MemoryItem(
            n, b"", "default", "semantic", "", "owner", "", "", f"{n} {HOSTILE}", Trust.CONVERSATION, "owner",
            "active", 0.0, 0.0, None, 30.0, 0.0, 0, 0, 0, (),
        )  # fmt: skip

    lines = learned_lines(Learned(tuple(item(n) for n in range(9))))
    assert all(is_harmless(line) for line in lines)
    assert len(lines) == 5 and "5 things more" in lines[-1]
