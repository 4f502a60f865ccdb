"""Looks through all of memory for some words: what is known, what was said and what stands in files, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from secondme.errors import StoreFull
from secondme.types import Citation

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
    from secondme.chat.cite import cited
    from secondme.recall.excerpt import Asked, excerpts
    from secondme.recall.masking import masks
    from secondme.recall.pieces import of_passage
    from secondme.recall.retrieve import retrieve

    parts.check_embedder()
    hidden = masks(parts.store, wanted.project)
    found = retrieve(words, parts.store, parts.embedder, k=wanted.k, project=wanted.project)
    asked = Asked(found.weights, found.question_vector)
    hits = found.hits if found.found and wanted.wants("passage") else ()
    passages = [of_passage(e, hidden) for e in excerpts(hits, asked, parts.embedder, n_embedded=3)]
    ranked = [p for rank in zip_longest(passages) for p in rank if p is not None][: wanted.k]
    shown = [
        replace(cited(n, p, found.weights, project=wanted.project or "", marked=True), score=1.0 / n)
        for n, p in enumerate(ranked, start=1)
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
