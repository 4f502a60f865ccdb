"""Sealed files give back what was sealed, at every place, and whatever is done to one is noticed."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.crypto.stream import HEADER_BYTES, SealedReader, SealedWriter
from secondme.errors import CorruptRecord, SchemaTooNew
from tests.fault.soak import n

BITS = 6
CHUNK = 1 << BITS
WHOLE = CHUNK + 16
KEY = bytes(range(32))
CONTEXT = b"context"

sizes = st.one_of(
    st.integers(0, 5 * CHUNK),
    st.builds(lambda chunks, off: max(0, chunks * CHUNK + off), st.integers(0, 6), st.integers(-2, 2)),
)
contents = sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size))


def sealed(pieces: list[bytes], *, key: bytes = KEY, context: bytes = CONTEXT, bits: int = BITS) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, key, context, chunk_bits=bits)
    for piece in pieces:
        writer.write(piece)
    info = writer.finish()
    assert info.n_sealed_bytes == len(file.getvalue()) and info.n_bytes == sum(map(len, pieces))
    return file.getvalue()


def opened(data: bytes, *, key: bytes = KEY, context: bytes = CONTEXT) -> SealedReader:
    return SealedReader(io.BytesIO(data), key, context)


@given(contents, st.lists(st.integers(0, 6 * CHUNK), max_size=6), st.integers(6, 9))
def test_what_was_sealed_comes_back_however_it_was_cut(plain: bytes, cuts: list[int], bits: int) -> None:
    edges = [0, *sorted(min(c, len(plain)) for c in cuts), len(plain)]
    reader = opened(sealed([plain[a:b] for a, b in itertools.pairwise(edges)], bits=bits))
    assert reader.size == len(plain)
    assert reader.read() == plain and b"".join(reader.chunks()) == plain


@given(contents, st.lists(st.tuples(st.integers(0, 7 * CHUNK), st.integers(0, 7 * CHUNK)), max_size=12), st.booleans())
def test_reading_anywhere_is_slicing(plain: bytes, reads: list[tuple[int, int]], into: bool) -> None:
    reader = opened(sealed([plain]))
    for offset, size in reads:
        if into:
            buffer = bytearray(b"?" * size)
            done = reader.read_into(offset, buffer)
            assert buffer == plain[offset : offset + size] + b"?" * (size - done)
        else:
            assert reader.read_at(offset, size) == plain[offset : offset + size]


# Ten thousand ways to change one -------------------------------------------------------------------------------


class Files:
    """A sealed file to change, its plaintext, and others under the same key to take parts from."""

    def __init__(self, chance: random.Random) -> None:
        self.plain = chance.randbytes(chance.choice((0, 1, CHUNK - 1, CHUNK, 3 * CHUNK, 5 * CHUNK + 9, 8 * CHUNK)))
        self.data = sealed([self.plain])
        # The same content and context again, the same context with another content, another context.
        self.others = [sealed([self.plain]), sealed([chance.randbytes(8 * CHUNK)]), sealed([self.plain], context=b"b")]

    def chunks(self) -> list[bytes]:
        body = self.data[HEADER_BYTES:]
        return [body[i : i + WHOLE] for i in range(0, len(body), WHOLE)]

    def of(self, chunks: list[bytes]) -> bytes:
        return self.data[:HEADER_BYTES] + b"".join(chunks)


def flip(files: Files, chance: random.Random) -> bytes:
    data = bytearray(files.data)
    for _ in range(chance.choice((1, 1, 1, 2, 9))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flip_header(files: Files, chance: random.Random) -> bytes:
    data = bytearray(files.data)
    data[chance.randrange(HEADER_BYTES)] ^= 1 << chance.randrange(8)
    return bytes(data)


def truncate(files: Files, chance: random.Random) -> bytes:
    return files.data[: chance.randrange(len(files.data))]


def truncate_between(files: Files, chance: random.Random) -> bytes:
    return files.of(files.chunks()[: chance.randrange(len(files.chunks()))])


def extend(files: Files, chance: random.Random) -> bytes:
    more = chance.choice((bytes, chance.randbytes))(chance.choice((1, 15, 16, 17, WHOLE, WHOLE + 1, 500)))
    return files.data + more


def extend_with_its_own(files: Files, chance: random.Random) -> bytes:
    return files.data + b"".join(chance.choices(files.chunks(), k=chance.randint(1, 3)))


def reorder(files: Files, chance: random.Random) -> bytes:
    chunks = files.chunks()
    chance.shuffle(chunks)
    return files.of(chunks)


def repeat(files: Files, chance: random.Random) -> bytes:
    chunks = files.chunks()
    chunks.insert(chance.randint(0, len(chunks)), chance.choice(chunks))
    return files.of(chunks)


def copy_over(files: Files, chance: random.Random) -> bytes:
    chunks = files.chunks()
    chunks[chance.randrange(len(chunks))] = chance.choice(chunks)
    return files.of(chunks)


def leave_out(files: Files, chance: random.Random) -> bytes:
    chunks = files.chunks()
    del chunks[chance.randrange(len(chunks))]
    return files.of(chunks)


def take_from_another(files: Files, chance: random.Random) -> bytes:
    """The same place of another file under the same key: a chunk, the end, the header, a part of it, some bytes."""
    data, other = bytearray(files.data), chance.choice(files.others)
    place = HEADER_BYTES + WHOLE * chance.randrange(len(files.chunks()))
    start, end = chance.choice(
        (
            (place, place + WHOLE),
            (place, len(other)),
            (0, HEADER_BYTES),
            (8, 40),
            (40, 72),
            (72, 104),
            (chance.randrange(len(data)), len(data)),
        )
    )
    data[start:end] = other[start:end]
    return bytes(data)


def overwrite(files: Files, chance: random.Random) -> bytes:
    data = bytearray(files.data)
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 16, 64, 512)))
    data[start:end] = chance.choice((bytes, chance.randbytes))(end - start)
    return bytes(data)


CHANGES: tuple[Callable[[Files, random.Random], bytes], ...] = (
    flip,
    flip_header,
    truncate,
    truncate_between,
    extend,
    extend_with_its_own,
    reorder,
    repeat,
    copy_over,
    leave_out,
    take_from_another,
    overwrite,
)


def noticed(files: Files, changed: bytes, chance: random.Random) -> bool:
    """Whether reading `changed` fails somewhere; what it gives out before that must be right."""
    try:
        reader = opened(changed)
    except (CorruptRecord, SchemaTooNew):
        return True
    assert reader.size == len(files.plain)
    for _ in range(4):
        offset, size = chance.randrange(reader.size + 1), chance.randrange(3 * CHUNK)
        into = bytearray(b"?" * size)
        try:
            assert reader.read_at(offset, size) == files.plain[offset : offset + size]
            done = reader.read_into(offset, into)
            assert into[:done] == files.plain[offset : offset + size]
        except CorruptRecord:
            # Right bytes, none (zeros, or untouched): never something else.
            for byte, right in zip(into, files.plain[offset:], strict=False):
                assert byte in (0, ord("?"), right)
    try:
        reader.verify()
    except CorruptRecord:
        return True
    return False


@pytest.mark.soak
def test_every_change_is_noticed_and_no_wrong_byte_is_given_out() -> None:
    chance = random.Random(11)
    n_changes = 0
    while n_changes < n(10_000, 400_000):
        files = Files(chance)
        for _ in range(100):
            change = chance.choice(CHANGES)
            changed = change(files, chance)
            # Two chunks may change places with themselves, and a zero be overwritten by a zero.
            if changed == files.data:
                assert not noticed(files, changed, chance)
                continue
            # The whole of another file that opens here is that other file, and not this one changed.
            if changed in files.others:
                continue
            assert noticed(files, changed, chance), change.__name__
            n_changes += 1


@given(contents, st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 255))
def test_no_other_key_or_context_opens_it(plain: bytes, context: bytes, other: bytes, bit: int) -> None:
    data = sealed([plain], context=context)
    changed = bytearray(KEY)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptRecord, match="another key"):
        opened(data, key=bytes(changed), context=context)
    if other != context:
        with pytest.raises(CorruptRecord, match="another place"):
            opened(data, context=other)
