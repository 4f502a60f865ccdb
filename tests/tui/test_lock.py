"""Locking: by the owner, by the clock and by a signal; what is left on screen; and the ways back in."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from secondme.assistant import Assistant, Credentials
from secondme.config import Config
from secondme.crypto import calibrate, keychain
from secondme.crypto.keyslots import MIN_MEMORY_KIB
from secondme.errors import RolledBack, StoreError
from secondme.memory.lock import is_held
from secondme.paths import data_dir
from secondme.runtime.base import Embedder, Generator
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui import gate
from secondme.tui.app import SecondMeApp
from secondme.tui.idle import Idle
from secondme.tui.screens.chat import ChatScreen
from secondme.tui.screens.lock import LockScreen
from secondme.tui.screens.preview import PreviewScreen
from secondme.tui.widgets.prompt import Prompt
from secondme.tui.widgets.secret import SecretInput
from secondme.tui.widgets.turns import UserTurn
from tests.conftest import PASSPHRASE
from tests.tui.conftest import COAT
from tests.tui.driving import driven, screen_text, until
from tests.tui.test_flow import HeldEmbedder, HeldGenerator, answered, ask, drop

TENT = "the green tent"
SLOW = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases cost the least work that the key file may ask for."""
    monkeypatch.setattr(calibrate, "calibrated", lambda: calibrate.Work(MIN_MEMORY_KIB, 1, 1))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def app_of_home(
    config: Config | None = None, generator: Generator | None = None, embedder: Embedder | None = None
) -> SecondMeApp:
    def open_assistant() -> Assistant:
        return Assistant(Config(), generator=generator or EchoGenerator(), embedder=embedder or HashEmbedder())

    return SecondMeApp(open_assistant, config or Config(), passphrase="".join(PASSPHRASE))


@asynccontextmanager
async def chatting(notes: Path, app: SecondMeApp) -> AsyncIterator[Pilot[None]]:
    """A conversation of one question about the notes is on screen."""
    async with driven(app) as pilot:
        assistant = app.assistant
        assert assistant is not None
        list(assistant.ingest([notes / "house.md"]))
        await ask(pilot, COAT)
        await answered(pilot)
        yield pilot


async def locked(pilot: Pilot[None]) -> LockScreen:
    await until(pilot, lambda: "Memory is locked" in screen_text(pilot.app.screen), SLOW)
    assert isinstance(pilot.app.screen, LockScreen)
    return pilot.app.screen


async def unlock(pilot: Pilot[None], secret: str = PASSPHRASE) -> None:
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.focused, SecretInput))
    await give(pilot, secret)
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen), SLOW)


async def give(pilot: Pilot[None], secret: str) -> None:
    field = pilot.app.focused
    assert isinstance(field, SecretInput)
    field.type(secret)
    await pilot.press("enter")


async def by_key(pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+l")


async def by_command(pilot: Pilot[None]) -> None:
    await ask(pilot, "/lock")


async def by_palette(pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+p")
    pilot.app.screen.query_one(Input).value = "lock mem"
    await until(pilot, lambda: "leave the RAM" in screen_text(pilot.app.screen))
    await pilot.press("enter")


async def by_signal(pilot: Pilot[None]) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize("way", [by_key, by_command, by_palette, by_signal])
async def test_locking_covers_and_unlocking_brings_back(notes: Path, way: Callable[[Pilot[None]], object]) -> None:
    app = app_of_home()
    async with chatting(notes, app) as pilot:
        assistant, prompt = app.assistant, app.chat.query_one(Prompt)
        assert assistant is not None
        before = screen_text(app.screen)
        assert COAT in before and "house.md" in before
        await way(pilot)  # type: ignore[misc]
        await locked(pilot)
        everything = screen_text(app.screen) + screen_text(app.chat)
        assert not any(word in everything for word in ("coat", "house", "4,096"))
        assert not app.chat.query(UserTurn) and not app.chat.query("AssistantTurn") and prompt._asked == []
        assert not is_held(data_dir()) and assistant._memory.opened_keys is None and app.assistant is None
        with pytest.raises(StoreError, match="locked"):
            assistant.conversations()
        await pilot.press("ctrl+p", "f1", "ctrl+l", "ctrl+o", "x")  # nothing but the way back
        assert isinstance(app.screen, LockScreen)
        await unlock(pilot)
        await until(pilot, lambda: COAT in screen_text(app.screen) and "house.md" in screen_text(app.screen))
        await until(pilot, lambda: "echo" in screen_text(app.screen))
        await pilot.press("up")
        assert prompt.text == COAT
        await ask(pilot, f"And again: {COAT}")
        await answered(pilot, 1)  # the stored turn is not counted: it was never written here
        assert len(assistant.conversations()) == 1


async def test_what_lies_above_the_chat_goes_too_and_a_draft_comes_back(notes: Path) -> None:
    app = app_of_home()
    async with chatting(notes, app) as pilot:
        prompt = app.chat.query_one(Prompt)
        prompt.load_text("what I was about to")
        app.copy_to_clipboard(COAT)
        app.notify(COAT, markup=False)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, PreviewScreen) and "coat" in screen_text(app.screen))
        await pilot.press("ctrl+l")
        screen = await locked(pilot)
        assert "What you had begun to type is kept" in screen_text(screen) and "about to" not in screen_text(screen)
        assert app.screen_stack == [app.chat, screen]
        assert prompt.text == "" and app.clipboard == "" and "coat" not in screen_text(screen)
        await unlock(pilot)
        assert prompt.text == "what I was about to"


async def test_nothing_in_use_holds_what_was_shown(notes: Path) -> None:
    word = "".join(["quince", "jelly"])
    (notes / "house.md").write_text(f"{COAT} The {word} stands on the shelf.\n")
    app = app_of_home()
    async with chatting(notes, app) as pilot:
        await ask(pilot, f"Where does the {word} stand?")
        await answered(pilot, 2)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, PreviewScreen) and word in screen_text(app.screen))
        assert held_in_use(word) > 0
        await pilot.press("ctrl+l")
        await locked(pilot)
        await pilot.pause(0.1)
        assert held_in_use(word) == 0


def held_in_use(word: str) -> int:
    """How many strings and bytes that can still be reached hold the word; the word alone does not count."""
    gc.collect()
    found, seen, raw = 0, set[int](), word.encode()
    todo: list[object] = [thing for thing in gc.get_objects() if not isinstance(thing, FrameType)]
    while todo:
        for thing in gc.get_referents(todo.pop()):
            if id(thing) in seen:
                continue
            if isinstance(thing, str | bytes):
                seen.add(id(thing))
                found += len(thing) > len(word) and (word in thing if isinstance(thing, str) else raw in thing)
            elif not gc.is_tracked(thing) and isinstance(thing, tuple | dict):  # of plain values only
                seen.add(id(thing))
                todo.append(thing)
    return found


async def test_a_wrong_passphrase_is_said_and_esc_stays_locked(notes: Path) -> None:
    app = app_of_home()
    async with chatting(notes, app) as pilot:
        await pilot.press("ctrl+l")
        screen = await locked(pilot)
        assert "What you had begun" not in screen_text(screen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, SecretInput))
        await pilot.press("enter")
        assert "type the passphrase first" in screen_text(screen)
        await give(pilot, "not it at all")
        await until(pilot, lambda: "the passphrase is wrong" in screen_text(screen), SLOW)
        assert is_held(data_dir())
        await pilot.press("escape")
        await until(pilot, lambda: not is_held(data_dir()))
        await locked(pilot)
        with Assistant(Config(), generator=EchoGenerator(), embedder=HashEmbedder()) as other:
            other.unlock(Credentials(PASSPHRASE))
            await pilot.press("enter")
            await until(pilot, lambda: "another secondme uses the store" in screen_text(screen), SLOW)
        await unlock(pilot)


async def test_the_clock_locks_when_nobody_is_there(notes: Path) -> None:
    app, clock = app_of_home(Config(idle_lock_minutes=1)), Clock()
    assert app.locking.idle.limit_s == 60
    app.locking.idle = Idle(60, clock)
    async with chatting(notes, app) as pilot:
        clock.now += 59
        await app.locking.look()
        for there in (events.Paste("x"), events.MouseMove(None, 1, 1, 0, 0, 0, False, False, False)):
            app.post_message(there)
            await pilot.pause()
            clock.now += 59
            await app.locking.look()
        await pilot.press("x")
        clock.now += 59
        await app.locking.look()
        assert isinstance(app.screen, ChatScreen)
        clock.now += 1
        await app.locking.look()
        await locked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, SecretInput))
        clock.now += 60  # a question that nobody answers would keep others from the store
        await app.locking.look()
        await until(pilot, lambda: not is_held(data_dir()))
        await unlock(pilot)
        clock.now += 59
        await app.locking.look()
        assert isinstance(app.screen, ChatScreen)


async def test_the_clock_is_looked_at_by_itself_unless_it_is_switched_off(notes: Path) -> None:
    for minutes in (0, 1):
        app, clock = app_of_home(Config(idle_lock_minutes=minutes)), Clock()
        app.locking.idle = Idle(0.2 if minutes else 0, clock)
        async with driven(app) as pilot:
            await until(pilot, lambda app=app: "echo" in screen_text(app.screen), SLOW)  # type: ignore[misc]
            clock.now += 1e9
            if minutes:
                await locked(pilot)
            else:
                await app.locking.look()
                assert isinstance(app.screen, ChatScreen)


async def test_the_clock_waits_for_an_answer_and_for_files(notes: Path) -> None:
    generator, embedder, clock = HeldGenerator(), HeldEmbedder(), Clock()
    app = app_of_home(generator=generator, embedder=embedder)
    app.locking.idle = Idle(60, clock)
    async with driven(app) as pilot:
        await drop(pilot, str(notes / "house.md"))
        await until(pilot, lambda: "1 file added" in screen_text(app.screen), SLOW)
        await ask(pilot, COAT)
        await until(pilot, generator.begun.is_set)
        clock.now += 1000
        await app.locking.look()
        assert isinstance(app.screen, ChatScreen)
        generator.go.set()
        await answered(pilot)
        await app.locking.look()
        assert isinstance(app.screen, ChatScreen)  # it was waited for, and may be read
        await drop(pilot, str(notes / "camp.txt"))
        await until(pilot, embedder.begun.is_set)
        clock.now += 1000
        await app.locking.look()
        assert isinstance(app.screen, ChatScreen)
        embedder.go.set()
        await until(pilot, lambda: not app.chat.adding)
        await app.locking.look()
        await locked(pilot)


@pytest.mark.parametrize("wait_s", [5.0, 0.1])
async def test_the_owner_does_not_wait_for_files_and_they_are_added_later(
    notes: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float
) -> None:
    """Also when a thread stays in the core for so long that memory is closed under it."""
    monkeypatch.setattr(gate, "LOCK_S", wait_s)
    embedder = HeldEmbedder()
    app = app_of_home(embedder=embedder)
    async with driven(app) as pilot:
        await drop(pilot, str(notes))
        await until(pilot, embedder.begun.is_set, SLOW)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, LockScreen))
        if wait_s > 1:
            embedder.go.set()
        await locked(pilot)
        assert not is_held(data_dir())
        embedder.go.set()
        await unlock(pilot)
        await until(pilot, lambda: "added (" in screen_text(app.screen), SLOW)
        assert app.assistant is not None
        assert {Path(s.path).name for s in app.assistant.sources()} == {"house.md", "camp.txt", "empty.md"}


async def test_an_answer_is_stopped_by_locking_and_kept_as_far_as_it_went(notes: Path) -> None:
    generator = HeldGenerator()
    app = app_of_home(generator=generator)
    async with driven(app) as pilot:
        assert app.assistant is not None
        list(app.assistant.ingest([notes / "house.md"]))
        await ask(pilot, COAT)
        await until(pilot, generator.begun.is_set, SLOW)
        await pilot.press("ctrl+l")
        await locked(pilot)
        assert generator.cached_tokens == ()
        await unlock(pilot)
        await until(pilot, lambda: COAT in screen_text(app.screen))
        [conversation] = app.assistant.conversations()
        assert [turn.role for turn in app.assistant.turns(conversation.id)] == ["user", "assistant"]
        assert not app.chat.answering


async def test_a_wish_while_memory_is_being_opened_is_kept() -> None:
    app = app_of_home()
    async with driven(app, ready=False) as pilot:
        await app.locking.lock()
        await locked(pilot)
        await unlock(pilot)


async def test_a_keyring_lets_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(keychain, "store", lambda entry, key: kept.update({entry: bytes(key)}) is None)
    monkeypatch.setattr(keychain, "fetch", lambda entry: bytearray(kept[entry]))
    app = app_of_home()
    app._passphrase = None
    async with driven(app) as pilot:
        await pilot.press("ctrl+l")
        await locked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen), SLOW)
        assert app.assistant is not None and app.assistant.conversations() == []


async def test_a_store_that_was_rolled_back_meanwhile_ends_the_app(notes: Path) -> None:
    app = app_of_home()
    async with chatting(notes, app) as pilot:
        store = data_dir() / "store.db"
        assert app.assistant is not None
        app.assistant.lock()
        old = store.read_bytes()
        app.assistant.unlock(Credentials(PASSPHRASE))
        app.assistant.new_conversation()
        await pilot.press("ctrl+l")
        await locked(pilot)
        store.write_bytes(old)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, SecretInput))
        await give(pilot, PASSPHRASE)
        await until(pilot, lambda: app.return_code is not None, SLOW)
    assert isinstance(app.failure, RolledBack) and app.failure.hint and app.return_code == RolledBack.exit_code


# The field ---------------------------------------------------------------------------------------------------


async def test_the_field_keeps_what_is_typed_to_itself() -> None:
    app = SecondMeApp(lambda: Assistant(Config(), generator=EchoGenerator(), embedder=HashEmbedder()), Config())
    async with driven(app, ready=False) as pilot:
        await until(pilot, lambda: isinstance(app.focused, SecretInput), SLOW)
        field = app.focused
        assert isinstance(field, SecretInput)
        for key in ("a", "é", " ", "€", "b"):
            app.post_message(events.Key(key, key))
        await pilot.press("backspace", "backspace", "left", "tab", "shift+tab")
        assert "•••" in screen_text(app.screen) and "••••" not in screen_text(app.screen)
        app.post_message(events.Paste("".join("𝄞x\x07\nsecond line")))
        await pilot.pause()
        assert field.n_typed == 5
        assert field.take() == "aé 𝄞x" and field.is_empty and not any(field._held)
        await pilot.press("x", "y", "ctrl+u", "backspace")
        assert field.is_empty and not any(field._held)
        field.type("x" * 5000)
        assert len(field.take()) == 4096
