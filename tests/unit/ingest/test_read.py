from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from secondme.errors import FileVanished, ParseFailed, UnsupportedFormat
from secondme.ingest import read, reasons
from secondme.ingest.parse.isolate import ParseProcess
from secondme.ingest.read import Cutting, parse_file, read_file
from secondme.ingest.walk import Found, stamp_of
from secondme.types import never_cancelled


def at(path: Path, *, given: bool = False) -> Found:
    return Found(str(path), stamp_of(path.stat()), given)


def test_content_hash_and_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"words")
    content = read_file(at(path), 100)
    assert content.data == b"words"
    assert content.content_hash == hashlib.sha256(b"words").digest()
    assert content.stamp == stamp_of(path.stat())


def test_reasons(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2_000_001)
    with pytest.raises(UnsupportedFormat, match="larger than 2 MB"):
        read_file(at(path), 2_000_000)
    gone = at(path)
    path.unlink()
    with pytest.raises(FileVanished):
        read_file(gone, 100)
    os.mkfifo(path)
    with pytest.raises(UnsupportedFormat, match="regular"):  # and does not wait for a writer
        read_file(gone, 100)
    path.unlink()
    path.mkdir()
    with pytest.raises((UnsupportedFormat, ParseFailed)):
        read_file(gone, 100)


def test_a_link_that_took_a_files_place_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = tmp_path / "a.txt"
    path.write_text("words")
    seen = at(path)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(ParseFailed):
        read_file(seen, 100)
    assert read_file(at(path, given=True), 100).data == b"secret"


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first")
    whole = read._read_once
    versions = iter([b"second version", b"third, longer version"])

    def changing(found: Found, limit_bytes: int) -> read.Content:
        content = whole(found, limit_bytes)
        path.write_bytes(next(versions))
        return content

    monkeypatch.setattr(read, "_read_once", changing)
    content = read_file(at(path), 100)
    assert content.data == b"second version"
    assert content.stamp != stamp_of(path.stat())  # so that the next pass looks again


def test_a_parser_that_fails_costs_its_file_and_tells_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(kind: str, path: Path, data: bytes) -> None:
        raise KeyError("a word of the document")

    with ParseProcess() as process:
        cutting = Cutting(process, len, 100, 1, never_cancelled)
        monkeypatch.setattr(read, "parse_kind", broken)
        with pytest.raises(ParseFailed) as caught:
            parse_file(Path("a.txt"), b"words", cutting)
        assert caught.value.message == reasons.NOT_TAKEN.format("KeyError")
        assert caught.value.__suppress_context__


def test_text_is_bounded(tmp_path: Path) -> None:
    with ParseProcess() as process:
        cutting = Cutting(process, len, 10**9, 1, never_cancelled)
        for name, data in (
            ("a.txt", b"x" * 1_000_001),
            ("b.txt", b"x" * 5_000_000),
            ("c.txt", "é".encode() * 500_001),
            ("d.html", b"<p>" + b"x" * 1_000_000),
        ):
            with pytest.raises(UnsupportedFormat, match="more than 1 MB of text"):
                parse_file(Path(name), data, cutting)
