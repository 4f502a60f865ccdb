"""What one pass has to do: the files that are there, what memory holds of them, and what is gone.

Nothing is forgotten on a guess. A source goes when its file is gone and its folder can be seen, or when the owner's
ignore file names it; a disk that is not mounted, a folder that may not be listed or is missing costs nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondme.errors import Cancelled
from secondme.ingest import reasons
from secondme.ingest.walk import Blind, Entry, Found, LeftOut, is_own, ruled_out_by_owner, rules_above, stamp_of, walk
from secondme.memory.store import Store
from secondme.paths import absolute
from secondme.types import CancelCheck, ScanProgress, StoredSource

_PROGRESS_S = 0.1
# Where systems mount disks: an empty folder there may be a mount point without its disk.
_MOUNTS = tuple(map(Path, ("/mnt", "/media", "/run/media", "/Volumes", "/net")))


@dataclass(slots=True)
class Plan:
    """`known` maps paths to what memory holds of them; `moved` are sources that got a new path meanwhile."""

    entries: list[Found | LeftOut] = field(default_factory=list)
    known: dict[str, StoredSource] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    blind: list[str] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Note one finding; a path counts once."""
        if isinstance(entry, Blind):
            self.blind.append(entry.path.rstrip(os.sep) + os.sep)
            entry = LeftOut(entry.path, reasons.UNREADABLE_FOLDER)
        if entry.path not in self.seen:
            self.seen.add(entry.path)
            self.entries.append(entry)

    def gone(self) -> list[StoredSource]:
        """Sources to forget."""
        unseen = (s for s in self.known.values() if s.path not in self.seen)
        return [s for s in unseen if not s.path.startswith(tuple(self.blind)) and self._is_to_go(s.path)]

    def _is_to_go(self, path: str) -> bool:
        if is_gone(path):
            return True
        return any(Path(path).is_relative_to(r) and ruled_out_by_owner(Path(path), r) for r in self.roots)


def is_gone(path: str) -> bool:
    """True only if the system says that nothing is there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def planned(
    paths: Sequence[Path], store: Store, project: str, within: Sequence[Path], cancelled: CancelCheck
) -> Generator[ScanProgress, None, Plan]:
    """Look at the disk and at memory. Raises Cancelled."""
    plan = Plan()
    shown = time.monotonic()
    roots = [absolute(r) for r in within]
    for path in dict.fromkeys(map(absolute, paths)):
        for entry in _scan(path, plan, store.sources(project, str(path)), roots):
            plan.add(entry)
            if cancelled():
                raise Cancelled("stopped while folders were looked through")
            if time.monotonic() - shown > _PROGRESS_S:
                shown = time.monotonic()
                yield ScanProgress(len(plan.entries))
    yield ScanProgress(len(plan.entries))
    return plan


def _scan(path: Path, plan: Plan, known: list[StoredSource], roots: list[Path]) -> Iterator[Entry]:
    """Entries at and below `path`. `roots` are the followed folders, if this pass is within them."""
    rules = rules_above(path, roots) if roots else ()
    if rules is None:
        return
    try:
        status = path.lstat() if roots and path not in roots else path.stat()
    except (FileNotFoundError, NotADirectoryError):
        yield from _missing(path, plan, known, roots)
        return
    except OSError as error:
        loop = error.errno == errno.ELOOP
        yield LeftOut(str(path), reasons.BROKEN_LINK if loop else reasons.NO_PERMISSION)
        return
    if is_own(path):
        yield LeftOut(str(path), reasons.OWN_DATA)
    elif stat.S_ISDIR(status.st_mode):
        if known and _maybe_unmounted(path):
            yield LeftOut(str(path), reasons.EMPTY_MOUNT)
            return
        plan.known.update((s.path, s) for s in known)
        plan.roots.append(next((r for r in roots if path.is_relative_to(r)), path))
        yield from walk(path, rules)
    elif stat.S_ISREG(status.st_mode):
        plan.known.update((s.path, s) for s in known)
        yield Found(str(path), stamp_of(status), given=not roots)
    elif not stat.S_ISLNK(status.st_mode):
        yield LeftOut(str(path), reasons.NOT_REGULAR)


def _missing(path: Path, plan: Plan, known: list[StoredSource], roots: list[Path]) -> Iterator[LeftOut]:
    """Nothing is at `path`. What memory holds of it goes only if the folder around it can be seen to lack it."""
    above = [r for r in roots if path != r and path.is_relative_to(r)]
    if above:
        if all(_is_visible(r) for r in above):
            plan.known.update((s.path, s) for s in known)
    elif any(s.path == str(path) for s in known) and _is_visible(path.parent):
        plan.known.update((s.path, s) for s in known if s.path == str(path))
    else:
        yield LeftOut(str(path), reasons.MISSING_FOLDER if known else reasons.NOT_FOUND)


def _is_visible(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) and not _maybe_unmounted(folder)


def _maybe_unmounted(folder: Path) -> bool:
    """True for an empty folder where disks are mounted."""
    if not any(folder.is_relative_to(m) for m in _MOUNTS):
        return False
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return True
