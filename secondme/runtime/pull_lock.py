"""One pull of a model at a time, across processes: an advisory lock on a file that names its holder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

from secondme.errors import Cancelled
from secondme.types import CancelCheck

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S = 0.2


class PullLock:
    """The lock file, open and held. The operating system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self, cancelled: CancelCheck) -> Generator[str, None, None]:
        """Wait for the lock; yields the holder's process id (or "") while waiting. Raises Cancelled."""
        while not self.try_acquire():
            if cancelled():
                raise Cancelled("stopped")
            yield os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() if os.name == "posix" else ""
            time.sleep(_POLL_S)

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it."""
        if not self._try():
            return False
        os.ftruncate(self._fd, 0)
        os.write(self._fd, str(os.getpid()).encode())
        return True

    def release(self) -> None:
        os.close(self._fd)

    def _try(self) -> bool:
        try:
            if sys.platform == "win32":
                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
