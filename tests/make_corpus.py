"""Writes real documents of every format that is read, and of the kinds that are not, for tests and trials.

PDF files are put together by hand after ISO 32000-1, encrypted ones with its standard security handler (revision 3),
so that no PDF writer is needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondme.ingest import reasons

# ISO 32000-1, 7.6.3.3: the padding of passwords.
_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_FILE_ID = bytes(range(16))
_PERMISSIONS = -44


@dataclass(frozen=True)
class Page:
    """Lines of text from the top; an empty one leaves a gap as between paragraphs."""

    lines: Sequence[str]


def pdf(
    pages: Sequence[Page],
    *,
    title: str = "",
    outline: Sequence[tuple[str, int]] = (),
    password: str = "",
    image: bool = False,
) -> bytes:
    """A PDF file. `outline` is (title, page index); with `image`, pages show a picture and hold no text."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalog, tree = add(b""), add(b"")
    font = add(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    picture = add(
        _stream(
            bytes(64 * 64), b"/Type/XObject/Subtype/Image/Width 64/Height 64/ColorSpace/DeviceGray/BitsPerComponent 8"
        )
    )
    kids = []
    for page in pages:
        content = b"q 500 0 0 700 50 50 cm /I1 Do Q" if image else _content(page.lines)
        body = add(_stream(content))
        kids.append(
            add(
                b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 612 792]/Contents %d 0 R"
                b"/Resources<</Font<</F1 %d 0 R>>/XObject<</I1 %d 0 R>>>>>>" % (tree, body, font, picture)
            )
        )
    info = add(b"<</Title(%s)>>" % _escaped(title))
    objects[tree - 1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(b"%d 0 R" % k for k in kids))
    marks = _outline(outline, kids, len(objects) + 1)
    objects += marks
    objects[catalog - 1] = b"<</Type/Catalog/Pages %d 0 R%s>>" % (
        tree,
        b"/Outlines %d 0 R" % (len(objects) - len(marks) + 1) if marks else b"",
    )
    return _file(objects, catalog, info, password)


def recursive_pdf() -> bytes:
    """A page with a form that shows itself ten times over."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>"
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        page,
        _stream(b"/X Do"),
        _stream(b"/X Do " * 10, form),
        b"<<>>",
    ]
    return _file(objects, 1, len(objects), "")


def _content(lines: Sequence[str]) -> bytes:
    shown = [b"(%s) Tj T*" % _escaped(line) for line in lines]
    return b"BT /F1 11 Tf 72 740 Td 14 TL\n" + b"\n".join(shown) + b"\nET"


def _escaped(text: str) -> bytes:
    raw = text.encode("cp1252", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(data)
    return b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (entries, len(packed), packed)


def _outline(outline: Sequence[tuple[str, int]], kids: Sequence[int], first: int) -> list[bytes]:
    if not outline:
        return []
    n = len(outline)
    bodies = [b"<</Type/Outlines/First %d 0 R/Last %d 0 R/Count %d>>" % (first + 1, first + n, n)]
    for i, (title, page) in enumerate(outline):
        links = b"/Next %d 0 R" % (first + i + 2) if i + 1 < n else b""
        links += b"/Prev %d 0 R" % (first + i) if i else b""
        bodies.append(b"<</Title(%s)/Parent %d 0 R/Dest[%d 0 R/Fit]%s>>" % (_escaped(title), first, kids[page], links))
    return bodies


def _file(objects: list[bytes], catalog: int, info: int, password: str) -> bytes:
    trailer = b"/Root %d 0 R/Info %d 0 R/ID[<%s><%s>]" % (
        catalog,
        info,
        _FILE_ID.hex().encode(),
        _FILE_ID.hex().encode(),
    )
    if password:
        owner, user, key = _handler(password)
        objects = [_encrypted(body, n, key) for n, body in enumerate(objects, 1)]
        objects.append(
            b"<</Filter/Standard/V 2/R 3/Length 128/P %d/O<%s>/U<%s>>>"
            % (_PERMISSIONS, owner.hex().encode(), user.hex().encode())
        )
        trailer += b"/Encrypt %d 0 R" % len(objects)
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for n, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (n, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, table)
    return bytes(out)


def _rc4(key: bytes, data: bytes) -> bytes:
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def _handler(password: str) -> tuple[bytes, bytes, bytes]:
    """Entries O and U, and the file key (ISO 32000-1, algorithms 2, 3 and 5)."""
    padded = (password.encode("latin-1") + _PAD)[:32]
    digest = padded
    for _ in range(51):
        digest = hashlib.md5(digest).digest()
    owner = padded
    for i in range(20):
        owner = _rc4(bytes(b ^ i for b in digest), owner)
    key = hashlib.md5(padded + owner + (_PERMISSIONS & 0xFFFFFFFF).to_bytes(4, "little") + _FILE_ID).digest()
    for _ in range(50):
        key = hashlib.md5(key).digest()
    user = hashlib.md5(_PAD + _FILE_ID).digest()
    for i in range(20):
        user = _rc4(bytes(b ^ i for b in key), user)
    return owner, user + bytes(16), key


def _encrypted(body: bytes, n: int, key: bytes) -> bytes:
    """Streams only; the few strings outside of them are left as they are, which a reader shows as noise."""
    head, mark, rest = body.partition(b">>stream\n")
    if not mark:
        return body
    data = rest.removesuffix(b"\nendstream")
    object_key = hashlib.md5(key + n.to_bytes(3, "little") + b"\0\0").digest()
    return head + mark + _rc4(object_key, data) + b"\nendstream"


# Office and books ----------------------------------------------------------------------------------------------


def docx(paragraphs: Sequence[tuple[str, str]], *, table: Sequence[Sequence[str]] = (), title: str = "") -> bytes:
    """A DOCX file by python-docx. Paragraphs are (style, text), such as ("Heading 1", "Tides")."""
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = title
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    if table:
        grid = document.add_table(rows=len(table), cols=len(table[0]))
        for row, cells in zip(grid.rows, table, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def epub(chapters: Sequence[tuple[str, str]], *, title: str) -> bytes:
    """An EPUB 3 book of (heading, text) chapters."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        items = "".join(
            f'<item id="c{i}" href="text/c%20{i}.xhtml" media-type="application/xhtml+xml"/>'
            for i, _ in enumerate(chapters)
        )
        refs = "".join(f'<itemref idref="c{i}"/>' for i, _ in enumerate(chapters))
        book.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>{title}</dc:title></metadata><manifest>{items}</manifest><spine>{refs}</spine></package>",
        )
        for i, (heading, text) in enumerate(chapters):
            page = f"<?xml version='1.0' encoding='utf-8'?><html xmlns='http://www.w3.org/1999/xhtml'><body><h1>{heading}</h1><p>{text}</p></body></html>"
            book.writestr(f"OEBPS/text/c {i}.xhtml", page)
    return out.getvalue()


def notebook(cells: Sequence[tuple[str, str]]) -> bytes:
    """A Jupyter notebook of (cell type, source) cells."""
    shown = [{"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {}} for kind, source in cells]
    return json.dumps({"cells": shown, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def encrypted_office() -> bytes:
    """The beginning of an encrypted office document: an OLE container that names its streams."""
    names = "EncryptionInfo".encode("utf-16-le") + bytes(36) + "EncryptedPackage".encode("utf-16-le")
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016) + names + bytes(512)


def zip_bomb(n_bytes: int = 80_000_000) -> bytes:
    """A DOCX whose only part expands to `n_bytes` of spaces."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        block = b" " * 1_000_000
        for _ in range(n_bytes // len(block)):
            part.write(block)
    return out.getvalue()


# A folder of everything ----------------------------------------------------------------------------------------

_PROSE = (
    "The harbour office keeps a book of tides. Every morning the keeper writes down the height of the water and the "
    "wind, and every evening he reads the page again. "
)


def write_corpus(folder: Path) -> dict[str, str]:
    """Write one document of every format that is read; return a sentence that each holds, by relative path."""
    files: dict[str, tuple[bytes, str]] = {}

    def put(name: str, content: bytes | str, fact: str) -> None:
        files[name] = (content.encode() if isinstance(content, str) else content, fact)

    fact = "The lighthouse at Sandvik has seventeen steps."
    put("notes/plain.txt", f"{_PROSE}\n\n{fact}\n", fact)
    fact = "The ferry to Ransø leaves at a quarter past nine."
    put("notes/guide.md", f"# Guide\n\n{_PROSE}\n\n## Ferries\n\n{fact}\n", fact)
    fact = "Nets are dyed with oak bark."
    put("notes/nets.rst", f"Nets\n====\n\n{_PROSE}\n\nDyeing\n------\n\n{fact}\n", fact)
    fact = "The pilot station was closed in 1968."
    page = "<html><head><title>Pilots</title><script>var x;</script></head><body><nav>Home</nav>"
    page += f"<h1>Pilots</h1><p>{fact}</p></body></html>"
    put("web/pilots.html", page, fact)
    fact = "Herring was salted in barrels of beech."
    put(
        "office/salting.docx",
        docx([("Heading 1", "Salting"), ("Normal", _PROSE), ("Normal", fact)], title="Salt"),
        fact,
    )
    fact = "The breakwater is four hundred metres long."
    pages = [Page([_PROSE[:80], _PROSE[80:160]]), Page(["Breakwater", "", fact])]
    put("office/breakwater.pdf", pdf(pages, title="Works", outline=[("Breakwater", 1)]), fact)
    fact = "The storm of 1902 sank eleven boats."
    put("books/storms.epub", epub([("Calm", _PROSE), ("Storms", fact)], title="Storms"), fact)
    fact = "Return the height of the tide in centimetres."
    put(
        "code/tide.py",
        f'import math\n\n\ndef tide(hour: int) -> float:\n    """{fact}"""\n    return math.sin(hour)\n',
        fact,
    )
    put(
        "code/tide.c",
        f"#include <math.h>\n\n/* {fact} */\ndouble tide(int hour)\n{{\n    return sin(hour);\n}}\n",
        fact,
    )
    fact = "Plot the heights of one day."
    put("code/plot.ipynb", notebook([("markdown", f"# Plot\n{fact}"), ("code", "plot(x)")]), fact)
    fact = "buoy,green,starboard"
    put("tables/marks.csv", f"kind,colour,side\n{fact}\n", fact)
    fact = '"mooring": "north quay"'
    put("tables/berths.json", "{" + fact + "}", fact)
    fact = "Zażółć gęślą jaźń, said the captain."
    put("notes/wide.txt", b"\xff\xfe" + f"{_PROSE}{fact}".encode("utf-16-le"), fact)
    fact = "Le café du port est fermé le lundi."
    put("notes/latin.txt", f"{_PROSE}{fact}".encode("latin-1"), fact)
    fact = "Notes without an extension are text as well."
    put("notes/README", f"{_PROSE}{fact}", fact)
    return {name: _write(folder / name, content, fact) for name, (content, fact) in files.items()}


def _write(path: Path, content: bytes, fact: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return fact


def write_bad(folder: Path) -> dict[str, str]:
    """Write files that cannot be taken in; return the reason expected for each, by relative path."""
    whole = pdf([Page(["Words"])])
    files: dict[str, tuple[bytes, str]] = {
        "empty.txt": (b"", reasons.EMPTY),
        "blank.md": (b" \n\t\n", reasons.NO_TEXT),
        "binary.txt": (bytes(range(256)) * 40, reasons.BINARY),
        "photo.jpg": (b"\xff\xd8\xff\xe0" + bytes(100), reasons.MEDIA["image"]),
        "renamed.txt": (b"\x89PNG\r\n\x1a\n" + bytes(100), reasons.MEDIA["image"]),
        "program": (b"\x7fELF" + bytes(100), reasons.MEDIA["program"]),
        "weights.gguf": (b"GGUF" + bytes(100), reasons.MEDIA["model"]),
        "locked.pdf": (pdf([Page(["Words"])], password="open sesame"), reasons.NEEDS_PASSWORD),
        "scan.pdf": (pdf([Page([])], image=True), reasons.SCANNED),
        "cut.pdf": (whole[: len(whole) // 2], reasons.DAMAGED),
        "named.pdf": (b"not a portable document", reasons.DAMAGED),
        "locked.docx": (encrypted_office(), reasons.NEEDS_PASSWORD),
        "old.doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), reasons.OLD_OFFICE),
        "cut.docx": (docx([("Normal", "Words")])[:2000], reasons.DAMAGED),
        "bomb.docx": (zip_bomb(), reasons.TOO_DEEP),
        "letter.rtf": (b"{\\rtf1 words}", reasons.RICH_TEXT),
        "id_test": (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", reasons.PRIVATE_KEY),
        "cut.ipynb": (b'{"cells": [', reasons.DAMAGED),
        "deep.html": (b"<div>" * 5000 + b"words", reasons.TOO_DEEP),
    }
    return {name: _write(folder / name, content, reason) for name, (content, reason) in files.items()}
