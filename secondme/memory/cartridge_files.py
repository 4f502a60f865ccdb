"""Where the files of cartridges lie beside the store, and how they go: `cartridges/<project uid>/<file>.smkv`.

A file is never written over. A new one gets a name of its own, then the store's row points to it, then the earlier one
goes; so whatever happens in between, the row's file is whole, and what no row points to is of no use to anybody: its
secret is in no row. Opening the store removes it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from secondme.durable import NEW, remove_file, sync_folder

FOLDER = "cartridges"
SUFFIX = ".smkv"

_UID = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(rf"([0-9a-f]{{32}}){re.escape(SUFFIX)}({re.escape(NEW)})?")
_HEAD = bytes(4096)
"""The salt of a sealed file's keys lies at its beginning: without it not even the row's secret opens the rest."""

Named = tuple[bytes, str]
"""A project's uid and a file's name without its suffix."""


def new_name() -> str:
    """A name for a file, 32 random hexadecimal digits."""
    return secrets.token_hex(16)


def path_of(data: Path, named: Named) -> Path:
    """`data` is the folder of the store."""
    uid, name = named
    return data / FOLDER / uid.hex() / (name + SUFFIX)


def found(data: Path) -> Iterator[tuple[Path, Named | None]]:
    """Every file of ours, and of which cartridge; None for one that was not finished. Raises nothing."""
    for folder in _listed(data / FOLDER):
        if _UID.fullmatch(folder.name) is None:
            continue
        for path in _listed(folder):
            match = _OURS.fullmatch(path.name)
            if match is not None:
                yield path, None if match[2] else (bytes.fromhex(folder.name), match[1])


def orphans(data: Path, known: Collection[Named]) -> list[Path]:
    """Files to which none of the `known` rows points, and unfinished ones."""
    return [path for path, named in found(data) if named is None or named not in known]


def remove(path: Path) -> bool:
    """Overwrite the beginning of a file and delete it. Raises nothing.

    True if it is gone: what is left lies unreadable until the store is opened the next time.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.write(fd, _HEAD[: os.fstat(fd).st_size])
            os.fsync(fd)
        finally:
            os.close(fd)
    with suppress(OSError):
        remove_file(path)
    return not os.path.lexists(path)


def tidy(data: Path, projects: Collection[bytes] = ()) -> None:
    """Remove the empty folders of all but these projects, by their uids, and then the empty whole. Raises nothing."""
    for folder in _listed(data / FOLDER):
        if _UID.fullmatch(folder.name) is not None and bytes.fromhex(folder.name) not in projects:
            _remove_empty(folder)
    if (data / FOLDER).is_dir():
        _remove_empty(data / FOLDER)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
        sync_folder(folder.parent)


def foreign(data: Path) -> bool:
    """Whether anything lies there that is none of ours."""
    ours = {path for path, _ in found(data)}
    folders = _listed(data / FOLDER)
    return any(_UID.fullmatch(f.name) is None or not f.is_dir() or set(_listed(f)) - ours for f in folders)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
