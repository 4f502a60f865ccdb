"""What the places of lines on a PDF page tell: which belong to one paragraph, which are headings, what was broken.

Careful rather than clever: lines are joined only where the first one is full and the second continues it at the same
size, so that tables, verse and program text stay as they are.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from secondme.ingest.parse.headings import FoundHeading, clean_title

_BROKEN = re.compile(r"(\w*)[\ufffe\x02\xad](\w*)")
_WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*")
_LIST_ITEM = re.compile(r"\s*(?:[•◦▪‣–—*-]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s")
_HEADING_RATIO = 1.15
_MAX_HEADING_CHARS = 160
_MAX_LEVELS = 4
_MAX_WORDS = 200_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line as PDFium gives it, in points; `height` is 0 where its place is unknown."""

    text: str
    left: float
    right: float
    base: float
    height: float


@dataclass(frozen=True, slots=True)
class PageText:
    """The text of a page, which ends with an empty line if it is not empty, and its headings."""

    text: str
    headings: tuple[FoundHeading, ...]


class Words:
    """The words of a document, to tell a broken word from a compound."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._known: set[str] = set()
        for text in texts:
            self._known.update(word.lower() for word in _WORD.findall(text))
            if len(self._known) > _MAX_WORDS:
                break

    def mend(self, text: str) -> str:
        """`text` with the words that were broken at the end of a line whole again."""
        if text.isascii() and "\x02" not in text:
            return text
        return _BROKEN.sub(lambda m: self._joined(m[1], m[2]), text)

    def _joined(self, head: str, tail: str) -> str:
        if not head or not tail:
            return f"{head}-{tail}" if head or tail else ""
        whole, compound = (head + tail).lower(), f"{head}-{tail}".lower()
        if whole in self._known or (compound not in self._known and tail[0].islower() and head[-1].isalpha()):
            return head + tail
        return f"{head}-{tail}"


def body_size(lines: Iterable[Line]) -> float:
    """Height of the lines that hold most of the text, in points; 0 if unknown."""
    sizes: Counter[float] = Counter()
    for line in lines:
        if line.height > 0:
            sizes[_rounded(line.height)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def page_text(lines: Sequence[Line], words: Words, size: float) -> PageText:
    """Join the lines of a page. `size` is the height of the document's running text."""
    lines = [line for line in lines if line.text.strip()]
    gap = _line_gap(lines)
    edge = max((line.right for line in lines), default=0.0)
    parts: list[str] = []
    headings: list[FoundHeading] = []
    length = 0
    for n, line in enumerate(lines):
        before = lines[n - 1] if n else None
        separator = _separator(before, line, gap, edge, after=parts[-2]) if before else ""
        text = words.mend(line.text.strip() if separator == " " else line.text.rstrip())
        length += len(separator)
        if _is_heading(line, size):
            if headings and separator != "\n\n" and before is not None and _same_size(before, line):
                last = headings.pop()
                headings.append(FoundHeading(last.start, last.level, clean_title(f"{last.title} {text}")))
            else:
                headings.append(FoundHeading(length, _level(line.height / size), clean_title(text)))
        parts += [separator, text]
        length += len(text)
    if parts:
        parts.append("\n\n")
    return PageText("".join(parts), tuple(headings))


def _separator(before: Line, line: Line, gap: float, edge: float, *, after: str) -> str:
    """What goes between two lines: a space within a paragraph, a newline, or an empty line.

    `after` is what went before the first of them, `edge` the right edge of the page's text.
    """
    if not before.height or not line.height:
        return "\n"
    step = before.base - line.base
    if step < 0 or (gap and step > 1.45 * gap) or not _same_size(before, line):
        return "\n\n"
    full = before.right > before.left + 0.85 * (edge - before.left) and len(before.text) > 30
    outdent = before.left - line.left
    # A second line may stand further left than a first one, which is often indented.
    flush = abs(outdent) < 0.5 * line.height or (after != " " and 0 < outdent < 2.5 * line.height)
    if full and flush and step > 0.3 * line.height and not _LIST_ITEM.match(line.text):
        return " "
    return "\n"


def _line_gap(lines: Sequence[Line]) -> float:
    steps = [a.base - b.base for a, b in pairwise(lines) if a.height and b.height]
    near = [s for s in steps if s > 1]
    return statistics.median_low(near) if near else 0.0


def _same_size(a: Line, b: Line) -> bool:
    return abs(a.height - b.height) < 0.12 * max(a.height, b.height)


def _is_heading(line: Line, size: float) -> bool:
    text = line.text.strip()
    return (
        size > 0
        and line.height > _HEADING_RATIO * size
        and 1 < len(text) <= _MAX_HEADING_CHARS
        and any(c.isalpha() for c in text)
    )


def _level(ratio: float) -> int:
    """Level 1 for twice the running size and more, deeper for less."""
    return next((n for n, least in enumerate((1.9, 1.5, 1.3), 1) if ratio >= least), _MAX_LEVELS)


def _rounded(height: float) -> float:
    return round(height * 2) / 2
