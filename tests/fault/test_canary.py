"""The scanner finds a canary in every spelling and wrapping, anywhere in a file, and nothing where there is none."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import random
import sqlite3
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondme.memory.vectors import quantize
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from tests.fault.canary import Pattern, Scanner, files_below, secrets, spellings, vector_rows, words, zstd_module

WORDS = words(40, seed=1)
ECHO = ("echo", EchoGenerator().tokenize)
SENTENCE = "the word {} stands in a sentence with others of its kind, each as harmless as the next one in the row"


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    rows = HashEmbedder().embed([SENTENCE.format(word) for word in WORDS])
    patterns = [p for word in WORDS for p in spellings(word, [ECHO])]
    patterns += [p for word, row in zip(WORDS, rows, strict=True) for p in vector_rows(word, row[None, :])]
    return Scanner(patterns)


def row_of(word: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return HashEmbedder().embed([SENTENCE.format(word)])


def echo_ids(text: str) -> bytes:
    return np.asarray(EchoGenerator().tokenize(text), "<i4").tobytes()


# Each makes the bytes a text would leave behind, after what stands before it.
CONTROLS: dict[str, Callable[[str, str], bytes]] = {
    "utf-8": lambda word, before: f"{before}{word}.".encode(),
    "utf-16 le": lambda word, before: f"{before}{word}.".encode("utf-16-le"),
    "utf-16 be": lambda word, before: f"{before}{word}.".encode("utf-16-be"),
    "hex": lambda word, before: f"{before}{word}.".encode().hex().encode(),
    "hex capitals": lambda word, before: f"{before}{word}.".encode().hex().upper().encode(),
    "hex of utf-16": lambda word, before: f"{before}{word}.".encode("utf-16-le").hex().encode(),
    "base64": lambda word, before: base64.b64encode(f"{before}{word}.".encode()),
    "base64 url-safe": lambda word, before: base64.urlsafe_b64encode(f"{before}{word}.".encode()),
    "base64 of utf-16": lambda word, before: base64.b64encode(f"{before}{word}.".encode("utf-16-le")),
    "echo tokens": lambda word, before: echo_ids(f"{before}{word}."),
    "float32 row": lambda word, before: before.encode() + row_of(word).tobytes(),
    "int8 row": lambda word, before: before.encode() + quantize(row_of(word)).tobytes(),
}


@pytest.mark.parametrize("spelling", CONTROLS)
@pytest.mark.parametrize("before", ["", "x", "xy", "some words and then "])
def test_each_spelling_is_found_wherever_it_stands(scanner: Scanner, spelling: str, before: str) -> None:
    chance = random.Random(before)
    for word in WORDS[:10]:
        planted = CONTROLS[spelling](word, before)
        for n_around in (0, 1, 5000):
            data = chance.randbytes(n_around) + planted + chance.randbytes(n_around)
            found = scanner.within(data)
            assert {name for name, _ in found} == {word}
            assert any(spelling.removesuffix(" of utf-16") in s for _, s in found), found


def test_a_canary_across_the_border_of_two_blocks_is_found(scanner: Scanner) -> None:
    word = WORDS[3].encode()
    for back in range(len(word) + 1):
        data = bytearray(random.Random(back).randbytes((1 << 21) + 500))
        at = (1 << 21) - back
        data[at : at + len(word)] = word
        assert scanner.within(bytes(data)) == {(WORDS[3], "utf-8")}


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("empty.txt", b"")
        archive.writestr("notes/a.txt", data)
    return out.getvalue()


def in_tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("first", "second"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zlib, small window": lambda data: (c := zlib.compressobj(wbits=9)).compress(data) + c.flush(),
    "raw deflate": deflated,
    "raw deflate behind a header": lambda data: bytes(20) + deflated(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "tar": in_tar,
    "tar.gz": lambda data: gzip.compress(in_tar(data)),
    "gzip in a tar": lambda data: in_tar(gzip.compress(data)),
    "gzip in a zip": lambda data: zipped(gzip.compress(data)),
    "cut off": lambda data: zlib.compress(data + os.urandom(5000))[:-2000],
}
if (zstd := zstd_module()) is not None:
    WRAPPINGS["zstd"] = zstd.compress


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_what_is_compressed_is_found_in_any_part_of_a_file(scanner: Scanner, wrapping: str, tmp_path: Path) -> None:
    text = "\n".join(SENTENCE.format(word) for word in WORDS).encode()
    packed = WRAPPINGS[wrapping](text)
    raw = wrapping.startswith("raw")
    for n, before in enumerate((b"", b"x") if raw else (b"", b"x", os.urandom(3000))):
        (tmp_path / f"{n}").write_bytes(before + packed + bytes(3))
        assert {f.name for f in scanner.tree(tmp_path)} == set(WORDS)
        (tmp_path / f"{n}").unlink()


def test_a_database_in_the_clear_is_found_and_an_index_of_words_alone(scanner: Scanner, tmp_path: Path) -> None:
    for name, sql in (
        ("rows.db", "create table t(text)"),
        ("words.db", "create virtual table t using fts5(text, content='')"),
    ):
        connection = sqlite3.connect(tmp_path / name)
        connection.execute(sql)
        connection.executemany("insert into t(text) values(?)", [(SENTENCE.format(word),) for word in WORDS])
        connection.commit()
        connection.close()
        found = {f.name for f in scanner.tree(tmp_path)}
        # A page's border cuts one or the other.
        assert len(found) >= len(WORDS) - 2, name
        (tmp_path / name).unlink()


def test_names_of_files_count_and_what_is_left_out_does_not(scanner: Scanner, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / f"about {WORDS[0]}.bin").write_bytes(b"")
    (tmp_path / "models" / "weights").write_text(WORDS[1])
    (tmp_path / "elsewhere").symlink_to(tmp_path / "models")
    (found,) = scanner.tree(tmp_path, without=[tmp_path / "models"])
    assert found.name == WORDS[0] and found.place.startswith("the name of")
    assert {f.name for f in scanner.tree(tmp_path / "models")} == {WORDS[1]}
    assert len(files_below(tmp_path)) == 2


def test_tokens_of_the_real_tokenizer_are_found(smollm2_path: Path) -> None:
    model = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=256))
    try:
        scanner = Scanner(p for word in WORDS for p in spellings(word, [("smollm2", model.tokenize)]))
        for word in WORDS:
            for text in (word, f"What of {word}?", f"# {word}\n", SENTENCE.format(word)):
                ids = np.asarray(model.tokenize(text), "<i4").tobytes()
                assert (word, "smollm2 tokens") in scanner.within(b"abc" + ids + b"abc")
    finally:
        model.close()


def test_keys_are_found_as_they_are_and_as_text() -> None:
    key = random.Random(5).randbytes(32)
    scanner = Scanner([Pattern("key", "raw", key), *secrets("key", key)])
    for data in (key, key.hex().encode(), base64.b64encode(key), b"ab" + base64.urlsafe_b64encode(b"ab" + key)):
        assert {name for name, _ in scanner.within(data)} == {"key"}


def test_random_bytes_hold_nothing_and_a_pass_is_fast(scanner: Scanner) -> None:
    data = random.Random(6).randbytes(1 << 22)
    started = time.process_time()
    assert scanner.content("random", data) == []
    # About 15 ns a byte for the pass and 5 for what may be compressed, on one slow core.
    assert time.process_time() - started < 4
