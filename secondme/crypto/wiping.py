"""The mark of a wipe that has begun: while it lies in the data folder, nothing there is opened or made anew.

It names the keyring's entries, because the key file, which names them otherwise, is the first thing to go. On a full
disk it may be empty, or missing: then a wipe that is interrupted looks like a store without its keys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from secondme.durable import remove_file, sync_folder
from secondme.errors import StoreError

FILE = "wipe-has-begun"

_ENTRY = re.compile(r"[0-9a-f]{16}")


def begin(folder: Path, entries: Sequence[str]) -> None:
    """Set the mark, as well as the disk allows."""
    known = sorted({*entries, *entries_of(folder)})
    with suppress(OSError):
        fd = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(fd, "wb") as file, suppress(OSError):
            file.write("".join(f"{entry}\n" for entry in known).encode("ascii"))
            file.flush()
            os.fsync(fd)
        sync_folder(folder)


def has_begun(folder: Path) -> bool:
    return (folder / FILE).exists()


def entries_of(folder: Path) -> list[str]:
    """Names of keyring entries that an interrupted wipe has still to remove."""
    with suppress(OSError):
        return _ENTRY.findall((folder / FILE).read_text("ascii", "replace"))
    return []


def require_none(folder: Path) -> None:
    """Raises StoreError if a wipe of the folder was begun and not finished."""
    if has_begun(folder):
        raise StoreError(
            "a wipe of this memory was begun and not finished, so that it cannot be opened",
            hint="finish it with: secondme wipe",
        )


def end(folder: Path) -> None:
    """Take the mark away. Raises OSError."""
    remove_file(folder / FILE)
