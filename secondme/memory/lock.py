"""One process owns the store. An operating-system lock on a file: it goes with its process, however that ends.

The file names its holder. Others of the same user may ask it to lock memory: by SIGUSR1, which the file says it
catches, so that asking never kills. Windows has no signal for this; there the holder cannot be asked.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from secondme.errors import StoreError, StoreLocked

FILE = "store.lock"

LISTENS = b"locks"
"""Stands behind the number of a holder that catches ASK."""
ASK: signal.Signals | None = getattr(signal, "SIGUSR1", None)

# How long a lock without a name is taken for one that was taken this moment.
_NAMELESS_S = 0.3
_STEP_S = 0.02

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
        fd = _open(self._path)
        try:
            _take(fd)
        except OSError as error:
            holder = _holder(fd)
            os.close(fd)
            if error.errno not in _HELD:
                raise _cannot_lock(error) from None
            name = f" (process {holder.pid})" if holder is not None else ""
            raise StoreLocked(
                f"another secondme uses the store{name}",
                hint="close it, lock it with: secondme keys lock, or wait until it has finished",
            ) from None
        self._fd = fd
        # The number is a courtesy to others; a full disk must not keep the owner from reading.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, b"%d %s\n" % (os.getpid(), LISTENS) if _listening() else b"%d\n" % os.getpid())

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


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that owns a store, as it named itself; `listens` if it may be asked to lock."""

    pid: int
    listens: bool


def ask_to_lock(folder: Path) -> int | None:
    """Ask the process that has the store of `folder` open to lock memory; return its number, or None if there is none.

    It only asks: an answer or a file under way may take a moment to stop, `is_held` tells when the store is free.
    Raises StoreLocked if the holder cannot be asked, and StoreError.
    """
    path = folder / FILE
    if not path.exists():
        return None
    fd = _open(path)
    try:
        holder = _named_holder(fd)
    finally:
        os.close(fd)
    if holder is None:
        return None
    if ASK is None or not holder.listens or not _catches(holder.pid, ASK):
        raise StoreLocked(
            f"process {holder.pid} has memory open and cannot be asked to lock it",
            hint="lock it there (ctrl+l), or close it",
        )
    try:
        os.kill(holder.pid, ASK)
    except ProcessLookupError:
        return None
    except PermissionError:
        raise StoreLocked(
            f"process {holder.pid}, which has memory open, is another user's", hint="ask its owner to close it"
        ) from None
    return holder.pid


def is_held(folder: Path) -> bool:
    """Whether a process has the store of `folder` open now. Raises StoreError."""
    path = folder / FILE
    if not path.exists():
        return False
    fd = _open(path)
    try:
        return not _is_free(fd)
    finally:
        os.close(fd)


def _named_holder(fd: int) -> Holder | None:
    """Who holds the lock; None if nobody does. Raises StoreLocked if the holder does not name itself."""
    deadline = time.monotonic() + _NAMELESS_S
    while not _is_free(fd):
        holder = _holder(fd)
        if holder is not None:
            return holder
        if time.monotonic() > deadline:
            raise StoreLocked("another process has memory open and does not say which", hint="close it")
        time.sleep(_STEP_S)
    return None


def _is_free(fd: int) -> bool:
    try:
        _lock(fd)
    except OSError as error:
        if error.errno not in _HELD:
            raise _cannot_lock(error) from None
        return False
    _unlock(fd)
    return True


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process survives the signal, as far as the system tells: the name in the file may be an old one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return True
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return all(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def _listening() -> bool:
    """Whether a request to lock is caught in this process, and does not end it as signals do by default."""
    return ASK is not None and signal.getsignal(ASK) not in (signal.SIG_DFL, signal.SIG_IGN, None)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise StoreError(
            f"the data folder cannot be written ({error.strerror})", hint=f"check the permissions of {path.parent}"
        ) from None


def _cannot_lock(error: OSError) -> StoreError:
    return StoreError(
        f"the data folder's file system cannot lock files ({error.strerror})",
        hint="move the data folder to a local disk",
    )


def _take(fd: int) -> None:
    """Lock, and once more for as long as the holder is nameless: whoever only looks holds it for a moment."""
    deadline = time.monotonic() + _NAMELESS_S
    while True:
        try:
            return _lock(fd)
        except OSError as error:
            if error.errno not in _HELD or _holder(fd) is not None or time.monotonic() > deadline:
                raise
        time.sleep(_STEP_S)


def _lock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the pid, which must stay readable for others.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_UN)


def _holder(fd: int) -> Holder | None:
    """What the file says; only a number is believed to be one."""
    os.lseek(fd, 0, os.SEEK_SET)
    words = os.read(fd, 32).split()
    if not words or not words[0].isdigit() or int(words[0]) <= 1:
        return None
    return Holder(int(words[0]), LISTENS in words[1:])
