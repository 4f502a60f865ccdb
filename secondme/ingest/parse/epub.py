"""EPUB books: their chapters in reading order, each parsed as the HTML it is.

Source: EPUB 3.3, sections 4.2 (container), 5 (package document).
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from secondme.ingest import reasons
from secondme.ingest.parse.archive import MAX_PART_BYTES, open_archive, part
from secondme.ingest.parse.builder import TextBuilder
from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.html import append_html
from secondme.ingest.parse.xmltree import parse_xml
from secondme.types import Document

if TYPE_CHECKING:
    import zipfile

_OPF = "{http://www.idpf.org/2007/opf}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_MAX_CHAPTERS = 5000


def parse_epub(path: Path, data: bytes) -> Document:
    """Raises ParseFailed if the book is damaged, encrypted, or expands to more than can be read safely."""
    out = TextBuilder()
    with open_archive(data) as archive:
        if "META-INF/encryption.xml" in archive.namelist() and "META-INF/rights.xml" in archive.namelist():
            raise reasons.failed(reasons.NEEDS_PASSWORD)
        title, chapters = _contents(archive)
        left = MAX_PART_BYTES
        for name in chapters[:_MAX_CHAPTERS]:
            page = part(archive, name, left)
            if page is not None:
                left -= len(page)
                append_html(out, decode_text(page))
                out.paragraph()
    return out.document("application/epub+zip", title or out.first_heading or path.name)


def _contents(archive: zipfile.ZipFile) -> tuple[str, list[str]]:
    """The book's title and the names of its chapters in order."""
    container = part(archive, "META-INF/container.xml")
    root_file = next(parse_xml(container).iter(_CONTAINER + "rootfile"), None) if container else None
    name = root_file.get("full-path", "") if root_file is not None else ""
    package = part(archive, name)
    if package is None:
        raise reasons.failed(reasons.DAMAGED)
    root = parse_xml(package)
    title = next((e.text or "" for e in root.iter(_TITLE)), "").strip()
    files = {item.get("id", ""): item.get("href", "") for item in root.iter(_OPF + "item")}
    order = [files.get(ref.get("idref", ""), "") for ref in root.iter(_OPF + "itemref")]
    folder = posixpath.dirname(name)
    return title, [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in order if href]
