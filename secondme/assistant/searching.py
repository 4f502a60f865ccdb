"""Looks through all of memory for some words: what is known, what was said and what stands in files, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from secondme.errors import StoreFull
from secondme.types import Citation, MemoryItem

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much, and what of. `kinds` are those of items, `turn` and `passage`, None for all; `project` None is
    everywhere. `at`: of items those that held at that moment, in Unix seconds; None is now."""

    k: int = 8
    project: str | None = None
    kinds: frozenset[str] | None = None
    at: float | None = None

    def wants(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds


EVERYWHERE = Wanted()


def search(parts: Parts, words: str, wanted: Wanted) -> list[Citation]:
    """The `k` memories that bear most on some words, the best of each sort first; none if nothing does."""
    from secondme.assistant.reflecting import catch_up
    from secondme.chat.cite import cited
    from secondme.recall.gather import Scope, ranked

    parts.check_embedder()
    catch_up(parts)
    scope = Scope(wanted.project, at=wanted.at)
    found, weights = ranked(words, parts.store, parts.embedder, scope, k=wanted.k)
    kept = [p for p in found if wanted.wants(p.source.kind if isinstance(p.source, MemoryItem) else p.kind)]
    shown = [
        replace(cited(n, p, weights, project=wanted.project or "", marked=True), score=1.0 / n)
        for n, p in enumerate(kept[: wanted.k], start=1)
    ]
    _note(parts, shown)
    return shown


def _note(parts: Parts, shown: Sequence[Citation]) -> None:
    """Log what was shown; what is found can be read on a full disk, too."""
    subjects = [f"passage:{c.chunk_id}" for c in shown if c.chunk_id]
    subjects += [f"item:{c.item_id}" for c in shown if c.item_id]
    with suppress(StoreFull):
        if subjects:
            parts.store.note("shown", subjects, detail={"by": "search"})
