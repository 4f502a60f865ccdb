"""The key file: made, saved, read strictly, refused when changed."""

from __future__ import annotations

import base64
import dataclasses
import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondme.crypto import keyslots
from secondme.crypto.keyslots import FILE, Kdf, KeySlots
from secondme.errors import CorruptRecord, NoKey, SchemaTooNew, StoreError, StoreFull

ENTRY = ("0123456789abcdef", bytes(range(32)))


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work that the file may ask for."""
    monkeypatch.setattr(Kdf.__init__, "__defaults__", (keyslots.MIN_MEMORY_KIB, 1, 1))


def document_of(slots: KeySlots) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(keyslots.serialize(slots))
    return document


def test_new_keys_open_with_the_passphrase_alone() -> None:
    slots, master = keyslots.create(passphrase="one")
    (slot,) = slots.slots
    assert slot.kdf is not None
    assert keyslots.open_slot(slots, slot, keyslots.stretch("one", slot.kdf)) == master
    assert keyslots.open_slot(slots, slot, keyslots.stretch("two", slot.kdf)) is None
    key = keyslots.open_key(slots, master, "db")
    assert len(key) == len(master) == 32 and key != master
    again, other = keyslots.create(passphrase="one")
    assert other != master and again.store_id != slots.store_id
    assert keyslots.open_slot(again, slot, keyslots.stretch("one", slot.kdf)) is None


def test_the_default_work_factors_are_those_of_the_security_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert (Kdf(b"").memory_kib, Kdf(b"").iterations, Kdf(b"").lanes) == (65536, 3, 4)


def test_new_keys_open_with_the_keyrings_key() -> None:
    slots, master = keyslots.create(keyring_key=ENTRY)
    (slot,) = slots.slots
    assert (slot.id, slot.kdf) == (ENTRY[0], None)
    assert keyslots.open_slot(slots, slot, ENTRY[1]) == master
    assert keyslots.open_slot(slots, slot, bytes(32)) is None


def test_a_passphrase_gives_the_key_it_always_gave() -> None:
    """Pinned: any change would lock every owner out."""
    kdf = Kdf(b"0123456789abcdef", 19 * 1024, 1, 1)
    assert keyslots.stretch("golden", kdf).hex() == "5287f30660708217bf62d2a17c71139d5cb6d2b0abc44f5765cf3bdc40042f06"


def test_the_same_passphrase_typed_on_another_system_is_the_same() -> None:
    kdf = Kdf(bytes(16))
    assert keyslots.stretch("caf\u00e9", kdf) == keyslots.stretch("cafe\u0301", kdf)
    assert keyslots.stretch("caf\u00e9", kdf) != keyslots.stretch("cafe", kdf)
    # A terminal may hand over bytes that are no UTF-8.
    assert keyslots.stretch("\udcff", kdf) != keyslots.stretch("?", kdf)


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(NoKey, match="empty"):
        keyslots.create(passphrase="")


def test_the_file_reads_back_equal_and_shows_no_key(tmp_path: Path) -> None:
    slots, master = keyslots.create(passphrase="one")
    keyslots.save(tmp_path, slots)
    assert keyslots.load(tmp_path) == slots
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    text = file.read_bytes()
    for secret in (master, keyslots.open_key(slots, master, "db")):
        assert base64.b64encode(secret) not in text and secret.hex().encode() not in text


def test_no_file_is_none(tmp_path: Path) -> None:
    assert keyslots.load(tmp_path) is None


def test_saving_replaces_what_an_interruption_left(tmp_path: Path) -> None:
    (tmp_path / (FILE + ".new")).write_bytes(b"half" * 10_000)
    slots, _ = keyslots.create(keyring_key=ENTRY)
    keyslots.save(tmp_path, slots)
    assert keyslots.load(tmp_path) == slots
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreError)]
)
def test_a_failed_write_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    slots, _ = keyslots.create(keyring_key=ENTRY)
    keyslots.save(tmp_path, slots)

    def failing(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(kind) as caught:
        keyslots.save(tmp_path, keyslots.create(keyring_key=ENTRY)[0])
    assert caught.value.hint
    assert keyslots.load(tmp_path) == slots
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError):
        keyslots.load(tmp_path)


# Strictness ----------------------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = document_of(keyslots.create(passphrase="one")[0])
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("mac"),
        lambda d: d.pop("version"),
        lambda d: d.update(more=1),
        lambda d: d.update(format="another"),
        lambda d: d.update(version=0),
        lambda d: d.update(version=True),
        lambda d: d.update(version=1.0),
        lambda d: d.update(version="1"),
        lambda d: d.update(store_id="xyz"),
        lambda d: d.update(store_id=d["store_id"].upper() + " "),
        lambda d: d.update(slots=[]),
        lambda d: d.update(slots={}),
        lambda d: d.update(slots="passphrase"),
        lambda d: d.update(slots=None),
        lambda d: d.update(slots=d["slots"] * 2),
        lambda d: d.update(slots=[None]),
        lambda d: d.update(keys=[]),
        lambda d: d.update(keys={"db": 7}),
        lambda d: d.update(mac="not base64!"),
        lambda d: d["slots"][0].update(kind="plaintext"),
        lambda d: d["slots"][0].update(id=7),
        lambda d: d["slots"][0].update(more=1),
        lambda d: d["slots"][0].pop("kdf"),
        lambda d: d["slots"][0]["kdf"].update(name="argon2d"),
        lambda d: d["slots"][0]["kdf"].update(salt=""),
        lambda d: d["slots"][0]["kdf"].update(memory_kib=8),
        lambda d: d["slots"][0]["kdf"].update(memory_kib=2**40),
        lambda d: d["slots"][0]["kdf"].update(memory_kib="65536"),
        lambda d: d["slots"][0]["kdf"].update(iterations=0),
        lambda d: d["slots"][0]["kdf"].update(iterations=10**9),
        lambda d: d["slots"][0]["kdf"].update(iterations=True),
        lambda d: d["slots"][0]["kdf"].update(lanes=-1),
        lambda d: d["slots"][0]["kdf"].update(lanes=10**6),
    ],
)
def test_what_does_not_fit_the_format_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(CorruptRecord):
        keyslots.parse(changed(change))


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"7", b'"format"', b"{", b"\xff\xfe", b"[" * 60_000, b"1" * 5000, b"{}" + b" " * 70_000],
)
def test_what_is_no_key_file_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        keyslots.parse(data)


def test_a_newer_version_says_so_whatever_else_it_holds() -> None:
    with pytest.raises(SchemaTooNew):
        keyslots.parse(json.dumps({"format": keyslots.FORMAT, "version": 2, "other": []}).encode())


def test_a_changed_file_is_refused_after_unlocking() -> None:
    slots, master = keyslots.create(keyring_key=ENTRY)
    another = dataclasses.replace(slots, keys={**slots.keys, "more": b"x"})
    with pytest.raises(CorruptRecord, match="changed"):
        keyslots.open_slot(another, another.slots[0], ENTRY[1])
    # Without its mac a key still opens in its own place only.
    other = keyslots.create(keyring_key=ENTRY)[0]
    with pytest.raises(CorruptRecord):
        keyslots.open_key(dataclasses.replace(slots, keys=other.keys), master, "db")
    with pytest.raises(CorruptRecord):
        keyslots.open_key(slots, master, "export")
