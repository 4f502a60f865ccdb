"""The program in a real terminal: what reaches it, and in which state it is left."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import termios
from pathlib import Path
from time import monotonic

import pexpect

from tests.tui.conftest import COAT
from tests.tui.driving import PARROT, PARROT_FILE

ESC = "\x1b"
ENTER, CTRL_O, CTRL_Q = "\r", "\x0f", "\x11"

ECHOING = """
from secondme.assistant import Assistant
from secondme.config import Config
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui import app

config = Config()
assistant = Assistant(config, generator=EchoGenerator(), embedder=HashEmbedder())
chat = app.SecondMeApp(lambda: assistant, config, passphrase="correct horse battery staple")
app._run_to_end(chat)
raise SystemExit(chat.return_code)
"""


class Terminal:
    """A child on a pseudo-terminal, and all it wrote."""

    def __init__(self, *args: str, rows: int = 34, columns: int = 120) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"}
        self.child = pexpect.spawn(
            sys.executable, list(args), dimensions=(rows, columns), env=environment, encoding=None, timeout=60
        )
        self.before = termios.tcgetattr(self.child.child_fd)
        self.log = io.BytesIO()
        self.child.logfile_read = self.log

    @property
    def wrote(self) -> bytes:
        return self.log.getvalue()

    def see(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until `text` was drawn since the last call."""
        self.child.expect_exact(text.encode(), timeout=timeout_s)

    def watch(self, seconds: float) -> None:
        """Take what is drawn for a while."""
        end = monotonic() + seconds
        while monotonic() < end:
            try:
                self.child.read_nonblocking(65536, 0.05)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return

    def paste(self, text: str) -> None:
        self.child.send(f"{ESC}[200~{text}{ESC}[201~")

    def send(self, keys: str) -> None:
        self.child.send(keys)

    def ended(self) -> int:
        """Wait for the end; returns the exit code."""
        self.child.expect(pexpect.EOF, timeout=20)
        after = termios.tcgetattr(self.child.child_fd)
        self.child.close()
        assert after[:4] == self.before[:4], "the terminal's modes were not put back"
        assert self.child.exitstatus is not None
        return int(self.child.exitstatus)

    def left_as_found(self) -> bool:
        """Alternate screen left, cursor shown, mouse and bracketed paste off, in the order they were set."""
        last = {
            mode: self.wrote.rfind(f"{ESC}[?{mode}".encode()) for mode in ("1049l", "25h", "1000l", "1003l", "2004l")
        }
        opposite = {"1049l": "1049h", "25h": "25l", "1000l": "1000h", "1003l": "1003h", "2004l": "2004h"}
        return all(at > self.wrote.rfind(f"{ESC}[?{opposite[mode]}".encode()) for mode, at in last.items())


def test_chat_from_passphrase_to_cited_answer(notes: Path) -> None:
    terminal = Terminal("-m", "secondme", "chat")
    terminal.see("Choose a passphrase")
    for _ in range(2):
        terminal.send(f"a long enough passphrase{ENTER}")
        terminal.watch(0.3)
    terminal.see("context ")
    terminal.paste(f"'{notes}' ")
    terminal.see("2 files added")
    terminal.send(f"Where does the red coat hang?{ENTER}")
    terminal.see("house.md")  # quoted: the default model is small
    terminal.watch(0.5)
    terminal.send(f"Write a sentence about the red coat in the hall{ENTER}")
    terminal.see("first after")
    terminal.send(CTRL_O)
    terminal.see(COAT.split(maxsplit=1)[0])
    terminal.send(ESC)
    terminal.watch(0.5)
    terminal.send(CTRL_Q)
    assert terminal.ended() == 0
    assert terminal.left_as_found()
    tail = terminal.wrote.rsplit(f"{ESC}[?1049l".encode(), 1)[1]
    assert COAT.encode() not in tail and b"Traceback" not in tail


def test_nothing_hostile_reaches_the_terminal(tmp_path: Path) -> None:
    name = f"bird{ESC}]52;c;eA==\x07\u202e.md"
    (tmp_path / name).write_text(PARROT_FILE)
    (tmp_path / f"empty{ESC}[2J.md").write_text("")
    terminal = Terminal("-c", ECHOING, columns=200)
    terminal.see("context ")
    terminal.send(f"/add {tmp_path}{ENTER}")
    terminal.see("1 file added")
    terminal.paste(PARROT)
    terminal.send(ENTER)
    terminal.see("first after")
    for keys in (CTRL_O, ESC, "/sources" + ENTER, ESC, "\x02", "\x10", ESC):
        terminal.send(keys)
        terminal.watch(0.35)
    terminal.send(CTRL_Q)
    assert terminal.ended() == 0
    assert b"[@click=app.bell]K[/]" in terminal.wrote  # it was drawn, as text
    # Textual itself asks for the default pointer (OSC 22), and for nothing else of that kind.
    commands = set(re.findall(rb"\x1b\]([^\x07\x1b]*)", terminal.wrote))
    assert commands <= {b"22;default", b"22;pointer", b"22;text"}, commands
    for harmful in (b"\x1b[2J", b"\x1b[3J", b"\x00", b"\x08", "\u202e".encode(), "\u2066".encode(), "\x9b".encode()):
        assert harmful not in terminal.wrote, harmful


def test_a_polite_kill_leaves_the_terminal_as_it_was() -> None:
    terminal = Terminal("-c", ECHOING)
    terminal.see("context ")
    terminal.child.kill(signal.SIGTERM)
    assert terminal.ended() == 128 + signal.SIGTERM
    assert terminal.left_as_found()


def test_without_a_passphrase_the_exit_code_says_so() -> None:
    terminal = Terminal("-m", "secondme", "chat")
    terminal.see("Choose a passphrase")
    terminal.send(ESC)
    assert terminal.ended() == 78
    assert terminal.left_as_found()
    tail = terminal.wrote.rsplit(f"{ESC}[?1049l".encode(), 1)[1]
    assert b"error: no passphrase was given" in tail and b"hint: " in tail
