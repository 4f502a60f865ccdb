"""Opens a cited file in the owner's editor at its line, or in the system's viewer. Only ever on the owner's own key.

No shell is involved, and the path is absolute, so that no file name can be read as an option.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from secondme.errors import BackendUnavailable, FileVanished, SecondMeError

# Parsed to other lines than the file has.
_EXTRACTED = ("text/html", "application/pdf", "application/vnd.", "application/xhtml")
_PLUS_LINE = {"vi", "vim", "nvim", "nano", "emacs", "emacsclient", "micro", "kak", "joe", "ne", "mg", "pico", "ed"}
_COLON_LINE = {"hx", "helix", "subl", "zed"}
_WINDOWED = {"code", "codium", "subl", "zed", "gedit", "kate", "gvim", "mate", "open", "xdg-open"}
_OPENERS = {"darwin": "open", "win32": "explorer"}


@dataclass(frozen=True, slots=True)
class Launch:
    """A command as a list; `takes_terminal` tells that the app must step aside while it runs."""

    argv: tuple[str, ...]
    takes_terminal: bool


def launch_for(path: str, line: int | None, editor: str | None = None) -> Launch:
    """Choose how to open `path`; `line` None means it has no lines. `editor` defaults to $VISUAL or $EDITOR.

    Raises FileVanished, and BackendUnavailable when this machine has neither an editor nor a viewer.
    """
    file = Path(path).absolute()
    if not file.exists():
        raise FileVanished(f"the file is no longer there: {path}", hint="the preview shows the text that was read")
    words = _editor_words(editor)
    if words and line is not None:
        return _in_editor(words, str(file), line)
    opener = shutil.which(_OPENERS.get(sys.platform, "xdg-open"))
    if opener is None:
        raise BackendUnavailable("no program to open files was found", hint="set EDITOR, or install xdg-utils")
    return Launch((opener, str(file)), takes_terminal=False)


def start(launch: Launch) -> None:
    """Run the command: to its end if it takes the terminal, else detached. Raises BackendUnavailable."""
    try:
        if launch.takes_terminal:
            subprocess.run(launch.argv, check=False)
        else:
            null = subprocess.DEVNULL
            subprocess.Popen(launch.argv, stdin=null, stdout=null, stderr=null, start_new_session=True)
    except OSError as error:
        raise BackendUnavailable(f"{launch.argv[0]} cannot be started", hint="check EDITOR") from error


def has_lines(media_type: str) -> bool:
    """Whether line numbers of this kind of file mean the same in an editor."""
    return bool(media_type) and not media_type.startswith(_EXTRACTED)


def _editor_words(editor: str | None) -> list[str]:
    text = editor if editor is not None else os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SecondMeError("EDITOR cannot be read", hint="its quotes do not match") from error
    return words if words and shutil.which(words[0]) else []


def _in_editor(words: list[str], file: str, line: int) -> Launch:
    name = Path(words[0]).name
    if name in ("code", "codium"):
        place = ["--goto", f"{file}:{line}"]
    elif name in _COLON_LINE:
        place = [f"{file}:{line}"]
    elif name in _PLUS_LINE or name == "gvim":
        place = [f"+{line}", file]
    else:
        place = [file]
    return Launch((*words, *place), takes_terminal=name not in _WINDOWED)
