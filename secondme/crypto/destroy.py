"""Destroys every way to the master key, so that a memory of any size is unreadable at once.

Works without opening anything: on a full disk (files are overwritten in place), on damaged files, and without the
keyring, whose secret alone opens nothing once this device's key is gone. What it cannot reach: copies of the key file
that were made earlier, for those who know the passphrase or the recovery code, and what a drive keeps of old blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from secondme.crypto import device, keychain, keyslots
from secondme.durable import NEW, remove_file
from secondme.errors import SecondMeError

WITNESS = "witness"
_ID = re.compile(rb'"([0-9a-f]{16})"')


@dataclass(frozen=True, slots=True)
class Destroyed:
    """One thing that led to the keys; `done` if it does no more, `detail` says how that was seen, or why not."""

    what: str
    done: bool
    detail: str


def keyring_entries(folder: Path) -> list[str]:
    """The names of the keyring's entries in the key files of `folder`."""
    key_files = (folder / keyslots.FILE, folder / (keyslots.FILE + NEW))
    return list(dict.fromkeys(entry for path in key_files for entry in _entries(path)))


def destroy_keys(folder: Path, state: Path, entries: Sequence[str] = ()) -> tuple[Destroyed, ...]:
    """Destroy the key file in `folder`, this device's key and the witness in `state`, and the keyring's entries.

    `entries` names further ones, which an interrupted attempt did not get to and whose key file is gone. The files go
    first, which takes milliseconds; a keyring that does not answer takes its time limit. Raises nothing: what could
    not be done is in the result. Doing it again is harmless, and finishes what was interrupted.
    """
    names = list(dict.fromkeys((*keyring_entries(folder), *entries)))
    key_files = [folder / keyslots.FILE, folder / (keyslots.FILE + NEW)]
    files = [*key_files, *(state / (name + end) for name in (device.FILE, WITNESS) for end in ("", NEW))]
    done = [d for d in map(_destroy_file, files) if d is not None]
    return (*done, *_remove_entries(names))


def _entries(path: Path) -> list[str]:
    """The names of the keyring's entries in a key file; from a damaged one, whatever could be a name."""
    try:
        with path.open("rb") as file:
            data = file.read(keyslots.MAX_FILE_BYTES)
    except OSError:
        return []
    try:
        return [slot.id for slot in keyslots.parse(data).of("keyring")]
    except SecondMeError:
        found = [match.decode("ascii") for match in _ID.findall(data)] if b'"keyring"' in data else []
        return found[: keyslots.MAX_SLOTS]


def _destroy_file(path: Path) -> Destroyed | None:
    """Overwrite and delete; None if there was no such file."""
    if not os.path.lexists(path):
        return None
    problem = _overwrite(path)
    try:
        remove_file(path)
    except OSError as error:
        if problem is None:
            return Destroyed(str(path), True, f"overwritten with zeros; the empty file stays ({error.strerror})")
        return Destroyed(str(path), False, f"could be neither overwritten ({problem}) nor deleted ({error.strerror})")
    return Destroyed(str(path), True, "overwritten with zeros, read back, deleted" if problem is None else "deleted")


def _overwrite(path: Path) -> str | None:
    """Put zeros over a file in place, and read them back from it; what kept it from that, or None."""
    with suppress(OSError):
        path.chmod(0o600)
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError as error:
        return error.strerror
    try:
        zeros = bytes(min(os.fstat(fd).st_size, keyslots.MAX_FILE_BYTES))
        os.write(fd, zeros)
        os.fsync(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        return None if os.read(fd, len(zeros)) == zeros else "it reads back otherwise"
    except OSError as error:
        return error.strerror
    finally:
        os.close(fd)


def _remove_entries(entries: list[str]) -> list[Destroyed]:
    done: list[Destroyed] = []
    answers = True
    for entry in entries:
        # One that did not answer will not answer for the next either, and every question waits for its time limit.
        answers = answers and keychain.remove(entry)
        what = f"the system keyring's entry {keychain.SERVICE}/{entry}"
        if answers:
            done.append(Destroyed(what, True, "no longer there when asked for"))
        else:
            detail = "the keyring is locked or not here; without the files above its secret opens nothing"
            done.append(Destroyed(what, False, detail))
    return done
