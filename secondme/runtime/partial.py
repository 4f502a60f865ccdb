"""A file on its way: `NAME.part`, and `NAME.part.json` that says of what it is a part.

Standard library only, as `fetch.py`, whose state this is. What is left after a stop is taken up again; what is wrong
or met a full disk is removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from secondme.errors import Cancelled, DownloadFailed, ModelChecksumMismatch
from secondme.types import CancelCheck, never_cancelled

BLOCK_BYTES = 1 << 20
SPARE_BYTES = 16 << 20
"""Room left free on the disk beside a download."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """Bytes done so far; `total_bytes` is None while it is unknown."""

    n_bytes: int
    total_bytes: int | None


class PartialFile:
    """What arrived so far of the file that becomes `dest`. sha256 and size_bytes are what it must be, or None."""

    def __init__(self, dest: Path, sha256: str | None, size_bytes: int | None) -> None:
        self.name = dest.name
        self.hasher = hashlib.sha256()
        self.n_bytes = 0
        self.etag: str | None = None
        self._dest = dest
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._path = dest.with_name(dest.name + ".part")
        self._note = dest.with_name(dest.name + ".part.json")
        self._file: IO[bytes] = io.BytesIO()

    def open(self) -> None:
        """Raises OSError if the folder cannot be written."""
        self._dest.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, as after a crash between the last byte and the rename."""
        return self.n_bytes > 0 and self.n_bytes == self._size_bytes

    @property
    def is_identified(self) -> bool:
        """Whether it can be told that the rest is of the same file: by a strong etag now, or a sha256 at the end."""
        return self._sha256 is not None or self.etag is not None

    def resume(self, cancelled: CancelCheck) -> Generator[FetchProgress, None, None]:
        """Take up what is there, hashing it again; what cannot be told to be of the same file goes."""
        note = self._read_note()
        self.etag = note.get("etag") if note else None
        if note is None or note.get("sha256") != self._sha256 or not self.is_identified:
            self.restart()
            return
        with self._path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                if cancelled():
                    raise Cancelled("stopped")
                self.hasher.update(block)
                self.n_bytes += len(block)
                yield FetchProgress(self.n_bytes, self._size_bytes)

    def begin(self, etag: str | None, total: int | None) -> None:
        """Note what is coming; refuse it if the disk has no room. Weak etags do not allow ranges (RFC 9110, 13.1.5)."""
        free = shutil.disk_usage(self._dest.parent).free
        if total is not None and total - self.n_bytes + SPARE_BYTES > free:
            raise disk_full(self._dest, total - self.n_bytes)
        self.etag = etag if etag and not etag.startswith("W/") else None
        self._note.write_text(json.dumps({"etag": self.etag, "sha256": self._sha256}), encoding="utf-8")

    def append(self, block: bytes) -> None:
        limit = self._size_bytes
        if limit is not None and self.n_bytes + len(block) > limit:
            self.discard()
            raise mismatch(self.name)
        self._file.write(block)
        self.hasher.update(block)
        self.n_bytes += len(block)

    def restart(self) -> None:
        self._file.truncate(0)
        self.hasher = hashlib.sha256()
        self.n_bytes = 0
        self.etag = None

    def finish(self) -> None:
        """Verify, and put the file into its place durably."""
        self._file.flush()
        wrong_size = self._size_bytes is not None and self.n_bytes != self._size_bytes
        if wrong_size or self._sha256 not in (None, self.hasher.hexdigest()):
            self.discard()
            raise mismatch(self.name)
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._dest)
        self._note.unlink(missing_ok=True)
        sync_folder(self._dest.parent)

    def discard(self) -> None:
        self.close()
        self._remove()

    def close(self) -> None:
        # A buffer that a full disk refused would raise once more here; it is of no use.
        with contextlib.suppress(OSError):
            self._file.close()
            if self._path.stat().st_size == 0:
                self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return note if isinstance(note, dict) else None


def hash_file(path: Path, *, cancelled: CancelCheck = never_cancelled) -> Generator[FetchProgress, None, str]:
    """Return a file's sha256 (hex). Raises OSError and Cancelled."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while block := file.read(BLOCK_BYTES):
            if cancelled():
                raise Cancelled("stopped")
            hasher.update(block)
            yield FetchProgress(file.tell(), total)
    return hasher.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable where the platform can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def mismatch(name: str) -> ModelChecksumMismatch:
    return ModelChecksumMismatch(
        f"{name} is not the file that was expected: its size or sha256 differs; it was not kept",
        hint="try once more; if it happens again the source has changed, so do not use it",
    )


def disk_full(dest: Path, n_bytes: int | None) -> DownloadFailed:
    needs = f"; it needs {n_bytes / 1e6:.0f} MB" if n_bytes else ""
    return DownloadFailed(
        f"no room on the disk for {dest.name}{needs}", hint=f"free some room for {dest.parent}, or move SECONDME_MODELS"
    )
