"""The terminal app: opens the chat screen at once, then the store and the models behind it.

Nothing of the core is imported before the first paint. Whatever goes wrong, no text of the owner is printed: Textual's
own crash report shows local variables, so it is replaced here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, InvalidThemeError, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from secondme.errors import ConfigError, SecondMeError, UsageError
from secondme.tui.commands import COMMANDS
from secondme.tui.errors import show_error, unexpected
from secondme.tui.gate import OpenAssistant, unlock_job
from secondme.tui.jobs import Jobs
from secondme.tui.locking import Locking
from secondme.tui.messages import JobEnded, Locked, PassphraseWanted, Unlocked
from secondme.tui.screens.chat import ChatScreen

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.config import Config
    from secondme.tui.screens.passphrase import PassphraseScreen

LEAVE_S = 5.0
"""How long leaving waits for threads that are inside a model or a parser."""
TWICE_S = 2.0


class SecondMeApp(App[None]):
    """Owns the assistant, the jobs and the errors that end the program."""

    TITLE = "secondme"
    CSS_PATH = "screens/chat.tcss"  # Textual does not load that of a default screen.
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-medium"), (100, "-wide")]  # noqa: RUF012 - Textual's declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "Stop", show=False, priority=True),
        Binding("ctrl+l", "lock", "Lock", show=False, priority=True),
        Binding("f1", "help", "Help", show=False),
    ]

    def __init__(
        self,
        open_assistant: OpenAssistant,
        config: Config,
        *,
        project: str = "default",
        passphrase: str | None = None,
        go_on: bool = False,
    ) -> None:
        """A `passphrase` is overwritten once it was tried: hand over a string of your own.

        To `go_on` means to show the project's last conversation instead of a new one.
        """
        super().__init__()
        self.jobs = Jobs()
        self.assistant: Assistant | None = None
        self.failure: SecondMeError | None = None
        self._open_assistant = open_assistant
        self._config = config
        self._passphrase = passphrase
        self._project, self._goes_on = project, go_on
        self.chat = ChatScreen(self.jobs, project, config.model, go_on=go_on)
        self.locking = Locking(self, config.idle_lock_minutes)
        self._asking: PassphraseScreen | None = None
        self._interrupted_at = float("-inf")

    def get_default_screen(self) -> Screen[None]:
        return self.chat

    def on_mount(self) -> None:
        try:
            self.theme = self._config.theme
        except InvalidThemeError:
            names = ", ".join(sorted(self.available_themes))
            show_error(self, ConfigError(f"there is no theme {self._config.theme}", hint=f"themes are {names}"))
        self._catch_signals()
        self.locking.watch()
        # After the first paint, so that nobody waits at a blank screen while the core is imported.
        self.call_after_refresh(self._unlock)

    def _unlock(self) -> None:
        named = self._project if self._goes_on else ""
        job = unlock_job(self._open_assistant, self._passphrase, self.post_message, project=named)
        self._passphrase = None
        self.jobs.start(self, "unlock", job)

    async def on_passphrase_wanted(self, message: PassphraseWanted) -> None:
        if self.locking.covered:
            self.locking.ask(message)
            return
        if self._asking is not None:
            self._asking.ask_again(message)
            return
        from secondme.tui.screens.passphrase import PassphraseScreen

        self._asking = PassphraseScreen(message)
        await self.push_screen(self._asking)

    async def on_unlocked(self, message: Unlocked) -> None:
        if self._asking is not None:
            self._asking.dismiss()
            self._asking = None
        await self.locking.unlocked(message)

    def on_locked(self, message: Locked) -> None:
        self.locking.locked(message.error)

    def on_lock_screen_unlock_wanted(self) -> None:
        self.locking.unlock()

    def on_job_ended(self, message: JobEnded) -> None:
        """Only unlocking and locking report here; without a store there is nothing to stay for."""
        self.locking.ended(message)

    def leave_with(self, error: Exception) -> None:
        """End the program; the command line shows the error once the terminal is back."""
        if self.failure is None:
            self.failure = error if isinstance(error, SecondMeError) else unexpected(error)
        self.exit(return_code=self.failure.exit_code)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Paste):
            self.locking.idle.touch()
        await super().on_event(event)

    # Keys and commands -----------------------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette. Textual's own commands are left out: its screenshot would write plaintext to the disk."""
        for command in COMMANDS:
            yield SystemCommand(command.title, command.help, partial(self._run_command, command.action))

    async def _run_command(self, action: str) -> None:
        await self.run_action(action)

    def action_interrupt(self) -> None:
        """ctrl+c copies a selection, else stops the answer, else leaves when pressed twice."""
        from textual.widgets import Input, TextArea

        focused = self.screen.focused
        if isinstance(focused, Input | TextArea) and focused.selected_text:
            focused.action_copy()
        elif selected := self.screen.get_selected_text():
            self.copy_to_clipboard(selected)
        elif self.chat.answering:
            self.chat.action_stop_answer()
        elif monotonic() - self._interrupted_at < TWICE_S:
            self.exit()
        else:
            self._interrupted_at = monotonic()
            self.notify("press ctrl+c again to quit", timeout=TWICE_S, markup=False)

    def action_lock(self) -> None:
        # Later, on the app's own turn: the wish may come from a screen that locking takes away.
        self.call_later(self.locking.lock)

    def action_command_palette(self) -> None:
        if not self.locking.covered:
            super().action_command_palette()

    def forget_copied(self) -> None:
        """Let go of what was copied for pasting inside this app; the system's clipboard is its own."""
        self._clipboard = ""

    def action_help(self) -> None:
        from secondme.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen) and not self.locking.covered:
            self.push_screen(HelpScreen(self._config.idle_lock_minutes))

    # Leaving ---------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        """A polite kill restores the terminal too; SIGUSR1 locks (see memory/lock.py)."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        for name in ("SIGTERM", "SIGHUP", "SIGUSR1"):
            number = getattr(signal, name, None)
            if number is not None:
                leave_now = partial(self.exit, return_code=128 + number)
                try:
                    loop.add_signal_handler(number, self.action_lock if name == "SIGUSR1" else leave_now)
                except (NotImplementedError, RuntimeError, ValueError):
                    return

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Show a background failure as any other; asyncio would log its message, which may hold the owner's text."""
        if self.is_running and isinstance(error := context.get("exception"), Exception):
            show_error(self, error)

    def _handle_exception(self, error: Exception) -> None:
        """Leave with the error's type and place; Textual would print the values of local variables."""
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        if self.failure is None:
            self.failure = error if isinstance(error, SecondMeError) else unexpected(error)
        self._close_messages_no_wait()

    def panic(self, *renderables: object) -> None:
        """Textual calls this with rendered tracebacks."""
        self._handle_exception(SecondMeError("the terminal cannot be read or drawn on", hint="open it anew"))

    def _log(self, *objects: object, **values: object) -> None:
        """Textual's log holds every key and message; it would leave this process through its developer console."""


def run(config: Config, *, project: str = "default", passphrase: str | None = None, go_on: bool = False) -> int:
    """Run the app until the owner leaves it, and return the exit code; `go_on` as for SecondMeApp.

    Raises UsageError without a terminal, NoKey if the owner gave no passphrase, and what opening the store raises.
    """
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError("the chat needs a terminal", hint='use: secondme ask "question"')

    def open_assistant() -> Assistant:
        from secondme.assistant import Assistant

        return Assistant(config)

    app = SecondMeApp(open_assistant, config, project=project, passphrase=passphrase, go_on=go_on)
    _run_to_end(app)
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0


def _run_to_end(app: SecondMeApp) -> None:
    """Run the app on a loop of its own, so that leaving need not wait for a thread that does not come back."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        app.run(loop=loop)
    finally:
        if not leave(app, sys.stderr.write):
            # What was acknowledged is on the disk already; a thread inside a model cannot be ended otherwise.
            os._exit(app.return_code or 0)
        asyncio.set_event_loop(None)
        loop.close()


def leave(app: SecondMeApp, say: Callable[[str], object], *, timeout_s: float = LEAVE_S) -> bool:
    """Stop all jobs and close the assistant; False if a job did not end in `timeout_s`."""
    if not app.jobs.close(0.3):
        say("finishing the current step …\n")
        if not app.jobs.close(timeout_s):
            return False
    for assistant in (app.assistant, app.locking.assistant):
        if assistant is not None:
            assistant.close()
    return True
