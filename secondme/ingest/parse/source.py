"""Source code and structured text: definitions at the top and one level below it are the headings."""

from __future__ import annotations

import re
from pathlib import Path

from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.headings import FoundHeading, clean_title, document
from secondme.ingest.parse.languages import BY_EXTENSION, BY_NAME, Language
from secondme.ingest.parse.sniff import extension
from secondme.types import Document

# PEP 263: the encoding a Python or Ruby file names in its first two lines.
_CODING = re.compile(rb"\A(?:[^\n]{0,200}\n)?[^\n]{0,200}?#[^\n]{0,200}?coding[:=][ \t]*([-\w.]+)")
# Comments, decorators and attributes right above a definition belong to it.
_LEAD = re.compile(r"[ \t]*(?:@|#|//|/\*|\*|--|;;|\[)")
_MAX_LEAD_LINES = 40


def parse_source(path: Path, data: bytes) -> Document:
    """Raises UnsupportedFormat if the content is binary."""
    name = path.name
    language = BY_EXTENSION.get(extension(path)) or BY_NAME.get(name) or Language("plain")
    coding = _CODING.match(data)
    text = decode_text(data, coding[1].decode("ascii", "replace") if coding else None)
    return document(text, f"text/x-{language.name}", name, find_definitions(text, language))


def find_definitions(text: str, language: Language) -> list[FoundHeading]:
    """Definitions of `text` in order, each from its leading comments on."""
    if language.definitions is None:
        return []
    found: list[FoundHeading] = []
    end_of_last = 0
    for match in language.definitions.finditer(text):
        groups = match.groupdict()
        name = next((groups[g] for g in ("name", "bound", "macro") if groups.get(g)), "")
        start = _with_lead(text, match.start(), end_of_last)
        found.append(FoundHeading(start, 2 if groups.get("indent") else 1, clean_title(name)))
        end_of_last = match.end()
    return found


def _with_lead(text: str, start: int, lowest: int) -> int:
    for _ in range(_MAX_LEAD_LINES):
        line_start = text.rfind("\n", 0, max(0, start - 1)) + 1
        if start == 0 or line_start <= lowest - 1 or not _LEAD.match(text, line_start, start):
            break
        start = line_start
    return start
