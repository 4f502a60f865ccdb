"""Whose word counts for what: texts of others may be recalled, but they do not decide what is so about the owner.

A claim about the owner that does not come from the owner waits for him (`pending`), unless he said the same, or two
sources that have nothing to do with one another say it. Ways of doing things and the profile are never written by
others, and what reads like an instruction is quarantined whatever it claims.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath

from secondme.memory.store import Store
from secondme.memory.tiers import is_own
from secondme.text.instructions import Lessons, is_suspect
from secondme.text.shingles import resemblance
from secondme.text.terms import fold
from secondme.types import OWNER, MemoryItem, NewItem, Span, StoredSource

APART_S = 86400.0
"""Seconds that lie at least between the arrivals of two sources that confirm each other: what comes together may be one
attack."""

ALIKE = 0.5
"""Resemblance from which two texts count as copies of one."""

_CONSEQUENTIAL = re.compile(
    r"\b(?:bank|account|iban|pay\w*|card|salary|pin|password|code|phone|e-?mail|address|doctor|dentist|medic\w*"
    r"|dose|dosage|allerg\w*|diagnos\w*|blood|insurance|lawyer|broker|employer|emergency|next of kin"
    r"|heir|beneficiary|wallet|supplier)\b"
)
_WRITTEN_BY_OWNER = frozenset({"core", "procedural", "vault"})


@dataclass(frozen=True, slots=True)
class Admitted:
    """An item as it may be stored, and the ids of pending ones that it takes along because they say the same."""

    item: NewItem
    confirms: tuple[int, ...] = ()


def admit(store: Store, new: NewItem, said: str, lessons: Lessons) -> Admitted | None:
    """In what state `new` may be stored, which was made from the text `said`; None if the owner said so already.

    The owner's own word passes as it is.
    """
    if is_own(new.trust):
        return Admitted(new)
    if is_suspect(said, lessons) or is_suspect(new.text, lessons):
        return Admitted(replace(new, state="quarantined", slot=""))
    if new.kind in _WRITTEN_BY_OWNER:
        return Admitted(replace(new, state="pending"))
    if new.subject != OWNER:
        return Admitted(new)
    return _corroborated(store, new, said)


def add_admitted(store: Store, new: NewItem, said: str, lessons: Lessons, *, actor: str) -> MemoryItem | None:
    """Store `new` as `admit` allows, if at all; pending items that it confirms become part of it."""
    admitted = admit(store, new, said, lessons)
    if admitted is None:
        return None
    item = store.add_item(admitted.item, actor=actor)
    if admitted.confirms:
        store.remove_items(list(admitted.confirms))
    return item


def _corroborated(store: Store, new: NewItem, said: str) -> Admitted | None:
    """Whether the owner, or another source, says what a source claims of the owner."""
    pending = replace(new, state="pending")
    if not new.slot or _CONSEQUENTIAL.search(fold(f"{new.attribute} {new.slot}")):
        return Admitted(pending)
    known = store.items(new.project, slot=new.slot, states=("active", "pending"))
    own = [item for item in known if is_own(item.trust) and item.state == "active"]
    if any(item.holds and fold(item.value) == fold(new.value) for item in own):
        return None
    if own:
        return Admitted(pending)
    here = _sources(store, new.spans)
    for item in known:
        if fold(item.value) == fold(new.value) and _apart(store, here, said, item):
            return Admitted(replace(new, spans=(*new.spans, *item.spans)), (item.id,))
    return Admitted(pending)


def _sources(store: Store, spans: tuple[Span, ...]) -> list[StoredSource]:
    ids = {c.source_id for c in store.chunks([s.ref_id for s in spans if s.kind == "passage"])}
    return [s for s in store.sources() if s.id in ids]


def _apart(store: Store, here: list[StoredSource], said: str, item: MemoryItem) -> bool:
    """Whether `item` comes from sources of another folder and another day, in words of their own."""
    there = _sources(store, item.spans)
    if not here or not there or resemblance(said, item.text) >= ALIKE:
        return False
    return all(
        PurePath(a.path).parent != PurePath(b.path).parent
        and abs(a.ingested_at - b.ingested_at) >= APART_S
        and a.content_hash != b.content_hash
        for a in here
        for b in there
    )
