from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from secondme.errors import IngestError, ParseFailed, UnsupportedFormat
from secondme.ingest import reasons
from secondme.ingest.parse import kind_of, parse
from tests.make_corpus import docx, epub, notebook, pdf, write_bad


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.txt", b"words", "text"),
        ("a", b"words", "text"),
        ("a.unknown", b"words", "text"),
        ("a.MD", b"# words", "markdown"),
        ("a.rst", b"words", "rst"),
        ("a.py", b"x = 1", "source"),
        ("Makefile", b"all:", "source"),
        ("a.htm", b"words", "html"),
        ("a", b"<!-- c -->\n<!DOCTYPE html><p>x", "html"),
        ("a.txt", b"\xef\xbb\xbf<html lang=de>", "html"),
        ("a.xml", b"<note/>", "source"),
        ("a.ipynb", notebook([]), "notebook"),
        ("wrong.txt", pdf([]), "pdf"),
        ("a.pdf", b"junk before\n" + pdf([]), "pdf"),
        ("a", docx([]), "docx"),
        ("a.epub", epub([], title=""), "epub"),
        ("a.txt", b"BZh begins an archive, but this is text", "text"),
        ("a.txt", b"GGUF is a file format", "text"),
    ],
)
def test_kinds(name: str, data: bytes, kind: str) -> None:
    assert kind_of(Path(name), data) == kind


def test_every_bad_file_has_its_reason_and_a_hint_where_one_helps(tmp_path: Path) -> None:
    for name, reason in write_bad(tmp_path).items():
        path = tmp_path / name
        with pytest.raises(IngestError) as caught:
            parse(path, path.read_bytes())
        assert (name, caught.value.message) == (name, reason)
        assert (caught.value.hint or "") == reasons.hint(reason)
        assert caught.value.message[0].islower()


def test_other_containers() -> None:
    def archive(*names: str) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for name in names:
                file.writestr(name, "x")
        return out.getvalue()

    with pytest.raises(UnsupportedFormat, match="office format"):
        kind_of(Path("a.xlsx"), archive("[Content_Types].xml", "xl/workbook.xml"))
    with pytest.raises(UnsupportedFormat, match="archive"):
        kind_of(Path("a"), archive("readme.txt"))
    with pytest.raises(ParseFailed, match="damaged"):
        kind_of(Path("a.docx"), archive("x")[:20])


def test_hints_survive_a_remembered_reason() -> None:
    assert "max_file_mb" in reasons.hint(reasons.TOO_LARGE.format(64))
    assert reasons.hint("a reason nobody knows") == ""
