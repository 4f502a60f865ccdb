"""What the digests of the store file's pages and of its log see, and what they leave out."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

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
