"""What a turn says, as claims: subject, attribute, value, where it was said and from when on it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from secondme.types import OWNER, ItemKind

Says = Literal["holds", "ends", "held"]
"""holds: it is so. ends: it is so no longer, or is not so. held: it was so, and is over."""

RULES_VERSION = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that the owner said.

    subject is `owner` or someone of the owner's ("partner", "anna"); attribute is canonical (text/attributes.py). An
    `attribute` of "" is to be found from context: a correction that names only values. `replaces` is the value it takes
    the place of, where that was said. [`byte_start`, `byte_end`) is where it stands in the turn's text, and `more` are
    further such places of a secret. `since` and `until` are Unix seconds; None is unknown. `corrects` tells that it was
    said as a correction. `several`: one of several values given together, which hold side by side. `denied`: it is not
    so, which does not say that it ever was. `name` is how to write a subject that is not the owner.
    """

    kind: ItemKind
    attribute: str
    value: str
    text: str
    byte_start: int
    byte_end: int
    rule: str
    subject: str = OWNER
    says: Says = "holds"
    since: float | None = None
    until: float | None = None
    corrects: bool = False
    replaces: str = ""
    several: bool = False
    more: tuple[tuple[int, int], ...] = ()
    denied: bool = False
    name: str = ""

    @property
    def made_by(self) -> str:
        return f"rule:{self.rule}/{RULES_VERSION}"


def unique(claims: Iterable[Claim]) -> list[Claim]:
    """Each (subject, attribute, value, what it says) once, in order of place; the one found first stays."""
    seen: dict[tuple[str, str, str, str], Claim] = {}
    for claim in claims:
        seen.setdefault((claim.subject, claim.attribute, claim.value.lower(), claim.says), claim)
    return sorted(seen.values(), key=lambda c: (c.byte_start, c.byte_end))
