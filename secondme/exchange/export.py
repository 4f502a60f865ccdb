"""Everything a memory holds, in one file that other programs and people can read: `secondme-export/1`."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from secondme.crypto.age import AgeWriter
from secondme.durable import replacing
from secondme.errors import StoreError, StoreFull, UsageError
from secondme.exchange.content import Content, ExportProgress
from secondme.ingest.walk import is_own
from secondme.memory.store import Store
from secondme.types import CancelCheck, never_cancelled

_UNFINISHED = ".secondme-export"


@dataclass(frozen=True, slots=True, repr=False)
class ExportOptions:
    """`passphrase` None writes the content readable for everybody."""

    passphrase: str | None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class ExportDone:
    """The file is in its place, on the disk."""

    path: str
    counts: dict[str, int]
    size_bytes: int


ExportEvent = ExportProgress | ExportDone


def export(
    store: Store, path: Path, options: ExportOptions, *, cancelled: CancelCheck = never_cancelled
) -> Iterator[ExportEvent]:
    """Write all of `store` to `path`, whole or not at all; the last event is ExportDone.

    Holds the store's lock until then. Raises UsageError if `path` is taken, StoreFull, StoreError, Cancelled, and what
    reading a damaged store raises.
    """
    check_target(path, replace=options.replace)
    with _file_errors(path), replacing(path, neighbour=_neighbour(path)) as file:
        sealing = None if options.passphrase is None else AgeWriter(file, options.passphrase)
        with store.portable() as portable:
            content = Content(portable, cancelled)
            yield from content.measure()
            yield from content.write(sealing or file)
        if sealing is not None:
            sealing.finish()
        size_bytes = file.tell()
        counts = content.counts()
        # Before the file is in its place: an export that the log does not know of must not exist.
        store.note("exported", ["store"], detail={**counts, "sealed": int(sealing is not None)})
    yield ExportDone(str(path), counts, size_bytes)


def _neighbour(path: Path) -> Path:
    """A file to write beside `path`. Nobody can guess it and lay a link there; what a kill left goes."""
    for left in path.parent.glob(f".{escape(path.name)}.*{_UNFINISHED}"):
        with suppress(OSError):
            left.unlink()
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{_UNFINISHED}")


def check_target(path: Path, *, replace: bool) -> None:
    """Raises UsageError for a place where no export can be written."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file, as in: secondme export memory.age")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint="make it first, or name another place")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file", hint="name a file to write")
    if is_own(path):
        raise UsageError(
            f"{path} is in one of secondme's own folders, which a wipe deletes", hint="name a place outside of them"
        )
    if path.exists() and not replace:
        raise UsageError(f"{path} is there already", hint="name another file, or replace it with --force")


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says about the file into errors of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFull(
                f"there is no room for the export in {path.parent}", hint="free some space, or name another place"
            ) from None
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        raise StoreError(
            f"{path} cannot be written ({name})", hint="check the permissions of its folder, or name another place"
        ) from None
