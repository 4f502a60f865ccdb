"""Pieces of evidence: what was recalled of documents, of what was said and of what is known, as a prompt quotes it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from secondme.recall.excerpt import Excerpt
from secondme.recall.masking import Masks
from secondme.text.instructions import harmless
from secondme.text.sentences import Sentence
from secondme.types import CitedKind, MemoryItem, Trust, Turn

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

SPEAKERS = {"user": "the owner", "assistant": "the assistant", "system": "the system"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of evidence. `text` is for a model that follows numbers, under `where`; `brief` is for a small one.

    In both, secrets are stars, and what was not the owner's own word holds no instructions. `source` is what it was
    taken from, its secrets masked as well. `at` is when it was said or since when it holds, 0.0 for a passage.
    """

    source: Excerpt | Turn | MemoryItem
    text: str
    brief: str
    where: str
    trust: Trust
    score: float
    at: float = 0.0

    @property
    def turn_ids(self) -> frozenset[int]:
        """Of the turns that it is, or was learned from."""
        if isinstance(self.source, MemoryItem):
            return frozenset(s.ref_id for s in self.source.spans if s.kind == "turn")
        return frozenset({self.source.id}) if isinstance(self.source, Turn) else frozenset()

    @property
    def is_owners_turn(self) -> bool:
        """Whether it is something that the owner said himself."""
        return isinstance(self.source, Turn) and self.source.role == "user" and not self.source.speaker

    @property
    def kind(self) -> CitedKind:
        if isinstance(self.source, Turn):
            return "turn"
        return "item" if isinstance(self.source, MemoryItem) else "passage"

    @property
    def ref_id(self) -> int:
        """Id of the passage, turn or item; 0 for what is not stored."""
        return self.source.hit.chunk.id if isinstance(self.source, Excerpt) else self.source.id

    @property
    def spoken(self) -> str:
        """What the words of an answer are compared with."""
        return self.source.hit.chunk.chunk.text if isinstance(self.source, Excerpt) else self.text


def of_passage(excerpt: Excerpt, masks: Masks = Masks()) -> Piece:  # noqa: B008  a Masks cannot be changed
    """A passage with its file's title and headings."""
    hit = excerpt.hit
    chunk, stored = hit.chunk.chunk, hit.chunk
    text = masks.without_secrets("passage", stored.id, chunk.text) if stored.id else chunk.text
    if text != chunk.text:
        hidden = replace(hit, chunk=replace(stored, chunk=replace(chunk, text=text)))
        same = len(text) == len(chunk.text)  # else a star stands for part of a character, and places have moved
        start, end = (excerpt.quote.start, excerpt.quote.end) if same else (0, len(text))
        excerpt = Excerpt(hidden, Sentence(text[start:end], start, end), text)
    if not stored.id:  # handed over by the owner together with the question
        return Piece(excerpt, text, text, stored.title, stored.trust, hit.score)
    where = " > ".join((stored.title, *chunk.heading_path))
    read = masks.for_model("passage", stored.id, text, is_owners=False)
    return Piece(excerpt, read, masks.harmless(excerpt.text), masks.harmless(where), stored.trust, hit.score)


def of_turn(turn: Turn, score: float, masks: Masks = Masks()) -> Piece:  # noqa: B008
    """Something said, with who said it and on which day."""
    is_owners = turn.role == "user" and not turn.speaker
    read = masks.for_model("turn", turn.id, turn.text, is_owners=is_owners)
    shown = replace(turn, text=masks.without_secrets("turn", turn.id, turn.text))
    who = masks.harmless(turn.speaker) or SPEAKERS[turn.role]
    where = f"said by {who} on {day(turn.created_at)}"
    name = turn.speaker or ("I" if turn.role == "user" else "the assistant")
    brief = f"{day(turn.created_at)}, {masks.harmless(name)}: {read}"
    trust = Trust.CONVERSATION if turn.role == "user" else Trust.IMPORTED
    return Piece(shown, read, brief, where, trust, score, turn.created_at)


def of_item(item: MemoryItem, score: float, now: float) -> Piece:
    """Something known; of what no longer holds it is said until when it did."""
    read = item.text if item.trust in (Trust.OWNER, Trust.CONVERSATION) else harmless(item.text)
    if item.valid_to is not None and item.valid_to <= now:
        read = f"{read.rstrip('.')} (no longer: until {day(item.valid_to)})."
    elif item.valid_from > now:
        read = f"{read.rstrip('.')} (from {day(item.valid_from)} on)."
    where = f"known since {day(item.valid_from)}"
    return Piece(item, read, read, where, item.trust, score, item.valid_from)


def day(at: float) -> str:
    """A day as a reader names it, in this machine's time: 7 May 2023. "an unknown day" for what no calendar holds."""
    try:
        parts = time.localtime(at)
    except (ValueError, OverflowError, OSError):
        return "an unknown day"
    return f"{parts.tm_mday} {MONTHS[parts.tm_mon - 1]} {parts.tm_year}"
