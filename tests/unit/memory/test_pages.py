"""What the digests of the store file's pages and of its log see, and what they leave out."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from pathlib import Path

import pytest

from secondme.memory import pages


def test_the_digest_sees_every_byte_of_every_tag_and_what_follows_the_last_page(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = os.urandom(3 * 4096 + 10)
    file.write_bytes(data)
    n_bytes, whole = pages.digest(file)
    assert n_bytes == len(data)
    for at in (4064, 4095, 2 * 4096 - 1, 3 * 4096, len(data) - 1):
        file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert pages.digest(file)[1] != whole
    file.write_bytes(data[:100] + bytes([data[100] ^ 4]) + data[101:])
    assert pages.digest(file)[1] == whole  # the cipher's own tag covers the content
    file.write_bytes(b"")
    assert pages.digest(file)[0] == 0


def test_pages_left_out_may_change_and_others_may_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = os.urandom(4 * 4096)
    file.write_bytes(data)
    without = pages.digest_without(file, {2})
    file.write_bytes(data[:4096] + os.urandom(4096) + data[8192:])
    assert pages.digest_without(file, {2}) == without
    assert pages.digest_without(file, {3}) != without


def test_what_is_kept_of_a_file_follows_it_from_the_pages_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the definition: nothing kept, nothing mapped. Few of the sizes are whole windows, here of three pages."""
    monkeypatch.setattr(pages, "_WINDOW_PAGES", 3)
    file, rng = tmp_path / "file", random.Random(4)
    file.write_bytes(data := os.urandom(7 * 4096))
    known = pages.Tails.of(file)
    for size in (7 * 4096, 20 * 4096, 20 * 4096 + 9, 4096, 0, 4096 * 11):
        written = {n for n in range(1, 40) if rng.random() < 0.3}
        blocks = [data[n : n + 4096].ljust(4096, b"\0") for n in range(0, size, 4096)]
        data = b"".join(os.urandom(4096) if n in written else block for n, block in enumerate(blocks, 1))[:size]
        file.write_bytes(data)
        known.reread(file, written)
        tails = [data[end - 32 : end] for end in range(4096, size + 1, 4096)]
        rest = data[size - size % 4096 :]
        assert known.digest() == pages.digest(file) == (size, hashlib.sha256(b"".join(tails) + rest).digest())
        kept = b"".join(tail for n, tail in enumerate(tails, 1) if n not in written)
        assert known.digest_without({0, *written}) == hashlib.sha256(kept).digest()


def test_the_pages_of_a_log_are_those_sqlite_would_take(tmp_path: Path) -> None:
    """Against an independent SQLite: the standard library's, unencrypted."""
    path = tmp_path / "plain.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma wal_autocheckpoint=0")
    connection.execute("create table t(a integer primary key, b blob)")
    connection.execute("pragma wal_checkpoint(truncate)")
    before = path.read_bytes()
    for _ in range(30):
        connection.execute("insert into t(b) values(randomblob(900))")
    connection.execute("begin")
    connection.execute("insert into t(b) values(zeroblob(90000))")
    connection.execute("rollback")
    _, n_frames, _ = connection.execute("pragma wal_checkpoint(passive)").fetchone()
    found = pages.pages_in_wal(tmp_path / "plain.db-wal", pages.log_bytes(n_frames))
    after = path.read_bytes()
    connection.close()
    changed = {n + 1 for n in range(len(after) // 4096) if before[n * 4096 :][:4096] != after[n * 4096 :][:4096]}
    assert changed <= found and len(found) < len(after) // 4096 + 2


def test_a_log_that_is_missing_or_cut_in_its_header_names_no_pages(tmp_path: Path) -> None:
    assert pages.pages_in_wal(tmp_path / "none", 5000) == frozenset()
    for content in (b"", b"short"):
        (tmp_path / "wal").write_bytes(content)
        assert pages.pages_in_wal(tmp_path / "wal", 5000) == frozenset()
