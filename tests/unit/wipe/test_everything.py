"""What a wipe takes for its own, and what it says of files that it cannot overwrite or delete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondme.crypto import wiping
from secondme.errors import StoreError
from secondme.wipe.everything import Places, destroy_file, found, wipe
from secondme.wipe.report import Report

OURS = (
    "store.db store.db-wal store.db-watermark store.db.new store.db.next store.db.damaged-20261121 keyslots.json"
    " keyslots.json.new device.key witness .mine.tar.secondme-export"
).split()
OTHERS = "store.dbx notes.txt keyslots.jsonx witnesses mystore.db".split()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("data", "state"):
        (tmp_path / name).mkdir()
    return Places(tmp_path / "data", tmp_path / "state")


def last(places: Places) -> Report:
    *_, report = wipe(places, None)
    assert isinstance(report, Report)
    return report


def test_ours_are_known_by_name_or_by_what_they_begin_with(places: Places) -> None:
    for name in (*OURS, *OTHERS, "store.lock", wiping.FILE):
        (places.data / name).write_bytes(b"x")
    (places.state / "store.db").mkdir()
    tar = b"manifest.json".ljust(512, b"\0") + b'{"schema": "secondme-export/1"}'
    (places.data / "plain.tar").write_bytes(tar)
    (places.data / "other.tar").write_bytes(tar.replace(b"secondme", b"somebody"))
    (places.data / "folder").mkdir()
    ours, others = found(places)
    assert {p.name for p in ours} == {*OURS, "plain.tar"}
    assert {p.name for p in others} == {*OTHERS, "other.tar", "folder"}


def test_both_folders_may_be_one_or_none(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"x")
    assert len(found(Places(tmp_path, tmp_path))[0]) == 1
    report = last(Places(tmp_path / "none", tmp_path / "neither"))
    assert report.is_complete and report.destroyed == ()


def test_a_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"secret" * 300_000)
    kept = path.open("rb")
    os.link(path, tmp_path / "another name")
    done = destroy_file(path)
    assert done.done and "overwritten" in done.detail and not path.exists()
    assert b"secret" not in kept.read() and (tmp_path / "another name").read_bytes() == b""
    kept.close()


def test_a_pipe_in_a_files_place_is_only_deleted(tmp_path: Path) -> None:
    path = tmp_path / "store.db-wal"
    os.mkfifo(path)
    done = destroy_file(path)
    assert done.done and not path.exists() and done.detail.startswith("deleted (")


def test_a_link_that_leads_nowhere_goes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.symlink_to(tmp_path / "gone")
    assert destroy_file(path).done and not path.is_symlink()


def test_what_may_not_be_touched_is_said_and_left_for_another_wipe(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.data / "store.db").write_bytes(b"secret")

    def refused(path: object, *args: object, **kwargs: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        report = last(places)
        assert not report.is_complete and (places.data / "store.db").read_bytes() == b""
        patch.setattr(os, "open", refused)
        assert not destroy_file(places.data / "store.db").done
    assert last(places).is_complete and not (places.data / "store.db").exists()


def test_the_mark_names_entries_and_stops_every_opening(places: Places) -> None:
    wiping.require_none(places.data)
    wiping.begin(places.data, ["0123456789abcdef"])
    wiping.begin(places.data, ["fedcba9876543210"])
    assert wiping.entries_of(places.data) == ["0123456789abcdef", "fedcba9876543210"]
    with pytest.raises(StoreError) as caught:
        wiping.require_none(places.data)
    assert caught.value.hint and "wipe" in caught.value.hint
    wiping.end(places.data)
    wiping.end(places.data)
    assert not wiping.has_begun(places.data) and wiping.entries_of(places.data) == []
