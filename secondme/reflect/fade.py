"""Forgetting as a mind does: what is not used is put away and comes back when it is used; nothing is deleted.

Retention is R = exp(-t / S), Ebbinghaus's curve (1885) in the form of MemoryBank (Zhong et al. 2023): t days since the
last use, S the strength in days, which the store lets grow on each use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from secondme.memory.store import Store
from secondme.types import CancelCheck, ItemKind, MemoryItem

FADED = 0.05
"""Retention below which an item is put away: three strengths after its last use, so 90 days for one never used."""

LASTING: frozenset[ItemKind] = frozenset({"core", "procedural", "vault", "lesson"})
"""Kinds that never fade."""

ACTOR = "consolidation"
DAY_S = 86400.0


def retention(strength_days: float, used_at: float, now: float) -> float:
    """R, 0 to 1, at `now` (Unix seconds). A use that lies ahead, because a clock jumped, counts as one now."""
    days = max(0.0, now - used_at) / DAY_S
    return math.exp(-days / max(strength_days, 1e-6))


def has_faded(item: MemoryItem, now: float) -> bool:
    """Whether an item of a kind that fades was not used for so long, since it was made, that little of it is left."""
    last = max(item.used_at, item.created_at)
    return item.kind not in LASTING and retention(item.strength_days, last, now) < FADED


def settle(store: Store, project: str, now: float, cancelled: CancelCheck) -> Iterator[int]:
    """Put away what has faded, and bring back what was used since; yields 1 for each item put away, -1 for one back.

    What waits for the owner, or is in quarantine, stays as it is.
    """
    for item in store.items(project, states=("active", "archived")):
        if cancelled():
            return
        faded = has_faded(item, now)
        if faded and item.state == "active":
            store.set_item_state(item.id, "archived", actor=ACTOR)
            yield 1
        elif not faded and item.state == "archived" and item.n_uses:
            store.set_item_state(item.id, "active", actor=ACTOR)
            yield -1
