"""The age format as streams, held against an implementation that is not ours."""

from __future__ import annotations

import io
import os

import pyrage
import pytest

from secondme.crypto import age
from secondme.crypto.age import AgeReader, AgeWriter, open_header
from secondme.errors import CorruptRecord, WrongPassphrase

QUICK = 2
CHUNK = 64 * 1024


def sealed(data: bytes, passphrase: str = "pass", log_n: int = QUICK) -> bytes:
    file = io.BytesIO()
    writer = AgeWriter(file, passphrase, log_n=log_n)
    for start in range(0, len(data), 1000):
        writer.write(data[start : start + 1000])
    writer.finish()
    return file.getvalue()


def opened(data: bytes, passphrase: str = "pass") -> bytes:
    file = io.BytesIO(data)
    return io.BufferedReader(AgeReader(file, open_header(file, passphrase))).read()


@pytest.mark.parametrize("n_bytes", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_is_written_opens_here_and_elsewhere(n_bytes: int) -> None:
    data = os.urandom(n_bytes)
    assert opened(sealed(data)) == data
    assert pyrage.passphrase.decrypt(sealed(data, log_n=10), "pass") == data


def test_what_others_write_opens_here() -> None:
    assert opened(pyrage.passphrase.encrypt(b"from elsewhere", "e\u0301t\u00e9"), "e\u0301t\u00e9") == b"from elsewhere"


def test_a_passphrase_is_the_same_however_it_is_typed() -> None:
    assert opened(sealed(b"x", "\u00e9"), "e\u0301") == b"x"


def test_the_default_work_is_that_of_the_format() -> None:
    file = io.BytesIO()
    AgeWriter(file, "pass").finish()
    assert file.getvalue().split(b"\n")[1].split(b" ")[-1] == b"18"


def test_another_passphrase_is_told_from_damage() -> None:
    with pytest.raises(WrongPassphrase):
        opened(sealed(b"x"), "other")


def test_too_much_work_is_refused_before_it_is_begun() -> None:
    asking = sealed(b"x").replace(b" 2\n", b" 21\n")
    with pytest.raises(CorruptRecord, match="1 GiB"):
        opened(asking)


def test_every_flipped_bit_of_header_and_content_is_refused() -> None:
    whole = sealed(b"some content")
    for i in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[i // 8] ^= 1 << i % 8
        with pytest.raises((CorruptRecord, WrongPassphrase)):
            opened(bytes(changed))


def test_every_cut_is_refused() -> None:
    whole = sealed(os.urandom(CHUNK + 10))
    for end in (*range(0, 250, 7), CHUNK, len(whole) - 26, len(whole) - 27, len(whole) - 1):
        with pytest.raises(CorruptRecord):
            opened(whole[:end])


def test_chunks_that_changed_places_or_came_twice_are_refused() -> None:
    whole = sealed(os.urandom(3 * CHUNK))
    start = len(whole) - 3 * (CHUNK + 16)
    head, chunks = whole[:start], [whole[start + i * (CHUNK + 16) :][: CHUNK + 16] for i in range(3)]
    for order in ((1, 0, 2), (0, 0, 1, 2), (0, 2), (0, 1), (0, 1, 2, 2)):
        with pytest.raises(CorruptRecord):
            opened(head + b"".join(chunks[i] for i in order))


def test_an_empty_last_chunk_is_refused() -> None:
    file = io.BytesIO()
    writer = AgeWriter(file, "pass", log_n=QUICK)
    writer._seal(bytes(CHUNK), last=False)
    writer._seal(b"", last=True)
    with pytest.raises(CorruptRecord):
        opened(file.getvalue())


def test_a_file_for_a_key_is_told_as_such() -> None:
    recipient = pyrage.x25519.Identity.generate().to_public()
    with pytest.raises(CorruptRecord, match="not sealed for a passphrase"):
        opened(pyrage.encrypt(b"x", [recipient]))


def test_a_wrapped_key_of_another_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sealed(b"x")
    monkeypatch.setattr(age, "_decrypt", lambda *_: bytes(17))
    with pytest.raises(WrongPassphrase):
        opened(whole)
