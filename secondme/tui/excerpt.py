"""What the preview of a citation shows: the passage with its neighbours, the quote's place in it, and its freshness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from secondme.sanitize import clean_text
from secondme.tui.messages import PassageLoaded
from secondme.types import CancelCheck, Citation, StoredChunk, StoredSource

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Job

CHANGED = "the file has changed since it was read"
MISSING = "the file is no longer there"
REREAD = "the file was read anew since this answer; this is the passage as it was cited"
FORGOTTEN = "the file was removed from memory; this is the passage as it was cited"

UNSAID = "this was removed from memory; these are the words as they were cited"
UNLEARNED = "this was forgotten since; these are the words as they were cited"
OVER = "this is so no longer"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Clean text around a quote: `text[start:end]` is the quote in characters; `line` is the number of the first line.

    `warning` is empty when the file is as it was read; `media_type` is empty when memory no longer knows the file.
    """

    text: str
    start: int
    end: int
    line: int
    warning: str = ""
    media_type: str = ""


def excerpt(citation: Citation, around: Sequence[StoredChunk], *, warning: str = "", media_type: str = "") -> Excerpt:
    """Place the quote in the cited text and, while memory still holds it, its neighbours."""
    at = next((n for n, c in enumerate(around) if c.id == citation.chunk_id and c.chunk.text == citation.text), None)
    before = [c.chunk for c in around[:at]] if at is not None else []
    after = [c.chunk for c in around[at + 1 :]] if at is not None else []
    head, quote, tail = _split(citation)
    lead = clean_text("".join(c.text for c in before) + head)
    marked = clean_text(quote)
    rest = clean_text(tail + "".join(c.text for c in after))
    line = before[0].line_start if before else citation.line_start
    return Excerpt(lead + marked + rest, len(lead), len(lead) + len(marked), line, warning, media_type)


def _split(citation: Citation) -> tuple[str, str, str]:
    """The cited text before, in and after its quote; offsets are bytes of its UTF-8 encoding."""
    raw = citation.text.encode("utf-8", "surrogatepass")
    start = citation.quote_start - citation.byte_start
    end = citation.quote_end - citation.byte_start
    if not 0 <= start <= end <= len(raw):
        return "", "", citation.text
    pieces = (raw[:start], raw[start:end], raw[end:])
    head, quote, tail = (piece.decode("utf-8", "surrogatepass") for piece in pieces)
    return head, quote, tail


def excerpt_job(assistant: Assistant, citation: Citation) -> Job:
    """Read the passage from the store and look at the file."""

    def job(_: CancelCheck) -> Iterator[Message]:
        if citation.kind != "passage":
            yield PassageLoaded(excerpt(citation, (), warning=_gone(assistant, citation)))
            return
        around = assistant.passage(citation.chunk_id)
        known = next((s for s in assistant.sources(citation.project) if s.path == citation.path), None)
        gone = not any(c.id == citation.chunk_id and c.chunk.text == citation.text for c in around)
        media_type = known.media_type if known is not None else ""
        yield PassageLoaded(excerpt(citation, around, warning=_warning(known, gone), media_type=media_type))

    return job


def _gone(assistant: Assistant, citation: Citation) -> str:
    """Of what was said or learned: whether it was forgotten, or is so no longer."""
    if citation.kind == "turn":
        return "" if assistant.turn(citation.turn_id) is not None else UNSAID
    item = assistant.store.item(citation.item_id)
    if item is None:
        return UNLEARNED
    return "" if item.holds else OVER


def _warning(known: StoredSource | None, gone: bool) -> str:
    if known is None:
        return FORGOTTEN
    try:
        now = Path(known.path).stat()
    except (OSError, ValueError):
        return MISSING
    if (now.st_size, now.st_mtime_ns) != (known.stamp.size_bytes, known.stamp.mtime_ns):
        return CHANGED
    return REREAD if gone else ""
