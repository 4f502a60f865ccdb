"""Links items that have to do with one another: they name the same and mean something alike (A-MEM, Xu 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from secondme.runtime.base import FloatMatrix
from secondme.text.entities import entities
from secondme.text.terms import fold
from secondme.types import OWNER, ItemLink, MemoryItem

RELATED = 0.45
"""Cosine from which two items that share a name are linked."""

MOST = 5
"""Links that go out from one item."""

_BLOCK = 512


def related(items: Sequence[MemoryItem], vectors: Mapping[int, FloatMatrix]) -> list[ItemLink]:
    """Links between `items`, each from the one stored later to the earlier one; weight is the cosine.

    The same items give the same links, in whatever order they come. `vectors` are unit vectors by item id.
    """
    known = sorted((i for i in items if i.id in vectors), key=lambda i: i.id)
    if len(known) < 2:
        return []
    matrix = np.stack([vectors[i.id] for i in known]).astype(np.float32)
    named = [_names(i) for i in known]
    links: list[ItemLink] = []
    for start in range(0, len(known), _BLOCK):
        cosines = matrix[start : start + _BLOCK] @ matrix.T
        for row, cosine in enumerate(cosines, start):
            near = [n for n in np.flatnonzero(cosine[:row] >= RELATED) if named[row] & named[n]]
            near.sort(key=lambda n: (-cosine[n], n))
            links += [ItemLink(known[row].id, known[n].id, "related", round(float(cosine[n]), 3)) for n in near[:MOST]]
    return links


def _names(item: MemoryItem) -> frozenset[str]:
    """What an item is about by name; the owner is in nearly all of them, and links nothing."""
    found = {fold(e.text) for e in entities(item.text) if e.kind in ("name", "title", "code", "address")}
    found |= {fold(word) for word in (item.subject, item.value) if word}
    return frozenset(found - {OWNER, ""})
