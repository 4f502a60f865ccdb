"""Lets the owner edit a text of memory in an editor, leaving nothing of it on a disk where that can be helped.

The text lies in a file that only its owner can read, in memory rather than on a disk where the system has such a
place, and is overwritten and removed when the editor has ended, with whatever the editor left beside it.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from secondme.errors import StoreError, UsageError
from secondme.paths import data_dir

MAX_BYTES = 256 * 1024
_IN_MEMORY = "/dev/shm"  # noqa: S108  a folder of its own is made in it
HINT = "set VISUAL or EDITOR to one, as in: EDITOR=nano secondme ..."


def edited(text: str, *, suffix: str = ".md") -> str:
    """`text` as the owner left it, without space at its ends.

    Raises UsageError, so that nothing is changed, if there is no editor, it fails, or leaves no text; StoreError if the
    file cannot be made.
    """
    command = editor()
    with _private_folder() as folder:
        path = folder / f"memory{suffix}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise StoreError(f"no file to edit can be made ({error.strerror})", hint="free some space") from None
        _run([*command, str(path)])
        return _read(path)


def editor() -> list[str]:
    """The owner's editor as a command. Raises UsageError if none is set."""
    for name in ("VISUAL", "EDITOR"):
        value = os.environ.get(name, "").strip()
        if value:
            try:
                return shlex.split(value)
            except ValueError:
                raise UsageError(f"{name} cannot be read as a command", hint="look at its quotation marks") from None
    raise UsageError("no editor is set", hint=HINT)


def _run(command: list[str]) -> None:
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise UsageError(f"the editor does not start ({error.strerror})", hint=HINT) from None
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise UsageError(f"the editor {how}, so nothing was changed", hint="call this again, and save before leaving")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError("the text is too long, so nothing was changed", hint="add it as a file: secondme add FILE")
        text = data.decode("utf-8").replace("\r\n", "\n").strip()
    except UnicodeDecodeError:
        raise UsageError("the text is not UTF-8, so nothing was changed", hint="save it as UTF-8") from None
    except OSError:
        raise UsageError("the editor left no file, so nothing was changed", hint="save under the same name") from None
    if not text:
        raise UsageError("the text is empty, so nothing was changed", hint="to take something out: secondme memory rm")
    return text


# The place -----------------------------------------------------------------------------------------------------


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A new folder for its owner alone; all that is in it is overwritten and removed at the end."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="secondme-", dir=_place()))
    except OSError as error:
        raise StoreError(f"no file to edit can be made ({error.strerror})", hint="free some space") from None
    try:
        yield folder
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            _destroy(path)
        with suppress(OSError):
            folder.rmdir()


def _place() -> Path:
    """A folder in memory, else that of the data, which is the owner's alone and not cleaned away by others."""
    for name in (os.environ.get("XDG_RUNTIME_DIR", ""), _IN_MEMORY):
        if name and Path(name).is_dir() and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    return data_dir()


def _destroy(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
            return
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("r+b") as file:
                file.write(bytes(os.fstat(file.fileno()).st_size))
                file.flush()
                os.fsync(file.fileno())
    with suppress(OSError):
        path.unlink()
