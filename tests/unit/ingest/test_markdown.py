from __future__ import annotations

from pathlib import Path

import pytest

from secondme.ingest.parse.markdown import parse_markdown
from secondme.types import Heading

PATH = Path("note.md")


def headings(text: str) -> list[tuple[int, str]]:
    return [(h.level, h.title) for h in parse_markdown(PATH, text.encode()).headings]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# One\n\n## Two ##\ntext\n### Three #not\n", [(1, "One"), (2, "Two"), (3, "Three #not")]),
        ("   # Indented\n    # code\n#nospace\n####### seven\n", [(1, "Indented")]),
        ("Title\n=====\n\nPart\n---\n", [(1, "Title"), (2, "Part")]),
        ("two\nlines\n---\n", [(2, "two lines")]),
        ("- item\n---\n\n> quote\n---\n\n---\n", []),
        ("```\n# code\n```\n# after\n", [(1, "after")]),
        ("~~~ python\n# code\n```\n# code\n~~~\n# after\n", [(1, "after")]),
        ("````\n```\n# code\n````\n# after", [(1, "after")]),
        ("# *Emphasis* and `code` and [link](http://x)\n", [(1, "Emphasis and code and link")]),
        ("# Windows\r\n\r\ntext\r\n", [(1, "Windows")]),
        ("| a |\n---\n", []),
        ("#\n## \n# x", [(1, "x")]),
    ],
)
def test_headings(text: str, found: list[tuple[int, str]]) -> None:
    assert headings(text) == found


def test_the_text_is_the_file_and_offsets_are_its_bytes() -> None:
    data = "Vorspann über Öl\n\n# Größe\n\ntext\n\n## Länge\n".encode()
    document = parse_markdown(PATH, data)
    assert document.text.encode() == data
    assert [data[h.byte_start :].decode().split("\n")[0] for h in document.headings] == ["# Größe", "## Länge"]


def test_titles() -> None:
    assert parse_markdown(PATH, b"---\ntitle: 'The title'\ntags: x\n---\n# Heading\n").title == "The title"
    assert parse_markdown(PATH, b"---\ntags: x\n---\n# Heading\n").title == "Heading"
    assert parse_markdown(PATH, b"## Only two\n").title == "Only two"
    assert parse_markdown(PATH, b"words").title == "note.md"


def test_front_matter_is_no_heading() -> None:
    assert parse_markdown(PATH, b"---\na: b\n---\ntext").headings == ()


def test_a_heading_of_any_length_is_one_line() -> None:
    (heading,) = parse_markdown(PATH, b"# " + b"word " * 300).headings
    assert isinstance(heading, Heading)
    assert len(heading.title) == 200
