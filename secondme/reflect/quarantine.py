"""What was set aside: shown to the owner with where it came from, used for nothing, and learned from.

A quarantined span is an item of the state `quarantined` whose bytes nobody but the owner reads. Beside it stays a
lesson: a fingerprint of 64 bits and the signs that were seen, none of its words. Lessons raise the suspicion of texts
alike (A-MemGuard, Wei et al. 2025, keeps such a memory apart for the same reason); they are never recalled.
"""

from __future__ import annotations

from secondme.errors import UsageError
from secondme.memory.store import Store
from secondme.text.instructions import Lessons
from secondme.text.shingles import NEAR, distance, simhash, spelled
from secondme.types import ItemKind, MemoryItem, NewItem, Span, Trust

ACTOR = "rule:screen/1"
MOST_LESSONS = 500
"""Older lessons than these make room for new ones."""
_LONGEST = 400
"""Characters of a span that are shown; all of it can be read where it stands."""

_LESSONS: tuple[ItemKind, ...] = ("lesson",)

CAUGHT, ALLOWED = "caught", "allowed"


def lessons(store: Store, project: str | None = None) -> Lessons:
    """What was caught, and what the owner declared harmless, as `instructions` takes it."""
    found = store.items(project, kinds=_LESSONS)
    return Lessons(
        spelled(i.value for i in found if i.attribute == CAUGHT),
        spelled(i.value for i in found if i.attribute == ALLOWED),
    )


def set_aside(store: Store, project: str, text: str, span: Span, trust: Trust, reasons: tuple[str, ...]) -> MemoryItem:
    """Quarantine the words `text` that stand at `span`, and keep the lesson."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    item = store.add_item(
        NewItem(
            "episodic",
            shown,
            project=project,
            attribute=" ".join(reasons),
            trust=trust,
            made_by=ACTOR,
            state="quarantined",
            spans=(span,),
        ),
        actor=ACTOR,
    )
    _learn(store, project, CAUGHT, text, reasons)
    return item


def release(store: Store, item_id: int) -> None:
    """The owner says that it is harmless: it is read again, and texts alike are suspected no more for its sake.

    Raises UsageError if the item is not in quarantine.
    """
    item = store.item(item_id)
    if item is None or item.state != "quarantined":
        raise UsageError("there is nothing of that number in quarantine", hint="see: secondme memory review")
    fingerprint = simhash(item.text)
    taught = store.items(item.project, kinds=_LESSONS)
    near = [i.id for i in taught if i.attribute == CAUGHT and _is_near(i, fingerprint)]
    store.remove_items([item_id, *near])
    _learn(store, item.project, ALLOWED, item.text, ())


def _is_near(lesson: MemoryItem, fingerprint: int) -> bool:
    return any(distance(one, fingerprint) <= NEAR for one in spelled([lesson.value]))


def _learn(store: Store, project: str, attribute: str, text: str, reasons: tuple[str, ...]) -> None:
    fingerprint = simhash(text)
    taught = [i for i in store.items(project, kinds=_LESSONS) if i.attribute == attribute]
    if not fingerprint or fingerprint in spelled(i.value for i in taught):
        return
    if len(taught) >= MOST_LESSONS:  # newest first
        store.remove_items([i.id for i in taught[MOST_LESSONS - 1 :]])
    store.add_item(
        NewItem(
            "lesson",
            " ".join(reasons),
            project=project,
            attribute=attribute,
            value=f"{fingerprint:016x}",
            made_by=ACTOR,
        ),
        actor=ACTOR,
    )
