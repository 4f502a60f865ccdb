"""One parser a format, chosen by content and name; each turns bytes into a Document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondme.ingest import reasons
from secondme.ingest.parse.sniff import media_reason, sniff
from secondme.types import Document

ISOLATED = frozenset({"pdf", "docx", "epub", "html"})
"""Kinds that C libraries parse; the pipeline has them parsed in a process of their own."""


def kind_of(path: Path, data: bytes) -> str:
    """The kind of a file, a key of the parsers. Raises UnsupportedFormat or ParseFailed with the reason if none is."""
    if reason := media_reason(path):
        raise reasons.unsupported(reason)
    if not data:
        raise reasons.unsupported(reasons.EMPTY)
    return sniff(path, data)


def parse(path: Path, data: bytes) -> Document:
    """Parse the content of a file; `path` only tells its name. Raises UnsupportedFormat or ParseFailed."""
    return parse_kind(kind_of(path, data), path, data)


def parse_kind(kind: str, path: Path, data: bytes) -> Document:
    """Parse as the given kind. Raises UnsupportedFormat or ParseFailed; there is always some text in the result."""
    document = _parser(kind)(path, data)
    if not document.text.strip():
        raise reasons.unsupported(reasons.NO_TEXT)
    return document


def _parser(kind: str) -> Callable[[Path, bytes], Document]:
    # Imported when needed: most folders hold few of these formats.
    match kind:
        case "pdf":
            from secondme.ingest.parse.pdf import parse_pdf

            return parse_pdf
        case "docx":
            from secondme.ingest.parse.docx import parse_docx

            return parse_docx
        case "epub":
            from secondme.ingest.parse.epub import parse_epub

            return parse_epub
        case "html":
            from secondme.ingest.parse.html import parse_html

            return parse_html
        case "notebook":
            from secondme.ingest.parse.notebook import parse_notebook

            return parse_notebook
    return _text_parser(kind)


def _text_parser(kind: str) -> Callable[[Path, bytes], Document]:
    from secondme.ingest.parse.markdown import parse_markdown
    from secondme.ingest.parse.rst import parse_rst
    from secondme.ingest.parse.source import parse_source
    from secondme.ingest.parse.text import parse_text

    return {"markdown": parse_markdown, "rst": parse_rst, "source": parse_source}.get(kind, parse_text)
