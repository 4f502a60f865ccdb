"""Why an item is believed: where it was said, in whose words, and who made it an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from secondme.memory.store import Store
from secondme.recall.masking import Masks
from secondme.recall.pieces import SPEAKERS, day
from secondme.types import MemoryItem, Span, Turn


@dataclass(frozen=True, slots=True)
class Reason:
    """One place where it was said. `quote` is the wording there, `where` names the place; `at` is 0.0 for a file."""

    kind: Literal["turn", "passage"]
    ref_id: int
    quote: str
    where: str
    at: float = 0.0


def reasons(item: MemoryItem, store: Store, masks: Masks) -> list[Reason]:
    """The places an item rests on that are still in memory, in order; secrets in them are masked."""
    turns = {t.id: t for t in store.turns_by_ids([s.ref_id for s in item.spans if s.kind == "turn"])}
    return list(_found(item, store, turns, masks))


def _found(item: MemoryItem, store: Store, turns: dict[int, Turn], masks: Masks) -> Iterator[Reason]:
    for span in item.spans:
        if span.kind == "turn" and span.ref_id in turns:
            turn = turns[span.ref_id]
            text = masks.without_secrets("turn", turn.id, turn.text)
            who = turn.speaker or ("you" if turn.role == "user" else SPEAKERS[turn.role])
            yield Reason("turn", turn.id, _cut(text, span), f"{who} said on {day(turn.created_at)}", turn.created_at)
        elif span.kind == "passage" and (stored := store.chunk(span.ref_id)) is not None:
            text = masks.without_secrets("passage", stored.id, stored.chunk.text)
            yield Reason("passage", stored.id, _cut(text, span), stored.path)


def _cut(text: str, span: Span) -> str:
    return text.encode("utf-8", "surrogatepass")[span.byte_start : span.byte_end].decode("utf-8", "replace")


_MADE_BY = {"rule": "learned by the rule", "model": "learned by the model", "import": "imported from"}


def maker(item: MemoryItem) -> str:
    """Who made it an item, as the owner reads it."""
    kind, _, name = item.made_by.partition(":")
    return "told by you" if kind == "owner" else f"{_MADE_BY.get(kind, kind)} {name}".rstrip()
