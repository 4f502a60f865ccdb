"""Thousands of ways to change a cartridge, without its key or with it: refused, or what it says of itself holds."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import string
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.cartridges import codec, load, place, tiers
from secondme.cartridges.build import ROWS
from secondme.cartridges.format import CartridgeReader, SectionData, open_cartridge, token_section, write_cartridge
from secondme.cartridges.manifest import (
    TIERS,
    Expected,
    Manifest,
    Section,
    Tier,
    check_manifest,
    hash_of_tokens,
    pack,
    parse,
)
from secondme.cartridges.prefix import Prefix
from secondme.crypto.stream import HEADER_BYTES, SealedWriter, open_sealed
from secondme.errors import CartridgeError, CartridgeIncompatible, CartridgeStale, CorruptCartridge, ModelError
from secondme.runtime.cells import check_cells
from secondme.runtime.kv import Cells, KvIdentity, KvShape, QuantizedCells, Rope
from tests.calibrated import IDENTITY, a_calibration, some_rows
from tests.fault.soak import n
from tests.sealing_cartridges import BITS, KEY, content, manifest_of, sha, written

CONTEXT = b"secondme cartridge 1"
CHUNK = (1 << BITS) + 16
CALIBRATION = a_calibration()[1]


class Files:
    """A cartridge as bytes on the disk and as plaintext, another of the same key, and a place to try changed ones."""

    def __init__(self, folder: Path, tier: Tier) -> None:
        folder.mkdir()
        self.path = folder / "changed"
        self.tier = tier
        self.data, self.plain, self.manifest = self._made(folder / "a", 1)
        self.other_data, self.other_plain, _ = self._made(folder / "b", 2)
        self.expected = Expected(
            self.manifest.identity, sha("text"), sha("prefix"), self.manifest.tokens_hash, CALIBRATION.digest, 4096
        )
        with open_cartridge(folder / "a", KEY) as reader:
            self.content = content(reader)

    def _made(self, path: Path, seed: int) -> tuple[bytes, bytes, Manifest]:
        manifest = written(path, seed=seed) if self.tier == "T0" else coded(path, self.tier, seed)
        with open_sealed(path, KEY, CONTEXT) as sealed:
            return path.read_bytes(), sealed.read_at(0, sealed.size), manifest

    def split(self, plain: bytes) -> tuple[bytes, Any]:
        """Head and sections, and the manifest as JSON."""
        length = struct.unpack("<I", plain[-8:-4])[0]
        return plain[: -8 - length], json.loads(plain[-8 - length : -8])


def coded(path: Path, tier: Tier, seed: int) -> Manifest:
    """Write one with a choice of tokens for each head."""
    tokens = range(12)
    rows, scores = some_rows(CALIBRATION, len(tokens), 30, seed)
    layers = codec.encode(rows, scores, CALIBRATION, tiers.TIERS[tier])
    sections = [token_section(tokens), *(SectionData(ROWS, i, data) for i, data in enumerate(layers))]
    identity = replace(IDENTITY, runtime="test 1")
    plain = manifest_of(tokens, identity=identity)
    manifest = replace(plain, tier=tier, codec=codec.CODEC, calibration=CALIBRATION.digest)
    return write_cartridge(path, KEY, manifest, sections, chunk_bits=BITS)[0]


def joined(body: bytes, manifest: Any) -> bytes:
    packed = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    return body + packed + struct.pack("<I", len(packed)) + b"SMKE"


def sealed(plain: bytes) -> bytes:
    """What who holds the key makes of any bytes."""
    file = BytesIO()
    writer = SealedWriter(file, KEY, CONTEXT, chunk_bits=BITS)
    writer.write(plain)
    writer.finish()
    return file.getvalue()


# Without the key -----------------------------------------------------------------------------------------------


def flip(files: Files, chance: random.Random) -> bytes:
    data = bytearray(files.data)
    for _ in range(chance.choice((1, 1, 2, 9))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(files: Files, chance: random.Random) -> bytes:
    return files.data[: chance.randrange(len(files.data))]


def lengthen(files: Files, chance: random.Random) -> bytes:
    return files.data + chance.choice((bytes, chance.randbytes))(chance.choice((1, 16, 104, CHUNK)))


def reorder(files: Files, chance: random.Random) -> bytes:
    body = files.data[HEADER_BYTES:]
    chunks = [body[i : i + CHUNK] for i in range(0, len(body), CHUNK)]
    chance.choice((chance.shuffle, list.reverse, lambda c: c.insert(0, c[-1]), lambda c: c.pop(0)))(chunks)
    return files.data[:HEADER_BYTES] + b"".join(chunks)


def splice(files: Files, chance: random.Random) -> bytes:
    """A stretch of another cartridge of the same key, at its place."""
    data, other = bytearray(files.data), files.other_data
    start = chance.choice((0, 8, 40, 72, HEADER_BYTES + CHUNK * chance.randrange(len(data) // CHUNK)))
    end = chance.choice((start + 32, start + CHUNK, len(data)))
    data[start:end] = other[start:end]
    return bytes(data)


# With it: what is found is what was sealed, and hostile ----------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    2,
    3,
    5,
    32,
    33,
    2**31 - 1,
    2**31,
    2**63,
    10**400,
    0.0,
    1.0,
    -1.5,
    1e308,
    "",
    "T3",
    "f16",
    "0" * 64,
    [],
    {},
    [[]],
    [1.0] * 16,
    "\udc80",
)


def places(found: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    items = list(found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ())
    return [(found, key) for key, _ in items] + [place for _, value in items for place in places(value)]


def set_a_value(files: Files, chance: random.Random) -> bytes:
    body, manifest = files.split(files.plain)
    for _ in range(chance.choice((1, 1, 2))):
        home, key = chance.choice(places(manifest))
        home[key] = chance.choice(VALUES)
    return sealed(joined(body, manifest))


def nudge_a_number(files: Files, chance: random.Random) -> bytes:
    body, manifest = files.split(files.plain)
    home, key = chance.choice([(h, k) for h, k in places(manifest) if isinstance(h[k], int)])
    home[key] = home[key] + chance.choice((-1, 1, 2, 32, -home[key], home[key]))
    return sealed(joined(body, manifest))


def change_the_table(files: Files, chance: random.Random) -> bytes:
    """Sections left out, twice, in another order, of other lengths that still add up."""
    body, manifest = files.split(files.plain)
    table = manifest["sections"]
    a, b = chance.randrange(len(table)), chance.randrange(len(table))
    kind = chance.randrange(5)
    if kind == 0:
        table[a], table[b] = table[b], table[a]
    elif kind == 1:
        table.insert(b, list(table[a]))
    elif kind == 2:
        del table[a]
    elif kind == 3:
        shift = chance.randint(-9, 9)
        table[a][2], table[b][2] = table[a][2] + shift, table[b][2] - shift
    else:
        table[a][1] = chance.randint(-2, 3)
    return sealed(joined(body, manifest))


def exchange_a_section(files: Files, chance: random.Random) -> bytes:
    """The bytes of another cartridge's section, with or without its digest."""
    (body, manifest), (other_body, other) = files.split(files.plain), files.split(files.other_plain)
    i = chance.randrange(len(manifest["sections"]))
    starts = [8 + sum(s[2] for s in m["sections"][:i]) for m in (manifest, other)]
    mine, theirs = manifest["sections"][i], other["sections"][i]
    taken = other_body[starts[1] : starts[1] + theirs[2]]
    body = body[: starts[0]] + taken + body[starts[0] + mine[2] :]
    mine[2] = theirs[2]
    if chance.random() < 0.5:
        mine[3] = theirs[3]
    return sealed(joined(body, manifest))


def spoil_a_section(files: Files, chance: random.Random) -> bytes:
    """Other bytes under their right digest: nothing but the decoder stands against these."""
    from base64 import urlsafe_b64encode

    body, manifest = files.split(files.plain)
    i = chance.randrange(1, len(manifest["sections"]))
    section = manifest["sections"][i]
    start = 8 + sum(s[2] for s in manifest["sections"][:i])
    spoilt = bytearray(body[start : start + section[2]])
    way = chance.randrange(4)
    if way == 0:
        spoilt = bytearray(chance.randbytes(len(spoilt)))
    elif way == 1:
        del spoilt[chance.randrange(len(spoilt) + 1) :]
    elif way == 2:
        spoilt += chance.randbytes(chance.randint(1, 40))
    elif spoilt:
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    section[2] = len(spoilt)
    section[3] = urlsafe_b64encode(hashlib.sha256(spoilt).digest()).rstrip(b"=").decode()
    return sealed(
        joined(body[:start] + bytes(spoilt) + body[start + files.manifest.sections[i].size_bytes :], manifest)
    )


def edit_the_bytes(files: Files, chance: random.Random) -> bytes:
    """Anywhere in the plaintext, most often in the manifest."""
    plain = bytearray(files.plain)
    length = struct.unpack("<I", plain[-8:-4])[0]
    at = len(plain) - 1 - chance.randrange(length + 8 if chance.random() < 0.8 else len(plain))
    way = chance.randrange(3)
    if way == 0:
        plain[at] = chance.choice(string.printable.encode() + bytes(range(256)))
    elif way == 1:
        del plain[at : at + chance.choice((1, 1, 8, 64))]
    else:
        plain[at:at] = chance.choice((b"0", b"9", b" ", b",", b"[", b'"a":1,', b"\0", b"1e9"))
    return sealed(bytes(plain))


def take_the_others_manifest(files: Files, chance: random.Random) -> bytes:
    (body, manifest), (other_body, other) = files.split(files.plain), files.split(files.other_plain)
    return sealed(joined(body, other) if chance.random() < 0.5 else joined(other_body, manifest))


BY_DAMAGE = (flip, cut, lengthen, reorder, splice)
BY_THE_KEY = (
    set_a_value,
    nudge_a_number,
    change_the_table,
    exchange_a_section,
    spoil_a_section,
    edit_the_bytes,
    take_the_others_manifest,
)


def consistent(reader: CartridgeReader) -> None:
    """What every reader of a manifest may rely on."""
    manifest = reader.manifest
    assert parse(pack(manifest)) == manifest
    keys = [(s.layer, s.kind) for s in manifest.sections]
    assert len(set(keys)) == len(keys) and [k[0] for k in keys] == sorted(k[0] for k in keys)
    assert keys[0] == (-1, "tokens") and manifest.sections[0].size_bytes == 4 * manifest.n_tokens
    assert all(-1 <= layer < manifest.identity.shape.n_layers for layer, _ in keys)
    assert sum(s.size_bytes for s in manifest.sections) < reader.size_bytes


def sound(part: load.Part, manifest: Manifest) -> None:
    """Whether what was decoded has the shapes that it must have, and names no token that there is not."""
    held, n_tokens, shape = part.held, manifest.n_tokens, manifest.identity.shape
    assert part.n_tokens == n_tokens
    if isinstance(held, QuantizedCells):
        assert held.k.shape == held.v.shape == (shape.n_layers, n_tokens, 32) and held.k.dtype == np.int8
        assert held.k_scales.shape == held.v_scales.shape == (shape.n_layers, n_tokens, 1)
        return
    n_heads, n_rows = shape.n_layers * shape.n_kv_heads, len(held.tokens)
    assert (held.shape, held.n_tokens, len(held.offsets)) == (shape, n_tokens, n_heads + 1)
    assert held.offsets[0] == 0 and held.offsets[-1] == n_rows and (held.counts >= 0).all()
    assert held.k.shape == (n_rows, shape.k_dim) and held.v.shape == (n_rows, shape.v_dim)
    for a, b in itertools.pairwise(held.offsets):
        tokens = held.tokens[a:b]
        assert (np.diff(tokens) > 0).all() and ((tokens >= 0) & (tokens < n_tokens)).all()


def placeable(part: load.Part, files: Files) -> None:
    """Whether it becomes cells that a runtime may see, with heads of one length and of several, or is refused."""
    identity, start = files.expected.identity, files.manifest.start
    shape, positions = identity.shape, np.arange(start, dtype=np.int32)
    with suppress(ModelError):
        if isinstance(part.held, QuantizedCells):
            blocks = np.ones((shape.n_layers, start, 32), np.int8)
            scales = np.ones((shape.n_layers, start, 1), np.float16)
            read = QuantizedCells(positions, False, blocks, scales, blocks, scales)
            prefix = Prefix((7,) * start, sha("prefix"), read)
            n_tokens, cells = load.compose(load.Ground(prefix, identity, 1 << 14, ragged=True), [part])
            check_cells(cells, shape, n_tokens)
            return
        k, v = (np.ones((shape.n_layers, start, shape.n_kv_heads, d), np.float16) for d in (shape.k_dim, shape.v_dim))
        ground = place.Ground(Cells(positions, k, v), CALIBRATION.padding, identity.rope, 1 << 14)
        parts = [place.Part(part.held, start)]
        for n_tokens, cells in (place.place_ragged(ground, parts, shape, 8), place.place(ground, parts)):
            check_cells(cells, shape, n_tokens)


def outcome(files: Files, data: bytes) -> str:
    """How far a changed cartridge comes; what it gives is whole, or of the shape it says."""
    files.path.write_bytes(data)
    try:
        with open_cartridge(files.path, KEY) as reader:
            consistent(reader)
            part = load.decode(reader, files.expected, CALIBRATION)
            sound(part, files.manifest)
            placeable(part, files)
            reader.verify()
            return "unchanged" if content(reader) == files.content else "other cells"
    except (CorruptCartridge, CartridgeError) as error:
        assert error.hint and not any(c in error.message for c in "{}[]")
        return type(error).__name__


@pytest.mark.soak
def test_every_change_is_refused_before_anything_is_made_of_it(tmp_path: Path) -> None:
    chance = random.Random(23)
    each = [Files(tmp_path / "exact", "T0"), Files(tmp_path / "chosen", "T1")]
    assert [outcome(files, files.data) for files in each] == ["unchanged"] * 2
    seen: dict[str, set[str]] = {}
    for i in range(n(5_000, 200_000)):
        files = each[i % 2]
        change: Callable[[Files, random.Random], bytes] = chance.choice(BY_DAMAGE + BY_THE_KEY)
        data = change(files, chance)
        if data in (files.data, files.other_data):
            continue
        ended = outcome(files, data)
        seen.setdefault(change.__name__, set()).add(ended)
        if change in BY_DAMAGE:
            assert ended in ("CorruptCartridge", "CartridgeIncompatible"), change.__name__
        # Only who holds the key can make another cartridge of this text, and then it is one, whatever it says.
        elif change not in (exchange_a_section, spoil_a_section, set_a_value, nudge_a_number, take_the_others_manifest):
            assert ended != "other cells", change.__name__
    assert set(seen) == {change.__name__ for change in BY_DAMAGE + BY_THE_KEY}
    assert all("CorruptCartridge" in ends for ends in seen.values()), seen
    assert {"CartridgeIncompatible", "CartridgeStale"} <= set().union(*seen.values())


# Round trips ---------------------------------------------------------------------------------------------------

hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
floats = st.floats(1e-3, 1e9)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    k_dim, n_kv = draw(st.sampled_from((2, 64, 128, 1024))), draw(st.integers(1, 8))
    shape = KvShape(draw(st.integers(1, 64)), n_kv, n_kv * draw(st.integers(1, 8)), k_dim, draw(st.integers(1, 256)))
    factors = tuple(draw(st.lists(floats, min_size=k_dim // 2, max_size=k_dim // 2))) if k_dim < 128 else ()
    rope = Rope(draw(st.sampled_from(("adjacent", "halves"))), k_dim, draw(floats), draw(floats), factors)
    identity = KvIdentity(
        draw(hashes),
        draw(hashes),
        draw(hashes),
        shape,
        rope,
        draw(st.sampled_from(("f16", "q8_0"))),
        draw(st.booleans()),
        draw(st.text(string.ascii_letters + ' "\\/.', min_size=1, max_size=40)),
        draw(st.integers(0, 9)),
    )
    tokens = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5))
    table = [Section("tokens", -1, 4 * len(tokens), bytes.fromhex(hash_of_tokens(tokens)))]
    kinds = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True), unique=True, max_size=3)
    for layer in sorted(draw(st.sets(st.integers(-1, shape.n_layers - 1), max_size=4))):
        sizes = st.integers(0, 1 << 20)
        digest = st.binary(min_size=32, max_size=32)
        table += [Section(k, layer, draw(sizes), draw(digest)) for k in draw(kinds) if (k, layer) != ("tokens", -1)]
    return Manifest(
        identity,
        draw(hashes),
        draw(hashes),
        hash_of_tokens(tokens),
        len(tokens),
        draw(st.integers(0, 1 << 24)),
        draw(st.sampled_from(TIERS)),
        draw(st.integers(1, 0xFFFF)),
        draw(st.one_of(st.just(""), hashes)),
        draw(st.booleans()),
        tuple(table),
    )


@given(manifests())
def test_a_manifest_comes_back_from_its_bytes(manifest: Manifest) -> None:
    packed = pack(manifest)
    assert parse(packed) == manifest and pack(parse(packed)) == packed
    check_manifest(
        manifest, Expected(manifest.identity, manifest.source_hash, manifest.prefix_hash, None, manifest.calibration)
    )


@given(manifests(), st.sampled_from(("f16", "q8_0")), st.booleans(), st.integers(0, 9))
def test_a_manifest_fits_every_runtime_of_its_model(
    manifest: Manifest, dtype: Literal["f16", "q8_0"], rotated: bool, version: int
) -> None:
    other = replace(manifest.identity, dtype=dtype, rotated=rotated, runtime="other", state_version=version)
    check_manifest(manifest, Expected(other, manifest.source_hash, manifest.prefix_hash, None, manifest.calibration))


def meant(identity: KvIdentity) -> tuple[object, ...]:
    return identity.weights, identity.tokenizer, identity.template, identity.shape, identity.rope


@given(manifests(), manifests())
def test_a_manifest_fits_nothing_else(one: Manifest, two: Manifest) -> None:
    expected = Expected(two.identity, two.source_hash, two.prefix_hash, two.tokens_hash, two.calibration)
    if (meant(one.identity), one.source_hash, one.prefix_hash) != (
        meant(two.identity),
        two.source_hash,
        two.prefix_hash,
    ):
        with pytest.raises((CartridgeIncompatible, CartridgeStale)):
            check_manifest(one, expected)


@given(st.binary(max_size=200))
def test_no_bytes_but_a_manifest_are_one(data: bytes) -> None:
    with pytest.raises(CorruptCartridge):
        parse(data)
