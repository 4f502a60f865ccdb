"""Cartridges on the shelf of an open memory: written, replaced, opened by many, gone under a reader, locked."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from secondme.cartridges import exact
from secondme.cartridges.files import Collected, Shelf, examine
from secondme.cartridges.format import SectionData, open_cartridge, token_section
from secondme.crypto.erase import erase
from secondme.crypto.keys import Keys
from secondme.crypto.unlock import unlock
from secondme.errors import CartridgeStale, CorruptCartridge, StoreError, StoreFull
from secondme.memory.store import Store
from tests.keyfiles import CHEAP
from tests.sealing_cartridges import TOKENS, cells_of, content, manifest_of, shelve
from tests.storing import put, quota


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    (tmp_path / "memory").mkdir()
    with unlock(tmp_path / "memory", passphrase="one", work=CHEAP) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path, keys: Keys) -> Iterator[Store]:
    opened = Store.open(tmp_path / "memory" / "store.db", keys.store)
    yield opened
    opened.close()


@pytest.fixture
def shelf(store: Store, keys: Keys) -> Iterator[Shelf]:
    made = Shelf(store, keys)
    yield made
    made.close()


def files(tmp_path: Path) -> list[Path]:
    return sorted(p for p in (tmp_path / "memory" / "cartridges").rglob("*") if p.is_file())


def test_it_is_written_and_opened(store: Store, shelf: Shelf, tmp_path: Path) -> None:
    a = put(store, "/a", ["pears"])
    row = shelve(shelf, store, a)
    assert row is not None and store.cartridges() == [row] and files(tmp_path) == [shelf.path(row)]
    assert row.size_bytes == shelf.path(row).stat().st_size and row.n_tokens == len(TOKENS) and row.build_s > 2
    for place in (shelf.path(row), shelf.path(row).parent, shelf.path(row).parent.parent):
        assert place.stat().st_mode & 0o77 == 0
    shelf.verify(row)
    with shelf.open(row) as reader:
        assert reader.manifest.model_key == row.model_key and reader.manifest.f16_bytes == row.f16_bytes
        assert (exact.decode(reader).k == cells_of().k).all()


def test_the_earlier_one_stays_until_the_new_one_is_whole(store: Store, shelf: Shelf, tmp_path: Path) -> None:
    a = put(store, "/a", ["pears"])
    first = shelve(shelf, store, a)
    assert first is not None

    def looking() -> Iterator[SectionData]:
        yield token_section(list(TOKENS))
        assert store.cartridges() == [first] and shelf.path(first).exists()
        shelf.verify(first)
        assert shelf.collect() == Collected(0, 0)  # the one that is being written is spared

    (source,) = store.sources()
    text_hash = store.document_hash(a)
    assert text_hash is not None
    manifest = manifest_of(source_hash=text_hash.hex())
    second = shelf.put(source, manifest, looking(), prefill_s=1, build_s=1)
    assert second is not None and store.cartridges() == [second] and files(tmp_path) == [shelf.path(second)]
    assert second.secret != first.secret and second.file != first.file


def test_two_projects_that_share_a_document_share_no_file_and_no_key(store: Store, shelf: Shelf, keys: Keys) -> None:
    one, two = (put(store, "/a", ["pears"], project=name) for name in ("one", "two"))
    first, second = shelve(shelf, store, one), shelve(shelf, store, two)
    assert first is not None and second is not None
    assert first.source_hash == second.source_hash and first.secret != second.secret
    a, b = shelf.path(first).read_bytes(), shelf.path(second).read_bytes()
    assert shelf.path(first).parent != shelf.path(second).parent and a != b and len(a) == len(b)
    shelf.path(first).write_bytes(b)
    with pytest.raises(CorruptCartridge, match="another key"):
        shelf.open(first)
    store.forget_project("one")
    keys.destroy_project(first.project_uid)
    shelf.verify(second)
    assert not shelf.path(first).parent.exists()


def test_a_row_that_is_gone_leaves_its_file_unreadable_to_the_projects_key(
    store: Store, shelf: Shelf, keys: Keys, tmp_path: Path
) -> None:
    row = shelve(shelf, store, put(store, "/a", ["pears"]))
    assert row is not None
    copy = tmp_path / "copy.smkv"
    copy.write_bytes(shelf.path(row).read_bytes())
    store.drop_cartridges([row.source_id])
    with store._database.reading() as connection:
        assert row.secret not in connection.serialize("main")
    for key in (keys.project(row.project_uid), row.secret):
        with pytest.raises(CorruptCartridge):
            open_cartridge(copy, key)


def test_a_project_that_goes_while_a_reader_is_open_is_one_clear_error(store: Store, shelf: Shelf) -> None:
    row = shelve(shelf, store, put(store, "/a", ["pears"], project="one"), padding=3 << 20)
    assert row is not None
    with shelf.open(row) as reader:
        assert reader.section("k", 0)
        store.forget_project("one")
        with pytest.raises(CartridgeStale, match="gone"):
            reader.verify()
    with pytest.raises(CartridgeStale, match="gone"):
        shelf.open(row)


def test_a_text_that_changes_while_it_is_built_takes_its_cartridge_along(
    store: Store, shelf: Shelf, tmp_path: Path
) -> None:
    a = put(store, "/a", ["pears"])
    (source,) = store.sources()
    text_hash = store.document_hash(a)
    assert text_hash is not None
    manifest = manifest_of(source_hash=text_hash.hex())

    def changing() -> Iterator[SectionData]:
        yield token_section(list(TOKENS))
        put(store, "/a", ["plums"])

    assert shelf.put(source, manifest, changing(), prefill_s=1, build_s=1) is None
    assert store.cartridges() == [] and files(tmp_path) == []
    store.forget_project("default")
    assert shelf.put(source, manifest, iter(()), prefill_s=1, build_s=1) is None


def test_a_full_disk_leaves_the_earlier_one_and_nothing_else(store: Store, shelf: Shelf, tmp_path: Path) -> None:
    a = put(store, "/a", ["pears"])
    row = shelve(shelf, store, a)
    assert row is not None
    (source,) = store.sources()
    manifest = manifest_of(source_hash=row.source_hash.hex())
    many = [token_section(list(TOKENS)), SectionData("x", -1, bytes(3 << 20))]
    with quota(1 << 20), pytest.raises(StoreFull):
        shelf.put(source, manifest, many, prefill_s=1, build_s=1)
    assert store.cartridges() == [row] and files(tmp_path) == [shelf.path(row)]
    shelf.verify(row)


def test_a_folder_that_cannot_be_made_is_said(store: Store, shelf: Shelf, tmp_path: Path) -> None:
    a = put(store, "/a", ["pears"])
    (tmp_path / "memory" / "cartridges").write_text("in the way")
    with pytest.raises(StoreError):
        shelve(shelf, store, a)


def test_a_store_that_fails_behind_the_file_takes_it_back(
    store: Store, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise StoreFull("the disk is full", hint="free some space")

    a = put(store, "/a", ["pears"])
    monkeypatch.setattr(store, "put_cartridge", failing)
    with pytest.raises(StoreFull):
        shelve(shelf, store, a)
    assert files(tmp_path) == []


def test_many_open_and_read_one_at_once_while_another_is_built(store: Store, shelf: Shelf) -> None:
    a, b = put(store, "/a", ["pears"]), put(store, "/b", ["plums"])
    row = shelve(shelf, store, a)
    assert row is not None
    building = threading.Event()

    def read(_: int) -> dict[tuple[str, int], bytes]:
        building.wait()
        with shelf.open(row) as reader:
            return content(reader)

    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(read, i) for i in range(40)]
        building.set()
        for seed in range(5):
            assert shelve(shelf, store, b, seed=seed) is not None
        found = [r.result() for r in reading]
    assert all(each == found[0] for each in found) and len(found[0]) == 9


def test_locking_closes_every_reader_and_opens_no_more(store: Store, shelf: Shelf, keys: Keys) -> None:
    a = put(store, "/a", ["pears"])
    row = shelve(shelf, store, a)
    assert row is not None
    reader, closed = shelf.open(row), shelf.open(row)
    closed.close()
    shelf.close()
    shelf.close()
    with pytest.raises(StoreError, match="closed"):
        reader.section("k", 0)
    for call in (lambda: shelf.open(row), lambda: shelve(shelf, store, a)):
        with pytest.raises(StoreError, match="locked"):
            call()


def test_one_that_opens_while_it_is_being_locked_is_closed(
    store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondme.cartridges import files as module

    row = shelve(shelf, store, put(store, "/a", ["pears"]))
    assert row is not None

    def locking(*secrets: bytes | bytearray) -> None:
        shelf.close()
        erase(*secrets)

    monkeypatch.setattr(module, "erase", locking)
    with pytest.raises(StoreError, match="locked"):
        shelf.open(row)


def test_keys_that_were_erased_open_nothing(store: Store, shelf: Shelf, keys: Keys) -> None:
    row = shelve(shelf, store, put(store, "/a", ["pears"]))
    assert row is not None
    keys.project(row.project_uid).clear()
    with pytest.raises(StoreError, match="locked"):
        shelf.open(row)


def test_rows_without_a_file_and_files_without_a_row_are_cleared_away(
    store: Store, shelf: Shelf, tmp_path: Path
) -> None:
    a, b = put(store, "/a", ["pears"]), put(store, "/b", ["plums"])
    lost, kept = shelve(shelf, store, a), shelve(shelf, store, b)
    assert lost is not None and kept is not None
    shelf.path(lost).rename(shelf.path(lost).with_name("0" * 32 + ".smkv"))
    with pytest.raises(CartridgeStale):
        shelf.open(lost)
    assert shelf.collect() == Collected(1, 1) and shelf.collect() == Collected(0, 0)
    assert store.cartridges() == [kept] and files(tmp_path) == [shelf.path(kept)]


def test_what_is_damaged_is_named(store: Store, shelf: Shelf, keys: Keys, tmp_path: Path) -> None:
    rows = [shelve(shelf, store, put(store, f"/{i}", [f"text {i}"])) for i in range(3)]
    good, damaged, lost = (row for row in rows if row is not None)
    data = bytearray(shelf.path(damaged).read_bytes())
    data[-40] ^= 1
    shelf.path(damaged).write_bytes(data)
    shelf.path(lost).unlink()
    found = list(examine(tmp_path / "memory", keys, [good, damaged, lost]))
    assert [row for row, _ in found] == [damaged, lost]
    assert "damaged" in found[0][1] and "gone" in found[1][1]


def test_a_disk_that_fails_is_said(store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    row = shelve(shelf, store, put(store, "/a", ["pears"]), padding=3 << 20)
    assert row is not None
    with shelf.open(row) as reader:

        def failing(*_: object) -> int:
            raise OSError(errno.EIO, "no luck")

        monkeypatch.setattr(reader._sealed, "_file", type("Bad", (), {"seek": failing, "close": lambda self: None})())
        with pytest.raises(CorruptCartridge, match="cannot be read"):
            reader.section("tokens")
