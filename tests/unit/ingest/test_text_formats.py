"""Plain text, reStructuredText, source code and notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.errors import ParseFailed
from secondme.ingest.parse import parse
from secondme.ingest.parse.notebook import parse_notebook
from secondme.types import Document
from tests.make_corpus import notebook


def found(name: str, text: str) -> list[tuple[int, str]]:
    return [(h.level, h.title) for h in parse(Path(name), text.encode()).headings]


def first_lines(document: Document) -> list[str]:
    raw = document.text.encode()
    return [raw[h.byte_start :].decode().lstrip().split("\n")[0] for h in document.headings]


def test_plain_text_is_taken_as_it_is() -> None:
    document = parse(Path("a.txt"), b"one\r\ntwo\n")
    assert document == Document("one\r\ntwo\n", "text/plain", "a.txt")


def test_an_odd_file_name_is_still_a_title_that_can_be_stored() -> None:
    assert parse(Path("a\udcff\n\x1b.txt"), b"x").title.encode()


@pytest.mark.parametrize(
    ("name", "text", "headings"),
    [
        ("a.rst", "Top\n===\n\nText\n\nPart\n----\n\nx\n\nMore\n====\n", [(1, "Top"), (2, "Part"), (1, "More")]),
        ("a.rst", "=====\nTitle\n=====\n\nTop\n===\n", [(1, "Title"), (2, "Top")]),
        ("a.rst", "A paragraph\nof two lines\n----\n", []),
        ("a.rst", "Long title here\n---\n\ntext\n\n----\n\ntext\n", []),
        ("a.rst", "Über ``code`` und :ref:`x`\n==========================\n", [(1, "Über code und x")]),
        ("a.rst", "====  ====\na     b\n====  ====\n", []),
        ("a.tex", "\\section{One}\ntext\n\\subsection*{Two}\n", [(2, "One"), (3, "Two")]),
        ("a.org", "* One\n** Two\n", [(1, "One"), (2, "Two")]),
        ("a.adoc", "= One\n\n== Two\n", [(1, "One"), (2, "Two")]),
        ("a.py", "import x\n\nclass A:\n    def f(self): ...\n\nasync def g(): ...\n", [(1, "A"), (2, "f"), (1, "g")]),
        ("a.go", "package x\n\nfunc (s *T) Run() {\n}\n\ntype T struct {\n}\n", [(1, "Run"), (1, "T")]),
        ("a.rs", "pub fn run() {}\n\nimpl<T> Foo {\n    pub fn go() {}\n}\n", [(1, "run"), (1, "Foo"), (2, "go")]),
        ("a.js", "export default function f() {}\nconst g = async (a, b) => {\n}\nlet x = 1\n", [(1, "f"), (1, "g")]),
        ("a.ts", "export interface I {}\nexport const h = (x: number): string => {\n", [(1, "I"), (1, "h")]),
        ("a.java", "public final class A {\n    int x;\n    static class B {\n", [(1, "A"), (2, "B")]),
        ("a.c", "static int\nadd(int a)\n{\n}\n\nint sub(int a)\n{\n    return f(a);\n}\nint p(int);\n", [(1, "sub")]),
        ("a.cpp", "class A {\n};\nvoid A::run() const {\n}\n#define MIN(a) a\n", [(1, "A"), (1, "A::run"), (1, "MIN")]),
        ("a.rb", "module M\n  def f\n  end\nend\n", [(1, "M"), (2, "f")]),
        ("a.sh", "build() {\n}\nfunction clean {\n}\n", [(1, "build"), (1, "clean")]),
        ("a.sql", "CREATE TABLE IF NOT EXISTS t (\n);\ncreate view v as select 1;\n", [(1, "t"), (1, "v")]),
        ("a.toml", "x = 1\n[tool.ruff]\ny = 2\n", [(1, "tool.ruff")]),
        ("a.hs", "data T = T\nrun :: Int\n", [(1, "T"), (1, "run")]),
        ("a.lua", "local function f()\nend\n", [(1, "f")]),
        ("a.clj", "(defn f [x] x)\n", [(1, "f")]),
        ("a.json", '{"class": 1}', []),
    ],
)  # fmt: skip
def test_headings(name: str, text: str, headings: list[tuple[int, str]]) -> None:
    assert found(name, text) == headings


def test_comments_and_decorators_belong_to_their_definition() -> None:
    document = parse(
        Path("a.py"), b"x = 1\n\n# about f\n@cache\ndef f(): ...\n\n\nclass A:\n    # about g\n    def g(self): ...\n"
    )
    assert first_lines(document) == ["# about f", "class A:", "# about g"]


def test_a_source_file_names_its_encoding() -> None:
    data = "# -*- coding: koi8-r -*-\n# Ещё\nx = 1\n".encode("koi8-r")
    assert "Ещё" in parse(Path("a.py"), data).text


def test_notebooks_hold_their_cells_without_outputs() -> None:
    document = parse(
        Path("n.ipynb"), notebook([("markdown", "# Über\n\ntext"), ("code", "x = 1"), ("markdown", "## B")])
    )
    assert document.text == "# Über\n\ntext\n\nx = 1\n\n## B\n\n"
    assert document.title == "Über"
    assert first_lines(document) == ["# Über", "## B"]


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"cells": 3}', b'{"cells": [{"cell_type": "code"}]}', b"[" * 100_000])
def test_what_is_no_notebook_is_damaged(data: bytes) -> None:
    with pytest.raises(ParseFailed, match="damaged"):
        parse_notebook(Path("n.ipynb"), data)


def test_a_notebook_may_spell_half_characters() -> None:
    data = b'{"cells": [{"cell_type": "code", "source": "\\ud800 x"}]}'
    assert parse_notebook(Path("n.ipynb"), data).text == "? x\n\n"
