"""Markdown: ATX and setext headings outside of code blocks; the text itself stays as it is in the file.

Source: CommonMark 0.31, sections 4.2, 4.3 and 4.5. A scanner of its own because only headings are needed, at exact
offsets, and notes can be megabytes long.
"""

from __future__ import annotations

import re
from pathlib import Path

from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.headings import FoundHeading, clean_title, document
from secondme.types import Document

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
# What cannot be the text of a setext heading: another block begins here.
_BLOCK_START = re.compile(r" {0,3}(?:>|[-+*](?:[ \t]|$)|\d{1,9}[.)](?:[ \t]|$)|<[a-zA-Z/!?])| {4}|\t")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$\n?", re.S | re.M)
_FRONT_TITLE = re.compile(r"""^title:[ \t]*["']?(.*?)["']?[ \t]*\r?$""", re.M)
_MARKUP = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|!?\[([^\]\n]*)\]\([^)\n]*\)|<[^>\n]{1,200}>")
_MAX_LINE = 2000


def parse_markdown(path: Path, data: bytes) -> Document:
    """Raises UnsupportedFormat if the content is binary."""
    text = decode_text(data)
    front = _FRONT_MATTER.match(text)
    start = front.end() if front else 0
    found = find_headings(text, start)
    titles = [h.title for h in found if h.level == 1] or [h.title for h in found]
    named = _FRONT_TITLE.search(front[1]) if front else None
    title = (named[1] if named else "") or (titles[0] if titles else "") or path.name
    return document(text, "text/markdown", title, found)


def find_headings(text: str, start: int = 0) -> list[FoundHeading]:
    """Headings of the Markdown `text` from the character position `start` on."""
    found: list[FoundHeading] = []
    fence = ""
    paragraph: list[tuple[int, str]] = []
    for match in _LINE.finditer(text, start):
        line = match[0].rstrip("\r\n")
        if len(line) > _MAX_LINE:
            paragraph = []
            continue
        opened = _FENCE.match(line)
        if fence:
            if opened and opened[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            continue
        if opened:
            fence, paragraph = opened[1], []
            continue
        if atx := _ATX.match(line):
            found.append(FoundHeading(match.start(), len(atx[1]), _plain(atx[2] or "")))
            paragraph = []
        elif paragraph and (under := _UNDERLINE.match(line)) and not _is_table(paragraph[0][1], under[1]):
            level = 1 if under[1][0] == "=" else 2
            found.append(FoundHeading(paragraph[0][0], level, _plain(" ".join(part for _, part in paragraph))))
            paragraph = []
        elif not line.strip() or (_BLOCK_START.match(line) and not (paragraph and line[:1] in " \t")):
            paragraph = []
        else:
            paragraph.append((match.start(), line.strip()))
    return found


def _is_table(first: str, underline: str) -> bool:
    """A row of cells over dashes is a table to most writers, although CommonMark takes it for a heading."""
    return first.startswith("|") and underline.startswith("-")


def _plain(title: str) -> str:
    return clean_title(_MARKUP.sub(lambda m: m[1] or "", title)) or clean_title(title)
