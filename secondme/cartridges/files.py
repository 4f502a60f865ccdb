"""The cartridges of a memory: each a sealed file and a row of the store, which come and go together.

A new one is whole on the disk before the store points to it, and the earlier one stays until then. Whatever interrupts
that leaves the one or the other, and a file without a row at most: nobody can open it, and `Store.open` removes it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from secondme.cartridges.format import (
    SECRET_BYTES,
    CartridgeReader,
    SectionData,
    file_key,
    open_cartridge,
    write_cartridge,
)
from secondme.cartridges.manifest import Manifest
from secondme.crypto.erase import erase
from secondme.crypto.keys import Keys
from secondme.errors import CartridgeError, IntegrityError, SecondMeError, StoreError
from secondme.memory import cartridge_files
from secondme.memory.cartridges import NewCartridge, StoredCartridge
from secondme.memory.failures import os_errors
from secondme.memory.store import Store
from secondme.paths import private_dir
from secondme.types import StoredSource


@dataclass(frozen=True, slots=True)
class Collected:
    """What was cleared away: files without a row, rows without a file."""

    n_files: int
    n_rows: int


class Shelf:
    """The cartridges of an open memory. Thread-safe; `close` belongs before the keys are erased."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._readers: weakref.WeakSet[CartridgeReader] = weakref.WeakSet()
        self._closed = False

    def put(
        self,
        source: StoredSource,
        manifest: Manifest,
        sections: Iterable[SectionData],
        *,
        prefill_s: float,
        build_s: float,
    ) -> StoredCartridge | None:
        """Write a source's cartridge, in the place of the earlier one once it is whole.

        `manifest` comes without sections; its `source_hash` is `Store.document_hash` of when the text was read, in hex.
        `build_s` are the seconds spent so far, to which the time taken here is added. None if the text is another by
        now. Raises ValueError for sections that do not fit, StoreFull, StoreError, and what `sections` raises; then the
        earlier one stays.
        """
        uid = self._store.project_uid(source.project)
        if uid is None:
            return None
        began = time.perf_counter()
        name, secret = cartridge_files.new_name(), os.urandom(SECRET_BYTES)
        path = self._store.cartridge_path((uid, name))
        with self._lock:
            self._writing.add(name)
        stored = None
        try:
            size_bytes = self._write(path, self._key(uid, secret), manifest, sections)
            stored = self._store.put_cartridge(
                NewCartridge(
                    source_id=source.id,
                    file=name,
                    secret=secret,
                    source_hash=bytes.fromhex(manifest.source_hash),
                    model_key=manifest.model_key,
                    tier=manifest.tier,
                    complete=manifest.complete,
                    n_tokens=manifest.n_tokens,
                    size_bytes=size_bytes,
                    f16_bytes=manifest.f16_bytes,
                    prefill_s=prefill_s,
                    build_s=build_s + time.perf_counter() - began,
                )
            )
        finally:
            if stored is None:
                cartridge_files.remove(path)
            with self._lock:
                self._writing.discard(name)
        return stored

    def _write(self, path: Path, key: bytearray, manifest: Manifest, sections: Iterable[SectionData]) -> int:
        try:
            with os_errors():
                for folder in (path.parent.parent, path.parent):
                    private_dir(folder)
            return write_cartridge(path, key, manifest, sections)[1].n_sealed_bytes
        finally:
            erase(key)

    def open(self, row: StoredCartridge) -> CartridgeReader:
        """Open a cartridge; `check_manifest` then says whether it fits.

        Raises CorruptCartridge, CartridgeIncompatible, CartridgeStale if it went meanwhile, StoreError.
        """
        key = self._key(row.project_uid, row.secret)
        try:
            reader = open_cartridge(self.path(row), key)
        finally:
            erase(key)
        with self._lock:
            if not self._closed:
                self._readers.add(reader)
                return reader
        reader.close()
        raise _locked()

    def path(self, row: StoredCartridge) -> Path:
        return self._store.cartridge_path((row.project_uid, row.file))

    def verify(self, row: StoredCartridge) -> None:
        """Read all of a cartridge and check it. Raises what `open` and reading raise."""
        with self.open(row) as reader:
            reader.verify()

    def collect(self) -> Collected:
        """Clear away files without a row and rows without a file."""
        with self._lock:
            keep = frozenset(self._writing)
        n_files = self._store.collect_cartridges(keep)
        lost = [row.source_id for row in self._store.cartridges() if not self.path(row).exists()]
        return Collected(n_files, self._store.drop_cartridges(lost) if lost else 0)

    def close(self) -> None:
        """Close every reader that was handed out, and hand out no more; what they held is overwritten."""
        with self._lock:
            self._closed = True
            readers = list(self._readers)
        for reader in readers:
            with suppress(StoreError):
                reader.close()

    def _key(self, uid: bytes, secret: bytes) -> bytearray:
        with self._lock:
            if self._closed:
                raise _locked()
        return file_key(self._keys.project(uid), secret)


def examine(data: Path, keys: Keys, rows: Iterable[StoredCartridge]) -> Iterator[tuple[StoredCartridge, str]]:
    """Read every byte of these cartridges; yield those that are not as they were written, with what is wrong."""
    for row in rows:
        try:
            key = file_key(keys.project(row.project_uid), row.secret)
            try:
                with open_cartridge(cartridge_files.path_of(data, (row.project_uid, row.file)), key) as reader:
                    reader.verify()
            finally:
                erase(key)
        except SecondMeError as error:
            yield row, error.message


def reseal(data: Path, keys: Keys, rows: Sequence[StoredCartridge]) -> list[tuple[int, str, bytes]]:
    """Seal cartridges anew under the keys that a rotation will put in force: (row id, file, secret) of each.

    What cannot be read is left out. Raises StoreFull and StoreError, and leaves no new file then.
    """
    done: list[tuple[int, str, bytes]] = []
    made: list[Path] = []
    try:
        for row in rows:
            name, secret = cartridge_files.new_name(), os.urandom(SECRET_BYTES)
            made.append(cartridge_files.path_of(data, (row.project_uid, name)))
            with suppress(CartridgeError, IntegrityError):
                _reseal(cartridge_files.path_of(data, (row.project_uid, row.file)), made[-1], (keys, row, secret))
                done.append((row.id, name, secret))
    except BaseException:
        for path in made:
            cartridge_files.remove(path)
        raise
    return done


def _reseal(old: Path, new: Path, sealed: tuple[Keys, StoredCartridge, bytes]) -> None:
    keys, row, secret = sealed
    project = keys.next_project(row.project_uid)
    key, new_key = file_key(keys.project(row.project_uid), row.secret), file_key(project, secret)
    try:
        with open_cartridge(old, key) as reader:
            parts = reader.manifest.sections
            again = (SectionData(p.kind, p.layer, reader.section(p.kind, p.layer)) for p in parts)
            write_cartridge(new, new_key, replace(reader.manifest, sections=()), again)
    finally:
        erase(project, key, new_key)


def _locked() -> StoreError:
    return StoreError("memory is locked", hint="unlock it first")
