"""Locks memory and lets the owner back in: when asked, when nobody was there for long, and at a signal.

What was on screen goes at once, the keys as soon as the threads have left the core. What the owner is waiting for is
never cut off by the clock: an answer or files being added come to their end first. When the owner asks, or SIGUSR1
does, the answer is stopped, and adding goes on after the next unlocking.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from secondme.errors import IntegrityError
from secondme.tui.errors import error_lines
from secondme.tui.gate import lock_job, unlock_job
from secondme.tui.idle import Idle
from secondme.tui.jobs import LOCKING
from secondme.tui.messages import JobEnded, PassphraseWanted, Unlocked

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.app import SecondMeApp
    from secondme.tui.screens.chat import Covered
    from secondme.tui.screens.lock import LockScreen


class Locking:
    """Stands between the app and its memory. `screen` is up from the wish to lock until memory is open again, and
    `assistant` is the locked one meanwhile."""

    def __init__(self, app: SecondMeApp, idle_lock_minutes: int) -> None:
        self.idle = Idle(60.0 * idle_lock_minutes)
        self.screen: LockScreen | None = None
        self._app = app
        self.assistant: Assistant | None = None
        self._covered: Covered | None = None
        self._wanted_early = False

    @property
    def covered(self) -> bool:
        return self.screen is not None

    def watch(self) -> None:
        """Begin to look at the clock."""
        if self.idle.limit_s > 0:
            self._app.set_interval(self.idle.look_every_s, self.look)

    async def look(self) -> None:
        """Lock if the owner has been away, and nothing that was asked for is still under way."""
        chat = self._app.chat
        if chat.answering:
            self.idle.touch()  # whoever waits for a long answer wants to read it
        if not self.idle.over or chat.adding:
            return
        if self.screen is not None:
            self.screen.action_stay()  # a question for the passphrase keeps others from the store
        elif self._app.assistant is not None:
            await self.lock()

    async def lock(self) -> None:
        """Cover the screen, then close memory and drop its keys."""
        from secondme.tui.screens.lock import LockScreen

        app = self._app
        if self.screen is not None:
            return
        if app.assistant is None:
            self._wanted_early = True  # memory is just being opened
            return
        self.assistant, app.assistant = app.assistant, None
        # Screens above the chat show what is in memory, and messages in the corner may name it.
        while len(app.screen_stack) > 1:
            await app.pop_screen()
        app.clear_notifications()
        app.forget_copied()
        self._covered = await app.chat.cover()
        self.screen = LockScreen(has_draft=bool(self._covered.draft))
        await app.push_screen(self.screen)
        app.jobs.start(app, LOCKING, lock_job(self.assistant, app.jobs))

    def locked(self, error: Exception | None) -> None:
        """The keys are gone."""
        forget_drawn()
        if self.screen is not None:
            self.screen.locked(error_lines(error) if error is not None else "")

    def unlock(self) -> None:
        """The owner wants back in."""
        if self.assistant is not None:
            assistant = self.assistant
            self._app.jobs.start(self._app, "unlock", unlock_job(lambda: assistant, None, self._app.post_message))

    def ask(self, wanted: PassphraseWanted) -> None:
        if self.screen is not None:
            self.idle.touch()
            self.screen.ask(wanted)

    def ended(self, message: JobEnded) -> None:
        """Unlocking failed, and the owner may try again; a store that lies is not opened by trying."""
        if message.error is None:
            return
        if self.screen is None or isinstance(message.error, IntegrityError) or message.running.group == LOCKING:
            self._app.leave_with(message.error)
        else:
            self.screen.locked(error_lines(message.error))

    async def unlocked(self, message: Unlocked) -> None:
        """Memory is open: show what was there before."""
        self.idle.touch()
        screen, self.screen = self.screen, None
        if screen is not None:
            screen.dismiss()
        covered, self._covered, self.assistant = self._covered, None, None
        self._app.assistant = message.assistant
        self._app.chat.open(message.assistant, covered)
        if self._wanted_early:
            self._wanted_early = False
            await self.lock()


def forget_drawn() -> None:
    """Let go of texts that were drawn: widgets refer to each other in circles, and Textual keeps measurements."""
    from functools import _lru_cache_wrapper

    from textual.cache import FIFOCache, LRUCache

    gc.collect()
    for thing in gc.get_objects():
        kind = type(thing)  # isinstance() would wake weak references that are dead
        if issubclass(kind, LRUCache | FIFOCache):
            thing.clear()
        elif kind is _lru_cache_wrapper and str(thing.__module__).startswith(("textual.", "rich.")):
            thing.cache_clear()
