"""The key file: made, saved, read strictly, refused when changed."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondme.crypto import keyslots
from secondme.crypto.keyslots import FILE, KeySlots
from secondme.crypto.slots import open_key
from secondme.errors import CorruptRecord, SchemaTooNew, StoreError, StoreFull
from tests.keyfiles import DEVICE, SECRET, cheap_kdf, of_version_1, with_keyring, with_passphrase


def document_of(slots: KeySlots) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(keyslots.serialize(slots))
    return document


def test_the_file_reads_back_equal_and_shows_no_key(tmp_path: Path) -> None:
    slots, master = with_passphrase()
    keyslots.save(tmp_path, slots)
    assert keyslots.load(tmp_path) == slots
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    text = file.read_bytes()
    for secret in (master, open_key(slots, master, "db")):
        assert base64.b64encode(secret) not in text and secret.hex().encode() not in text


def test_no_file_is_none(tmp_path: Path) -> None:
    assert keyslots.load(tmp_path) is None


def test_saving_replaces_what_an_interruption_left(tmp_path: Path) -> None:
    (tmp_path / (FILE + ".new")).write_bytes(b"half" * 10_000)
    slots, _ = with_keyring()
    keyslots.save(tmp_path, slots)
    assert keyslots.load(tmp_path) == slots
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreError)]
)
def test_a_failed_write_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    slots, _ = with_keyring()
    keyslots.save(tmp_path, slots)

    def failing(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(kind) as caught:
        keyslots.save(tmp_path, with_keyring()[0])
    assert caught.value.hint
    assert keyslots.load(tmp_path) == slots
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError):
        keyslots.load(tmp_path)


# Strictness ----------------------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = document_of(with_passphrase()[0])
    change(document)
    return json.dumps(document, indent=1).encode()


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
        lambda d: d["keys"].pop("watermark"),
        lambda d: d["keys"].update(another=d["keys"]["db"]),
        lambda d: d["keys"].update({"project:" + "0" * 31: d["keys"]["db"]}),
        lambda d: d["keys"].update({f"project:{i:032x}": "" for i in range(keyslots.MAX_KEYS)}),
        lambda d: d.update(next=None),
        lambda d: d.update(next={}),
        lambda d: d.update(next={"db": d["keys"]["db"]}),
        lambda d: d.update(version=1),
        lambda d: d.pop("sequence"),
        lambda d: d.update(sequence=0),
        lambda d: d.update(sequence=2**63),
        lambda d: d.update(sequence=True),
        lambda d: d.update(sequence=1.0),
        lambda d: d["slots"][0].update(kind="recovery"),
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
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"format"',
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b"1" * 5000,
        b"{}" + b" " * keyslots.MAX_FILE_BYTES,
    ],
)
def test_what_is_no_key_file_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        keyslots.parse(data)


def test_a_newer_version_says_so_whatever_else_it_holds() -> None:
    with pytest.raises(SchemaTooNew):
        keyslots.parse(json.dumps({"format": keyslots.FORMAT, "version": 3, "other": []}).encode())


# Version 1 -----------------------------------------------------------------------------------------------------


def test_a_file_of_version_1_reads_back_equal() -> None:
    for slot in (keyslots.Slot("keyring", "0" * 16, b""), keyslots.Slot("passphrase", "1" * 16, b"", cheap_kdf())):
        made, _ = of_version_1(slot, SECRET)
        assert keyslots.parse(keyslots.serialize(made)) == made
        assert b"sequence" not in keyslots.serialize(made)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(sequence=1),
        lambda d: d.update(next=d["keys"]),
        lambda d: d["slots"][0].update(kind="recovery"),
        lambda d: d.update(version=2),
    ],
)
def test_version_1_knew_nothing_of_what_came_later(change: Callable[[dict[str, Any]], object]) -> None:
    made, _ = of_version_1(keyslots.Slot("keyring", "0" * 16, b""), SECRET)
    document = json.loads(keyslots.serialize(made))
    change(document)
    with pytest.raises(CorruptRecord):
        keyslots.parse(json.dumps(document, indent=1).encode())


# What was taken out --------------------------------------------------------------------------------------------


def test_a_key_that_was_taken_out_is_overwritten_on_the_disk(tmp_path: Path) -> None:
    earlier, _ = with_keyring(SECRET, DEVICE)
    keyslots.save(tmp_path, earlier)
    with (tmp_path / FILE).open("rb") as still_open:
        keyslots.save(tmp_path, with_keyring()[0], scrub=True)
        data = still_open.read()
    assert data and not data.strip(b"\0")


def test_a_backup_that_shares_the_files_bytes_is_left_alone(tmp_path: Path) -> None:
    earlier, _ = with_keyring()
    keyslots.save(tmp_path, earlier)
    (tmp_path / "backup").hardlink_to(tmp_path / FILE)
    keyslots.save(tmp_path, with_keyring()[0], scrub=True)
    assert (tmp_path / "backup").read_bytes() == keyslots.serialize(earlier)


def test_an_earlier_file_that_cannot_be_overwritten_does_not_keep_the_new_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    keyslots.save(tmp_path, with_keyring()[0], scrub=True)
    monkeypatch.setattr(os, "pwrite", failing)
    newer, _ = with_keyring()
    keyslots.save(tmp_path, newer, scrub=True)
    assert keyslots.load(tmp_path) == newer
