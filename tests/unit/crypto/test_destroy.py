"""Destroying the keys: everything that leads to them is gone, whatever state it was in."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from secondme.crypto import device, keychain, keyslots, manage
from secondme.crypto.destroy import WITNESS, destroy_keys
from secondme.crypto.unlock import unlock
from secondme.errors import NoKey
from secondme.paths import state_dir
from tests.keyfiles import CHEAP


@pytest.fixture
def folder(tmp_path: Path, ring: dict[str, bytes]) -> Path:
    """A memory that a keyring and a passphrase open, with its witness."""
    made = tmp_path / "memory"
    made.mkdir()
    manage.add_passphrase(unlock(made), "one", work=CHEAP)
    (state_dir() / WITNESS).write_bytes(b"witness")
    return made


def left(folder: Path) -> list[str]:
    return sorted(p.name for place in (folder, state_dir()) for p in place.iterdir())


def test_everything_is_gone_and_told(folder: Path, ring: dict[str, bytes]) -> None:
    (entry,) = ring
    with (folder / keyslots.FILE).open("rb") as key_file, device.path().open("rb") as device_key:
        start = time.perf_counter()
        done = destroy_keys(folder, state_dir())
        assert time.perf_counter() - start < 1
        assert not key_file.read().strip(b"\0") and not device_key.read().strip(b"\0")
    assert left(folder) == [] and ring == {}
    assert all(d.done for d in done)
    told = " ".join(d.what for d in done)
    for what in (str(folder / keyslots.FILE), str(device.path()), WITNESS, entry):
        assert what in told
    assert destroy_keys(folder, state_dir()) == ()


def test_a_copy_of_the_data_and_of_the_keyring_opens_nothing(folder: Path, ring: dict[str, bytes]) -> None:
    """With a passphrase it does: that is what copies are for, and what nothing can reach."""
    data, secrets = (folder / keyslots.FILE).read_bytes(), dict(ring)
    destroy_keys(folder, state_dir())
    (folder / keyslots.FILE).write_bytes(data)
    ring.update(secrets)
    with pytest.raises(NoKey, match="device's key is gone"):
        unlock(folder)
    unlock(folder, passphrase="one")


def test_leftovers_of_an_interrupted_saving_go_too(folder: Path, ring: dict[str, bytes]) -> None:
    ring["f" * 16] = bytes(32)
    data = (folder / keyslots.FILE).read_bytes()
    (folder / (keyslots.FILE + ".new")).write_bytes(data[:-40] + b'"id": "' + b"f" * 16 + b'"')
    (state_dir() / (device.FILE + ".new")).write_bytes(bytes(32))
    assert all(d.done for d in destroy_keys(folder, state_dir()))
    assert left(folder) == [] and ring == {}


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 40])
def test_names_are_read_from_a_damaged_file(folder: Path, ring: dict[str, bytes], damage: bytes) -> None:
    data = (folder / keyslots.FILE).read_bytes()
    (folder / keyslots.FILE).write_bytes(damage + data[: len(data) * 2 // 3])
    destroy_keys(folder, state_dir())
    assert left(folder) == [] and ring == {}


def test_ids_of_other_slots_are_not_taken_for_entries(folder: Path) -> None:
    (folder / keyslots.FILE).write_bytes(
        b'{"slots": [{"kind": "passphrase", "id": "0000000000000000"}], "version": 99}'
    )
    assert all(d.done for d in destroy_keys(folder, state_dir()))


def test_a_keyring_that_does_not_answer_is_told_of_and_asked_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def silent(entry: str) -> bool:
        asked.append(entry)
        return False

    monkeypatch.setattr(keychain, "remove", silent)
    (folder / (keyslots.FILE + ".new")).write_bytes(b'"keyring" "0000000000000000" "1111111111111111"')
    done = destroy_keys(folder, state_dir())
    entries = [d for d in done if "keyring's entry" in d.what]
    assert len(entries) == 3 and not any(d.done for d in entries) and len(asked) == 1
    assert all("opens nothing" in d.detail for d in entries)
    assert left(folder) == []


def test_nothing_there_is_nothing_to_destroy(tmp_path: Path) -> None:
    assert destroy_keys(tmp_path / "none", tmp_path / "nowhere") == ()


def test_a_full_disk_does_not_keep_it(folder: Path) -> None:
    """Where even overwriting takes space (a file system that copies on write), the files are deleted all the same."""

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", full)
        done = destroy_keys(folder, state_dir())
    assert left(folder) == [] and all(d.done for d in done if "keyring's entry" not in d.what)


def test_a_drive_that_reads_back_something_else_is_told(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", lambda fd, n: b"x" * n)
        done = destroy_keys(folder, state_dir())
    assert {d.detail for d in done if "keyring's entry" not in d.what} == {"deleted"}
    assert left(folder) == []


def test_a_file_that_cannot_be_deleted_is_overwritten(folder: Path) -> None:
    def denied(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", denied)
        done = destroy_keys(folder, state_dir())
    assert all(d.done and "overwritten" in d.detail for d in done if "keyring's entry" not in d.what)
    for path in (folder / keyslots.FILE, device.path(), state_dir() / WITNESS):
        assert path.exists() and not path.read_bytes().strip(b"\0")


def test_a_folder_in_the_files_place_is_told_of(folder: Path) -> None:
    (folder / keyslots.FILE).unlink()
    (folder / keyslots.FILE).mkdir()
    done = destroy_keys(folder, state_dir())
    assert [d.done for d in done] == [False, True, True]
    assert "neither" in done[0].detail


def test_a_file_that_only_says_read_is_destroyed_as_well(folder: Path) -> None:
    (folder / keyslots.FILE).chmod(0o400)
    assert all(d.done for d in destroy_keys(folder, state_dir()))
    assert left(folder) == []
