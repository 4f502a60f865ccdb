"""What the tests of the terminal app share: hostile text, citations, and an app to drive."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from secondme.assistant import Assistant
from secondme.config import Config
from secondme.crypto import keyslots
from secondme.crypto.keys import Keys
from secondme.memory.store import Store
from secondme.runtime.base import Generator
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui.app import SecondMeApp, leave
from secondme.types import Citation
from tests.keyfiles import with_keyring

HOSTILE = (
    "A\x1b]52;c;c2VjcmV0\x07B\x1b]8;;http://evil.example\x1b\\C\x1b]0;title\x07D\x1b[2J\x1b[31mE"
    "\x9b2JF\u202egnp\u2066G\x00H\x08I[link=http://evil.example]J[/link][@click=app.bell]K[/]"
)
"""Clipboard, link, title, clear, colour, C1, bidirectional, NUL and markup, with letters to find it by."""

PARROT = f"The parrot says {HOSTILE} every morning."
PARROT_FILE = PARROT.replace("\0", "") + "\n" + "\n".join(f"Line {n} is prose as any other." for n in range(200))
"""Its text in a file: without the NUL, and with so much prose that it counts as text and not as binary."""

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_harmless(text: str) -> bool:
    return not _HARMFUL.search(text)


def citation(text: str, quote: str, *, path: str = "/notes/trip.md", n: int = 1) -> Citation:
    """A citation of `quote` in the passage `text`, which starts at byte 100 and line 1 of its file."""
    before = text[: text.index(quote)]
    start = 100 + len(before.encode())
    return Citation(
        n=n,
        chunk_id=n,
        path=path,
        title="Trip",
        project="default",
        page=None,
        line_start=1,
        line_end=1 + text.count("\n"),
        byte_start=100,
        byte_end=100 + len(text.encode()),
        heading_path=("Packing",),
        text=text,
        quote=quote,
        quote_start=start,
        quote_end=start + len(quote.encode()),
        quote_line=1 + before.count("\n"),
        score=1.0,
        marked=True,
    )


def opened(store: Store, generator: Generator | None = None) -> Assistant:
    """A real assistant over an open store, with the built-in models."""
    assistant = Assistant(Config(), generator=generator or EchoGenerator(), embedder=HashEmbedder())
    folder = store._database.path.parent / "key file"
    folder.mkdir(exist_ok=True)
    file, master = with_keyring()
    keyslots.save(folder, file)
    assistant._memory.opened, assistant._memory.opened_keys = store, Keys(folder, file, master)
    return assistant


def app_over(assistant: Assistant, config: Config | None = None) -> SecondMeApp:
    return SecondMeApp(lambda: assistant, config or Config())


@asynccontextmanager
async def driven(
    app: SecondMeApp, size: tuple[int, int] = (140, 30), *, ready: bool = True
) -> AsyncIterator[Pilot[None]]:
    """Run the app headless, from when its memory is open if `ready`; afterwards every thread must be back."""
    app.animation_level = "none"
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            if ready:
                await until(pilot, lambda: app.assistant is not None)
            yield pilot
            if app.return_code is None:
                app.exit()
    finally:
        # Also after a failure: a thread that stays in the core would keep the test run from ending.
        left = leave(app, lambda _: None)
    assert left, "a thread stayed in the core"


async def until(pilot: Pilot[None], true: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for something the app does in a thread."""
    deadline = monotonic() + timeout_s
    while not true():
        assert monotonic() < deadline, f"never came true; the screen shows:\n{screen_text(pilot.app.screen)}"
        await pilot.pause(0.02)
    await pilot.pause()


def screen_text(screen: Screen[Any]) -> str:
    """What the screen shows, line by line."""
    strips = screen._compositor.render_strips(screen.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
