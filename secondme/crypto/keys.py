"""The opened keys of a memory, as other rooms receive them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from secondme.crypto import keyslots, slots
from secondme.crypto.envelope import Secret, derive
from secondme.crypto.erase import erase
from secondme.crypto.keyslots import KeySlots, Slot
from secondme.errors import StoreError

__all__ = ["Keys", "Secret", "StoreKeys"]


@dataclass(frozen=True, slots=True, repr=False)
class StoreKeys:
    """What opens a store and vouches for it; never shown, not even in a traceback. Keys have 32 bytes.

    `db` encrypts the pages, `watermark` authenticates what was acknowledged; `store_id` tells one memory from another,
    `epoch` one saving of the key file from the next.
    """

    store_id: str
    db: Secret
    watermark: Secret
    epoch: int = 0

    @classmethod
    def derived(cls, key: bytes) -> StoreKeys:
        """Keys of a store without a key file, made from one 32-byte key: for temporary stores."""
        return cls("temporary", key, derive(key, b"secondme temporary watermark"))


class Keys:
    """The opened key file of one folder: its keys, and the way to change it. Never shown. Thread-safe.

    The keys handed out are the very ones that `erase` overwrites, and nothing of them is left to use after it.
    """

    __slots__ = ("_db", "_folder", "_lock", "_projects", "_watermark", "export", "file", "master", "opened_by")

    def __init__(self, folder: Path, file: KeySlots, master: bytearray, opened_by: Slot | None = None) -> None:
        """`opened_by` is the slot that gave the master key. Raises CorruptRecord."""
        self._folder = folder
        self._lock = threading.RLock()
        self._projects: dict[str, bytearray] = {}
        self.file = file
        self.master = master
        self.opened_by = opened_by
        self._db = slots.open_key(file, master, "db")
        self._watermark = slots.open_key(file, master, "watermark")
        self.export = slots.open_key(file, master, "export")

    @property
    def store(self) -> StoreKeys:
        """What opens the store."""
        return StoreKeys(self.file.store_id, self._db, self._watermark, self.file.sequence)

    def project(self, uid: bytes) -> bytearray:
        """The key of the project with this 16-byte uid, made and saved on first use. Raises StoreError."""
        use = _project(uid)
        with self._lock:
            if use not in self._projects:
                if use not in self.file.keys:
                    self._add(use)
                self._projects[use] = slots.open_key(self.file, self.master, use)
            return self._projects[use]

    def next_project(self, uid: bytes) -> bytearray:
        """The key that a rotation under way will give the project, for the caller to erase. Raises CorruptRecord."""
        return slots.open_key(self.file, self.master, _project(uid), of_next=True)

    def _add(self, use: str) -> None:
        if len(self.file.keys) >= keyslots.MAX_KEYS:
            raise StoreError("there are too many projects for one memory", hint="wipe those that are no longer used")
        wrapped = slots.new_keys(self.file.store_id, self.master, [use])
        self.save(replace(self.file, keys=self.file.keys | wrapped))

    def destroy_project(self, uid: bytes) -> bool:
        """Take a project's key out of file and memory, so that nothing sealed with it opens; False if it has none.

        Raises StoreFull or StoreError.
        """
        use = _project(uid)
        with self._lock:
            found = use in self.file.keys
            if found:
                self.save(_without(self.file, use), scrub=True)
            erase(self._projects.pop(use, bytearray()))
            return found

    def save(self, file: KeySlots, *, scrub: bool = False, master: bytearray | None = None) -> None:
        """Put a changed key file in the place of this one, with the next sequence number.

        `scrub` as in `keyslots.save`; a new `master` if the file is wrapped by another. Raises StoreFull, StoreError.
        """
        with self._lock:
            new = slots.sign(replace(file, sequence=self.file.sequence + 1), master or self.master)
            keyslots.save(self._folder, new, scrub=scrub)
            self.file = new
            if master is not None:
                erase(self.master)
                self.master = master

    def erase(self) -> None:
        """Overwrite every key in memory, as far as Python allows; the object is of no use afterwards."""
        with self._lock:
            for key in (self.master, self._db, self._watermark, self.export, *self._projects.values()):
                erase(key)
                # Zeros are a key as well: what still holds this one must fail, and not write something that they open.
                key.clear()
            self._projects.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.erase()


def _without(file: KeySlots, use: str) -> KeySlots:
    def others(table: dict[str, bytes]) -> dict[str, bytes]:
        return {u: key for u, key in table.items() if u != use}

    return replace(file, keys=others(file.keys), next=None if file.next is None else others(file.next))


def _project(uid: bytes) -> str:
    if len(uid) != 16:
        raise ValueError("a project's uid has 16 bytes")
    return f"project:{uid.hex()}"
