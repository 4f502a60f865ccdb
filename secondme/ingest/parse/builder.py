"""Gathers the text of formats that are not text themselves: words, lines, paragraphs, and where headings begin."""

from __future__ import annotations

import re

from secondme.ingest.parse.headings import FoundHeading, clean_title, document
from secondme.types import Document

_SPACES = re.compile(r"[ \t\r\n\f\u200b]+")


class TextBuilder:
    """Text under construction. Lines and paragraphs are asked for, not written, so that none comes twice."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._newlines = 2  # at the end of the text so far; the beginning counts as a paragraph's end
        self._wanted = 0
        self._space = False
        self._headings: list[FoundHeading] = []
        self._open: tuple[int, int, int] | None = None

    @property
    def first_heading(self) -> str:
        """Title of the first heading; empty if there is none."""
        return next((h.title for h in self._headings if h.title), "")

    @property
    def mid_line(self) -> bool:
        """True if the next word would continue a line."""
        return max(self._newlines, self._wanted) == 0

    def words(self, text: str) -> None:
        """Add running text; white space in it counts as single spaces."""
        shown = _SPACES.sub(" ", text)
        if shown.startswith(" "):
            self._space = True
        core = shown.strip(" ")
        if core:
            self._put(core)
            self._space = shown.endswith(" ")

    def verbatim(self, text: str) -> None:
        """Add text whose white space matters."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text:
            self._put(text)
            stripped = text.rstrip("\n")
            self._newlines = len(text) - len(stripped) + (0 if stripped else self._newlines)

    def line(self) -> None:
        """End the line, if one has begun."""
        self._wanted = max(self._wanted, 1)
        self._space = False

    def paragraph(self) -> None:
        """End the paragraph, if one has begun."""
        self._wanted = 2
        self._space = False

    def start_heading(self, level: int) -> None:
        """What is added until `end_heading` is a heading, in a paragraph of its own."""
        self.paragraph()
        self._flush()
        self._open = (level, self._length, len(self._parts))

    def end_heading(self) -> None:
        if self._open is not None:
            level, start, index = self._open
            self._open = None
            title = clean_title("".join(self._parts[index:]))
            if title:
                self._headings.append(FoundHeading(start, level, title))
        self.paragraph()

    def document(self, media_type: str, title: str) -> Document:
        """The finished document; it ends with a newline if there is any text."""
        self._wanted = 1
        self._flush()
        return document("".join(self._parts), media_type, title, self._headings)

    def _put(self, text: str) -> None:
        self._flush()
        if self._space and self._newlines == 0:
            text = " " + text
        self._space = False
        self._append(text)
        self._newlines = 0

    def _flush(self) -> None:
        """Write the newlines that were asked for and are not there yet; none at the very beginning."""
        missing = self._wanted - self._newlines
        if missing > 0 and self._length:
            self._append("\n" * missing)
            self._newlines = self._wanted
        self._wanted = 0

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
