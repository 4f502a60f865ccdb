"""Plain text, and the kinds of prose whose headings one pattern finds (LaTeX, Org, AsciiDoc, MediaWiki)."""

from __future__ import annotations

from pathlib import Path

from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.headings import FoundHeading, clean_title, document
from secondme.ingest.parse.languages import PROSE_HEADINGS, heading_level
from secondme.ingest.parse.sniff import extension
from secondme.types import Document


def parse_text(path: Path, data: bytes) -> Document:
    """Raises UnsupportedFormat if the content is binary."""
    text = decode_text(data)
    known = PROSE_HEADINGS.get(extension(path))
    if known is None:
        return document(text, "text/plain", path.name)
    name, pattern = known
    found = [FoundHeading(m.start(), heading_level(m["mark"]), clean_title(m["name"])) for m in pattern.finditer(text)]
    return document(text, f"text/{name}", path.name, found)
