"""A cartridge gives back what was written, section by section, and is refused in words that say why."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondme.cartridges import exact
from secondme.cartridges.format import (
    CartridgeReader,
    SectionData,
    file_key,
    open_cartridge,
    token_section,
    write_cartridge,
)
from secondme.cartridges.manifest import WHOLE
from secondme.crypto.stream import open_sealed, seal
from secondme.errors import CartridgeIncompatible, CartridgeStale, CorruptCartridge, StoreError
from tests.sealing_cartridges import BITS, KEY, TOKENS, cells_of, content, manifest_of, sections_of, written

CONTEXT = b"secondme cartridge 1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.smkv"


def plain(path: Path) -> bytes:
    with open_sealed(path, KEY, CONTEXT) as sealed:
        return bytes(sealed.read())


def reseal(path: Path, data: bytes) -> None:
    """What who holds the key can do: seal anything."""
    seal([data], path, KEY, CONTEXT, chunk_bits=BITS)


def test_it_gives_back_what_was_written_in_any_order(path: Path) -> None:
    manifest = written(path)
    sections = list(sections_of())
    with open_cartridge(path, KEY) as reader:
        assert reader.manifest == manifest
        assert [(s.kind, s.layer) for s in manifest.sections] == [(s.kind, s.layer) for s in sections]
        for section in reversed(sections):
            assert reader.section(section.kind, section.layer) == memoryview(section.data).cast("B")
        ids = reader.tokens()
        assert ids.dtype == np.int32 and tuple(ids) == TOKENS
        assert reader.has("k", 1) and not reader.has("k", 2) and not reader.has("k")
        assert reader.size_bytes == len(plain(path))
        reader.verify()
        cells, again = cells_of(), exact.decode(reader)
        for name in ("positions", "k", "k_scales", "v", "v_scales"):
            assert np.array_equal(getattr(again, name), getattr(cells, name)), name


def test_nothing_of_it_is_readable_and_another_key_opens_nothing(path: Path) -> None:
    written(path)
    data = path.read_bytes()
    for part in (b"SMKV", b"tokens", *(bytes(memoryview(s.data).cast("B")) for s in sections_of())):
        assert part not in data and part in plain(path)
    with pytest.raises(CorruptCartridge, match="another key"):
        open_cartridge(path, bytes(32))


def test_a_key_needs_both_the_projects_and_the_rows() -> None:
    key = file_key(bytearray(32), bytes(32))
    assert len(key) == 32 and key == file_key(bytes(32), bytearray(32))
    assert key != file_key(bytes(31) + b"\1", bytes(32)) != file_key(bytes(32), b"\1" + bytes(31))
    for wrong in ((b"", bytes(32)), (bytes(32), bytes(31))):
        with pytest.raises(StoreError, match="locked"):
            file_key(*wrong)


def test_sections_that_do_not_fit_their_manifest_leave_the_earlier_file(path: Path) -> None:
    written(path)
    before = path.read_bytes()
    others: list[list[SectionData]] = [
        [],
        [SectionData("k", 0, b"1")],
        [token_section([1, 2])],
        [token_section(list(TOKENS)), SectionData("k", 2, b"1")],
        [token_section(list(TOKENS)), SectionData("k", 1, b"1"), SectionData("k", 0, b"1")],
        [token_section(list(TOKENS)), SectionData("k", 0, b"1"), SectionData("k", 0, b"1")],
    ]
    for sections in others:
        with pytest.raises(ValueError, match="cartridge"):
            write_cartridge(path, KEY, manifest_of(), sections)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_breaks_off_leaves_the_earlier_file(path: Path) -> None:
    written(path)
    before = path.read_bytes()

    def breaking() -> Iterator[SectionData]:
        yield token_section(list(TOKENS))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cartridge(path, KEY, manifest_of(), breaking())
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_part_that_is_not_there_is_said(path: Path) -> None:
    written(path)
    with open_cartridge(path, KEY) as reader, pytest.raises(CorruptCartridge, match="lacks"):
        reader.section("scores", 0)


def test_after_closing_nothing_is_given_out(path: Path) -> None:
    written(path)
    reader = open_cartridge(path, KEY)
    reader.close()
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.section("k", 0)


def test_a_file_that_went_is_stale_and_one_that_is_damaged_is_corrupt(path: Path) -> None:
    with pytest.raises(CartridgeStale, match="gone"):
        open_cartridge(path, KEY)
    written(path)
    with open_cartridge(path, KEY) as reader:
        damaged = bytearray(path.read_bytes())
        damaged[200] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptCartridge, match="chunk 1 of"):
            reader.section("tokens")
        path.unlink()
        with pytest.raises(CartridgeStale, match="gone"):
            reader.section("tokens")
    path.mkdir()
    with pytest.raises(CorruptCartridge, match="cannot be read"):
        open_cartridge(path, KEY)


# What who holds the key could do -------------------------------------------------------------------------------


def test_first_and_last_bytes_are_checked(path: Path) -> None:
    written(path)
    whole = plain(path)
    length = struct.unpack("<I", whole[-8:-4])[0]
    for data in (
        b"",
        whole[:15],
        b"SMSV" + whole[4:],
        whole[:6] + b"\1" + whole[7:],
        whole[:4] + b"\0\0" + whole[6:],
        whole[:-4] + b"SMKV",
        whole[:-8] + struct.pack("<I", 0xFFFFFFFF) + whole[-4:],
        whole[:-8] + struct.pack("<I", length - 1) + whole[-4:],
        whole[:-8] + struct.pack("<I", 0) + whole[-4:],
        whole[:8] + b"\0" + whole[8:],
        whole[:8] + whole[9:],
    ):
        reseal(path, data)
        with pytest.raises(CorruptCartridge):
            open_cartridge(path, KEY)
    reseal(path, whole[:4] + b"\2\0" + whole[6:])
    with pytest.raises(CartridgeIncompatible, match="newer version"):
        open_cartridge(path, KEY)
    sealed = path.read_bytes()
    path.write_bytes(sealed[:4] + b"\2" + sealed[5:])
    with pytest.raises(CartridgeIncompatible, match="newer version"):
        open_cartridge(path, KEY)


def with_manifest(whole: bytes, change: Callable[[Any], None]) -> bytes:
    """The cartridge with another manifest, spelled as it must be."""
    length = struct.unpack("<I", whole[-8:-4])[0]
    found = json.loads(whole[-8 - length : -8])
    change(found)
    packed = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    return whole[: -8 - length] + packed + struct.pack("<I", len(packed)) + whole[-4:]


def test_the_parts_must_add_up_to_the_file(path: Path) -> None:
    written(path)
    whole = plain(path)
    for change in (
        lambda found: found["sections"].pop(),
        lambda found: found["sections"].clear(),
        lambda found: found["sections"][2].__setitem__(2, found["sections"][2][2] + 1),
        lambda found: found["sections"].append(["z", 1, 1, "A" * 43]),
    ):
        reseal(path, with_manifest(whole, change))
        with pytest.raises(CorruptCartridge, match="add up"):
            open_cartridge(path, KEY)


def test_a_part_of_another_cartridge_is_noticed_when_it_is_read(path: Path) -> None:
    written(path, seed=1)
    whole = plain(path)
    k = bytes(memoryview(next(s for s in sections_of(seed=1) if (s.kind, s.layer) == ("v_scales", 1)).data).cast("B"))
    other = bytes(len(k))
    assert whole.count(k) == 1
    reseal(path, whole.replace(k, other))
    with open_cartridge(path, KEY) as reader:
        assert content_but(reader, "v_scales", 1)
        with pytest.raises(CorruptCartridge, match="not what was written"):
            reader.section("v_scales", 1)
        with pytest.raises(CorruptCartridge):
            reader.verify()


def content_but(reader: CartridgeReader, kind: str, layer: int) -> list[memoryview]:
    others = [s for s in reader.manifest.sections if (s.kind, s.layer) != (kind, layer)]
    return [reader.section(s.kind, s.layer) for s in others]


def test_what_is_no_token_id_is_refused_although_it_was_hashed(path: Path) -> None:
    ids = struct.pack("<3i", 1, -2, 3)
    manifest = replace(manifest_of(), tokens_hash=hashlib.sha256(ids).hexdigest())
    write_cartridge(path, KEY, manifest, [SectionData("tokens", WHOLE, ids)])
    with open_cartridge(path, KEY) as reader, pytest.raises(CorruptCartridge, match="no token"):
        reader.tokens()


def test_opened_twice_and_read_from_many_threads_it_is_the_same(path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    written(path)
    with open_cartridge(path, KEY) as one, open_cartridge(path, KEY) as two, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(content, [one, two] * 20))
    assert all(each == found[0] for each in found)
