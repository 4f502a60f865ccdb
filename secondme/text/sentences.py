"""Splits stored text into sentences with their places, so that a citation can point at one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A sentence ends at . ! ? with closing quotes and a space before something that can start one, at CJK stops, at a
# blank line, and before a list item or a heading.
_BREAK = re.compile(
    r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9À-Þ])"
    r"|(?<=[。！？])"
    r"|\n\s*\n"
    r"|\n(?=\s*(?:[-*+•#|>]|\d+[.)]\s))"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Ss]t|vs|etc|e\.g|i\.e|cf|[Ff]ig|[Nn]o|pp?|al))\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text: `text` is stripped; `start` and `end` are character offsets of the stripped text."""

    text: str
    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """All sentences of `text` in order; text without sentence marks, such as code, falls into lines."""
    pieces: list[Sentence] = []
    start = 0
    for match in _BREAK.finditer(text):
        if match.group().strip("\"'”’)] \t\n") == "" and _ABBREVIATION.search(text, start, match.start()):
            continue
        _append(pieces, text, start, match.end())
        start = match.end()
    _append(pieces, text, start, len(text))
    return [line for piece in pieces for line in _lines_if_long(text, piece)]


def _append(pieces: list[Sentence], text: str, start: int, end: int) -> None:
    raw = text[start:end]
    stripped = raw.strip()
    if stripped:
        lead = start + len(raw) - len(raw.lstrip())
        pieces.append(Sentence(stripped, lead, lead + len(stripped)))


def _lines_if_long(text: str, piece: Sentence) -> list[Sentence]:
    """Prose wrapped over lines stays whole; a long run of short lines (code, tables) is taken line by line."""
    if len(piece.text) <= 400 or "\n" not in piece.text:
        return [piece]
    lines: list[Sentence] = []
    at = piece.start
    for line in text[piece.start : piece.end].splitlines(keepends=True):
        _append(lines, text, at, at + len(line))
        at += len(line)
    return lines
