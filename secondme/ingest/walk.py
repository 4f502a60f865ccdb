"""Finds the files below a folder: sorted, without following links to folders, without opening anything but folders.

FIFOs, sockets and devices are named as left out. A link to a file is followed only if it is given by the owner: inside
of a folder from elsewhere it could lead to anything, such as a key.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondme.ingest import reasons
from secondme.ingest.ignore import CACHE_TAG, IGNORE_FILE, Rule, ignored_file, ignored_folder, is_cache, read_rules
from secondme.paths import cache_dir, config_file, data_dir, models_dir, state_dir
from secondme.types import FileStamp


@dataclass(frozen=True, slots=True)
class Found:
    """A file to take in. `given` tells that the owner named it, so that it may be a link."""

    path: str
    stamp: FileStamp
    given: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not taken in, for a reason the owner should know."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Blind:
    """A folder that cannot be listed: whether its files are still there is unknown."""

    path: str


Entry = Found | LeftOut | Blind
Rules = tuple[tuple[str, tuple[Rule, ...]], ...]
"""Ignore rules in force, each with the folder they count from."""


def stamp_of(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino)


def own_folders() -> frozenset[tuple[int, int]]:
    """Device and inode of the folders this program writes to."""
    found = set()
    for folder in (data_dir(), state_dir(), cache_dir(), models_dir(), config_file().parent):
        try:
            status = folder.stat()
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def is_own(path: Path) -> bool:
    """True for this program's folders and what is in them."""
    own = own_folders()
    for folder in (path, *path.resolve().parents):
        try:
            status = folder.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in own:
            return True
    return False


def walk(folder: Path, rules: Rules = ()) -> Iterator[Entry]:
    """Everything below `folder`, files of a folder before its subfolders. `rules` are those of folders above it."""
    own = own_folders()
    real = str(folder.resolve())
    stack = [(str(folder), rules)]
    while stack:
        path, above = stack.pop()
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except OSError:
            yield Blind(path)
            continue
        names = {e.name for e in entries}
        if path != str(folder) and (("pyvenv.cfg" in names) or (CACHE_TAG in names and is_cache(Path(path)))):
            continue
        here = (*above, (path, read_rules(Path(path)))) if IGNORE_FILE in names else above
        folders = []
        for entry in entries:
            if _is_folder(entry):
                if not ignored_folder(entry.name, names) and not _ruled_out(entry.path, here, is_folder=True):
                    folders.append(entry)
            elif not ignored_file(entry.name) and not _ruled_out(entry.path, here, is_folder=False):
                yield from _file(entry, real)
        stack += [(e.path, here) for e in reversed(folders) if not _is_own_entry(e, own)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_own_entry(entry: os.DirEntry[str], own: frozenset[tuple[int, int]]) -> bool:
    if entry.inode() not in {inode for _, inode in own}:
        return False
    try:
        status = entry.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in own


def _file(entry: os.DirEntry[str], root: str) -> Iterator[Entry]:
    try:
        if entry.is_symlink():
            yield from _link(entry, root)
            return
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        yield LeftOut(entry.path, reasons.VANISHED)
    except OSError:
        yield LeftOut(entry.path, reasons.NO_PERMISSION)
    else:
        regular = stat.S_ISREG(status.st_mode)
        yield Found(entry.path, stamp_of(status)) if regular else LeftOut(entry.path, reasons.NOT_REGULAR)


def _link(entry: os.DirEntry[str], root: str) -> Iterator[Entry]:
    """Links to folders, and to files that are found by themselves, are passed over in silence."""
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        yield LeftOut(entry.path, reasons.BROKEN_LINK)
        return
    if not target.is_dir() and not str(target).startswith(root.rstrip(os.sep) + os.sep):
        yield LeftOut(entry.path, reasons.OUTSIDE_LINK)


def _ruled_out(path: str, rules: Rules, *, is_folder: bool) -> bool:
    for base, own_rules in rules:
        relative = path[len(base.rstrip(os.sep)) + 1 :]
        name = relative.rpartition(os.sep)[2]
        if any(rule.matches(name, relative, is_folder=is_folder) for rule in own_rules):
            return True
    return False


def rules_above(path: Path, roots: Sequence[Path]) -> Rules | None:
    """Rules that hold for `path` from the folders between it and its root; None if it would not be walked to."""
    root = max((r for r in roots if path.is_relative_to(r)), key=lambda r: len(r.parts), default=None)
    if root is None or path == root:
        return ()
    rules: Rules = ()
    folder = root
    for part in path.relative_to(root).parts:
        rules = (*rules, (str(folder), read_rules(folder)))
        below = folder / part
        is_folder = below.is_dir()
        if is_folder and (below.is_symlink() or ignored_folder(part, _names(folder)) or is_cache(below)):
            return None
        if not is_folder and below == path and ignored_file(part):
            return None
        if part.startswith(".") or _ruled_out(str(below), rules, is_folder=is_folder):
            return None
        folder = below
    return rules


def ruled_out_by_owner(path: Path, root: Path) -> bool:
    """True if an ignore file between `root` and `path` names it, or a folder it is in."""
    rules: Rules = ()
    folder = root
    for part in path.relative_to(root).parts:
        rules = (*rules, (str(folder), read_rules(folder)))
        folder = folder / part
        if _ruled_out(str(folder), rules, is_folder=folder != path):
            return True
    return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  names alone, without a Path each
    except OSError:
        return []
