"""Sealed files: the bytes of the format, reading at any place, and what each refusal says."""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from secondme.crypto import stream
from secondme.crypto.stream import HEADER_BYTES, SealedReader, SealedWriter, open_sealed, seal, sealing
from secondme.errors import CorruptRecord, SchemaTooNew, StoreError, StoreFull, UsageError

KEY = bytes(range(32))
CONTEXT = b"project 7, cartridge, of source 3"
BITS = 6
CHUNK = 1 << BITS
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 10 * CHUNK + 17)


def text(n: int) -> bytes:
    """`n` bytes of which no two places look alike."""
    return b"".join(i.to_bytes(4, "big") for i in range(n // 4 + 1))[:n]


def sealed(plain: bytes, *, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, key, context, chunk_bits=BITS)
    writer.write(plain)
    writer.finish()
    return file.getvalue()


def opened(data: bytes, *, key: bytes = KEY, context: bytes = CONTEXT) -> SealedReader:
    return SealedReader(io.BytesIO(data), key, context)


# The format ----------------------------------------------------------------------------------------------------


def by_hand_hkdf(key: bytes, salt: bytes, info: bytes, n: int) -> bytes:
    """RFC 5869, written out."""
    extracted = hmac.digest(salt, key, hashlib.sha256)
    block, made = b"", b""
    for i in range(1, n // 32 + 2):
        block = hmac.digest(extracted, block + info + bytes([i]), hashlib.sha256)
        made += block
    return made[:n]


def by_hand(plain: bytes, salt: bytes, bits: int) -> bytes:
    """What a sealed file must be, from the standards' own parts."""
    tag_of = b"secondme sealed file 1 context" + hashlib.sha256(CONTEXT).digest()
    head = b"SMSF" + bytes([1, 1, bits, 0]) + salt + by_hand_hkdf(KEY, salt, tag_of, 32)
    made = by_hand_hkdf(KEY, salt, b"secondme sealed file 1 keys" + head, 71)
    file_key, commitment, prefix = made[:32], made[32:64], made[64:]
    pieces = [plain[i : i + (1 << bits)] for i in range(0, len(plain), 1 << bits)] or [b""]
    body = b""
    for i, piece in enumerate(pieces):
        nonce = prefix + i.to_bytes(4, "big") + (b"\1" if i == len(pieces) - 1 else b"\0")
        body += AESGCM(file_key).encrypt(nonce, piece, None)
    return head + commitment + body


@pytest.mark.parametrize("size", SIZES)
def test_the_bytes_are_those_of_the_format(size: int) -> None:
    data = sealed(text(size))
    assert data == by_hand(text(size), data[8:40], BITS)
    assert opened(by_hand(text(size), b"\x5a" * 32, 9)).read() == text(size)


def test_an_ordinary_file_has_chunks_of_one_mebibyte(tmp_path: Path) -> None:
    plain = text((1 << 20) + 3)
    info = seal([plain], tmp_path / "a", KEY, CONTEXT)
    data = (tmp_path / "a").read_bytes()
    assert data == by_hand(plain, data[8:40], 20)
    assert (info.n_bytes, info.n_sealed_bytes, info.n_chunks) == (len(plain), len(data), 2)


def test_no_two_files_share_a_key_or_show_that_they_are_alike() -> None:
    a, b = sealed(text(100)), sealed(text(100))
    assert len(a) == len(b) == HEADER_BYTES + 100 + 2 * 16
    assert all(a[i : i + 16] != b[i : i + 16] for i in range(8, len(a) - 16))
    assert text(16) not in a and CONTEXT not in a and hashlib.sha256(CONTEXT).digest() not in a


# Writing -------------------------------------------------------------------------------------------------------


def test_it_takes_pieces_of_any_size_and_files(tmp_path: Path) -> None:
    plain = text(5 * CHUNK)
    path = tmp_path / "a"
    for source in (
        [plain],
        (plain[i : i + 1] for i in range(len(plain))),
        [b"", plain[:70], b"", plain[70:]],
        io.BytesIO(plain),
    ):
        info = seal(source, path, KEY, CONTEXT, chunk_bits=BITS)
        assert (info.n_bytes, info.n_chunks, info.n_sealed_bytes) == (len(plain), 5, path.stat().st_size)
        with open_sealed(path, KEY, CONTEXT) as reader:
            assert reader.read() == plain
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.stat().st_mode & 0o077 == 0


def test_other_buffers_are_taken_by_their_bytes(tmp_path: Path) -> None:
    import numpy as np

    numbers = np.arange(100, dtype=np.float32)
    with sealing(tmp_path / "a", KEY, CONTEXT) as writer:
        assert writer.write(numbers.data) == 400
    into = np.zeros(100, np.float32)
    with open_sealed(tmp_path / "a", KEY, CONTEXT) as reader:
        assert reader.read_into(0, into.data) == 400
    assert (into == numbers).all()


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    seal([b"old"], path, KEY, CONTEXT)
    with pytest.raises(KeyboardInterrupt), sealing(path, KEY, CONTEXT, chunk_bits=BITS) as writer:
        writer.write(text(500))
        raise KeyboardInterrupt
    assert bytes(writer._plain) == bytes(CHUNK)
    with open_sealed(path, KEY, CONTEXT) as reader:
        assert reader.read() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_source_raises_is_not_taken_for_the_disks(tmp_path: Path) -> None:
    def source() -> object:
        yield b"a"
        raise OSError(errno.ENOSPC, "of another disk")

    with pytest.raises(OSError, match="another disk"):
        seal(source(), tmp_path / "a", KEY, CONTEXT)  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_a_finished_file_takes_no_more() -> None:
    writer = SealedWriter(io.BytesIO(), KEY, CONTEXT)
    info = writer.finish()
    assert writer.finish() is info
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"a")


@pytest.mark.parametrize("bits", [5, 25])
def test_chunks_have_bounds(bits: int) -> None:
    with pytest.raises(ValueError, match="6 to 24"):
        SealedWriter(io.BytesIO(), KEY, CONTEXT, chunk_bits=bits)


@pytest.mark.parametrize("key", [b"", bytearray(), KEY[:31], KEY + b"\0"])
def test_a_key_has_32_bytes_and_an_erased_one_none(key: bytes | bytearray) -> None:
    with pytest.raises(StoreError, match="locked"):
        SealedWriter(io.BytesIO(), key, CONTEXT)
    with pytest.raises(StoreError, match="locked"):
        SealedReader(io.BytesIO(DATA), key, CONTEXT)


def test_the_callers_key_is_left_alone(tmp_path: Path) -> None:
    key = bytearray(KEY)
    seal([b"a"], tmp_path / "a", key, CONTEXT)
    with open_sealed(tmp_path / "a", key, CONTEXT) as reader:
        assert reader.read() == b"a"
    assert key == KEY == bytes(range(32))


def test_the_number_of_chunks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sealed(text(4 * CHUNK))
    monkeypatch.setattr(stream, "MAX_CHUNKS", 3)
    with pytest.raises(CorruptRecord, match="cut off or damaged"):
        opened(data)
    writer = SealedWriter(io.BytesIO(), KEY, CONTEXT, chunk_bits=BITS)
    with pytest.raises(UsageError, match="longer than"):
        writer.write(text(5 * CHUNK))
    # The rest is lost, so nothing of it may pass for whole.
    with pytest.raises(StoreError, match="whole"):
        writer.finish()


class Failing(io.BytesIO):
    """Fails to write after `limit` bytes, once."""

    def __init__(self, limit: int, number: int) -> None:
        super().__init__()
        self.limit, self.number = limit, number

    def write(self, data: object) -> int:
        if self.tell() >= self.limit:
            self.limit = 1 << 30
            raise OSError(self.number, os.strerror(self.number))
        return super().write(data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StoreFull, "full"),
        (errno.EDQUOT, StoreFull, "full"),
        (errno.EIO, StoreError, "cannot be written"),
    ],
)
def test_a_write_that_failed_is_never_followed_by_a_whole_file(number: int, kind: type[StoreError], words: str) -> None:
    with pytest.raises(kind, match=words):
        SealedWriter(Failing(0, number), KEY, CONTEXT)
    file = Failing(HEADER_BYTES + 80, number)
    writer = SealedWriter(file, KEY, CONTEXT, chunk_bits=BITS, name="a")
    with pytest.raises(kind, match=words) as caught:
        writer.write(text(5 * CHUNK))
    assert caught.value.hint
    for attempt in (writer.finish, lambda: writer.write(text(CHUNK))):
        with pytest.raises(StoreError, match="whole"):
            attempt()
    with pytest.raises(CorruptRecord):
        opened(file.getvalue())


# Reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_like_a_file(size: int, tmp_path: Path) -> None:
    plain = text(size)
    seal([plain], tmp_path / "a", KEY, CONTEXT, chunk_bits=BITS)
    with open_sealed(tmp_path / "a", KEY, CONTEXT) as reader:
        assert (reader.size, reader.n_chunks) == (size, max(1, -(-size // CHUNK)))
        assert reader.readable() and reader.seekable() and not reader.writable()
        assert reader.read() == plain and reader.read() == b"" and reader.tell() == size
        assert reader.seek(-(size // 3), io.SEEK_END) == size - size // 3
        assert reader.seek(size // 2) == size // 2 and reader.read(70) == plain[size // 2 :][:70]
        reader.seek(0)
        assert reader.seek(3, io.SEEK_CUR) == 3
        assert reader.read_at(size, 10) == reader.read_at(size + 1000, 10) == reader.read_at(0, -1) == b""
        assert b"".join(reader.chunks()) == plain
        reader.verify()
        with io.BufferedReader(reader, 100) as buffered:
            buffered.seek(0)
            assert buffered.read() == plain


def test_places_before_the_file_are_refused() -> None:
    reader = opened(sealed(text(100)))
    for attempt in (lambda: reader.seek(-1), lambda: reader.read_at(-1, 5), lambda: reader.read_into(-1, bytearray(5))):
        with pytest.raises(ValueError, match="before the file"):
            attempt()


def test_after_closing_nothing_is_read_or_held() -> None:
    file = io.BytesIO(sealed(text(100)))
    reader = SealedReader(file, KEY, CONTEXT)
    assert bytes(reader._held[:36]) == text(100)[64:]
    reader.close()
    reader.close()
    assert (
        file.closed
        and bytes(reader._held) == bytes(CHUNK)
        and reader._cipher is not None
        and reader._cipher._key == bytes(32)
    )
    for attempt in (lambda: reader.read_at(0, 5), lambda: reader.read_into(0, bytearray(5)), reader.verify):
        with pytest.raises(ValueError, match="closed"):
            attempt()


def test_a_tar_inside_is_read_in_place(tmp_path: Path) -> None:
    with (
        sealing(tmp_path / "a", KEY, CONTEXT, chunk_bits=9) as writer,
        # A tar that is streamed calls for `write` and no more.
        tarfile.open(fileobj=cast(Any, writer), mode="w|") as tar,
    ):
        for name in ("one", "two"):
            entry = tarfile.TarInfo(name)
            entry.size = 3000
            tar.addfile(entry, io.BytesIO(name.encode() * 1000))
    with open_sealed(tmp_path / "a", KEY, CONTEXT) as reader, tarfile.open(fileobj=reader) as tar:
        member = tar.extractfile("two")
        assert member is not None and member.read() == b"two" * 1000


class Touched(io.BytesIO):
    """Notes from where to where it was read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.spans: list[tuple[int, int]] = []

    def readinto(self, buffer: object) -> int:
        start = self.tell()
        n = super().readinto(buffer)  # type: ignore[arg-type]
        self.spans.append((start, start + n))
        return n


def test_only_the_chunks_asked_for_are_touched() -> None:
    file = Touched(sealed(text(100 * CHUNK)))
    reader = SealedReader(file, KEY, CONTEXT)
    whole = CHUNK + 16
    assert file.spans == [(0, HEADER_BYTES), (HEADER_BYTES + 99 * whole, HEADER_BYTES + 100 * whole)]
    file.spans.clear()
    for offset in range(50 * CHUNK, 52 * CHUNK):
        reader.read_at(offset, 1)
    assert file.spans == [(HEADER_BYTES + i * whole, HEADER_BYTES + (i + 1) * whole) for i in (50, 51)]


def test_a_disk_that_reads_in_small_pieces_is_read_on() -> None:
    class Slow(io.BytesIO):
        def readinto(self, buffer: object) -> int:
            return super().readinto(memoryview(buffer)[:7])  # type: ignore[arg-type]

    assert SealedReader(Slow(sealed(text(200))), KEY, CONTEXT).read() == text(200)


# Refusals ------------------------------------------------------------------------------------------------------


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


DATA = sealed(text(5 * CHUNK))
REFUSALS: dict[str, tuple[Callable[[], object], str]] = {
    "another key": (lambda: opened(DATA, key=bytes(32)), "another key"),
    "another context": (lambda: opened(DATA, context=b"project 8"), "another place"),
    "no context": (lambda: opened(DATA, context=b""), "another place"),
    "empty": (lambda: opened(b""), "not a sealed file"),
    "another kind": (lambda: opened(b"SQLite format 3\0" * 20), "not a sealed file"),
    "the header cut off": (lambda: opened(DATA[: HEADER_BYTES - 1]), "cut off in its header"),
    "nothing but the header": (lambda: opened(DATA[:HEADER_BYTES]), "at its end"),
    "version 0": (lambda: opened(DATA[:4] + b"\0" + DATA[5:]), "in its header"),
    "another algorithm": (lambda: opened(DATA[:5] + b"\2" + DATA[6:]), "in its header"),
    "chunks too small": (lambda: opened(DATA[:6] + b"\5" + DATA[7:]), "in its header"),
    "chunks too large": (lambda: opened(DATA[:6] + b"\x19" + DATA[7:]), "in its header"),
    "chunks of another size": (lambda: opened(DATA[:6] + b"\7" + DATA[7:]), "header is damaged"),
    "byte 7": (lambda: opened(flipped(DATA, 7)), "in its header"),
    "the salt": (lambda: opened(flipped(DATA, 20)), "header is damaged"),
    "the context tag": (lambda: opened(flipped(DATA, 50)), "header is damaged"),
    "the commitment": (lambda: opened(flipped(DATA, 80)), "header is damaged"),
    "cut off between two chunks": (lambda: opened(DATA[:-80]), "at its end"),
    "cut off within a chunk": (lambda: opened(DATA[:-1]), "at its end"),
    "an empty last chunk added": (lambda: opened(DATA + DATA[-16:]), "at its end"),
    "less than a tag added": (lambda: opened(DATA + b"1"), "at its end"),
    "the second chunk": (lambda: opened(flipped(DATA, HEADER_BYTES + 81)).read(), "in chunk 2 of 5"),
    "the last chunk": (lambda: opened(flipped(DATA, len(DATA) - 1)), "at its end"),
    "the last chunk, while verifying": (lambda: opened(flipped(DATA, HEADER_BYTES)).verify(), "in chunk 1 of 5"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_says_what_it_is(case: str) -> None:
    attempt, words = REFUSALS[case]
    with pytest.raises(CorruptRecord, match=words) as caught:
        attempt()
    assert caught.value.hint


def test_a_later_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA[:4] + b"\2" + b"another layout")
    with pytest.raises(SchemaTooNew, match="newer version of secondme wrote a"):
        open_sealed(tmp_path / "a", KEY, CONTEXT)


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no file gone"):
        open_sealed(tmp_path / "gone", KEY, CONTEXT)
    with pytest.raises(StoreError, match="cannot be read"):
        open_sealed(tmp_path, KEY, CONTEXT)
    with pytest.raises(StoreError, match="cannot be written"):
        seal([b""], tmp_path / "none" / "a", KEY, CONTEXT)


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    seal([text(5 * CHUNK)], path, KEY, CONTEXT, chunk_bits=BITS)
    with open_sealed(path, KEY, CONTEXT) as reader:
        os.truncate(path, HEADER_BYTES + 100)
        assert reader.read_at(0, CHUNK) == text(CHUNK)
        with pytest.raises(CorruptRecord, match="while it was read"):
            reader.read_at(CHUNK, 1)
        assert reader.read_at(0, CHUNK) == text(CHUNK)


def test_of_a_chunk_that_fails_its_check_nothing_is_given_out() -> None:
    """The cipher itself leaves the unchecked plaintext in the buffer."""
    reader = opened(flipped(DATA, HEADER_BYTES + 80 + 70))
    into = bytearray(b"x" * (2 * CHUNK))
    with pytest.raises(CorruptRecord):
        reader.read_into(0, into)
    assert into == text(CHUNK) + bytes(CHUNK)
    part = bytearray(b"x" * 10)
    with pytest.raises(CorruptRecord):
        reader.read_into(CHUNK + 5, part)
    assert part == b"x" * 10 and bytes(reader._held) == bytes(CHUNK)
    assert reader.read_at(2 * CHUNK, CHUNK) == text(3 * CHUNK)[2 * CHUNK :]


def test_verifying_reads_the_disk_and_not_what_is_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    seal([text(30)], path, KEY, CONTEXT)
    with open_sealed(path, KEY, CONTEXT) as reader:
        assert reader.read() == text(30)
        with path.open("r+b") as file:
            file.seek(HEADER_BYTES + 3)
            file.write(b"?")
        with pytest.raises(CorruptRecord):
            reader.verify()
