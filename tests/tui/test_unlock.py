"""The passphrase: chosen twice, refused and asked for again, or not given at all."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from secondme.assistant import Assistant
from secondme.config import Config
from secondme.errors import NoKey, WrongPassphrase
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui.app import SecondMeApp
from secondme.tui.screens.passphrase import PassphraseScreen
from secondme.tui.widgets.secret import SecretInput
from tests.tui.driving import driven, screen_text, until

SECRET = "correct horse battery staple"


def locked_app(passphrase: str | None = None) -> SecondMeApp:
    def open_assistant() -> Assistant:
        return Assistant(Config(), generator=EchoGenerator(), embedder=HashEmbedder())

    return SecondMeApp(open_assistant, Config(), passphrase=passphrase)


async def asked(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, PassphraseScreen))


async def type_in(pilot: Pilot[None], *entries: str) -> None:
    for entry in entries:
        field = pilot.app.focused
        assert isinstance(field, SecretInput)
        field.type(entry)
        await pilot.press("enter")
        await pilot.pause()


async def unlocked(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: "echo" in screen_text(pilot.app.screen), timeout_s=20)


async def test_a_passphrase_is_chosen_twice_then_asked_for() -> None:
    app = locked_app()
    async with driven(app, ready=False) as pilot:
        await asked(pilot)
        assert "Nobody can recover it" in screen_text(app.screen)
        await type_in(pilot, "", SECRET, "another")
        assert "the two differ" in screen_text(app.screen)
        await type_in(pilot, SECRET)
        await unlocked(pilot)
        assert not isinstance(app.screen, PassphraseScreen)
        assert app.assistant is not None
        app.assistant.new_conversation("default", "kept")
    assert app.failure is None
    again = locked_app()
    async with driven(again, ready=False) as pilot:
        await asked(pilot)
        assert "Nobody can recover it" not in screen_text(again.screen)
        await type_in(pilot, "wrong")
        await until(pilot, lambda: "wrong" in screen_text(again.screen).lower(), timeout_s=20)
        field = again.screen.query_one("#first", SecretInput)
        await until(pilot, lambda: not field.disabled and field.is_empty, timeout_s=20)
        assert SECRET not in screen_text(again.screen)
        await type_in(pilot, SECRET)
        await unlocked(pilot)
        await until(pilot, lambda: "kept" in screen_text(again.screen))


async def test_without_a_passphrase_the_app_ends() -> None:
    app = locked_app()
    async with driven(app, ready=False) as pilot:
        await asked(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: app.return_code is not None)
    assert isinstance(app.failure, NoKey)
    assert app.return_code == 78


async def test_quitting_while_asked() -> None:
    app = locked_app()
    async with driven(app, ready=False) as pilot:
        await asked(pilot)
        await pilot.press("ctrl+q")
    assert app.return_code == 0


@pytest.mark.parametrize("given", [SECRET])
async def test_a_given_passphrase_is_tried_once(given: str) -> None:
    app = locked_app("".join(given))  # a string of its own: it is overwritten
    async with driven(app, ready=False) as pilot:
        await unlocked(pilot)
    wrong = locked_app("".join("not it"))
    async with driven(wrong, ready=False) as pilot:
        await until(pilot, lambda: wrong.return_code is not None, timeout_s=20)
    assert isinstance(wrong.failure, WrongPassphrase)
    assert wrong.return_code == WrongPassphrase.exit_code
