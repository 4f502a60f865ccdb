"""Reads paths out of what a terminal pastes when files are dropped on it.

Terminals differ: single quotes with `'\\''` (VTE, Konsole, kitty), backslashes (macOS), bare paths (Alacritty), `file://`
URIs with percent signs (text/uri-list). A paste counts as a drop only when every path in it is absolute and exists, so
that ordinary text is never taken for one.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from secondme.errors import UsageError

MAX_PASTE_CHARS = 1 << 16
MAX_PATHS = 500
_URI = "file://"


def dropped_paths(text: str) -> tuple[Path, ...]:
    """Return the paths in a paste, in order and without repeats, or () when it is ordinary text. Reads the disk."""
    text = text.strip()
    if not text or len(text) > MAX_PASTE_CHARS:
        return ()
    for words in _readings(text):
        paths = tuple(dict.fromkeys(_path(word) for word in words))
        if len(paths) <= MAX_PATHS and all(map(_is_drop, paths)):
            return tuple(path for path in paths if path is not None)
    return ()


def typed_paths(text: str) -> tuple[Path, ...]:
    """Return the paths an owner typed, `~` and relative ones included. Raises UsageError for one that is missing."""
    whole = _typed(text.strip())
    if text.strip() and _exists(whole):
        return (whole,)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError("the quotes do not match", hint="write /add 'path with spaces'") from error
    if not words:
        raise UsageError("no path was given", hint="write /add PATH, or drop a folder on the window")
    paths = tuple(dict.fromkeys(_typed(word) for word in words))
    for path in paths:
        if not _exists(path):
            raise UsageError(f"no such file or folder: {path}", hint="check the spelling, or drop it on the window")
    return paths


def _readings(text: str) -> Iterator[list[str]]:
    """Ways to cut the text: whole lines, then shell words."""
    yield [line.strip() for line in text.splitlines() if line.strip()]
    try:
        yield shlex.split(text)
    except ValueError:
        return


def _path(word: str) -> Path | None:
    if not word.startswith(_URI):
        return Path(word)
    host, slash, rest = word[len(_URI) :].partition("/")
    if not slash or host.lower() not in ("", "localhost", socket.gethostname().lower()):
        return None
    return Path(os.fsdecode(unquote_to_bytes("/" + rest)))


def _typed(word: str) -> Path:
    path = _path(word) or Path(word)
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # `~nobody`
        return path.absolute()


def _is_drop(path: Path | None) -> bool:
    # A pasted "/" is a character of ordinary text, and never a wish to read the whole disk.
    return path is not None and path.is_absolute() and path != Path(path.anchor) and _exists(path)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True
