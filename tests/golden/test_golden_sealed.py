"""The sealed file of each released format opens. One that no longer opens here is one that no owner can open either."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from secondme.crypto.stream import open_sealed
from secondme.errors import CorruptRecord
from tests.golden.make_sealed import CHUNK_BITS, CONTEXT, KEY, PLAIN, make

HERE = Path(__file__).parent
FORMATS = {"sealed-1": "717148e2410d8f8ac6a0605cfc8605b6a8b5ec887c7f2b13a5b543cf8f008d7d"}


def test_there_is_a_file_of_every_format_as_it_was_made() -> None:
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in HERE.glob("sealed-*")}
    assert files == FORMATS
    assert all((HERE / name).stat().st_size < 1000 for name in FORMATS)


@pytest.mark.parametrize("name", [*FORMATS, "made now"])
def test_it_holds_what_was_sealed(name: str, tmp_path: Path) -> None:
    path = HERE / name
    if name not in FORMATS:
        path = tmp_path / "new"
        make(path)
    with open_sealed(path, KEY, CONTEXT) as reader:
        assert (reader.size, reader.n_chunks) == (len(PLAIN), -(-len(PLAIN) >> CHUNK_BITS))
        assert reader.read_at(130, 20) == PLAIN[130:150]
        assert reader.read() == PLAIN
        reader.verify()
    for key, context in ((bytes(32), CONTEXT), (KEY, b"golden project")):
        with pytest.raises(CorruptRecord):
            open_sealed(path, key, context)
