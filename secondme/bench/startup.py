"""How long the owner waits for the program itself: `--version`, `--help` and the app's first paint.

The peer is the bare interpreter, or a bare `import textual.app`, of the same environment in the same run. Other
programs are measured beside them where they are given by path.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from secondme.bench.rows import Row, interleave, lower_is_better

FIRST_PAINT = b"Drop a folder"
"""What the first frame invites to."""


def run(n: int, peers: Sequence[Path]) -> Iterator[Row]:
    """Rows of medians over `n` interleaved runs. `peers` are programs whose `--help` is timed as well."""
    script = Path(sys.executable).with_name("secondme")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "secondme"]
    commands = [[sys.executable, "-c", "pass"], [*ours, "--version"], [*ours, "--help"]]
    commands += [[str(p), "--help"] for p in peers]
    bare, version, help_, *others = interleave([_timed(c) for c in commands], n)
    yield lower_is_better("startup", "version_over_bare", "s", version, ("python -c pass", bare))
    yield lower_is_better("startup", "help_over_bare", "s", help_, ("python -c pass", bare))
    for path, times in zip(peers, others, strict=True):
        yield lower_is_better("startup", f"help_against/{path.name}", "s", help_, (path.name, times))
    imports = _timed([sys.executable, "-c", "import textual.app"])
    paint, bare_import = interleave([lambda: _first_paint([*ours, "chat"]), imports], n)
    yield lower_is_better("startup", "first_paint_over_import", "s", paint, ("import textual.app", bare_import))


def _timed(command: list[str]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - started

    return once


def _first_paint(command: list[str]) -> float:
    """Seconds from starting the app on a pseudo-terminal until its first frame is on the screen."""
    import pty
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        pid, fd = pty.fork()
        if pid == 0:
            environment = os.environ | {"SECONDME_HOME": home, "TERM": "xterm-256color"}
            os.execvpe(command[0], command, environment)  # noqa: S606
        try:
            return _until(fd, FIRST_PAINT, started)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(fd)


def _until(fd: int, marker: bytes, started: float, limit_s: float = 30.0) -> float:
    seen = b""
    while time.perf_counter() - started < limit_s:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
            if marker in seen:
                return time.perf_counter() - started
    raise RuntimeError("the app did not paint")
