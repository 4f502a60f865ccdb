"""Opening, closing and migrating the store, and SQLite's errors in our words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw
import pytest

from secondme.crypto.keys import StoreKeys
from secondme.errors import (
    Cancelled,
    CorruptRecord,
    SchemaTooNew,
    SecondMeError,
    StoreError,
    StoreFull,
    StoreLocked,
    WrongPassphrase,
)
from secondme.memory import migrations
from secondme.memory.failures import translate
from secondme.memory.migrations import MIGRATIONS, Migration
from secondme.memory.store import Store
from tests.storing import KEY, holding, put, source_of, texts_found, unit_vectors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def fill(path: Path) -> None:
    store = Store.open(path, KEY)
    put(store, "/a.txt", ["apple"])
    store.close()


def columns(store: Store, sql: str) -> list[tuple[object, ...]]:
    with store._database.reading() as connection:
        return connection.execute(sql).fetchall()


def test_what_was_stored_is_there_after_reopening(path: Path) -> None:
    fill(path)
    assert [p.name for p in path.parent.iterdir() if p.name.startswith("store")] == ["store.db", "store.db-watermark"]
    store = Store.open(path, KEY)
    assert texts_found(store, "apple") == ["apple"]
    assert store.embedder() == ("test", 8)
    assert len(store.search_vectors(unit_vectors(1)[0], 5, None)) == 1
    store.close()


def test_the_file_is_the_owners_alone(path: Path) -> None:
    store = Store.open(path, KEY)
    put(store, "/a.txt", ["apple"])
    modes = {p.name: p.stat().st_mode & 0o077 for p in path.parent.glob("store.db*")}
    store.close()
    assert modes.keys() == {"store.db", "store.db-wal", "store.db-watermark"} and set(modes.values()) == {0}


def test_durability_and_secrecy_are_set(store: Store) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "temp_store": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cipher": "chacha20",
    }
    assert {name: columns(store, f"PRAGMA {name}")[0][0] for name in expected} == expected


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    for use in (
        store.sources,
        store.stats,
        store.embedder,
        store.compact_wal,
        lambda: store.put_skip(source_of("/a"), "reason"),
        lambda: store.search_vectors(unit_vectors(1)[0], 5, None),
        lambda: store.delete_conversation(1),
        lambda: store.check(read_data=True),
    ):
        with pytest.raises(StoreError, match="the store is closed"):
            use()


@pytest.mark.parametrize("key", [bytes(32), KEY.db[::-1]], ids=["zeros", "another"])
def test_another_key_does_not_open_it_and_changes_nothing(path: Path, key: bytes) -> None:
    fill(path)
    before = path.read_bytes()
    with pytest.raises(WrongPassphrase):
        Store.open(path, StoreKeys.derived(key))
    assert path.read_bytes() == before
    assert not path.with_name("store.db-wal").exists()


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(path: Path, key: bytes) -> None:
    with pytest.raises(StoreError):
        Store.open(path, StoreKeys.derived(key))
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", CorruptRecord),
        (b"short", CorruptRecord),
        (b"a text file of somebody else\n" * 400, WrongPassphrase),
        (bytes(8192), WrongPassphrase),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_kept(path: Path, content: bytes, error: type[SecondMeError]) -> None:
    path.write_bytes(content)
    with pytest.raises(error):
        Store.open(path, KEY)
    assert path.read_bytes() == content


def test_an_unencrypted_database_is_not_taken_for_a_store(path: Path) -> None:
    plain = apsw.Connection(str(path))
    plain.execute("CREATE TABLE t (x)")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="unencrypted"):
        Store.open(path, KEY)
    assert path.read_bytes() == before


def test_a_folder_in_the_stores_place_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError):
        Store.open(path, KEY)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        Store.open(tmp_path / "missing" / "store.db", KEY)


def test_a_folder_whose_name_is_no_unicode_is_an_error(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    with pytest.raises(StoreError) as caught:
        Store.open(folder / "store.db", KEY)
    assert "Unicode" in caught.value.message and caught.value.hint


def test_a_log_without_its_store_is_not_thrown_away(path: Path) -> None:
    path.with_name("store.db-wal").write_bytes(b"log")
    with pytest.raises(CorruptRecord, match="missing"):
        Store.open(path, KEY)
    assert path.with_name("store.db-wal").read_bytes() == b"log"
    assert not path.exists()


def test_the_leftovers_of_an_interrupted_creation_are_replaced(path: Path) -> None:
    for name in ("store.db.new", "store.db.new-wal", "store.db.new-journal"):
        path.with_name(name).write_bytes(b"half")
    fill(path)
    assert sorted(p.name for p in path.parent.glob("store*")) == ["store.db", "store.db-watermark"]


def test_a_second_connection_is_kept_out(path: Path) -> None:
    first = Store.open(path, KEY)
    put(first, "/a.txt", ["apple"])
    with pytest.raises(StoreLocked):
        Store.open(path, KEY)
    assert texts_found(first, "apple") == ["apple"]
    first.close()


# Migrations ----------------------------------------------------------------------------------------------------


def test_each_migration_is_recorded_once(path: Path) -> None:
    for _ in range(2):
        store = Store.open(path, KEY)
        recorded = columns(store, "SELECT version, name FROM migration ORDER BY version")
        store.close()
        assert recorded == [(i, step.name) for i, step in enumerate(MIGRATIONS, start=1)]


def test_a_store_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    store = Store.open(path, KEY)
    with store._database.writing() as connection:
        connection.execute("INSERT INTO migration VALUES (99, 'm099_later', 0)")
    store.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew) as caught:
        Store.open(path, KEY)
    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)

    def failing(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE half (x); INSERT INTO half VALUES ('halfway marker'); DELETE FROM turn")
        connection.execute("DROP TABLE folder")
        connection.execute("INSERT INTO no_such_table VALUES (1)")

    def working(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE later (x)")

    steps = (*MIGRATIONS, Migration("m_working", working), Migration("m_failing", failing))
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    with pytest.raises(StoreError):
        Store.open(path, KEY)
    monkeypatch.setattr(migrations, "MIGRATIONS", steps[:-1])
    store = Store.open(path, KEY)
    # The step before it was done and recorded; of the failing one nothing is left.
    assert columns(store, "SELECT name FROM migration ORDER BY version")[-1] == ("m_working",)
    names = {name for (name,) in columns(store, "SELECT name FROM sqlite_schema")}
    assert {"later", "folder"} <= names and "half" not in names
    with store._database.reading() as connection:
        assert holding(connection, b"halfway marker") == []
    assert texts_found(store, "apple") == ["apple"]
    store.close()


# Errors --------------------------------------------------------------------------------------------------------

MEANT: dict[str, type[SecondMeError]] = {
    "FullError": StoreFull,
    "CorruptError": CorruptRecord,
    "NotADBError": CorruptRecord,
    "FormatError": CorruptRecord,
    "BusyError": StoreLocked,
    "LockedError": StoreLocked,
}
APSW_ERRORS = [
    kind for _, kind in sorted(vars(apsw).items()) if isinstance(kind, type) and issubclass(kind, apsw.Error)
]


def test_the_list_of_sqlites_errors_is_not_empty() -> None:
    names = {kind.__name__ for kind in APSW_ERRORS}
    assert len(names) > 30 and MEANT.keys() <= names


def test_every_error_of_sqlite_becomes_ours_without_its_words(store: Store) -> None:
    for kind in APSW_ERRORS:
        with pytest.raises(SecondMeError) as caught, store._database.writing() as connection:
            connection.execute("INSERT INTO project (name) VALUES ('half')")
            raise kind("near the words of a secret query")
        error = caught.value
        assert type(error) is MEANT.get(kind.__name__, type(error)), kind
        assert "secret" not in f"{error} {error.message} {error.hint}", kind
        assert (error.hint or isinstance(error, Cancelled)) and error.message == error.message.rstrip("."), kind
        # A traceback would show the original as well if it hung on.
        assert error.__cause__ is None and error.__suppress_context__, kind
        assert columns(store, "SELECT count(*) FROM project WHERE name = 'half'") == [(0,)], kind


def test_a_disk_without_space_is_full_however_sqlite_says_it() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        assert isinstance(translate(apsw.IOError("write failed"), number), StoreFull)
    assert not isinstance(translate(apsw.IOError("write failed"), errno.EIO), StoreFull)


def test_a_number_left_by_an_earlier_call_means_nothing() -> None:
    for number in (errno.ENOSPC, errno.EACCES):
        assert type(translate(apsw.SQLError("logic"), number)) is StoreError
        assert translate(apsw.SQLError("logic"), number).message == translate(apsw.SQLError("logic")).message


def test_a_bad_query_of_the_owner_is_not_in_the_error(store: Store) -> None:
    with pytest.raises(SecondMeError) as caught:
        store.search_text('"my secret', 5, None)
    assert "secret" not in f"{caught.value} {caught.value.hint}" and caught.value.__suppress_context__


# The check -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_data", [False, True])
def test_a_sound_store_checks_out(store: Store, read_data: bool) -> None:
    assert {c.status for c in store.check(read_data=read_data)} == {"ok"}
    put(store, "/a.txt", ["apple", "nul \0 inside", "half \udcff", ""])
    put(store, "/a.txt", ["pear"])
    put(store, "/b.txt", ["plum"], project="other")
    found = store.check(read_data=read_data)
    assert {c.status for c in found} == {"ok"}, found


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ("UPDATE chunk SET text = 'another' WHERE ordinal = 0", "word index"),
        ("UPDATE source SET n_chunks = 7", "file"),
        ("UPDATE op SET at = at + 1 WHERE seq = 2", "history"),
        ("UPDATE vector_auxiliary SET value00 = zeroblob(32)", "vectors"),
    ],
)
def test_damage_is_a_failed_line_with_its_remedy(store: Store, damage: str, name: str) -> None:
    put(store, "/a.txt", ["apple", "pear"])
    with store._database.writing() as connection:
        connection.execute(damage)
    failed = [c for c in store.check(read_data=True) if c.status == "failed"]
    assert name in {c.name for c in failed}
    assert all(c.remedy for c in failed)
