"""What the owner tells as a memory, in words of his own: the claims in it, as the owner's word."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from secondme.types import OWNER, ItemChanges, Learned, MemoryItem, NewItem

if TYPE_CHECKING:
    from secondme.memory.store import Store
    from secondme.reflect.claims import Claim
    from secondme.reflect.conflict import Decision

WHOLE = 0.75
"""Claims that stand in less of a text than this leave something of it out: then it is kept as it stands as well."""


LASTING_DAYS = 365.0
"""What the owner takes the trouble to tell lasts longer than what is picked up in passing."""


def told(store: Store, as_it_stands: NewItem) -> Learned:
    """Store the claims that rules find in a text, or else the text; the owner's word closes what was so before."""
    from secondme.reflect.conflict import Held, decide
    from secondme.reflect.rules import claims_of
    from secondme.types import Trust

    text, project = as_it_stands.text, as_it_stands.project
    at = time.time() if as_it_stands.valid_from is None else as_it_stands.valid_from
    claims = claims_of(text, at)
    items: list[MemoryItem] = []
    closed: dict[int, MemoryItem] = {}
    confirmed: list[MemoryItem] = []
    for claim in claims:
        decision = decide(Held(store, project, items), claim, at, trust=Trust.OWNER)
        if decision.action == "confirm" and decision.against is not None:
            confirmed.append(decision.against)
        elif decision.action != "nothing":
            closed |= {i.id: i for i in (decision.against, *decision.closes) if i is not None}
            for other in decision.closes:
                store.close_item(other.id, decision.since)
            items.append(store.add_item(_new(decision, project)))
    if not (items or confirmed) or _share(text, claims) < WHOLE:
        items.append(store.add_item(as_it_stands))
    over = [i for i in store.items_by_ids(list(closed)) if not i.holds]
    return Learned(tuple(items), tuple(over), (), tuple(confirmed))


def _new(decision: Decision, project: str) -> NewItem:
    claim = decision.claim
    until = decision.until if decision.action == "past" else None
    return NewItem(
        claim.kind,
        claim.text,
        project=project,
        subject=claim.subject,
        attribute=claim.attribute,
        value=claim.value,
        slot=decision.slot,
        valid_from=decision.since,
        valid_to=until,
        strength_days=LASTING_DAYS,
    )


def _share(text: str, claims: Sequence[Claim]) -> float:
    """Share of a text's bytes that its claims stand in."""
    size = len(text.encode("utf-8", "surrogatepass"))
    covered = {at for claim in claims for at in range(claim.byte_start, claim.byte_end)}
    return len(covered) / size


def secret(name: str, value: str, project: str) -> NewItem:
    """A secret of the owner's, in the form in which the rules keep those that were said."""
    from secondme.reflect.slots import slot
    from secondme.text.terms import fold

    name = fold(name)
    text = f"My {name} is {value}"
    new = NewItem("vault", text, project=project, subject=OWNER, attribute=name, value=value, strength_days=3650.0)
    return replace(new, slot=slot(OWNER, name, value, kind="vault"))


def reworded(old: MemoryItem, text: str) -> ItemChanges:
    """What the owner's wording makes of an item: its claim too, where it is one about the same."""
    from secondme.reflect.rules import claims_of
    from secondme.reflect.slots import slot_of

    if old.kind == "vault":
        return ItemChanges(text=f"My {old.attribute} is {text}", value=text)
    claims = claims_of(text, time.time()) if old.slot else []
    if len(claims) != 1 or (claims[0].subject, claims[0].attribute) != (old.subject, old.attribute):
        return ItemChanges(text=text)
    return ItemChanges(text=text, value=claims[0].value, slot=slot_of(claims[0]))
