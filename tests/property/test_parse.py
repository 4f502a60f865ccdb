"""Whatever bytes a file holds, parsing gives a document whose offsets hold, or one clear reason."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from secondme.errors import IngestError
from secondme.ingest import reasons
from secondme.ingest.parse import parse
from secondme.ingest.parse.isolate import ParseProcess
from secondme.ingest.parse.markdown import find_headings
from secondme.types import Document
from tests.make_corpus import Page, docx, epub, notebook, pdf

NAMES = st.sampled_from(
    "a.txt a.md a.rst a.py a.c a.html a.json a.tex a.ipynb a.docx a.epub a a.weird Makefile".split()
)
KNOWN = {*reasons.HINTS, *reasons.MEDIA.values(), reasons.EMPTY, reasons.NO_TEXT, reasons.PRIVATE_KEY, reasons.SCANNED}

MARKUP = st.sampled_from(
    [
        "# ", "## ", "=====\n", "-----\n", "```\n", "~~~\n", "\n\n", "\n", "text ", "Ünï ", "<p>", "</p>", "<li>",
        "<pre>", "<table><td>", "<h2>", "</h2>", "&amp;", "&#x110000;", "<!--", "]]>", "def f():\n", "class A:\n",
        "    ", "\t", "\r\n", "\x0c", "{", "}", '"', "[x](y)", "---\ntitle: x\n---\n", "日本", "\u2028",
        "| a | b |\n",
    ]
)  # fmt: skip
TEXTS = st.lists(MARKUP, max_size=60).map("".join)


def check(document: Document) -> None:
    raw = document.text.encode()
    assert document.text.strip()
    assert document.title.encode() and "\n" not in document.title
    starts = [h.byte_start for h in document.headings]
    assert starts == sorted(starts)
    for heading in document.headings:
        assert 0 <= heading.byte_start <= len(raw)
        raw[heading.byte_start :].decode()  # not inside of a character
        assert heading.title.strip()
        assert heading.level >= 1
    pages = [(p.byte_start, p.page) for p in document.pages]
    assert pages == sorted(pages)
    assert [p.page for p in document.pages] == list(range(1, len(pages) + 1))


def parse_or_reason(name: str, data: bytes) -> Document | None:
    try:
        document = parse(Path(name), data)
    except IngestError as error:
        assert error.message in KNOWN
        return None
    check(document)
    return document


@given(NAMES, st.binary(max_size=2000) | TEXTS.map(str.encode))
@settings(deadline=None)
@example("a.txt", b"\xff\xfe")
@example("a.txt", b"\xff\xfe\x00\x00a")
@example("a.html", b"<?xml encoding='utf-16'?><p>x")
@example("a.py", b"# coding: rot13\nx\xff")
def test_any_bytes_give_a_document_or_a_reason(name: str, data: bytes) -> None:
    parse_or_reason(name, data)


@given(st.sampled_from(["a.txt", "a.md", "a.rst", "a.py", "a.c", "a.csv"]), TEXTS)
@settings(deadline=None)
def test_utf8_text_is_kept_to_the_byte(name: str, text: str) -> None:
    data = text.encode()
    document = parse_or_reason(name, data)
    assert document is None or document.text.encode() == data


@given(TEXTS.filter(lambda t: "---" not in t and "<" not in t))
@settings(max_examples=200, deadline=None)
@example("| a | b |\n=====\n")
def test_markdown_headings_are_those_of_a_full_parser(text: str) -> None:
    """Where the full parser sees a heading at the top level, so does the scanner; it may see a few more."""
    text = text.replace("\r\n", "\n").replace("\x0c", "").replace("\u2028", "")
    tokens = MarkdownIt("commonmark").parse(text)
    theirs = [
        (token.map[0], int(token.tag[1:]))
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map and inline.content.strip()
    ]
    ours = {(text.count("\n", 0, h.start), h.level) for h in find_headings(text)}
    assert set(theirs) <= ours


# Containers, damaged ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process() -> Iterator[ParseProcess]:
    with ParseProcess(limit_s=10) as opened:
        yield opened


ORIGINALS = {
    "pdf": pdf([Page(["Words of a page", "", "and more"])] * 3, title="T", outline=[("Words", 0), ("More", 2)]),
    "docx": docx([("Heading 1", "A"), ("List Bullet", "b"), ("Normal", "c " * 50)], table=[["a", "b"]]),
    "epub": epub([("One", "words"), ("Two", "more")], title="T"),
    "html": b"<html><head><title>T</title></head><body><h1>A</h1><table><tr><td>b</table><ul><li>c</ul></body>" * 3,
}


def mutated(data: bytes, seed: int) -> bytes:
    """A damaged copy: bytes changed, taken out, put in, or moved."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 10, 60))):
        at, length = rng.randrange(len(out)), rng.randrange(1, 40)
        match rng.randrange(4):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = rng.choice((b"99999999999", b"-1", b"<<>>", b"\xff" * 4, b"<div>", b"</w:p>", b"[[[["))
            case _:
                source = rng.randrange(len(out))
                out[at : at + length] = out[source : source + length]
        out = out or bytearray(b"x")
    return bytes(out)


def mutated_inside(data: bytes, seed: int) -> bytes:
    """The same for the parts of a container, which are packed again whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, mutated(content, seed) if content and name.endswith(("ml", "opf")) else content)
    return out.getvalue()


@given(st.sampled_from(sorted(ORIGINALS)), st.integers(0, 2**32), st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_give_a_document_or_a_reason(process: ParseProcess, kind: str, seed: int, inside: bool) -> None:
    original = ORIGINALS[kind]
    data = mutated_inside(original, seed) if inside and kind in ("docx", "epub") else mutated(original, seed)
    try:
        document = process.parse(kind, Path(f"a.{kind}"), data)
    except IngestError as error:
        assert error.message in KNOWN - {reasons.TOO_SLOW, reasons.CRASHED}
    else:
        check(document)


@given(st.binary(max_size=300), st.sampled_from([b'{"cells": [', b'{"cells": [{"source": "x"', b""]))
@settings(deadline=None)
def test_damaged_notebooks_give_a_reason(tail: bytes, head: bytes) -> None:
    parse_or_reason("a.ipynb", head + tail)
    parse_or_reason("a.ipynb", notebook([("markdown", "# x")])[: len(tail)] + tail)
