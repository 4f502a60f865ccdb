"""What the set-up shows: a few lasting lines, one moving line on a terminal, and everything else in a log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from secondme.errors import SecondMeError

SPARSE_S = 20.0
"""Seconds between progress lines where there is no terminal to redraw on."""


class SetupFailed(SecondMeError):
    """The set-up cannot go on; what was finished is kept."""


class ChildFailed(SetupFailed):
    """A program that the set-up called failed. `tail` holds its last lines."""

    def __init__(self, message: str, tail: Sequence[str]) -> None:
        super().__init__(message, hint="the log tells more")
        self.tail = tuple(tail)


class Console:
    """Owns the log file and the moving line."""

    def __init__(self, log_path: Path) -> None:
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = log_path.open("a", encoding="utf-8", errors="replace")
        self._tty = sys.stderr.isatty()
        self._shown = ""
        self._last = 0.0
        self.log(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} python {sys.version.split()[0]} pid {os.getpid()}")

    def log(self, line: str) -> None:
        self._log.write(line + "\n")
        self._log.flush()

    def say(self, text: str) -> None:
        """A lasting line."""
        self.end_progress()
        self.log(text)
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def progress(self, text: str) -> None:
        """Redraw the moving line; without a terminal, a plain line every SPARSE_S seconds."""
        if text == self._shown:
            return
        if self._tty:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            sys.stderr.write(f"\r\033[K{text[:width]}")
            self._shown = text
        elif time.monotonic() - self._last >= SPARSE_S:
            self._last = time.monotonic()
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def end_progress(self) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._shown = ""

    def stream(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Iterator[str]:
        """Run a program and yield its lines, both streams together, as they come. Raises ChildFailed, SetupFailed."""
        words = [str(word) for word in command]
        self.log("$ " + " ".join(words))
        tail: deque[str] = deque(maxlen=60)
        try:
            child = subprocess.Popen(
                words,
                env=dict(environment) if environment is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise SetupFailed(f"{words[0]} cannot be run: {error.strerror}", hint="check your installation") from error
        assert child.stdout is not None
        try:
            for line in child.stdout:
                tail.append(line.rstrip())
                self.log(tail[-1])
                yield tail[-1]
            status = child.wait()
        finally:
            _end(child)
        if status:
            raise ChildFailed(f"{Path(words[0]).name} failed (exit status {status})", tail)

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> list[str]:
        return list(self.stream(command, environment))


def _end(child: subprocess.Popen[str]) -> None:
    """Leave no child behind. A Ctrl-C reached it too, so it gets a moment to write down how far it came."""
    if child.poll() is None:
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout is not None:
        child.stdout.close()
