"""Destroys all of memory: the keys first, so that the rest is unreadable at once, then every file that holds any of it.

Works on a full disk, since nothing but the report is written anew; on a store that no longer opens, since nothing needs
to be opened; and again after it was interrupted, since every step may be done twice.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from secondme.crypto import wiping
from secondme.crypto.age import MAGIC as AGE_MAGIC
from secondme.crypto.destroy import Destroyed, destroy_keys, keyring_entries
from secondme.crypto.keys import Keys
from secondme.crypto.keyslots import FILE as KEY_FILE
from secondme.crypto.stream import MAGIC as SEALED_MAGIC
from secondme.durable import remove_file
from secondme.errors import SecondMeError
from secondme.memory import cartridge_files
from secondme.memory.lock import FILE as LOCK_FILE
from secondme.wipe.report import Report

STORE = "store.db"
_OURS = ("store.db", KEY_FILE, "device.key", "witness")
"""What the names of our files begin with; what follows tells logs, copies and halves of them."""
_LAST = (LOCK_FILE, wiping.FILE)
_BLOCK = bytes(1 << 20)
_HALF_EXPORT = ".secondme-export"
_TAR_NAME = b"manifest.json\0"
_TAR_FORMAT = b"secondme-export"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that hold anything of the owner's: the data, and this device's state."""

    data: Path
    state: Path

    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(f for f in (self.data, self.state) if f.is_dir()))


def found(places: Places) -> tuple[list[Path], list[Path]]:
    """Files that a wipe destroys, and those in our folders that are not ours."""
    ours: list[Path] = []
    others: list[Path] = []
    for folder in places.folders():
        ours += (path for path, _ in cartridge_files.found(folder))
        for path in sorted(folder.iterdir()):
            if path.name not in _LAST and not _holds_cartridges_only(path):
                (ours if _is_ours(path) else others).append(path)
    return ours, others


def _holds_cartridges_only(path: Path) -> bool:
    return path.name == cartridge_files.FOLDER and path.is_dir() and not cartridge_files.foreign(path.parent)


def _is_ours(path: Path) -> bool:
    if any(path.name == name or path.name.startswith((name + "-", name + ".")) for name in _OURS):
        return True
    if path.name.endswith(_HALF_EXPORT):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(2048)
    except OSError:
        return False
    if head.startswith((AGE_MAGIC, SEALED_MAGIC)):
        return True
    return head.startswith(_TAR_NAME) and _TAR_FORMAT in head


def wipe(places: Places, keys: Keys | None) -> Iterator[Destroyed | Report]:
    """Destroy everything; yield each thing as it is destroyed, and the Report last.

    `keys` are the opened keys, if they could be: with them the log still tells which exports were made. They are
    erased. Raises nothing for what cannot be destroyed, which the report says.
    """
    began = time.time()
    watched = _KeyFile(places.data / KEY_FILE)
    entries = keyring_entries(places.data)
    _, others = found(places)
    if places.data.is_dir():
        wiping.begin(places.data, entries)
    mark = time.perf_counter()
    destroyed = list(destroy_keys(places.data, places.state, wiping.entries_of(places.data)))
    keys_s = time.perf_counter() - mark
    yield from destroyed
    verified = watched.verified()
    store_id, exports = _last_words(places.data / STORE, keys)
    for path in found(places)[0]:
        done = destroy_file(path)
        destroyed.append(done)
        yield done
    cartridge_files.tidy(places.data)
    verified += _looked_for(places)
    if all(item.done for item in verified) and places.data.is_dir():
        verified.append(_mark_removed(places.data))
    yield Report(
        "everything",
        store_id,
        began,
        time.time(),
        keys_s,
        tuple(destroyed),
        tuple(verified),
        left_alone=tuple(str(path) for path in others),
        exports=exports,
    )


def _last_words(store: Path, keys: Keys | None) -> tuple[str | None, tuple[float, ...] | None]:
    """The memory's id and the times of its exports, by keys that are on no disk any more; then those are erased too."""
    if keys is None:
        return None, None
    from secondme.memory.store import Store

    try:
        with suppress(SecondMeError, OSError):
            if store.exists():
                opened = Store.open(store, keys.store)
                try:
                    return keys.file.store_id, tuple(op.at for op in opened.log("store") if op.kind == "exported")
                finally:
                    opened.close()
        return keys.file.store_id, None
    finally:
        keys.erase()


class _KeyFile:
    """A handle on the key file from before, as another program may hold one: it must give nothing afterwards."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        self._before = b""
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self._before = os.read(self._fd, len(_BLOCK))

    def verified(self) -> list[Destroyed]:
        if self._fd is None:
            return []
        what = "the key file through a handle that was open before"
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            gone = not os.read(self._fd, len(_BLOCK)).strip(b"\0")
        except OSError as error:
            return [Destroyed(what, False, f"cannot be read ({error.strerror})")]
        finally:
            os.close(self._fd)
        return [Destroyed(what, gone, "gives zeros only" if gone else "still gives the wrapped keys")]


def destroy_file(path: Path) -> Destroyed:
    """Overwrite a file with zeros and delete it, and what it links to; a folder is left."""
    target = path
    with suppress(OSError, RuntimeError):
        target = path.resolve()
    problem = _overwrite(target)
    try:
        for each in dict.fromkeys((target, path)):
            remove_file(each)
    except OSError as error:
        detail = "overwritten with zeros" if problem is None else f"not overwritten ({problem})"
        return Destroyed(str(path), problem is None, f"{detail}; the file stays ({error.strerror})")
    return Destroyed(str(path), True, "overwritten with zeros, deleted" if problem is None else f"deleted ({problem})")


def _overwrite(path: Path) -> str | None:
    """Put zeros over a regular file in place; what kept it from that, or None."""
    flags = os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with suppress(OSError):
            path.chmod(0o600)
        fd = os.open(path, flags)
    except OSError as error:
        return error.strerror
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        left = status.st_size
        while left > 0:
            left -= os.write(fd, _BLOCK[: min(left, len(_BLOCK))])
        os.fsync(fd)
        os.ftruncate(fd, 0)
    except OSError as error:
        return error.strerror
    finally:
        os.close(fd)
    return None


def _looked_for(places: Places) -> list[Destroyed]:
    """Look through the folders again; an empty file that may not be deleted holds nothing."""
    left = [path for path in found(places)[0] if path.is_symlink() or path.stat().st_size]
    verified = []
    for folder in places.folders():
        n_left = sum(1 for path in left if path.is_relative_to(folder))
        detail = f"{n_left} files of memory are left" if n_left else "no file of memory is left"
        verified.append(Destroyed(str(folder), not n_left, detail))
    entries = keyring_entries(places.data)
    detail = "a key file still names some" if entries else "no key file names any"
    verified.append(Destroyed("names of keyring entries", not entries, detail))
    return verified


def _mark_removed(folder: Path) -> Destroyed:
    what = "the mark of an unfinished wipe"
    try:
        with suppress(OSError):  # Windows does not delete what is open, and it is open while it is held
            remove_file(folder / LOCK_FILE)
        wiping.end(folder)
    except OSError as error:
        return Destroyed(what, False, f"cannot be removed ({error.strerror})")
    return Destroyed(what, True, "removed, the wipe is complete")
