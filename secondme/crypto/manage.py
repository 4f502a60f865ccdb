"""Changes the ways to a memory's keys, and renews the keys themselves.

Each function takes opened `Keys` and saves the key file in one step; the earlier file's bytes are overwritten, because
they hold the slot that was taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from secondme.crypto import device, keychain, keyslots, slots
from secondme.crypto.calibrate import Work
from secondme.crypto.envelope import Secret, random_key
from secondme.crypto.erase import erase
from secondme.crypto.keychain import Missing
from secondme.crypto.keys import Keys, StoreKeys
from secondme.crypto.keyslots import Kdf, KeySlots, Kind, Slot
from secondme.crypto.unlock import forget_entry, keyring_slot, passphrase_slot
from secondme.errors import NoKey, StoreError, UsageError, WrongPassphrase


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the keys, as its owner is told of it; `problem` says why it does not open anything now."""

    kind: Kind
    detail: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What a key file says without being opened."""

    ways: tuple[Way, ...]
    n_projects: int
    sequence: int
    rotating: bool


def status(folder: Path) -> Status | None:
    """What there is; None without a key file. Raises CorruptRecord, SchemaTooNew, StoreError."""
    file = keyslots.load(folder)
    if file is None:
        return None
    n_projects = sum(use.startswith("project:") for use in file.keys)
    in_order = [slot for kind in get_args(Kind) for slot in file.of(kind)]
    return Status(tuple(_way(s) for s in in_order), n_projects, file.sequence, file.next is not None)


def _way(slot: Slot) -> Way:
    if slot.kind == "keyring":
        return Way("keyring", "opens without a question", _keyring_problem(slot))
    if slot.kind == "recovery":
        return Way("recovery", "a code of 256 bits")
    return Way("passphrase", _described(slot.kdf or Kdf(b"")))


def _described(kdf: Kdf) -> str:
    return f"Argon2id, {kdf.memory_kib // 1024} MiB, {kdf.iterations} passes, {kdf.lanes} lanes"


def _keyring_problem(slot: Slot) -> str:
    found = keychain.fetch(slot.id)
    if isinstance(found, Missing):
        return found.value
    erase(found)
    try:
        return "" if device.load() is not None else f"this device's key is gone: {device.path()}"
    except StoreError as error:
        return error.message


# Ways to the keys ----------------------------------------------------------------------------------------------


def add_passphrase(keys: Keys, passphrase: str, *, work: Work | None = None) -> None:
    """Let a passphrase open the memory, too.

    Raises UsageError if one does already, NoKey if it is empty, StoreFull, StoreError.
    """
    require_no_passphrase(keys)
    _put(keys, passphrase_slot(keys.file.store_id, keys.master, passphrase, work))


def change_passphrase(keys: Keys, passphrase: str, *, work: Work | None = None) -> None:
    """Put a new passphrase in the place of the present one, whatever way the memory was opened.

    Raises UsageError if there is none yet, NoKey if it is empty, StoreFull, StoreError.
    """
    require_passphrase(keys)
    _put(keys, passphrase_slot(keys.file.store_id, keys.master, passphrase, work))


def require_no_passphrase(keys: Keys) -> None:
    """Raises UsageError if a passphrase opens the memory; for asking before the owner thinks of a new one."""
    if keys.file.of("passphrase"):
        raise UsageError(
            "a passphrase opens this memory already", hint="change it with: secondme keys change-passphrase"
        )


def require_passphrase(keys: Keys) -> None:
    """Raises UsageError if no passphrase opens the memory."""
    if not keys.file.of("passphrase"):
        raise UsageError("no passphrase opens this memory yet", hint="add one with: secondme keys add-passphrase")


def add_recovery(keys: Keys, code: Secret) -> None:
    """Let a recovery code open the memory, in the place of an earlier one. Raises StoreFull, StoreError."""
    _put(keys, recovery_slot(keys.file.store_id, keys.master, code))


def add_keyring(keys: Keys) -> None:
    """Let the system's keyring open the memory on this device, in the place of an earlier entry.

    Raises NoKey if there is no keyring, StoreFull, StoreError.
    """
    slot = keyring_slot(keys.file.store_id, keys.master)
    if slot is None:
        raise no_keyring()
    try:
        _put(keys, slot)
    except BaseException:
        forget_entry(slot)
        raise


def recovery_slot(store_id: str, master: Secret, code: Secret) -> Slot:
    """A slot of a recovery code."""
    key = slots.recovery_key(code)
    try:
        return slots.close_slot(store_id, Slot("recovery", slots.new_id(), b""), key, master)
    finally:
        erase(key)


def no_keyring() -> NoKey:
    return NoKey("there is no system keyring here, or it is locked", hint="log in to the desktop and try again")


def _put(keys: Keys, slot: Slot) -> None:
    """Save the file with this slot in the place of those of its kind."""
    earlier = keys.file.of(slot.kind)
    others = tuple(s for s in keys.file.slots if s.kind != slot.kind)
    keys.save(replace(keys.file, slots=(*others, slot)), scrub=True)
    for gone in earlier:
        forget_entry(gone)


# New keys ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Renewal:
    """A new master key and the slots that will lead to it, ready before anything is changed; never shown."""

    master: bytearray
    slots: tuple[Slot, ...]

    def discard(self) -> None:
        """Take back what was put into the keyring for it."""
        for slot in self.slots:
            forget_entry(slot)
        erase(self.master)


def check_passphrase(keys: Keys, passphrase: str) -> None:
    """Raises WrongPassphrase if it is not the present one."""
    for slot in keys.file.of("passphrase"):
        key = slots.stretch(passphrase, slot.kdf or Kdf(b""))
        if slots.open_slot(keys.file, slot, key) is None:
            raise WrongPassphrase(
                "the passphrase is wrong, and the new keys would no longer be opened by the right one",
                hint="if it is lost, put a new one in its place first: secondme keys change-passphrase",
            )


def prepare(
    keys: Keys, *, passphrase: str | None = None, code: Secret | None = None, work: Work | None = None
) -> Renewal:
    """Make a new master key, with a slot of every kind that the present one has.

    The passphrase stays as it is, with a new salt; the recovery code is a new one. A keyring that is gone is left out
    if there is another way. Raises UsageError, WrongPassphrase, NoKey or StoreError.
    """
    has = {slot.kind for slot in keys.file.slots}
    if "passphrase" in has:
        check_passphrase(keys, passphrase or "")
    if "recovery" in has and code is None:
        raise UsageError("the memory has a recovery code, and needs a new one", hint="run this in a terminal")
    store_id, master = keys.file.store_id, random_key()
    made: list[Slot] = []
    if "passphrase" in has:
        made.append(passphrase_slot(store_id, master, passphrase or "", work))
    if "recovery" in has and code is not None:
        made.append(recovery_slot(store_id, master, code))
    if "keyring" in has:
        slot = keyring_slot(store_id, master)
        if slot is None and not made:
            raise no_keyring()
        made = [slot, *made] if slot is not None else made
    return Renewal(master, tuple(made))


def begin(keys: Keys) -> StoreKeys:
    """Save the next keys beside the present ones, and return those of the store.

    From here on an interruption is settled at the next unlocking. Raises StoreFull, StoreError.
    """
    if keys.file.next is not None:
        raise StoreError(
            "an earlier rotation was interrupted, and none of its keys opens the store",
            hint="put a copy of store.db back, or run: secondme memory repair",
        )
    keys.save(slots.with_next(keys.file, keys.master))
    return next_store_keys(keys.file, keys.master)


def next_store_keys(file: KeySlots, master: Secret) -> StoreKeys:
    """What will open the store once the rotation has ended, and its epoch then. Raises CorruptRecord."""
    db, watermark = (slots.open_key(file, master, use, of_next=True) for use in ("db", "watermark"))
    return StoreKeys(file.store_id, db, watermark, file.sequence + 1)


def finish(keys: Keys, renewal: Renewal) -> None:
    """Save the next keys alone, under the new master key and its slots; nothing opens the earlier ones any more.

    `keys` are those of before: erase them and unlock again. Raises StoreFull, StoreError.
    """
    earlier = keys.file.of("keyring")
    file = slots.promoted(keys.file, keys.master, renewal.master)
    keys.save(replace(file, slots=renewal.slots), scrub=True, master=renewal.master)
    for gone in earlier:
        forget_entry(gone)
