"""From a folder and its owner to the keys: the keyring without a question, or a passphrase, or a refusal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secondme.crypto import keychain, keyslots
from secondme.crypto.keys import StoreKeys
from secondme.errors import NoKey, StoreError, WrongPassphrase

AskKind = Literal["new", "existing"]
Ask = Callable[[AskKind], str]
STORE_FILE = "store.db"


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The opened keys; never shown, not even in a traceback."""

    db: bytes

    @property
    def store(self) -> StoreKeys:
        return StoreKeys.derived(self.db)


def unlock(folder: Path, *, ask: Ask | None = None, passphrase: str | None = None) -> Keys:
    """Open the keys of `folder`, or make them on first use.

    A passphrase given is used and nothing else is tried. Otherwise the keyring answers; if it cannot, `ask` is called.
    Raises NoKey if there is no way left, WrongPassphrase, CorruptRecord, SchemaTooNew or StoreError.
    """
    slots = keyslots.load(folder)
    if slots is None:
        slots, master = _first_time(folder, ask, passphrase)
    else:
        master = _master(slots, ask, passphrase)
    return Keys(keyslots.open_key(slots, master, "db"))


def _first_time(folder: Path, ask: Ask | None, passphrase: str | None) -> tuple[keyslots.KeySlots, bytes]:
    if any((folder / name).exists() for name in (STORE_FILE, STORE_FILE + "-wal")):
        raise StoreError(
            "there is a store, but its key file is gone, and without it nothing can open the store",
            hint=f"put keyslots.json back into {folder}, or move store.db away to begin anew",
        )
    if passphrase is None:
        entry, key = keyslots.new_entry()
        if keychain.store(entry, key):
            slots, master = keyslots.create(keyring_key=(entry, key))
            try:
                keyslots.save(folder, slots)
            except BaseException:
                # Nothing will ever ask for this entry.
                keychain.remove(entry)
                raise
            return slots, master
        if ask is None:
            raise _no_key()
        passphrase = ask("new")
    slots, master = keyslots.create(passphrase=passphrase)
    keyslots.save(folder, slots)
    return slots, master


def _master(slots: keyslots.KeySlots, ask: Ask | None, passphrase: str | None) -> bytes:
    of_passphrase = [s for s in slots.slots if s.kdf is not None]
    if passphrase is None:
        for slot in slots.slots:
            key = keychain.fetch(slot.id) if slot.kdf is None else None
            master = keyslots.open_slot(slots, slot, key) if key and len(key) == 32 else None
            if master is not None:
                return master
        if not of_passphrase:
            raise NoKey(
                "the key is in the system's keyring, which is locked, gone, or holds another key",
                hint="unlock the keyring (log in to the desktop) and try again",
            )
        if ask is None:
            raise NoKey(
                "a passphrase protects the store, and none was given",
                hint="pass it with --key-fd N, or run secondme in a terminal",
            )
        passphrase = ask("existing")
    for slot in of_passphrase:
        if slot.kdf is not None:
            master = keyslots.open_slot(slots, slot, keyslots.stretch(passphrase, slot.kdf))
            if master is not None:
                return master
    if not of_passphrase:
        raise WrongPassphrase("no passphrase opens this store", hint="its key is in the system's keyring: give none")
    raise WrongPassphrase("the passphrase is wrong", hint="try again; capitals and spaces count")


def _no_key() -> NoKey:
    return NoKey(
        "there is no keyring on this machine and no passphrase was given, so nothing can be stored safely",
        hint="pass a passphrase with --key-fd N, or run secondme in a terminal",
    )


def harden_process() -> None:
    """Keep keys out of core dumps and away from other processes of the same user, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)
