"""Finds items that say the same twice, so that they can be made one.

Near in meaning is not enough: "my brother is Reed" and "my sister is Reed" are near. So they must agree in kind,
subject, attribute and value, in the names and numbers they hold, and in what they deny.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from secondme.memory.tiers import is_own
from secondme.runtime.base import FloatMatrix
from secondme.text.entities import entities
from secondme.text.terms import fold, stems
from secondme.types import MemoryItem

SAME_MEANING = 0.90
"""Cosine from which two items may say the same. On conversations, merging turns at .90 touched 0.6% of the evidence,
at .80 8.0%."""

_DENIES = re.compile(r"\b(?:not|no|never|none|without|cannot|no longer|nothing|nobody)\b|n['’]t\b")


def groups(items: Sequence[MemoryItem], vectors: Mapping[int, FloatMatrix]) -> list[list[MemoryItem]]:
    """Items that can be made one: the one that began first, then the others. `vectors` are unit vectors by item id.

    An item that closes another of its slot with another value is no repetition, and stays.
    """
    alike: defaultdict[Hashable, list[MemoryItem]] = defaultdict(list)
    for item in sorted(items, key=lambda i: (i.valid_from, i.id)):
        if item.id in vectors:
            alike[_says(item)].append(item)
    blocked, shared = _interrupted(items), _shared(items)
    found: list[list[MemoryItem]] = []
    for same in alike.values():
        leaders: list[list[MemoryItem]] = []
        for item in same:
            near = next((g for g in leaders if _repeats(g, item, vectors, (blocked, shared))), None)
            if near is None:
                leaders.append([item])
            else:
                near.append(item)
        found += [g for g in leaders if len(g) > 1]
    return found


def _says(item: MemoryItem) -> Hashable:
    """What must be equal. The owner's word and that of others stay apart, and so does what was typed without a source:
    else undoing a source would take along what does not come from it, or leave what does."""
    value = tuple(sorted(stems(item.value))) if item.value else _details(item.text)
    attribute = fold(item.attribute)
    denies = len(_DENIES.findall(item.text.lower()))
    return (item.kind, fold(item.subject), attribute, value, denies, is_own(item.trust), bool(item.spans), item.state)


def _details(text: str) -> tuple[str, ...]:
    return tuple(sorted({fold(e.text) for e in entities(text)}))


def _repeats(
    group: Sequence[MemoryItem],
    item: MemoryItem,
    vectors: Mapping[int, FloatMatrix],
    slots: tuple[Mapping[str, float], frozenset[str]],
) -> bool:
    blocked, shared = slots
    first, last = group[0], group[-1]
    if float(vectors[first.id] @ vectors[item.id]) < SAME_MEANING or not item.holds:
        return False
    if item.slot and item.slot == first.slot:
        return last.valid_to == item.valid_from and blocked.get(item.slot, -np.inf) <= first.valid_from
    # Taking an item out of a slot lets what it closed hold again.
    return last.holds and item.slot not in shared


def _interrupted(items: Sequence[MemoryItem]) -> dict[str, float]:
    """By slot, when the newest item began of which the value differs from the one before it."""
    last: dict[str, MemoryItem] = {}
    changed: dict[str, float] = {}
    for item in sorted((i for i in items if i.slot), key=lambda i: (i.valid_from, i.id)):
        before = last.get(item.slot)
        if before is not None and stems(before.value) != stems(item.value):
            changed[item.slot] = item.valid_from
        last[item.slot] = item
    return changed


def _shared(items: Sequence[MemoryItem]) -> frozenset[str]:
    """Slots of more than one item."""
    counts = Counter(i.slot for i in items if i.slot)
    return frozenset(slot for slot, n in counts.items() if n > 1)
