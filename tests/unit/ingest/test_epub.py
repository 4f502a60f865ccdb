from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from secondme.errors import ParseFailed
from secondme.ingest.parse.epub import parse_epub
from tests.make_corpus import epub

PATH = Path("book.epub")


def rezipped(data: bytes, **changes: str | None) -> bytes:
    """The same container with parts replaced, or left out; names are written with `_` for `/`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = changes.get(Path(name).stem, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def test_chapters_in_reading_order() -> None:
    document = parse_epub(PATH, epub([("One", "first words"), ("Two", "second words")], title="A book"))
    assert document.text == "One\n\nfirst words\n\nTwo\n\nsecond words\n"
    assert [h.title for h in document.headings] == ["One", "Two"]
    assert (document.title, document.media_type) == ("A book", "application/epub+zip")


def test_a_missing_chapter_costs_that_chapter() -> None:
    data = rezipped(epub([("One", "first"), ("Two", "second")], title="A"), **{"c 0": None})
    assert parse_epub(PATH, data).text == "Two\n\nsecond\n"


@pytest.mark.parametrize("changes", [{"container": None}, {"book": None}, {"container": "<a"}, {"book": "<a"}])
def test_damage(changes: dict[str, str | None]) -> None:
    with pytest.raises(ParseFailed, match="damaged"):
        parse_epub(PATH, rezipped(epub([("One", "first")], title="A"), **changes))


def test_nothing_outside_of_the_book_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret words")
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        f'<item id="a" href="../../../../../../..{tmp_path}/secret"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    assert parse_epub(PATH, rezipped(epub([("One", "first")], title="A"), book=package)).text == ""


def test_a_protected_book_needs_a_password() -> None:
    out = io.BytesIO(epub([("One", "first")], title="A"))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("META-INF/encryption.xml", "<x/>")
        archive.writestr("META-INF/rights.xml", "<x/>")
    with pytest.raises(ParseFailed, match="password"):
        parse_epub(PATH, out.getvalue())
