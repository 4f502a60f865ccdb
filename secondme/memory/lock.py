"""One process owns the store. An operating-system lock on a file: it goes with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from secondme.errors import StoreError, StoreLocked

FILE = "store.lock"

# What the system says when somebody else holds the lock; anything else means that it cannot lock here.
_HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK})


class StoreLock:
    """Held from `acquire` to `release`. The file stays: removing it could let two processes lock two files."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises StoreLocked, naming the process that holds it, or StoreError."""
        if self._fd is not None:
            return
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StoreError(
                f"the data folder cannot be written ({error.strerror})",
                hint=f"check the permissions of {self._path.parent}",
            ) from None
        try:
            _lock(fd)
        except OSError as error:
            holder = _holder(fd)
            os.close(fd)
            if error.errno not in _HELD:
                raise StoreError(
                    f"the data folder's file system cannot lock files ({error.strerror})",
                    hint="move the data folder to a local disk",
                ) from None
            raise StoreLocked(
                f"another secondme uses the store{holder}", hint="close it, or wait until it has finished"
            ) from None
        self._fd = fd
        # The number is a courtesy to others; a full disk must not keep the owner from reading.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def _lock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the pid, which must stay readable for others.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    digits = os.read(fd, 20).strip()
    return f" (process {digits.decode('ascii')})" if digits.isdigit() else ""
