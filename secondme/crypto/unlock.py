"""From a folder and its owner to the keys: the keyring without a question, or a passphrase, or a refusal.

A recovery code is taken wherever a passphrase is: its checksum tells it from one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from secondme.crypto import calibrate, device, keychain, keyslots, recovery, slots, wiping
from secondme.crypto.calibrate import Work
from secondme.crypto.envelope import Secret, random_key
from secondme.crypto.keychain import Missing
from secondme.crypto.keys import Keys
from secondme.crypto.keyslots import KeySlots, Slot
from secondme.errors import NoKey, StoreError, WrongPassphrase

AskKind = Literal["new", "existing"]
Ask = Callable[[AskKind], str]
Opens = Callable[[Secret], bool]
STORE_FILE = "store.db"

_AGAIN = "try again; capitals and spaces count"
_Opened = tuple[Slot, bytearray]


def unlock(
    folder: Path,
    *,
    ask: Ask | None = None,
    passphrase: str | None = None,
    opens: Opens | None = None,
    work: Work | None = None,
) -> Keys:
    """Open the keys of `folder`, or make them on first use.

    A passphrase given is used and nothing else is tried. Otherwise the keyring answers; if it cannot, `ask` is called.
    `opens` tells whether a key opens the store: a rotation of the keys that was interrupted is ended or taken back by
    it. `work` is what a new passphrase costs, measured on this machine unless given.
    Raises NoKey if there is no way left, WrongPassphrase, CorruptRecord, SchemaTooNew, StoreFull or StoreError.
    """
    wiping.require_none(folder)
    file = keyslots.load(folder)
    if file is None:
        return _first_time(folder, ask, passphrase, work)
    slot, master = _open(file, ask, passphrase)
    keyslots.sweep(folder)
    if file.version == 1:
        file = _upgraded(folder, file, master)
    keys = Keys(folder, file, master, slot)
    if file.next is not None and opens is not None:
        return _settled(folder, keys, opens)
    return keys


def open_only(folder: Path, passphrase: str | None = None) -> Keys:
    """Open the keys and change nothing on the disk, without a question: by the keyring, or by what is given.

    Raises what `unlock` raises; a key file that has to be brought up to date first is a CorruptRecord.
    """
    file = keyslots.load(folder)
    if file is None:
        raise NoKey("there is no key file", hint="nothing can be opened without it")
    slot, master = _open(file, None, passphrase)
    return Keys(folder, file, master, slot)


# First use -----------------------------------------------------------------------------------------------------


def _first_time(folder: Path, ask: Ask | None, passphrase: str | None, work: Work | None) -> Keys:
    if any((folder / name).exists() for name in (STORE_FILE, STORE_FILE + "-wal")):
        raise StoreError(
            "there is a store, but its key file is gone, and without it nothing can open the store",
            hint=f"put keyslots.json back into {folder}, or move store.db away to begin anew",
        )
    store_id, master = slots.new_store_id(), random_key()
    if passphrase is None:
        made = keyring_slot(store_id, master)
        if made is not None:
            return _saved(folder, store_id, made, master)
        if ask is None:
            raise NoKey(
                "there is no keyring on this machine and no passphrase was given, so nothing can be stored safely",
                hint="pass a passphrase with --key-fd N, or run secondme in a terminal",
            )
        passphrase = ask("new")
    return _saved(folder, store_id, passphrase_slot(store_id, master, passphrase, work), master)


def _saved(folder: Path, store_id: str, slot: Slot, master: bytearray) -> Keys:
    file = slots.fresh(slot, master, store_id)
    try:
        keyslots.save(folder, file)
    except BaseException:
        forget_entry(slot)
        raise
    return Keys(folder, file, master, slot)


def keyring_slot(store_id: str, master: Secret) -> Slot | None:
    """A slot of the system's keyring with a new secret, which is kept there; None if there is no keyring.

    Raises StoreError if this device's key cannot be read or written.
    """
    slot, secret = Slot("keyring", slots.new_id(), b""), random_key()
    if not keychain.store(slot.id, secret):
        return None
    try:
        key = slots.keyring_key(secret, device.load_or_make())
    except BaseException:
        forget_entry(slot)
        raise
    return slots.close_slot(store_id, slot, key, master)


def forget_entry(slot: Slot) -> None:
    """Take the keyring's entry of a slot back that no file names: nothing will ever ask for it."""
    if slot.kind == "keyring":
        keychain.remove(slot.id)


def passphrase_slot(store_id: str, master: Secret, passphrase: str, work: Work | None = None) -> Slot:
    """A slot of a passphrase; without `work`, as much as this machine does in about 0.75 s.

    Raises NoKey for an empty passphrase, StoreError if the memory for it is not free.
    """
    if not passphrase:
        raise NoKey("the passphrase is empty", hint="choose one of several words")
    kdf = (work or calibrate.calibrated()).kdf()
    slot = Slot("passphrase", slots.new_id(), b"", kdf)
    return slots.close_slot(store_id, slot, slots.stretch(passphrase, kdf), master)


# Later ---------------------------------------------------------------------------------------------------------


def _open(file: KeySlots, ask: Ask | None, passphrase: str | None) -> _Opened:
    if passphrase is None:
        found = _by_keyring(file)
        if not isinstance(found, NoKey):
            return found
        if not (file.of("passphrase") or file.of("recovery")):
            raise found
        if ask is None:
            raise _not_given(file, found)
        passphrase = ask("existing")
    return by_text(file, passphrase)


def _not_given(file: KeySlots, keyring: NoKey) -> NoKey:
    what = "a passphrase" if file.of("passphrase") else "a recovery code"
    message = keyring.message if file.of("keyring") else "a passphrase protects the store, and none was given"
    return NoKey(message, hint=f"pass {what} with --key-fd N, or run secondme in a terminal")


def _by_keyring(file: KeySlots) -> _Opened | NoKey:
    """The master key by the system's keyring, or what to say if there is no other way."""
    reason: NoKey | None = None
    for slot in file.of("keyring"):
        secret = keychain.fetch(slot.id)
        if isinstance(secret, Missing):
            reason = _unanswered(secret)
            continue
        try:
            bound_to = device.load() if file.version > 1 else None
        except StoreError as error:
            reason = NoKey(error.message, hint=error.hint)
            continue
        if file.version > 1 and bound_to is None:
            reason = _no_device()
            continue
        master = slots.open_slot(file, slot, secret if bound_to is None else slots.keyring_key(secret, bound_to))
        if master is not None:
            return slot, master
        reason = NoKey(
            "the keyring's secret and this device's key do not open the store: one of them is another store's",
            hint=f"put an earlier copy of {device.path()} back",
        )
    return reason or NoKey("no keyring opens the store")


def _unanswered(why: Missing) -> NoKey:
    hints = {
        Missing.NO_KEYRING: "log in to the desktop, or start its keyring service",
        Missing.LOCKED: "unlock the keyring (log in to the desktop) and try again",
        Missing.NO_ENTRY: "log in as the user who made the store, or restore the keyring from a backup",
    }
    return NoKey(f"the store's key is in the system's keyring, but {why.value}", hint=hints[why])


def _no_device() -> NoKey:
    return NoKey(
        "this device's key is gone, and without it the system's keyring does not open the store",
        hint=f"put a copy of {device.path()} back, or use the recovery code or passphrase if you made one",
    )


def by_text(file: KeySlots, text: str) -> _Opened:
    """The slot that a passphrase or recovery code opens, and the master key in it.

    Raises NoKey for an empty text, WrongPassphrase, CorruptRecord, or StoreError if the memory for it is not free.
    """
    code = recovery.read(text)
    if code is not None:
        for slot in file.of("recovery"):
            master = slots.open_slot(file, slot, slots.recovery_key(code))
            if master is not None:
                return slot, master
    for slot in file.of("passphrase"):
        assert slot.kdf is not None
        master = slots.open_slot(file, slot, slots.stretch(text, slot.kdf))
        if master is not None:
            return slot, master
    raise _wrong(file, text)


def _wrong(file: KeySlots, text: str) -> WrongPassphrase:
    has_code, has_passphrase = bool(file.of("recovery")), bool(file.of("passphrase"))
    if recovery.read(text) is not None:
        if has_code:
            hint = "use the newest one: making a new code, or rotating the keys, ends the earlier one"
            return WrongPassphrase("this recovery code is another memory's, or an earlier one", hint=hint)
        return WrongPassphrase(
            "this memory has no recovery code", hint="use its passphrase" if has_passphrase else "log in to its keyring"
        )
    if has_code and recovery.resembles(text):
        return WrongPassphrase(
            "the recovery code has a typing error: its checksum does not fit",
            hint="compare it with your copy group by group; capitals and dashes do not matter",
        )
    if has_passphrase:
        return WrongPassphrase("the passphrase is wrong", hint=_AGAIN + ("; or use the recovery code" * has_code))
    if has_code:
        return WrongPassphrase("this is not the recovery code", hint="it has 14 groups of four characters")
    return WrongPassphrase("no passphrase opens this store", hint="its key is in the system's keyring: give none")


# Bringing the file up to date ----------------------------------------------------------------------------------


def _upgraded(folder: Path, file: KeySlots, master: Secret) -> KeySlots:
    """Write a file of version 1 anew: with all the keys, and with its keyring's slot bound to this device."""
    kept = [s if s.kind == "passphrase" else _bound(file, s, master) for s in file.slots]
    keys = file.keys | slots.new_keys(file.store_id, master, [u for u in keyslots.USES if u not in file.keys])
    slots.open_key(file, master, "db")
    new = replace(file, version=keyslots.VERSION, sequence=1, keys=keys, slots=tuple(s for s in kept if s is not None))
    new = slots.sign(new, master)
    keyslots.save(folder, new, scrub=True)
    return new


def _bound(file: KeySlots, slot: Slot, master: Secret) -> Slot | None:
    secret = keychain.fetch(slot.id)
    if isinstance(secret, Missing) or slots.open_slot(file, slot, secret) is None:
        return None
    return slots.close_slot(file.store_id, slot, slots.keyring_key(secret, device.load_or_make()), master)


def _settled(folder: Path, keys: Keys, opens: Opens) -> Keys:
    """End a rotation that was interrupted, if the store was already written anew, or take it back.

    The master key stays, and with it every slot: the owner may not be at hand to give the passphrase. The file's
    sequence grows as it would have grown without the interruption.
    """
    if opens(slots.open_key(keys.file, keys.master, "db", of_next=True)):
        file = slots.promoted(keys.file, keys.master, keys.master)
    elif opens(keys.store.db):
        file = replace(keys.file, next=None)
    else:
        # Nothing opens the store, or there is none yet: both keys are kept until one does.
        return keys
    keys.save(file, scrub=True)
    return Keys(folder, keys.file, keys.master, keys.opened_by)


# The process ---------------------------------------------------------------------------------------------------


def harden_process() -> None:
    """Keep keys out of core dumps and away from other processes of the same user, as far as the system allows."""
    if sys.platform == "win32":  # pragma: no cover  has no core dumps to switch off
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # pragma: no branch  other systems have no such switch
        import ctypes

        pr_set_dumpable = 4
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)
