"""PDF to text, page by page, through PDFium.

PDFium gives the lines of a page in the order of its content stream; where they stand on the page tells paragraphs and
headings (`pdf_layout.py`). PDFium is not thread-safe, so one lock guards it; hostile files are the reason why
`isolate.py` runs this parser in a process of its own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.ingest import reasons
from secondme.ingest.parse.headings import FoundHeading, clean_title, headings_in_bytes
from secondme.ingest.parse.offsets import byte_offsets
from secondme.ingest.parse.pdf_layout import Line, Words, body_size, page_text
from secondme.types import Document, PageStart

if TYPE_CHECKING:
    import pypdfium2

_LOCK = threading.Lock()
_ERR_PASSWORD, _ERR_SECURITY = 4, 5
_MAX_OUTLINE = 2000
_MAX_CHARS = 64_000_000
_JUNK_TITLES = ("untitled", "microsoft word", "microsoft powerpoint", "powerpoint presentation", "slide 1", "print")


def parse_pdf(path: Path, data: bytes) -> Document:
    """Raises ParseFailed if the file is encrypted, damaged, or holds pictures of text only."""
    import pypdfium2  # 40 ms to import

    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            locked = error.err_code in (_ERR_PASSWORD, _ERR_SECURITY)
            raise reasons.failed(reasons.NEEDS_PASSWORD if locked else reasons.DAMAGED) from None
        try:
            pages = [_lines(document, n) for n in range(len(document))]
            title = clean_title(document.get_metadata_value("Title"))
            outline = _outline(document)
        finally:
            document.close()
    if not any(line.text.strip() for lines in pages for line in lines):
        raise reasons.failed(reasons.SCANNED if pages else reasons.NO_TEXT)
    return _assembled(path, pages, outline, title)


def _lines(document: pypdfium2.PdfDocument, number: int) -> list[Line]:
    """Lines of one page; none if the page itself is damaged, so that the others can still be read."""
    import pypdfium2

    try:
        page = document[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return []
    try:
        text = text_page.get_text_range(errors="replace")
        if len(text) > _MAX_CHARS:
            raise reasons.failed(reasons.TOO_DEEP)
        return _placed_lines(text_page, text)
    finally:
        text_page.close()
        page.close()


def _placed_lines(text_page: Any, text: str) -> list[Line]:
    lines: list[Line] = []
    index = 0
    n_chars = text_page.count_chars()
    for shown in text.split("\r\n"):
        n_units = len(shown) if shown.isascii() else len(shown.encode("utf-16-le", "surrogatepass")) // 2
        lines.append(Line(shown, *_box(text_page, index, index + n_units - 1, n_chars)))
        index += n_units + 2
    return lines


def _box(text_page: Any, first: int, last: int, n_chars: int) -> tuple[float, float, float, float]:
    """Left, right, base and height of a line in points; zeros if PDFium does not know."""
    if not 0 <= first <= last < n_chars:
        return 0.0, 0.0, 0.0, 0.0
    import pypdfium2

    try:
        left, base, _, top = text_page.get_charbox(first, loose=True)
        _, last_base, right, last_top = text_page.get_charbox(last, loose=True)
    except pypdfium2.PdfiumError:
        return 0.0, 0.0, 0.0, 0.0
    # The lower of both: a single symbol from another font is often taller than its line.
    height, base = min((top - base, base), (last_top - last_base, last_base))
    return left, right, base, height


def _outline(document: pypdfium2.PdfDocument) -> list[tuple[int, str, int]]:
    """The document's bookmarks as (level from 1, title, page index)."""
    import pypdfium2

    found: list[tuple[int, str, int]] = []
    try:
        for mark in document.get_toc(max_depth=8):
            target = mark.get_dest()
            page = target.get_index() if target else None
            title = clean_title(mark.get_title())
            if page is not None and title:
                found.append((mark.level + 1, title, page))
            if len(found) >= _MAX_OUTLINE:
                break
    except (pypdfium2.PdfiumError, UnicodeDecodeError, ValueError):
        return found  # a damaged outline costs headings, not text
    return found


def _assembled(path: Path, pages: list[list[Line]], outline: list[tuple[int, str, int]], title: str) -> Document:
    words = Words(line.text for lines in pages for line in lines)
    size = body_size(line for lines in pages for line in lines)
    parts: list[str] = []
    starts: list[int] = []
    found: list[FoundHeading] = []
    length = 0
    for number, lines in enumerate(pages):
        page = page_text(lines, words, size)
        starts.append(length)
        marks = [(level, name) for level, name, index in outline if index == number]
        found += (
            _marked(page.text, marks, length)
            if outline
            else [FoundHeading(length + h.start, h.level, h.title) for h in page.headings]
        )
        parts.append(page.text)
        length += len(page.text)
    text = "".join(parts)
    page_starts = tuple(PageStart(start, n) for n, start in enumerate(byte_offsets(text, starts), 1))
    named = title if title and not title.lower().startswith(_JUNK_TITLES) else path.name
    return Document(text, "application/pdf", named, headings_in_bytes(text, found), page_starts)


def _marked(text: str, marks: list[tuple[int, str]], offset: int) -> list[FoundHeading]:
    """Bookmarks of one page at the place where their words stand, or else at the top of the page."""
    found: list[FoundHeading] = []
    folded = text.lower()
    for level, name in marks:
        at = folded.find(name.lower()) if len(folded) == len(text) else -1
        start = max(0, at)
        # Inside of a line it is a mention, not the heading.
        start = text.rfind("\n", 0, start) + 1
        found.append(FoundHeading(offset + start, level, name))
    return sorted(found, key=lambda h: h.start)
