"""Small cartridges for tests of format, files and rows: two layers of one head, the T0 code of random cells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from secondme.cartridges import exact
from secondme.cartridges.files import Shelf
from secondme.cartridges.format import CartridgeReader, SectionData, token_section, write_cartridge
from secondme.cartridges.manifest import WHOLE, Manifest, hash_of_tokens
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.store import Store
from secondme.runtime.kv import KvIdentity, KvShape, QuantizedCells, Rope

KEY = bytes(range(32))
BITS = 8
"""Chunks of 256 bytes, so that a small cartridge has many."""
SHAPE = KvShape(n_layers=2, n_kv_heads=1, n_heads=2, k_dim=32, v_dim=32)
ROPE = Rope("adjacent", 32, 10000.0)
TOKENS = (7, 1, 49151)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def identity_of(model: str = "model", shape: KvShape = SHAPE, rope: Rope = ROPE) -> KvIdentity:
    return KvIdentity(
        sha(model),
        sha("tokenizer"),
        sha("template"),
        shape,
        rope,
        "f16",
        rotated=False,
        runtime="test 1",
        state_version=1,
    )


def manifest_of(
    tokens: Sequence[int] = TOKENS, *, source_hash: str = sha("text"), identity: KvIdentity | None = None
) -> Manifest:
    return Manifest(
        identity=identity or identity_of(),
        source_hash=source_hash,
        prefix_hash=sha("prefix"),
        tokens_hash=hash_of_tokens(tokens),
        n_tokens=len(tokens),
        start=5,
        tier="T0",
        codec=exact.CODEC,
        calibration="",
        complete=True,
    )


def cells_of(n: int = len(TOKENS), seed: int = 1) -> QuantizedCells:
    chance = np.random.default_rng(seed)

    def blocks() -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return chance.integers(-127, 128, (SHAPE.n_layers, n, 32)).astype(np.int8)

    def scales() -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
        return chance.random((SHAPE.n_layers, n, 1)).astype(np.float16)

    positions = np.arange(5, 5 + n, dtype=np.int32)
    return QuantizedCells(positions, False, blocks(), scales(), blocks(), scales())


def sections_of(tokens: Sequence[int] = TOKENS, seed: int = 1, padding: int = 0) -> Iterator[SectionData]:
    """With `padding` one more of so many bytes, so that what is asked for lies in chunks that were not read yet."""
    yield token_section(list(tokens))
    if padding:
        yield SectionData("padding", WHOLE, bytes(padding))
    yield from exact.encode(cells_of(len(tokens), seed))


def coded(tokens: Sequence[int] = TOKENS, seed: int = 1) -> dict[tuple[str, int], bytes]:
    """The same by kind and layer, as they are read."""
    return {(s.kind, s.layer): bytes(memoryview(s.data).cast("B")) for s in sections_of(tokens, seed)}


def written(path: Path, *, seed: int = 1, manifest: Manifest | None = None, key: bytes = KEY) -> Manifest:
    """Write a whole one and return its manifest."""
    return write_cartridge(path, key, manifest or manifest_of(), sections_of(seed=seed), chunk_bits=BITS)[0]


def content(reader: CartridgeReader) -> dict[tuple[str, int], bytes]:
    """Every section, read and checked."""
    return {(s.kind, s.layer): bytes(reader.section(s.kind, s.layer)) for s in reader.manifest.sections}


def shelve(
    shelf: Shelf, store: Store, source_id: int, *, tokens: Sequence[int] = TOKENS, seed: int = 1, padding: int = 0
) -> StoredCartridge | None:
    """Put a cartridge of a source's present text on the shelf."""
    source = next(s for s in store.sources() if s.id == source_id)
    text_hash = store.document_hash(source_id)
    assert text_hash is not None
    manifest = manifest_of(tokens, source_hash=text_hash.hex())
    return shelf.put(source, manifest, sections_of(tokens, seed, padding), prefill_s=1.5, build_s=2.0)
