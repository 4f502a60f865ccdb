"""What every verb shares at the terminal: `error:` and `hint:` lines, progress on stderr, keys from a descriptor."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from secondme.errors import NoKey, SecondMeError, UsageError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    import argparse
    from types import FrameType

    from secondme.assistant import Credentials
    from secondme.config import Config

MAX_KEY_BYTES = 4096


class LockAsked(KeyboardInterrupt):
    """Another process asked this one to lock memory (`memory/lock.py`): a verb stops as after ctrl-c."""


def render_errors(run: Callable[[], int]) -> int:
    """Run a verb; turn what it raises into lines on stderr and an exit code.

    An unexpected exception shows its type and place only: its message may hold the owner's text. SECONDME_DEBUG=1
    prints the stack without it as well.
    """
    try:
        with stops_when_asked():
            code = run()
        sys.stdout.flush()
        return code
    except SecondMeError as error:
        complain(error)
        return error.exit_code
    except LockAsked:
        print("\nerror: stopped, because memory was asked to lock", file=sys.stderr)
        print("hint: what was finished is kept; call it again to go on", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nerror: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`); the interpreter must not complain again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        _unexpected(error)
        return 70


@contextmanager
def stops_when_asked() -> Iterator[None]:
    """While the block runs, SIGUSR1 stops it by LockAsked, once. Nothing where there is no such signal."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(number, lambda _number, _frame: None)  # stopping must not be interrupted in its turn
        raise LockAsked

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)


def complain(error: SecondMeError) -> None:
    """Print an error and its hint, made safe for a terminal."""
    print(f"error: {clean_line(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {clean_line(error.hint)}", file=sys.stderr)


def _unexpected(error: Exception) -> None:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    print(f"error: unexpected {type(error).__name__}{place}", file=sys.stderr)
    if os.environ.get("SECONDME_DEBUG"):
        for frame in frames:
            print(f"  {frame.filename}:{frame.lineno} in {frame.name}", file=sys.stderr)
    print(
        "hint: this is a fault of the program; nothing stored was lost. SECONDME_DEBUG=1 shows where", file=sys.stderr
    )


def say(line: str) -> None:
    """A line for the owner that is not the answer: to stderr, safe for a terminal."""
    print(clean_line(line), file=sys.stderr, flush=True)


class ProgressLine:
    """One line on a terminal that is written over; on anything else, nothing but what is finally said."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, line: str) -> None:
        if self._live:
            width = max(20, _columns() - 1)
            sys.stderr.write("\r\x1b[K" + clean_line(line, width))
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every verb that opens the store."""
    parser.add_argument(
        "--project", default="default", metavar="NAME", help="the project to work in (default: default)"
    )
    add_key(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    """How a verb that opens the store gets the passphrase."""
    parser.add_argument(
        "--key-fd",
        type=int,
        metavar="N",
        help="read the passphrase from file descriptor N, up to the first line's end, instead of asking",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The option of every verb that loads the language model; `settings` reads it."""
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="run the language model with llama.cpp or mlx (default: as in the settings, or as fits the machine)",
    )


def settings(args: argparse.Namespace) -> Config:
    """The owner's settings, with the backend that the command line names. Raises ConfigError, UsageError."""
    from secondme.config import BACKENDS, load_config

    config = load_config()
    name: str | None = getattr(args, "backend", None)
    if name is None:
        return config
    if name not in BACKENDS:
        raise UsageError(f"there is no backend {name}", hint=f"there are: {', '.join(BACKENDS)}")
    return replace(config, backend=name)


def credentials(args: argparse.Namespace) -> Credentials:
    """How this run opens the store: `--key-fd`, or questions on the terminal if there is one."""
    from secondme.assistant import Credentials

    if args.key_fd is not None:
        return Credentials(passphrase=read_key(args.key_fd))
    return Credentials(ask=ask_passphrase)


def read_key(fd: int, option: str = "--key-fd") -> str:
    """The first line. What it was made of is overwritten, so that its owner can erase it with `crypto.erase`."""
    from secondme.crypto.erase import erase

    held, size = bytearray(2 * MAX_KEY_BYTES), 0  # of its full size at once: growing would leave copies behind
    try:
        while size < MAX_KEY_BYTES and (piece := os.read(fd, MAX_KEY_BYTES)):
            held[size : size + len(piece)] = piece
            size += len(piece)
            erase(piece)
            if b"\n" in held:
                break
        end = held.find(b"\n")
        end = size if end < 0 else end - held.endswith(b"\r", 0, end)
        if not end:
            raise NoKey(
                f"the passphrase read from {option} is empty", hint="write it to the descriptor, ended by a newline"
            )
        return str(memoryview(held)[:end], "utf-8")
    except OSError as error:
        raise UsageError(f"cannot read file descriptor {fd}", hint=f"open it, as in: {option} 3 3<keyfile") from error
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not valid UTF-8", hint="encode it as UTF-8") from None
    finally:
        erase(held)


def ask_passphrase(kind: str) -> str:
    """Ask on the controlling terminal; a new passphrase is asked for twice. Raises NoKey without a terminal."""
    import getpass

    if not has_terminal():
        raise NoKey(
            "no keyring opens the store and there is no terminal to ask for a passphrase",
            hint="pass it with --key-fd N, or unlock the system's keyring",
        )
    if kind == "existing":
        return getpass.getpass("Passphrase or recovery code: ")
    say("No system keyring is at hand, so a passphrase will protect your memory. Nobody can recover it for you;")
    say("`secondme keys add-recovery` makes a code to write down that opens memory without it.")
    return ask_new_passphrase()


def ask_new_passphrase() -> str:
    """Ask for a new passphrase until it was typed twice alike. Raises NoKey without a terminal."""
    import getpass

    if not has_terminal():
        raise NoKey("there is no terminal to ask for a new passphrase", hint="pass it with --new-key-fd N")
    while True:
        first = getpass.getpass("New passphrase: ")
        if first and first == getpass.getpass("Again: "):
            return first
        say("They differ, or are empty; once more.")


def ask_line(question: str, *, hint: str) -> str:
    """What the owner types on the terminal. Raises UsageError with `hint` where there is nobody to ask."""
    if not (sys.stdin.isatty() and has_terminal()):
        raise UsageError("there is no terminal to ask on", hint=hint)
    print(f"{question} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def has_terminal() -> bool:
    """Whether there is a controlling terminal to ask on, even when stdin and stdout are pipes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return sys.stdin.isatty()
    return True
