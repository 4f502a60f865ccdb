"""From a folder to its keys: first use, again, and every way of not getting in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from secondme.crypto import keychain, keyslots
from secondme.crypto.keyslots import FILE, Kdf
from secondme.crypto.unlock import AskKind, unlock
from secondme.errors import CorruptRecord, NoKey, SchemaTooNew, StoreError, WrongPassphrase


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work that the file may ask for."""
    monkeypatch.setattr(Kdf.__init__, "__defaults__", (keyslots.MIN_MEMORY_KIB, 1, 1))


class Owner:
    """Answers as told, and remembers what was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[AskKind] = []

    def __call__(self, kind: AskKind) -> str:
        self.asked.append(kind)
        return self.answer


def test_a_passphrase_given_opens_what_it_made(tmp_path: Path) -> None:
    made = unlock(tmp_path, passphrase="one")
    assert len(made.db) == 32
    assert unlock(tmp_path, passphrase="one") == made
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_the_owner_is_asked_once_each_time(tmp_path: Path) -> None:
    owner = Owner("one")
    made = unlock(tmp_path, ask=owner)
    assert owner.asked == ["new"]
    assert unlock(tmp_path, ask=owner) == made
    assert owner.asked == ["new", "existing"]
    assert unlock(tmp_path, ask=owner, passphrase="one") == made
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
    assert unlock(tmp_path, passphrase="cafe\u0301 ole") == made


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
    assert unlock(tmp_path, passphrase="one") == made
    assert not (tmp_path / (FILE + ".new")).exists()


def test_a_damaged_key_file_is_neither_hidden_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"{}")
    with pytest.raises(CorruptRecord):
        unlock(tmp_path, passphrase="one")
    (tmp_path / FILE).write_bytes(b'{"format": "secondme-keyslots", "version": 2}')
    with pytest.raises(SchemaTooNew):
        unlock(tmp_path, passphrase="one")
    assert (tmp_path / FILE).read_bytes() == b'{"format": "secondme-keyslots", "version": 2}'


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        unlock(tmp_path / "missing", passphrase="one")


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    keys = unlock(tmp_path, passphrase="one")
    assert keys.db.hex() not in repr(keys) and repr(keys.db)[2:-1] not in repr(keys)


# A store of the keyring; the keyring itself is tested in tests/integration/test_keyring.py ---------------------


def keyring_store(folder: Path) -> None:
    keyslots.save(folder, keyslots.create(keyring_key=("0123456789abcdef", bytes(32)))[0])


def test_without_its_keyring_a_store_asks_for_no_passphrase(tmp_path: Path) -> None:
    keyring_store(tmp_path)
    owner = Owner("one")
    with pytest.raises(NoKey, match="keyring") as caught:
        unlock(tmp_path, ask=owner)
    assert owner.asked == [] and caught.value.hint


def test_a_passphrase_for_a_store_of_the_keyring_is_wrong(tmp_path: Path) -> None:
    keyring_store(tmp_path)
    with pytest.raises(WrongPassphrase, match="no passphrase"):
        unlock(tmp_path, passphrase="one")


def test_an_entry_that_nothing_will_ask_for_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(keychain, "store", lambda entry, key: kept.update({entry: key}) is None)
    monkeypatch.setattr(keychain, "remove", lambda entry: kept.pop(entry, None) is not None)
    with pytest.raises(StoreError):
        unlock(tmp_path / "missing")
    assert kept == {}


def test_a_backend_that_fails_in_its_own_way_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange(Exception):
        pass

    def failing() -> None:
        raise Strange("from a library of the bus")

    monkeypatch.setattr(keychain, "_backend", failing)
    assert keychain.backend_name() is None
    assert keychain.fetch("0123456789abcdef") is None
    assert not keychain.store("0123456789abcdef", bytes(32))
    assert not keychain.remove("0123456789abcdef")


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
    assert keychain.fetch("0123456789abcdef") is None
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
