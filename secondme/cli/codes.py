"""Shows a recovery code once, and has it typed back from the paper it was written on.

It goes to the terminal itself and never to stdout, which may be a file; to its second screen, which leaves nothing in
the scrollback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TextIO

from secondme.errors import NoKey, UsageError

N_TRIES = 5
_SECOND_SCREEN, _FIRST_SCREEN, _CLEAR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[2J\x1b[H"

_ABOUT = """
It opens your memory when keyring and passphrase are lost. Whoever has it and a
copy of your data can read everything. Write it on paper and keep that elsewhere;
it is shown this once.

Press Enter when you have written it down: you will be asked to type it. """


@dataclass(frozen=True, slots=True)
class _Terminal:
    keyboard: TextIO
    screen: TextIO

    def write(self, text: str) -> None:
        self.screen.write(text)
        self.screen.flush()

    def command(self, sequence: str) -> None:
        """Send a control sequence to a terminal that knows them."""
        if os.environ.get("TERM", "dumb") != "dumb":
            self.write(sequence)

    def ask(self, question: str) -> str:
        """A line, with its end; empty if the terminal was closed."""
        self.write(question)
        return self.keyboard.readline()


def show_and_confirm(spelled: str) -> None:
    """Show the code, then ask for it. Returns once it was typed right.

    Raises NoKey without a terminal, UsageError if it was not typed right in N_TRIES tries or the terminal closed.
    """
    from secondme.crypto.recovery import first_difference

    with _terminal() as terminal:
        terminal.command(_CLEAR)
        terminal.ask(f"Your recovery code\n\n{_rows(spelled)}{_ABOUT}")
        terminal.command(_CLEAR)
        terminal.write("Now type the code from your paper. Capitals, spaces and dashes do not matter.\n\n")
        for _ in range(N_TRIES):
            typed = terminal.ask("Recovery code: ")
            group = first_difference(spelled, typed)
            if not group:
                return
            if not typed:
                break
            terminal.write(f"\nThat is not the code: look at group {group}, and type all of it once more.\n\n")
    raise UsageError("the code was not typed back, so it opens nothing", hint="call this again for a new one")


def _rows(spelled: str) -> str:
    """The groups in two rows."""
    groups = spelled.split("-")
    half = (len(groups) + 1) // 2
    return "".join(f"    {'  '.join(row)}\n" for row in (groups[:half], groups[half:]))


@contextmanager
def _terminal() -> Iterator[_Terminal]:
    """Keyboard and second screen of the controlling terminal, also where stdin and stdout are something else."""
    with ExitStack() as stack:
        keyboard, screen = sys.stdin, sys.stderr
        try:
            keyboard = stack.enter_context(open("/dev/tty", encoding="utf-8", errors="replace"))  # noqa: PTH123
            screen = stack.enter_context(open("/dev/tty", "w", encoding="utf-8"))  # noqa: PTH123
        except OSError:
            if not (keyboard.isatty() and screen.isatty()):
                raise NoKey(
                    "a recovery code is shown on a terminal only, and there is none", hint="run this in a terminal"
                ) from None
        terminal = _Terminal(keyboard, screen)
        terminal.command(_SECOND_SCREEN)
        try:
            yield terminal
        finally:
            terminal.command(_FIRST_SCREEN)
