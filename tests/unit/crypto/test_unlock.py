"""From a folder to its keys: first use, again, and every way of not getting in."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from secondme.crypto import calibrate, device, keychain, keyslots, manage, recovery, slots
from secondme.crypto.calibrate import Work
from secondme.crypto.keychain import Missing
from secondme.crypto.keys import Keys
from secondme.crypto.keyslots import FILE, KeySlots, Slot
from secondme.crypto.unlock import AskKind, open_only, unlock
from secondme.errors import CorruptRecord, NoKey, SchemaTooNew, StoreError, WrongPassphrase
from secondme.paths import state_dir
from tests.keyfiles import (
    CHEAP,
    DEVICE,
    ENTRY,
    SECRET,
    added,
    cheap_kdf,
    of_version_1,
    with_keyring,
    with_passphrase,
    with_recovery,
)

CODE = bytes(range(100, 132))


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work that the file may ask for."""
    monkeypatch.setattr(calibrate, "calibrated", lambda: CHEAP)


class Owner:
    """Answers as told, and remembers what was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[AskKind] = []

    def __call__(self, kind: AskKind) -> str:
        self.asked.append(kind)
        return self.answer


def same(a: Keys, b: Keys) -> bool:
    """Whether both are the same keys, whatever way they were opened."""
    return (a.store, a.export) == (b.store, b.export)


def put(folder: Path, made: tuple[KeySlots, bytearray]) -> KeySlots:
    """Save a key file made for a test."""
    keyslots.save(folder, made[0])
    return made[0]


def test_a_passphrase_given_opens_what_it_made(tmp_path: Path) -> None:
    made = unlock(tmp_path, passphrase="one")
    assert len(made.store.db) == len(made.store.watermark) == len(made.export) == 32
    assert same(unlock(tmp_path, passphrase="one"), made)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_the_owner_is_asked_once_each_time(tmp_path: Path) -> None:
    owner = Owner("one")
    made = unlock(tmp_path, ask=owner)
    assert owner.asked == ["new"]
    assert same(unlock(tmp_path, ask=owner), made)
    assert owner.asked == ["new", "existing"]
    assert same(unlock(tmp_path, ask=owner, passphrase="one"), made)
    assert owner.asked == ["new", "existing"]


def test_a_wrong_passphrase_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    unlock(tmp_path, passphrase="one")
    before = (tmp_path / FILE).read_bytes()
    owner = Owner("One")
    for given in ("two", "one "):
        with pytest.raises(WrongPassphrase) as caught:
            unlock(tmp_path, passphrase=given)
        assert "two" not in caught.value.message and caught.value.exit_code == 77
    with pytest.raises(WrongPassphrase):
        unlock(tmp_path, ask=owner)
    assert owner.asked == ["existing"]
    assert (tmp_path / FILE).read_bytes() == before


def test_an_empty_passphrase_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="empty"):
        unlock(tmp_path, passphrase="")
    with pytest.raises(NoKey, match="empty"):
        unlock(tmp_path, ask=Owner(""))
    assert list(tmp_path.iterdir()) == []


def test_with_no_way_to_a_key_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoKey) as caught:
        unlock(tmp_path)
    assert caught.value.exit_code == 78 and "--key-fd" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_store_with_a_passphrase_says_that_it_wants_one(tmp_path: Path) -> None:
    unlock(tmp_path, passphrase="one")
    with pytest.raises(NoKey, match="passphrase protects") as caught:
        unlock(tmp_path)
    assert caught.value.exit_code == 78


def test_composed_and_decomposed_letters_are_one_passphrase(tmp_path: Path) -> None:
    made = unlock(tmp_path, passphrase="caf\u00e9 ole")
    assert same(unlock(tmp_path, passphrase="cafe\u0301 ole"), made)


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_a_store_without_its_key_file_is_not_begun_anew(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"encrypted")
    owner = Owner("one")
    with pytest.raises(StoreError, match="key file is gone"):
        unlock(tmp_path, ask=owner)
    assert owner.asked == [] and [p.name for p in tmp_path.iterdir()] == [name]


def test_an_interrupted_first_use_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / (FILE + ".new")).write_bytes(b"half")
    (tmp_path / "store.db.new").write_bytes(b"half")
    made = unlock(tmp_path, passphrase="one")
    assert same(unlock(tmp_path, passphrase="one"), made)
    assert not (tmp_path / (FILE + ".new")).exists()


def test_what_an_interrupted_saving_left_goes_with_the_next_unlocking(tmp_path: Path) -> None:
    unlock(tmp_path, passphrase="one")
    (tmp_path / (FILE + ".new")).write_bytes((tmp_path / FILE).read_bytes())
    with pytest.raises(WrongPassphrase):
        unlock(tmp_path, passphrase="two")
    assert (tmp_path / (FILE + ".new")).exists()
    unlock(tmp_path, passphrase="one")
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_damaged_key_file_is_neither_hidden_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"{}")
    with pytest.raises(CorruptRecord):
        unlock(tmp_path, passphrase="one")
    (tmp_path / FILE).write_bytes(b'{"format": "secondme-keyslots", "version": 3}')
    with pytest.raises(SchemaTooNew):
        unlock(tmp_path, passphrase="one")
    assert (tmp_path / FILE).read_bytes() == b'{"format": "secondme-keyslots", "version": 3}'


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        unlock(tmp_path / "missing", passphrase="one")


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    keys = unlock(tmp_path, passphrase="one")
    shown = repr(keys) + repr(keys.store)
    for key in (keys.store.db, keys.store.watermark, keys.export, keys.master):
        assert key.hex() not in shown and repr(bytes(key))[2:-1] not in shown


def test_what_a_new_passphrase_costs_can_be_chosen(tmp_path: Path) -> None:
    unlock(tmp_path, passphrase="one", work=Work(20 * 1024, 2, 1))
    file = keyslots.load(tmp_path)
    assert file is not None and file.slots[0].kdf is not None
    kdf = file.slots[0].kdf
    assert (kdf.memory_kib, kdf.iterations, kdf.lanes, len(kdf.salt)) == (20 * 1024, 2, 1, 16)


# The recovery code ---------------------------------------------------------------------------------------------


def test_a_recovery_code_is_taken_where_a_passphrase_is(tmp_path: Path) -> None:
    file, master = with_passphrase("one")
    slot = slots.close_slot(file.store_id, Slot("recovery", ENTRY, b""), slots.recovery_key(CODE), master)
    put(tmp_path, (added(file, master, slot), master))
    by_passphrase = unlock(tmp_path, passphrase="one")
    by_code = unlock(tmp_path, passphrase=recovery.spell(CODE).lower().replace("-", " "))
    assert same(by_passphrase, by_code)
    assert by_code.opened_by == slot and by_passphrase.opened_by == file.slots[0]
    assert same(unlock(tmp_path, ask=Owner(recovery.spell(CODE))), by_code)


def test_each_way_of_being_wrong_has_its_words(tmp_path: Path) -> None:
    """For a file of each kind: what was typed, and what is said."""
    code, other = recovery.spell(CODE), recovery.spell(bytes(32))
    mistyped = code.replace("5", "6", 1)
    assert mistyped != code
    file, master = with_passphrase("one")
    slot = slots.close_slot(file.store_id, Slot("recovery", ENTRY, b""), slots.recovery_key(CODE), master)
    both = (added(file, master, slot), master)
    cases = [
        (with_passphrase("one"), "two", "the passphrase is wrong"),
        (with_passphrase("one"), other, "no recovery code"),
        (with_passphrase("one"), mistyped, "the passphrase is wrong"),
        (with_keyring(), "two", "no passphrase opens"),
        (with_keyring(), other, "no recovery code"),
        (with_recovery(CODE), "two", "not the recovery code"),
        (with_recovery(CODE), other, "another memory's"),
        (with_recovery(CODE), mistyped, "typing error"),
        (both, "two", "the passphrase is wrong"),
        (both, other, "another memory's"),
        (both, mistyped, "typing error"),
    ]
    for made, typed, said in cases:
        put(tmp_path, made)
        with pytest.raises(WrongPassphrase, match=said) as caught:
            unlock(tmp_path, passphrase=typed)
        assert caught.value.hint and typed not in caught.value.message + caught.value.hint


def test_a_store_with_a_recovery_code_says_that_it_can_be_given(tmp_path: Path) -> None:
    put(tmp_path, with_recovery(CODE))
    with pytest.raises(NoKey) as caught:
        unlock(tmp_path)
    assert "recovery code" in (caught.value.hint or "")


# A keyring; the real one is used in tests/integration/test_keyring.py -------------------------------------------


def set_device(key: bytes = DEVICE) -> Path:
    state_dir().mkdir(parents=True, exist_ok=True)
    device.path().write_bytes(key)
    return device.path()


def test_a_keyring_opens_what_it_made_without_a_question(tmp_path: Path, ring: dict[str, bytes]) -> None:
    owner = Owner("one")
    made = unlock(tmp_path, ask=owner)
    assert owner.asked == [] and same(unlock(tmp_path, ask=owner), made)
    (entry,) = ring
    assert made.opened_by is not None and (made.opened_by.kind, made.opened_by.id) == ("keyring", entry)
    assert device.path().stat().st_mode & 0o777 == 0o600 and device.path().stat().st_size == 32


def test_the_keyrings_secret_and_the_data_open_nothing_without_the_device(
    tmp_path: Path, ring: dict[str, bytes]
) -> None:
    unlock(tmp_path)
    device.path().unlink()
    owner = Owner("one")
    with pytest.raises(NoKey, match="this device's key is gone") as caught:
        unlock(tmp_path, ask=owner)
    assert owner.asked == [] and str(device.path()) in (caught.value.hint or "")
    # Neither the failure nor another store's key makes a new one in its place.
    assert not device.path().exists()
    set_device(bytes(32))
    with pytest.raises(NoKey, match="do not open the store"):
        unlock(tmp_path)


def test_a_device_key_of_another_length_is_none(tmp_path: Path, ring: dict[str, bytes]) -> None:
    unlock(tmp_path)
    device.path().write_bytes(b"short")
    with pytest.raises(NoKey, match="is gone"):
        unlock(tmp_path)


def test_a_device_key_that_cannot_be_read_is_an_error(tmp_path: Path, ring: dict[str, bytes]) -> None:
    unlock(tmp_path)
    device.path().unlink()
    device.path().mkdir()
    with pytest.raises(NoKey, match="device's key cannot be read") as caught:
        unlock(tmp_path)
    assert str(device.path()) in (caught.value.hint or "")
    status = manage.status(tmp_path)
    assert status is not None and "cannot be read" in status.ways[0].problem


def test_a_device_key_that_cannot_be_written_makes_nothing(tmp_path: Path, ring: dict[str, bytes]) -> None:
    state_dir().parent.mkdir(parents=True)
    state_dir().write_bytes(b"a file in the folder's place")
    with pytest.raises(StoreError, match="device's key cannot be"):
        unlock(tmp_path)
    assert ring == {} and not (tmp_path / FILE).exists()
    state_dir().unlink()
    state_dir().mkdir()
    (state_dir() / (device.FILE + ".new")).mkdir()
    with pytest.raises(StoreError, match="device's key cannot be written"):
        unlock(tmp_path)
    assert ring == {} and not (tmp_path / FILE).exists()


def test_without_its_keyring_a_store_asks_for_no_passphrase(tmp_path: Path) -> None:
    put(tmp_path, with_keyring())
    owner = Owner("one")
    with pytest.raises(NoKey, match="keyring") as caught:
        unlock(tmp_path, ask=owner)
    assert owner.asked == [] and caught.value.hint


@pytest.mark.parametrize("why", list(Missing))
def test_each_reason_of_a_silent_keyring_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Missing) -> None:
    put(tmp_path, with_keyring())
    monkeypatch.setattr(keychain, "fetch", lambda entry: why)
    with pytest.raises(NoKey) as caught:
        unlock(tmp_path)
    assert why.value in caught.value.message and caught.value.hint


def test_without_its_keyring_a_store_opens_by_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, master = with_passphrase("one")
    slot = slots.close_slot(file.store_id, Slot("keyring", ENTRY, b""), slots.keyring_key(SECRET, DEVICE), master)
    put(tmp_path, (added(file, master, slot), master))
    owner = Owner("one")
    unlock(tmp_path, ask=owner)
    assert owner.asked == ["existing"]
    monkeypatch.setattr(keychain, "fetch", lambda entry: Missing.LOCKED)
    with pytest.raises(NoKey, match="locked") as caught:
        unlock(tmp_path)
    assert "passphrase with --key-fd" in (caught.value.hint or "")


def test_a_passphrase_for_a_store_of_the_keyring_is_wrong(tmp_path: Path) -> None:
    put(tmp_path, with_keyring())
    with pytest.raises(WrongPassphrase, match="no passphrase"):
        unlock(tmp_path, passphrase="one")


def test_an_entry_that_nothing_will_ask_for_is_taken_back(tmp_path: Path, ring: dict[str, bytes]) -> None:
    with pytest.raises(StoreError):
        unlock(tmp_path / "missing")
    assert ring == {}


# Files of the first version ------------------------------------------------------------------------------------


def test_a_passphrase_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    kdf = cheap_kdf()
    old, master = of_version_1(Slot("passphrase", ENTRY, b"", kdf), slots.stretch("one", kdf))
    put(tmp_path, (old, master))
    keys = unlock(tmp_path, passphrase="one")
    file = keyslots.load(tmp_path)
    assert file is not None and (file.version, file.sequence, file.slots) == (2, 1, old.slots)
    assert keys.store.db == slots.open_key(old, master, "db") and keys.store.store_id == old.store_id
    assert same(unlock(tmp_path, passphrase="one"), keys)
    assert not device.path().exists()


def test_a_keyring_file_of_version_1_is_bound_to_the_device(tmp_path: Path, ring: dict[str, bytes]) -> None:
    old, master = of_version_1(Slot("keyring", ENTRY, b""), SECRET)
    put(tmp_path, (old, master))
    ring[ENTRY] = SECRET
    keys = unlock(tmp_path)
    file = keyslots.load(tmp_path)
    assert file is not None and file.slots[0].id == ENTRY and slots.open_slot(file, file.slots[0], SECRET) is None
    assert same(unlock(tmp_path), keys) and keys.store.db == slots.open_key(old, master, "db")
    device.path().unlink()
    with pytest.raises(NoKey, match="is gone"):
        unlock(tmp_path)


@pytest.mark.parametrize("kept", [None, bytes(32)])
def test_a_keyrings_slot_of_version_1_that_opens_nothing_is_left_out(
    tmp_path: Path, ring: dict[str, bytes], kept: bytes | None
) -> None:
    kdf = cheap_kdf()
    file, master = of_version_1(Slot("passphrase", "0" * 16, b"", kdf), slots.stretch("one", kdf))
    slot = slots.close_slot(file.store_id, Slot("keyring", ENTRY, b""), SECRET, master)
    put(tmp_path, (added(file, master, slot), master))
    if kept is not None:
        ring[ENTRY] = kept
    unlock(tmp_path, passphrase="one")
    upgraded = keyslots.load(tmp_path)
    assert upgraded is not None and [s.kind for s in upgraded.slots] == ["passphrase"]


def test_a_version_1_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    kdf = cheap_kdf()
    old = put(tmp_path, of_version_1(Slot("passphrase", ENTRY, b"", kdf), slots.stretch("one", kdf)))
    (tmp_path / (FILE + ".new")).mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        unlock(tmp_path, passphrase="one")
    assert keyslots.load(tmp_path) == old


# A rotation that was interrupted -------------------------------------------------------------------------------


def interrupted(folder: Path) -> tuple[Keys, bytes]:
    """The keys of a file in the middle of a rotation, and the database key that comes next."""
    keys = unlock(folder, passphrase="one")
    keys.save(slots.with_next(keys.file, keys.master))
    return keys, bytes(slots.open_key(keys.file, keys.master, "db", of_next=True))


def test_a_rotation_is_ended_if_the_store_has_the_next_key(tmp_path: Path) -> None:
    before, following = interrupted(tmp_path)
    keys = unlock(tmp_path, passphrase="one", opens=lambda key: key == following)
    assert keys.store.db == following and keys.file.next is None
    assert keys.store.watermark != before.store.watermark and keys.export != before.export
    assert keys.store.epoch == before.store.epoch + 1
    assert same(unlock(tmp_path, passphrase="one"), keys)


def test_a_rotation_is_taken_back_if_the_store_has_the_present_key(tmp_path: Path) -> None:
    before, _ = interrupted(tmp_path)
    keys = unlock(tmp_path, passphrase="one", opens=lambda key: key == before.store.db)
    assert keys.store.db == before.store.db and keys.file.next is None
    assert same(unlock(tmp_path, passphrase="one"), keys)


def test_both_sets_of_keys_are_kept_while_neither_opens_the_store(tmp_path: Path) -> None:
    before, _ = interrupted(tmp_path)
    for opens in (None, lambda key: False):
        keys = unlock(tmp_path, passphrase="one", opens=opens)
        assert same(keys, before) and keys.file == before.file
    assert keyslots.load(tmp_path) == before.file


def test_damaged_next_keys_are_told(tmp_path: Path) -> None:
    keys, _ = interrupted(tmp_path)
    assert keys.file.next is not None
    keys.save(dataclasses.replace(keys.file, next=keys.file.next | {"db": bytes(60)}))
    with pytest.raises(CorruptRecord):
        unlock(tmp_path, passphrase="one", opens=lambda key: True)


# The keyring's own behaviour -----------------------------------------------------------------------------------


def test_a_backend_that_fails_in_its_own_way_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange(Exception):
        pass

    def failing() -> None:
        raise Strange("from a library of the bus")

    monkeypatch.setattr(keychain, "_backend", failing)
    assert keychain.backend_name() is None
    assert keychain.fetch(ENTRY) is Missing.LOCKED
    assert not keychain.store(ENTRY, bytes(32))
    assert not keychain.remove(ENTRY)


@pytest.mark.skipif(sys.platform != "linux", reason="a display is told by the environment on Linux alone")
@pytest.mark.parametrize("headless", [True, False])
def test_a_backend_that_waits_for_nobody_is_left(monkeypatch: pytest.MonkeyPatch, headless: bool) -> None:
    import threading

    forever = threading.Event()
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if not headless:
        monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(keychain, "_backend", forever.wait)
    monkeypatch.setattr(keychain, "TIMEOUT_S", 60.0 if headless else 0.05)
    monkeypatch.setattr(keychain, "HEADLESS_TIMEOUT_S", 0.05 if headless else 60.0)
    assert keychain.backend_name() is None
    assert keychain.fetch(ENTRY) is Missing.LOCKED
    forever.set()


# The process ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hardened_process_leaves_no_core_and_cannot_be_dumped() -> None:
    code = (
        "import resource, ctypes\n"
        "from secondme.crypto.unlock import harden_process\n"
        "harden_process()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"


def test_without_a_key_file_there_is_nothing_to_open_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="no key file"):
        open_only(tmp_path, "one")
    assert list(tmp_path.iterdir()) == []
    keyslots.save(tmp_path, with_passphrase("one")[0])
    with open_only(tmp_path, "one") as keys:
        assert len(keys.store.db) == 32
