from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx as python_docx
import pytest

from secondme.errors import ParseFailed
from secondme.ingest.parse.docx import parse_docx
from tests.make_corpus import docx

PATH = Path("letter.docx")
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"

SHOWN = '<w:vanish w:val="0"/>'
CELL = "<w:tc><w:p>{0}</w:p><w:p>{0}</w:p></w:tc>"


def container(body: str, **parts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", content)
    return out.getvalue()


def text(body: str, **parts: str) -> str:
    return parse_docx(PATH, container(body, **parts)).text


def run(words: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{words}</w:t></w:r>'


def test_a_real_document() -> None:
    data = docx(
        [
            ("Title", "The Harbour"),
            ("Heading 1", "Über Tides"),
            ("Normal", "First paragraph."),
            ("List Bullet", "one"),
            ("List Number", "two"),
            ("Heading 2", "Details"),
            ("Normal", "Second."),
        ],
        table=[["a", "b"], ["1", "2"]],
    )
    document = parse_docx(PATH, data)
    assert document.text == (
        "The Harbour\n\nÜber Tides\n\nFirst paragraph.\n- one\n- two\n\nDetails\n\nSecond.\n\na | b\n1 | 2\n"
    )
    assert document.title == "The Harbour"
    raw = document.text.encode()
    assert [(h.level, h.title) for h in document.headings] == [(1, "Über Tides"), (2, "Details")]
    assert all(raw[h.byte_start :].decode().startswith(h.title) for h in document.headings)


def test_it_reads_what_python_docx_reads() -> None:
    data = docx([("Normal", f"Paragraph {n} with words.") for n in range(30)])
    theirs = [p.text for p in python_docx.Document(io.BytesIO(data)).paragraphs]
    assert parse_docx(PATH, data).text.split("\n\n") == [*theirs[:-1], theirs[-1] + "\n"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"<w:p>{run('one ')}{run('two')}</w:p>", "one two\n"),
        (f"<w:p>{run('a')}<w:r><w:tab/></w:r>{run('b')}<w:r><w:br/></w:r>{run('c')}</w:p>", "a b\nc\n"),
        (f"<w:p>{run('kept')}<w:del>{run('deleted')}</w:del><w:ins>{run(' new')}</w:ins></w:p>", "kept new\n"),
        (f"<w:p><w:moveFrom>{run('old')}</w:moveFrom>{run('x')}{run('hidden', '<w:vanish/>')}</w:p>", "x\n"),
        (f"<w:p>{run('shown', SHOWN)}</w:p>", "shown\n"),
        ("<w:p><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>", ""),
        (f"<w:p><w:hyperlink>{run('link')}</w:hyperlink></w:p>", "link\n"),
        (f"<w:sdt><w:sdtContent><w:p>{run('x')}</w:p></w:sdtContent></w:sdt>", "x\n"),
        (f"<w:tbl><w:tr>{CELL.format(run('a'))}{CELL.format(run('b'))}</w:tr></w:tbl>", "a a | b b\n"),
        (f"<w:p><w:pPr><w:numPr><w:ilvl w:val='1'/><w:numId w:val='3'/></w:numPr></w:pPr>{run('x')}</w:p>", "  - x\n"),
        (f"<w:p><w:pPr><w:numPr><w:numId w:val='0'/></w:numPr></w:pPr>{run('x')}</w:p>", "x\n"),
        ("", ""),
    ],
)  # fmt: skip
def test_bodies(body: str, expected: str) -> None:
    assert text(body) == expected


def test_headings_by_outline_level_and_inherited_style() -> None:
    styles = (
        f'<w:styles xmlns:w="{W}"><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="berschrift1"/></w:style>'
        '<w:style w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style></w:styles>'
    )
    body = "".join(
        f"<w:p><w:pPr>{properties}</w:pPr>{run(words)}</w:p>"
        for properties, words in (
            ('<w:pStyle w:val="Mine"/>', "A"),
            ('<w:outlineLvl w:val="2"/>', "B"),
            ('<w:outlineLvl w:val="9"/>', "C"),
            ('<w:pStyle w:val="Loop"/>', "D"),
        )
    )
    document = parse_docx(PATH, container(body, styles=styles))
    assert [(h.level, h.title) for h in document.headings] == [(1, "A"), (3, "B")]


def test_footnotes_follow_the_text() -> None:
    notes = f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="2"><w:p>{run("a note")}</w:p></w:footnote></w:footnotes>'
    assert text(f"<w:p>{run('body')}</w:p>", footnotes=notes) == "body\n\na note\n"


def test_the_strict_variant_is_read() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        strict = "http://purl.oclc.org/ooxml/wordprocessingml/main"
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{strict}"><w:p>{run("x")}</w:p></w:document>')
    assert parse_docx(PATH, data.getvalue()).text == "x\n"


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<w:p>",
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a x="&b;">&b;</a',
        "<a>" * 5000,
    ],
)
def test_broken_xml_is_damage(xml: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("word/document.xml", xml)
    with pytest.raises(ParseFailed, match="damaged"):
        parse_docx(PATH, data.getvalue())


def test_entities_do_not_expand() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    xml = (
        f'<!DOCTYPE a [<!ENTITY e0 "words">{levels}]>'
        f'<w:document xmlns:w="{W}"><w:p><w:r><w:t>a&e11;b</w:t></w:r></w:p></w:document>'
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("word/document.xml", xml)
    with pytest.raises(ParseFailed, match="damaged"):
        parse_docx(PATH, data.getvalue())


def test_an_encrypted_part_needs_a_password() -> None:
    data = bytearray(container(f"<w:p>{run('x')}</w:p>"))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    with pytest.raises(ParseFailed, match="password"):
        parse_docx(PATH, bytes(data))
