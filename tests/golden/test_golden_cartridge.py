"""The cartridge of each released format opens, and the key of each is made as it was."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from secondme.cartridges.format import file_key, open_cartridge
from secondme.errors import CorruptCartridge
from tests.golden.make_cartridge import KEY, MANIFEST, PROJECT_KEY, SECRET, TOKENS, make, sections

HERE = Path(__file__).parent
FORMATS = {"cartridge-1": "fafa5e79e5b5442c922d6bfb631bf7efd8df9268784d35a7e9605de08fda0bb0"}


def test_there_is_a_cartridge_of_every_format_as_it_was_made() -> None:
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in HERE.glob("cartridge-*")}
    assert files == FORMATS
    assert all((HERE / name).stat().st_size < 4000 for name in FORMATS)


def test_its_key_is_made_as_it_was() -> None:
    assert file_key(PROJECT_KEY, SECRET) == KEY


def test_what_it_is_of_use_for_is_named_as_it_was() -> None:
    """By this key a memory's cartridges are found to fit: were it made otherwise, all of them would be built anew."""
    found = bytes.fromhex("d4a1d3ca0171cd8631ea1730ef667d70e3d050a23b2b0c43965184d6226162f5")
    elsewhere = replace(MANIFEST.identity, dtype="f16", rotated=False, runtime="mlx 0.32.4 cpu f32", state_version=2)
    assert MANIFEST.model_key == found == replace(MANIFEST, identity=elsewhere).model_key


@pytest.mark.parametrize("name", [*FORMATS, "made now"])
def test_it_holds_what_was_written(name: str, tmp_path: Path) -> None:
    path = HERE / name
    if name not in FORMATS:
        path = tmp_path / "new"
        make(path, KEY)
    with open_cartridge(path, KEY) as reader:
        assert replace(reader.manifest, sections=()) == MANIFEST
        assert tuple(reader.tokens()) == TOKENS
        for section in sections():
            assert reader.section(section.kind, section.layer) == section.data
        assert len(reader.manifest.sections) == len(list(sections()))
        reader.verify()
    with pytest.raises(CorruptCartridge):
        open_cartridge(path, bytes(32))
