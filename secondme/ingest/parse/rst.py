"""reStructuredText: section titles with their adornments; the text itself stays as it is in the file.

Source: the docutils reStructuredText specification, "Sections": levels go by the order in which styles first appear.
"""

from __future__ import annotations

import re
from pathlib import Path

from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.headings import FoundHeading, clean_title, document
from secondme.types import Document

_TITLE = re.compile(
    r"^(?:(?P<over>([!-/:-@\[-`{-~])\2+)[ \t]*\r?\n)?"
    r"(?P<title>[ \t]*\S[^\n]{0,500}?)[ \t]*\r?\n"
    r"(?P<under>([!-/:-@\[-`{-~])\5+)[ \t]*\r?$",
    re.M,
)
_ROLES = re.compile(r":[\w:+.-]+:`([^`]*)`|``([^`]*)``|[*`|]{1,2}(?=\S)|(?<=\S)[*`|]{1,2}_{0,2}")


def parse_rst(path: Path, data: bytes) -> Document:
    """Raises UnsupportedFormat if the content is binary."""
    text = decode_text(data)
    found = find_headings(text)
    return document(text, "text/x-rst", found[0].title if found else path.name, found)


def find_headings(text: str) -> list[FoundHeading]:
    """Section titles of `text`; an overline counts as part of its title."""
    styles: list[tuple[str, bool]] = []
    found: list[FoundHeading] = []
    for match in _TITLE.finditer(text):
        title, under, over = match["title"], match["under"], match["over"]
        if over is None and title[0] in " \t":
            continue
        if len(under) < len(title.strip()) and len(under) < 4:
            continue
        if over is not None and over != under:
            continue
        if _is_adornment(title) or not _stands_alone(text, match.start()):
            continue
        style = (under[0], over is not None)
        if style not in styles:
            styles.append(style)
        found.append(FoundHeading(match.start(), styles.index(style) + 1, _plain(title)))
    return found


def _is_adornment(title: str) -> bool:
    line = title.strip()
    return len(set(line)) == 1 and not line[0].isalnum()


def _stands_alone(text: str, start: int) -> bool:
    """A title follows an empty line, or is the first line."""
    before = text.rfind("\n", 0, max(0, start - 1))
    return start == 0 or not text[before + 1 : start].strip()


def _plain(title: str) -> str:
    return clean_title(_ROLES.sub(lambda m: m[1] or m[2] or "", title)) or clean_title(title)
