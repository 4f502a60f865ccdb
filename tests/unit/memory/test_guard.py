"""What the watermark catches: old pages, files and folders, lost log tails; and what it must not take for them."""

from __future__ import annotations

import hmac
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, IntegrityError, RolledBack, SchemaTooNew, StoreError
from secondme.memory import guard, pages, watermark
from secondme.memory.database import Database
from secondme.memory.guard import Guard
from secondme.memory.store import Store
from tests.storing import KEY, put, texts_found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "store.db"


def opened(path: Path, keys: StoreKeys = KEY) -> Store:
    return Store.open(path, keys, path.parent.parent / "state" / "witness")


def made(path: Path, n: int = 3) -> None:
    store = opened(path)
    for i in range(n):
        put(store, f"/{i}", [f"apple {i} " * 50], seed=i)
    store.close()


def copy_of(folder: Path) -> Path:
    """What lies there now, as a killed process would leave it: the store need not be closed."""
    to = folder.parent / f"copy-{len(list(folder.parent.iterdir()))}"
    shutil.copytree(folder, to)
    return to


def put_back(copy: Path, folder: Path, *names: str) -> None:
    for name in names or [p.name for p in copy.iterdir()]:
        if (copy / name).exists():
            shutil.copy(copy / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def refused(path: Path, match: str, error: type[IntegrityError] = RolledBack) -> IntegrityError:
    """Opening fails, and changes nothing: the owner decides."""
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    with pytest.raises(error, match=match) as caught:
        opened(path)
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    assert caught.value.hint
    return caught.value


# Older than acknowledged ---------------------------------------------------------------------------------------


def test_an_old_copy_of_the_database_is_refused(path: Path) -> None:
    made(path)
    old = copy_of(path.parent)
    made(path, 5)
    put_back(old, path.parent, "store.db")
    refused(path, "more were acknowledged")


def test_one_old_page_put_back_is_refused(path: Path) -> None:
    made(path)
    old = path.read_bytes()
    made(path, 5)
    new = path.read_bytes()
    changed = [n for n in range(min(len(old), len(new)) // 4096) if old[n * 4096 :][:4096] != new[n * 4096 :][:4096]]
    assert len(changed) > 3
    for n in changed:
        path.write_bytes(new[: n * 4096] + old[n * 4096 :][:4096] + new[(n + 1) * 4096 :])
        refused(path, "not the one that was last written|more were acknowledged")
    path.write_bytes(new)
    opened(path).close()


def test_old_database_and_watermark_together_are_told_by_the_witness(path: Path) -> None:
    made(path)
    old = copy_of(path.parent)
    made(path, 5)
    put_back(old, path.parent)
    error = refused(path, "the data folder is an older copy: it ends at step ")
    assert "more were acknowledged" in error.message


def test_without_its_witness_an_old_folder_is_a_restored_backup(path: Path) -> None:
    made(path)
    old = copy_of(path.parent)
    made(path, 5)
    put_back(old, path.parent)
    (path.parent.parent / "state" / "witness").unlink()
    store = opened(path)
    assert len(store.sources()) == 3
    store.close()


@pytest.mark.parametrize(
    "content", [b"", b"short", bytes(watermark.SIZE), b"x" * 500], ids=["empty", "short", "zeros", "long"]
)
def test_a_damaged_witness_hurts_nobody(path: Path, content: bytes) -> None:
    made(path)
    (path.parent.parent / "state" / "witness").write_bytes(content)
    store = opened(path)
    put(store, "/later", ["pear"])
    store.close()
    mark = watermark.load(path, KEY.watermark, KEY.store_id)
    assert watermark.Witness(path.parent.parent / "state" / "witness").load(KEY.watermark, KEY.store_id) == mark


def test_a_witness_that_cannot_be_written_hurts_nobody(path: Path) -> None:
    (path.parent.parent / "state").write_text("a file in the folder's place")
    made(path)
    opened(path).close()


def test_another_history_of_the_same_length_is_refused(path: Path) -> None:
    made(path, 2)
    fork = copy_of(path.parent)
    made(path, 4)
    kept = (path.parent.parent / "state" / "witness").read_bytes()
    put_back(fork, path.parent)
    (path.parent.parent / "state" / "witness").unlink()
    store = opened(path)
    for i in range(8):
        put(store, f"/other-{i}", ["pear"])
    store.close()
    (path.parent.parent / "state" / "witness").write_bytes(kept)
    refused(path, "another history")


def test_a_log_that_lost_its_tail_is_refused(path: Path) -> None:
    store = opened(path)
    for i in range(6):
        put(store, f"/{i}", [f"apple {i}"], seed=i)
    killed = copy_of(path.parent)
    store.close()
    wal = killed / "store.db-wal"
    whole = wal.read_bytes()
    assert len(whole) > 20 * 4120
    for keep in (0, 32, len(whole) // 2, len(whole) - 4120):
        wal.write_bytes(whole[:keep])
        refused(killed / "store.db", "ends at step")
    wal.write_bytes(whole)
    again = opened(killed / "store.db")
    assert len(again.sources()) == 6
    again.close()


def test_every_flipped_byte_in_the_log_is_refused_or_harmless(path: Path) -> None:
    store = opened(path)
    for i in range(3):
        put(store, f"/{i}", [f"apple {i}"], seed=i)
    killed = copy_of(path.parent)
    store.close()
    wal = killed / "store.db-wal"
    whole = wal.read_bytes()
    for at in range(0, len(whole), 1031):
        wal.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IntegrityError):
            opened(killed / "store.db")


def test_an_old_log_beside_a_newer_store_is_refused_or_ignored(path: Path) -> None:
    store = opened(path)
    put(store, "/a", ["apple"])
    old_wal = path.with_name("store.db-wal").read_bytes()
    store.close()
    made(path, 4)
    path.with_name("store.db-wal").write_bytes(old_wal)
    try:
        store = opened(path)
    except IntegrityError:
        return
    assert len(store.sources()) == 5 and {c.status for c in store.check(read_data=True)} == {"ok"}
    store.close()


def test_an_old_watermark_beside_a_newer_store_is_refused(path: Path) -> None:
    made(path)
    old = copy_of(path.parent)
    made(path, 5)
    put_back(old, path.parent, "store.db-watermark")
    refused(path, "is an older copy")


def test_an_old_key_file_is_refused(path: Path) -> None:
    store = opened(path, replace(KEY, epoch=4))
    put(store, "/a", ["apple"])
    store.close()
    with pytest.raises(RolledBack, match="the key file is an older copy"):
        opened(path, replace(KEY, epoch=3))
    opened(path, replace(KEY, epoch=5)).close()
    with pytest.raises(RolledBack, match="the key file is an older copy"):
        opened(path, replace(KEY, epoch=4))


# Missing or not ours -------------------------------------------------------------------------------------------


def test_a_missing_watermark_is_refused(path: Path) -> None:
    made(path)
    watermark.path_for(path).unlink()
    refused(path, "the watermark, which vouches for the store, is missing")


def test_every_flipped_bit_of_the_watermark_is_refused(path: Path) -> None:
    made(path)
    whole = watermark.path_for(path).read_bytes()
    for at in range(len(whole)):
        for bit in (0, 7):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            watermark.path_for(path).write_bytes(flipped)
            with pytest.raises(CorruptRecord):
                opened(path)
    for part in (b"", whole[:-1], whole + b"\0"):
        watermark.path_for(path).write_bytes(part)
        refused(path, "damaged or another store's", CorruptRecord)


def test_a_later_versions_watermark_is_named_as_such(path: Path) -> None:
    made(path)
    whole = watermark.path_for(path).read_bytes()
    later = whole[:4] + b"\0\x02" + whole[6:-32] + b"and more of it"
    watermark.path_for(path).write_bytes(later + hmac.digest(KEY.watermark, later, "sha256"))
    with pytest.raises(SchemaTooNew, match="newer version"):
        opened(path)


def test_an_erased_key_writes_no_watermark(path: Path) -> None:
    """A store that is closed after its keys were erased must not vouch for itself under a key that all know."""
    key = bytearray(KEY.watermark)
    store = opened(path, replace(KEY, watermark=key))
    put(store, "/a", ["apple"])
    before = watermark.path_for(path).read_bytes()
    key.clear()
    with pytest.raises(StoreError, match="memory is locked"):
        put(store, "/b", ["pear"])
    store.close()
    assert watermark.path_for(path).read_bytes() == before
    opened(path).close()


def test_a_signed_watermark_of_another_length_is_damage(path: Path) -> None:
    made(path)
    short = watermark.path_for(path).read_bytes()[:-40]
    watermark.path_for(path).write_bytes(short + hmac.digest(KEY.watermark, short, "sha256"))
    refused(path, "damaged or another store's", CorruptRecord)


def test_a_vanished_store_is_not_made_anew(path: Path) -> None:
    made(path)
    path.unlink()
    refused(path, "the store file is missing, but there was one", CorruptRecord)
    watermark.path_for(path).unlink()
    refused(path, "the store file is missing, but there was one", CorruptRecord)


def test_a_store_that_holds_nothing_yet_may_be_made_anew(path: Path) -> None:
    """A crash between the watermark and the file's move leaves a watermark alone."""
    opened(path).close()
    path.unlink()
    made(path)
    opened(path).close()


def test_a_rollback_journal_is_refused(path: Path) -> None:
    made(path)
    path.with_name("store.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600))
    refused(path, "a rollback journal lies beside the store", CorruptRecord)


def test_a_watermark_that_cannot_be_read_is_an_error(path: Path) -> None:
    made(path)
    watermark.path_for(path).unlink()
    watermark.path_for(path).mkdir()
    with pytest.raises(StoreError):
        opened(path)


# Interrupted at the worst moment -------------------------------------------------------------------------------


def interrupted_checkpoints(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of the folder at each step of a checkpoint, as a kill there would leave it."""
    store = opened(path)
    for i in range(4):
        put(store, f"/{i}", [f"apple {i} " * 60], seed=i)
    copies: list[Path] = []
    save, checkpoint = Guard._save, apsw.Connection.wal_checkpoint

    def saving(self: Guard, mark: watermark.Watermark) -> None:
        save(self, mark)
        copies.append(copy_of(path.parent))

    monkeypatch.setattr(Guard, "_save", saving)
    store.close()
    monkeypatch.undo()
    assert len(copies) == 2 and checkpoint is apsw.Connection.wal_checkpoint
    return copies


def test_a_checkpoint_interrupted_at_any_page_is_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced, finished = interrupted_checkpoints(path, monkeypatch)
    before, after = (announced / "store.db").read_bytes(), (finished / "store.db").read_bytes()
    n_pages = len(after) // 4096
    assert before != after
    for n in range(0, n_pages + 1, 3):
        # Written in any order: here all pages from n on, the rest as before.
        mixed = before[: n * 4096].ljust(n * 4096, b"\0") + after[n * 4096 :]
        (announced / "store.db").write_bytes(mixed)
        trial = copy_of(announced)
        store = Store.open(trial / "store.db", KEY)
        assert texts_found(store, "apple") and len(store.sources()) == 4
        assert {c.status for c in store.check(read_data=True)} == {"ok"}
        store.close()
    opened(finished / "store.db").close()


def test_a_page_the_checkpoint_does_not_touch_may_not_change_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(path, 12)
    announced, _ = interrupted_checkpoints(path, monkeypatch)
    whole = (announced / "store.db").read_bytes()
    wal = announced / "store.db-wal"
    moving = pages.pages_in_wal(wal, wal.stat().st_size)
    others = [n for n in range(len(whole) // 4096) if n + 1 not in moving]
    assert others and moving
    at = others[0] * 4096 + 4095
    (announced / "store.db").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    refused(announced / "store.db", "not the one that was last written")


def test_a_page_changed_behind_an_open_store_is_found_at_the_next_opening(path: Path) -> None:
    """A checkpoint vouches for the pages that it wrote, and for none that another program wrote meanwhile."""
    made(path, 12)
    store = opened(path)
    whole = path.read_bytes()
    put(store, "/one", ["pear"])
    wal = path.with_name(path.name + "-wal")
    moving = pages.pages_in_wal(wal, wal.stat().st_size)
    number = next(n for n in range(len(whole) // 4096, 0, -1) if n not in moving)
    with path.open("r+b") as file:
        file.seek(number * 4096 - 1)
        file.write(bytes([whole[number * 4096 - 1] ^ 1]))
    store.close()
    assert not wal.exists() or not wal.stat().st_size
    refused(path, "not the one that was last written")


def test_a_checkpoint_that_failed_is_finished_before_the_next_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(path)
    put(store, "/a", ["apple"])
    real = apsw.Connection.wal_checkpoint

    class Failing:
        """A connection whose checkpoints fail; apsw's own type cannot be patched."""

        def __init__(self, connection: apsw.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        def wal_checkpoint(self, *, mode: int) -> tuple[int, int]:
            if mode == apsw.SQLITE_CHECKPOINT_PASSIVE:
                raise apsw.IOError("no")
            return real(self._connection, mode=mode)

    database = store._database
    with database.reading() as connection, pytest.raises(StoreError):
        database._guard.checkpoint(Failing(connection))  # type: ignore[arg-type]  # stands in for a connection
    assert database._guard.unfinished
    put(store, "/b", ["pear"])
    finished = not database._guard.unfinished
    assert finished
    store.close()
    again = opened(path)
    assert len(again.sources()) == 2
    again.close()


def test_a_checkpoint_that_moves_a_part_only_is_an_error(path: Path) -> None:
    store = opened(path)
    put(store, "/a", ["apple"])

    class Partial:
        def wal_checkpoint(self, *, mode: int) -> tuple[int, int]:
            return 9, 3

        system_errno = 0

    with pytest.raises(CorruptRecord, match="could not be moved"):
        store._database._guard.checkpoint(Partial())  # type: ignore[arg-type]  # stands in for a connection
    store.close()
    opened(path).close()


def test_a_step_that_was_stored_but_not_acknowledged_is_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(path)
    put(store, "/a", ["apple"])
    monkeypatch.setattr(Database, "_acknowledge", lambda self, connection: None)
    put(store, "/b", ["pear"])
    killed = copy_of(path.parent)
    monkeypatch.undo()
    store.close()
    again = opened(killed / "store.db")
    assert [s.path for s in again.sources()] == ["/a"]
    put(again, "/c", ["plum"])
    again.close()
    opened(killed / "store.db").close()


def test_old_frames_behind_the_log_are_dropped(path: Path) -> None:
    """They are valid to SQLite and to the cipher, and bear the log's own salts and checksums."""
    store = opened(path)
    conversation = store.new_conversation("default", "old")
    store._database._guard.checkpoint(store._database._connection)
    old = path.read_bytes()
    store.rename_conversation(conversation, "new")
    store._database._guard.checkpoint(store._database._connection)
    new = path.read_bytes()
    store.close()
    numbers = [n for n in range(len(new) // 4096) if old[n * 4096 :][:4096] != new[n * 4096 :][:4096]]
    for number in numbers:
        trial = copy_of(path.parent)
        (trial / "store.db-wal").write_bytes(log_of([(number + 1, old[number * 4096 :][:4096])], len(new) // 4096))
        again = opened(trial / "store.db")
        assert [c.title for c in again.conversations()] == ["new"]
        again.close()


def log_of(frames: list[tuple[int, bytes]], n_pages: int) -> bytes:
    """A write-ahead log that SQLite takes for its own, made without any key (SQLite file format, section 4)."""

    def summed(data: bytes, a: int, b: int) -> tuple[int, int]:
        words = struct.unpack(f"<{len(data) // 4}I", data)
        for x, y in zip(words[::2], words[1::2], strict=True):
            a = (a + x + b) & 0xFFFFFFFF
            b = (b + y + a) & 0xFFFFFFFF
        return a, b

    log = struct.pack(">6I", 0x377F0682, 3007000, 4096, 0, 1, 2)
    sums = summed(log, 0, 0)
    log += struct.pack(">2I", *sums)
    for i, (number, page) in enumerate(frames, start=1):
        head = struct.pack(">2I", number, n_pages if i == len(frames) else 0)
        sums = summed(page, *summed(head, *sums))
        log += head + struct.pack(">4I", 1, 2, *sums) + page
    return log


def test_a_long_log_is_moved_into_the_file_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECKPOINT_BYTES", 50_000)
    store = opened(path)
    sizes = []
    for i in range(12):
        put(store, f"/{i}", [f"apple {i} " * 200], seed=i)
        sizes.append(path.with_name("store.db-wal").stat().st_size)
    assert 0 in sizes and max(sizes) < 200_000
    store.close()
    opened(path).close()


# Batches -------------------------------------------------------------------------------------------------------


def test_a_batch_writes_one_watermark_at_its_end(path: Path) -> None:
    store = opened(path)

    def seq() -> int:
        mark = watermark.load(path, KEY.watermark, KEY.store_id)
        assert mark is not None
        return mark.head.seq

    put(store, "/a", ["apple"])
    before = seq()
    with store.batch():
        put(store, "/b", ["pear"])
        with store.batch():
            put(store, "/c", ["plum"])
        assert seq() == before
    assert seq() == before + 2
    with pytest.raises(ZeroDivisionError), store.batch():
        put(store, "/d", ["fig"])
        raise ZeroDivisionError
    assert seq() == before + 3
    store.close()


def test_a_batch_of_one_thread_does_not_hold_up_another(path: Path) -> None:
    import threading

    store = opened(path)
    with store.batch():
        put(store, "/a", ["apple"])
        thread = threading.Thread(target=lambda: put(store, "/b", ["pear"]))
        thread.start()
        thread.join()
        mark = watermark.load(path, KEY.watermark, KEY.store_id)
        assert mark is not None and mark.head.seq == store.log()[-1].seq
    store.close()


# Stores of the first version -----------------------------------------------------------------------------------


def legacy(path: Path) -> None:
    """A store as the first version left it: two migrations, no log, no watermark."""
    from secondme.memory import migrations
    from secondme.memory.database import connect

    path.touch()
    connection = connect(path, KEY.db)
    migrations.migrate(connection, migrations.MIGRATIONS[:2])
    connection.execute("insert into project(name) values('default')")
    connection.execute(
        """insert into source(project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode, trust,
               n_chunks, ingested_at) values(1, x'2f61', '', '', x'', 0, 0, 0, 'document', 0, 0)"""
    )
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    connection.close()


def test_a_store_of_the_first_version_gets_log_and_watermark(path: Path) -> None:
    legacy(path)
    store = opened(path)
    assert [op.kind for op in store.log()] == ["upgraded"] and len(store.sources()) == 1
    store.close()
    opened(path).close()


@pytest.mark.parametrize("stop", ["migrate", "oplog.append"])
def test_an_upgrade_that_was_interrupted_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    legacy(path)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"secondme.memory.database.{stop}", stopped)
    with pytest.raises(KeyboardInterrupt):
        opened(path)
    monkeypatch.undo()
    store = opened(path)
    put(store, "/b", ["pear"])
    store.close()
    opened(path).close()


def test_a_first_version_store_put_back_over_a_newer_one_is_refused(path: Path) -> None:
    legacy(path)
    old = path.read_bytes()
    made(path)
    path.write_bytes(old)
    refused(path, "not the one that was last written")
    watermark.path_for(path).unlink()
    refused(path, "a copy from an earlier version")
