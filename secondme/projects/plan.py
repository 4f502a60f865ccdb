"""What a project opens with: which documents lie before the model, and which are found by search alone.

A project that is read sooner than its owner notices is read as text. Of a larger one the documents that fit are opened
from cartridges, in the order in which they came; what does not fit, or has none yet, is left to recall, which serves
every question anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secondme.projects.documents import ProjectDocument
from secondme.runtime.base import ModelInfo

CONVERSATION_TOKENS = 2048
"""Room for what is said: rules, passages of one question, its answer, and some thousand words before it."""

TEXT_S = 1.0
"""A project that is read in less has no need of cartridges."""

PATIENCE_S = 5.0
"""What may be read as text while an owner waits for a project to open; more is left to recall until it is built."""

_PREFILL_FLOP_PER_S = 6e10
"""Assumed of a processor of two cores until a document was read on it: 226 tokens/s with 135 million parameters."""
_GPU_FACTOR = 30.0
_LEAST_TOKENS = 16
"""Where less room than this is left, no further document is looked at."""


@dataclass(frozen=True, slots=True)
class Room:
    """`n_documents` are the tokens that documents may take, `tokens_per_s` is how fast they are read."""

    n_documents: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """A document in the plan: `fits` tells whether it may lie before the model, `why` why not."""

    document: ProjectDocument
    fits: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """`places` are the documents looked at, in order; `n_unread` sources were not even looked at, for want of room.

    `as_text` tells that all that fits is read as text.
    """

    places: tuple[Place, ...]
    n_unread: int
    as_text: bool

    @property
    def fitting(self) -> tuple[ProjectDocument, ...]:
        return tuple(p.document for p in self.places if p.fits)


def room(info: ModelInfo, n_head: int, tokens_per_s: float | None) -> Room:
    """Of a model whose prompts begin with `n_head` tokens. `tokens_per_s` is measured, or None."""
    kept = min(CONVERSATION_TOKENS, info.n_ctx // 2)
    return Room(max(0, info.n_ctx - n_head - kept), tokens_per_s or _assumed_speed(info))


def _assumed_speed(info: ModelInfo) -> float:
    speed = _PREFILL_FLOP_PER_S / (2 * max(info.n_params, 1_000_000))
    return speed * (_GPU_FACTOR if info.device == "gpu" else 1.0)


def plan(documents: Iterable[ProjectDocument], n_sources: int, room: Room, *, cartridges: bool) -> Plan:
    """Place `documents`, which are asked for one by one while there is room; `n_sources` is how many there are.

    Without `cartridges` only what an owner waits for is read.
    """
    limit = room.n_documents
    if not cartridges:
        limit = min(limit, int(PATIENCE_S * room.tokens_per_s))
    places: list[Place] = []
    left = limit
    for document in documents:
        n = len(document.tokens)
        fits = n <= left
        left -= n if fits else 0
        places.append(Place(document, fits, "" if fits else _too_long(n, limit)))
        if left < _LEAST_TOKENS:
            break
    n_fitting = limit - left
    return Plan(tuple(places), n_sources - len(places), n_fitting <= TEXT_S * room.tokens_per_s or not cartridges)


def _too_long(n_tokens: int, limit: int) -> str:
    return "longer than the room for documents" if n_tokens > limit else "no room beside the others"


def readable_now(documents: Sequence[ProjectDocument], room: Room) -> tuple[ProjectDocument, ...]:
    """Of documents without a cartridge, those that can be read while the owner waits; in order, all or none of one."""
    left = PATIENCE_S * room.tokens_per_s
    kept: list[ProjectDocument] = []
    for document in documents:
        if len(document.tokens) <= left:
            kept.append(document)
            left -= len(document.tokens)
    return tuple(kept)


def measured_speed(rows: Iterable[tuple[int, float]]) -> float | None:
    """Tokens a second over (tokens, seconds of reading) of what was built; None where nothing was."""
    n_tokens, seconds = 0, 0.0
    for n, s in rows:
        n_tokens, seconds = n_tokens + n, seconds + s
    return n_tokens / seconds if n_tokens and seconds > 0 else None
