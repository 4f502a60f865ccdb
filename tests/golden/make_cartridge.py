"""Writes tests/golden/cartridge-1, a cartridge of the first format: python -m tests.golden.make_cartridge FILE

Run once for each released format and never again for an old one. A cartridge can be made again from its text, but not
in the moment when its owner opens a project: an older one is read, or refused as such, and never taken for damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from secondme.cartridges.format import SectionData, token_section, write_cartridge
from secondme.cartridges.manifest import WHOLE, Manifest, hash_of_tokens
from secondme.runtime.kv import KvIdentity, KvShape, Rope

PROJECT_KEY, SECRET = bytes(range(32)), bytes(range(32, 64))
KEY = bytes.fromhex("e3f315a918650c6c59bde5296c93d6cf5503cbbc810b04f5ab279d6bb384ee71")
TOKENS = (1, 49151, 0, 7)
CHUNK_BITS = 9
MANIFEST = Manifest(
    identity=KvIdentity(
        weights="01" * 32,
        tokenizer="23" * 32,
        template="45" * 32,
        shape=KvShape(n_layers=2, n_kv_heads=1, n_heads=3, k_dim=8, v_dim=4),
        rope=Rope("halves", 8, 100000.0, 0.25, (1.0, 1.5, 2.0, 0.1)),
        dtype="q8_0",
        rotated=True,
        runtime="llama-cpp-python 0.3.36 golden little",
        state_version=1,
    ),
    source_hash="67" * 32,
    prefix_hash="89" * 32,
    tokens_hash=hash_of_tokens(TOKENS),
    n_tokens=len(TOKENS),
    start=21,
    tier="T2",
    codec=3,
    calibration="ab" * 32,
    complete=True,
)


def sections() -> Iterator[SectionData]:
    yield token_section(TOKENS)
    yield SectionData("index", WHOLE, b"of the whole")
    for layer in range(2):
        yield SectionData("k", layer, bytes([layer]) * 90)
        yield SectionData("v", layer, b"" if layer else b"quinces" * 9)


def make(path: Path, key: bytes) -> Manifest:
    return write_cartridge(path, key, MANIFEST, sections(), chunk_bits=CHUNK_BITS)[0]


if __name__ == "__main__":
    make(Path(sys.argv[1]), KEY)
