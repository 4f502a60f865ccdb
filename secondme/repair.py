"""Verifies and repairs memory as it lies on the disk, also when it does not open any more.

Beside the assistant because it does without an open store: a damaged one refuses to open, and is looked at anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.errors import IntegrityError, SecondMeError
from secondme.paths import data_dir, state_dir
from secondme.types import Check

if TYPE_CHECKING:
    from secondme.crypto.keys import Keys, StoreKeys
    from secondme.crypto.unlock import Ask
    from secondme.memory.salvage import BitRot, Salvage

STORE_FILE = "store.db"
REBUILD = "nothing is lost, the text is read instead; to make it anew: secondme cartridge build"


@dataclass(frozen=True, slots=True, repr=False)
class Memory:
    """A memory's store file with its keys, under its lock."""

    path: Path
    opened: Keys
    witness: Path

    @property
    def keys(self) -> StoreKeys:
        return self.opened.store

    @contextmanager
    def examined(self) -> Iterator[Salvage | BitRot]:
        """Look at what is damaged and what can be done; nothing is changed by looking.

        Raises CorruptRecord if there is nothing to begin with.
        """
        from secondme.memory import salvage

        with salvage.examined(self.path, self.keys, self.witness) as found:
            yield found


@contextmanager
def unlocked(passphrase: str | None = None, ask: Ask | None = None) -> Iterator[Memory | None]:
    """Take the lock and the keys, but leave the store closed; None if there is no memory yet.

    Raises StoreLocked and what `unlock` raises.
    """
    from secondme.crypto.unlock import harden_process, unlock
    from secondme.memory.lock import StoreLock
    from secondme.memory.rekey import opener

    folder = data_dir()
    path = folder / STORE_FILE
    if not folder.is_dir() or not any(p.name.startswith((STORE_FILE, "keyslots")) for p in folder.iterdir()):
        yield None
        return
    harden_process()
    with StoreLock(folder), unlock(folder, ask=ask, passphrase=passphrase, opens=opener(path)) as keys:
        yield Memory(path, keys, state_dir() / "witness")


def read_data(passphrase: str | None = None, ask: Ask | None = None) -> Iterator[Check]:
    """Read and verify everything that is stored. What goes wrong is a line; raises only what `unlock` raises."""
    from secondme.memory import checks, salvage

    with unlocked(passphrase, ask) as memory:
        if memory is None:
            yield Check("store", "ok", "there is no memory yet")
            return
        try:
            yield from checks.read_data(memory.path, memory.keys, memory.witness)
            yield from _cartridges(memory)
        except SecondMeError as error:
            yield Check("store", "failed", error.message, error.hint or "")
        for kept in salvage.kept_files(memory.path):
            size_mb = kept.stat().st_size / 1e6
            detail = f"{kept.name}, {size_mb:.1f} MB, is a damaged store that a repair kept"
            yield Check("kept", "warning", detail, f"once you miss nothing, delete {kept}*")


def _cartridges(memory: Memory) -> Iterator[Check]:
    """Every cartridge the store can name, read and held to its digests; and files that none of them is in."""
    from secondme.cartridges.files import examine
    from secondme.memory import cartridge_files, lenient

    try:
        rows = lenient.cartridges_of(memory.path, memory.keys, memory.witness)
    except IntegrityError:
        return  # what the store itself does not tell is told of the store
    data = memory.path.parent
    n_bad = 0
    for row, problem in examine(data, memory.opened, rows):
        n_bad += 1
        yield Check("cartridge", "failed", f"of {row.path} (s{row.source_id}): {problem}", REBUILD)
    orphans = cartridge_files.orphans(data, {(row.project_uid, row.file) for row in rows})
    if orphans:
        detail = f"{len(orphans)} files belong to no document any more, and nothing opens them"
        yield Check("cartridges", "warning", detail, "opening memory removes them; or run: secondme cartridge gc")
    if not n_bad:
        size_mb = sum(row.size_bytes for row in rows) / 1e6
        detail = f"{len(rows)} of {size_mb:.1f} MB, each as it was written" if rows else "none yet"
        yield Check("cartridges", "ok", detail)


def to_add_again(salvage: Salvage | BitRot) -> dict[str, int]:
    """How many files in each followed folder are not in memory as they are on the disk."""
    from secondme.ingest.walk import Found, walk

    folders, known = salvage.followed()
    missing = {}
    for folder in folders:
        n = 0
        for entry in walk(Path(folder)) if Path(folder).is_dir() else ():
            if isinstance(entry, Found):
                source = known.get(entry.path)
                same = source is not None and (
                    source.stamp == entry.stamp or source.content_hash == _sha256(entry.path)
                )
                n += not same
        if n:
            missing[folder] = n
    return missing


def _sha256(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
