"""Parses in a process of its own what C libraries parse, so that a hostile file ends that process and nothing else.

Text goes through pipes only, never through a file. JSON rather than pickle: what comes back from a process that
a file may have taken over is untrusted too.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import secondme
from secondme.errors import Cancelled
from secondme.ingest import reasons
from secondme.types import CancelCheck, Document, Heading, PageStart, never_cancelled

TIME_LIMIT_S = 120
"""For one file. A PDF of 5,000 pages takes about 20 s."""
_POLL_S = 0.1
_GRACE_S = 1.0
_MAX_REPLY_BYTES = 1 << 30
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from secondme.ingest.parse.worker import main; main()"


class ParseProcess:
    """A child process for parsing, started when first needed and again after a crash. Not thread-safe."""

    def __init__(self, limit_s: float = TIME_LIMIT_S) -> None:
        self._limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.pid if self._child else None

    def parse(self, kind: str, path: Path, data: bytes, *, cancelled: CancelCheck = never_cancelled) -> Document:
        """As `parse_kind`, and ParseFailed for a crash, too much memory or too much time; Cancelled within 0.1 s."""
        child = self._started()
        name = os.fsencode(path.name).decode("latin-1")
        head = {"kind": kind, "name": name, "size_bytes": len(data), "limit_s": self._limit_s}
        try:
            reply = self._exchange(child, json.dumps(head).encode() + b"\n" + data, cancelled)
        except BaseException:
            self.close()
            raise
        if "document" in reply:
            return _unpacked(reply["document"])
        reason = str(reply["reason"])
        raise reasons.unsupported(reason) if reply.get("unsupported") else reasons.failed(reason)

    def close(self) -> None:
        """End the child, whatever it is doing."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            root = Path(secondme.__file__).resolve().parents[1]
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-I", "-c", _BOOT, str(root)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C in the terminal is the parent's to handle
                )
            except OSError:
                raise reasons.failed(reasons.CRASHED) from None
            assert self._child.stdin is not None
            os.set_blocking(self._child.stdin.fileno(), False)
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes, cancelled: CancelCheck) -> dict[str, Any]:
        """Send a request and wait for its reply, never longer than the limit: the child may do neither."""
        assert child.stdin is not None and child.stdout is not None
        into, out = child.stdin.fileno(), child.stdout.fileno()
        unsent = memoryview(request)
        received = bytearray()
        deadline = time.monotonic() + self._limit_s + _GRACE_S
        with selectors.DefaultSelector() as pipes:
            pipes.register(out, selectors.EVENT_READ)
            pipes.register(into, selectors.EVENT_WRITE)
            while not received.endswith(b"\n"):
                if cancelled():
                    raise Cancelled("stopped while a file was read")
                if time.monotonic() > deadline:
                    raise reasons.failed(reasons.TOO_SLOW)
                ready = {key.fd for key, _ in pipes.select(_POLL_S)}
                if into in ready:
                    unsent = unsent[_write(into, unsent) :]
                    if not unsent:
                        pipes.unregister(into)
                if out in ready:
                    block = os.read(out, 1 << 20)
                    received += block
                    if not block or len(received) > _MAX_REPLY_BYTES:
                        raise reasons.failed(self._cause_of_death(child))
        try:
            reply: dict[str, Any] = json.loads(received)
        except ValueError:
            raise reasons.failed(reasons.CRASHED) from None
        return reply

    def _cause_of_death(self, child: subprocess.Popen[bytes]) -> str:
        import signal

        try:
            return reasons.TOO_SLOW if child.wait(timeout=5) == -signal.SIGALRM else reasons.CRASHED
        except subprocess.TimeoutExpired:
            return reasons.CRASHED


def _write(pipe: int, block: memoryview) -> int:
    try:
        return os.write(pipe, block[: 1 << 20])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(block)  # the end of its output tells how it died


def _unpacked(packed: dict[str, Any]) -> Document:
    return Document(
        text=packed["text"],
        media_type=packed["media_type"],
        title=packed["title"],
        headings=tuple(Heading(**h) for h in packed["headings"]),
        pages=tuple(PageStart(**p) for p in packed["pages"]),
    )
