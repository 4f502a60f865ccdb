"""Files that are there whole or not at all, whatever happens to the machine meanwhile. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NEW = ".new"


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put `data` at `path` in one step: temporary file, fsync, rename, fsync of the folder.

    When it returns, the new content survives a power cut; when it raises OSError, the old content is there, or the new
    one where only the folder's fsync failed.
    """
    with replacing(path, mode=mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o600, neighbour: Path | None = None) -> Iterator[BinaryIO]:
    """A temporary neighbour to write, which takes the place of `path` in one step when the block ends.

    If the block raises, or the disk does, the neighbour is gone and the old content is there (but see `replace_file`).
    Two at once for the same path would write into one neighbour: whoever calls owns the folder.
    """
    new = neighbour or path.with_name(path.name + NEW)
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), mode)
        file = os.fdopen(fd, "wb")
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        finally:
            # Closing tries once more to write what could not be written; the first failure is the one to hear of.
            with suppress(OSError):
                file.close()
        move_file(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def move_file(old: Path, new: Path) -> None:
    """Rename within one folder, in place of what is there, and make the new name last."""
    old.replace(new)
    sync_folder(new.parent)


def remove_file(path: Path) -> bool:
    """Delete a file, so that it stays deleted; False if there was none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk. Windows has no handle for a folder and does without."""
    if os.name != "posix":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
