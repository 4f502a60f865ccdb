"""What the parsers share: headings found in a text, and the Document made of both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondme.ingest.parse.offsets import byte_offsets
from secondme.types import Document, Heading

MAX_TITLE_CHARS = 200
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class FoundHeading:
    """A heading at a character position; `Heading` has it in bytes."""

    start: int
    level: int
    title: str


def clean_title(text: str) -> str:
    """One line without runs of white space, at most MAX_TITLE_CHARS long; bytes of odd file names become `?`."""
    title = _SPACE.sub(" ", text.encode("utf-8", "replace").decode()).strip()
    return title if len(title) <= MAX_TITLE_CHARS else title[: MAX_TITLE_CHARS - 1].rstrip() + "…"


def headings_in_bytes(text: str, found: Sequence[FoundHeading]) -> tuple[Heading, ...]:
    """The same headings with byte offsets; those without a title are left out."""
    kept = [h for h in found if h.title]
    starts = byte_offsets(text, (h.start for h in kept))
    return tuple(Heading(start, h.level, h.title) for start, h in zip(starts, kept, strict=True))


def document(text: str, media_type: str, title: str, found: Sequence[FoundHeading] = ()) -> Document:
    """A document without pages."""
    return Document(text, media_type, clean_title(title), headings_in_bytes(text, found))
