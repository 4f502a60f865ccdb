"""Locking in a real terminal and between real processes: what is drawn, what stays in memory, what a verb does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.config import Config
from secondme.crypto import unlock
from secondme.errors import RolledBack
from secondme.memory.lock import ask_to_lock, is_held
from secondme.paths import data_dir
from tests.reading_memory import hits
from tests.tui.conftest import COAT
from tests.tui.test_pty import CTRL_Q, ENTER, ESC, Terminal

SECRET = "seven tall giraffes dance"
CTRL_L = "\x0c"

# Not hardened, so that a user who is not root may read its memory as well.
ECHOING = """
from secondme.assistant import Assistant
from secondme.config import Config
from secondme.crypto import calibrate, unlock
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.tui import app

unlock.harden_process = lambda: None
calibrate.calibrated = lambda: calibrate.Work(19 * 1024, 1, 1)
config = Config()
chat = app.SecondMeApp(lambda: Assistant(config, generator=EchoGenerator(), embedder=HashEmbedder()), config)
app._run_to_end(chat)
if chat.failure is not None:
    from secondme.cli.output import complain
    complain(chat.failure)
raise SystemExit(chat.return_code)
"""

ADDING = """
import sys
from secondme.assistant import Assistant
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.runtime import load
from secondme.cli.main import main

load.load_embedder = lambda config: HashEmbedder()
sys.exit(main(["add", "--watch", "--key-fd", "0", sys.argv[1]]))
"""


def type_secret(terminal: Terminal) -> None:
    """Key by key, as fingers do; a terminal hands over what comes at once in one piece."""
    for key in SECRET:
        terminal.send(key)
        terminal.see("•")
    terminal.send(ENTER)


def lock_from_outside() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secondme", "keys", "lock"], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_another_process_locks_a_chat_and_nothing_of_its_keys_is_left(notes: Path) -> None:
    terminal = Terminal("-c", ECHOING)
    terminal.see("Choose a passphrase")
    for _ in range(2):
        type_secret(terminal)
    terminal.see("context ")
    terminal.send(f"/add {notes}{ENTER}")
    terminal.see("2 files added")
    terminal.send(f"{COAT}{ENTER}")
    terminal.see("first after")
    child = terminal.child.pid
    assert child is not None
    done = lock_from_outside()
    assert done.returncode == 0 and str(child) in done.stdout + done.stderr
    terminal.see("Memory is locked")
    terminal.watch(0.5)
    assert not is_held(data_dir())
    keys = unlock.unlock(data_dir(), passphrase=SECRET)
    secrets = {"master": bytes(keys.master), "db": bytes(keys.store.db), "watermark": bytes(keys.store.watermark)}
    secrets |= {f"{name} in hex": key.hex().encode() for name, key in secrets.items()}
    secrets |= {"passphrase": SECRET.encode(), "its beginning": SECRET[:12].encode(), "its end": SECRET[-12:].encode()}
    assert not any(hits(child, secrets).values()), hits(child, secrets)
    terminal.send(ENTER)
    terminal.see("passphrase or recovery code")
    type_secret(terminal)
    terminal.see("context ")
    found = hits(child, secrets)
    assert found["master"] and found["db"] and found["watermark"], found
    terminal.send(CTRL_L)
    terminal.see("Memory is locked")
    terminal.watch(0.5)
    assert not any(hits(child, secrets).values())
    terminal.send(CTRL_Q)
    assert terminal.ended() == 0
    assert terminal.left_as_found()


def test_a_store_that_was_rolled_back_is_said_in_the_terminal_as_it_was() -> None:
    store = data_dir() / "store.db"
    with Assistant(Config(), Credentials(SECRET)) as assistant:
        assistant.new_conversation()
        assistant.lock()
        old = store.read_bytes()
        assistant.unlock(Credentials(SECRET))
        assistant.new_conversation()
    store.write_bytes(old)
    terminal = Terminal("-c", ECHOING)
    terminal.see("passphrase or recovery code")
    type_secret(terminal)
    assert terminal.ended() == RolledBack.exit_code
    assert terminal.left_as_found()
    tail = terminal.wrote.rsplit(f"{ESC}[?1049l".encode(), 1)[1]
    assert b"error: " in tail and b"hint: " in tail and b"Traceback" not in tail


def test_a_verb_that_is_asked_to_lock_ends_and_keeps_what_it_finished(notes: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ADDING, str(notes)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as verb:
        assert verb.stdin is not None and verb.stderr is not None
        verb.stdin.write(SECRET + "\n")
        verb.stdin.flush()
        while "following" not in verb.stderr.readline():
            assert verb.poll() is None
        assert ask_to_lock(data_dir()) == verb.pid
        said = verb.stderr.read()
        assert verb.wait(20) == 128 + signal.SIGINT
    assert "memory was asked to lock" in said and "Traceback" not in said and not is_held(data_dir())
    listed = subprocess.run(
        [sys.executable, "-m", "secondme", "memory", "list", "--key-fd", "0"],
        input=SECRET + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "house.md" in listed.stdout and "camp.txt" in listed.stdout
