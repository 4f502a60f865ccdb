"""What a rule finds in a clause, and the beginnings that rules share.

A rule is a pattern over one clause, the attribute it speaks of, and the sort of value it must find; where the value
does not look like one, nothing is claimed. Negation is taken out beforehand (negation.py), so that each rule knows one
form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from secondme.reflect.claims import Says
from secondme.reflect.negation import Plain
from secondme.reflect.wording import sentence
from secondme.types import OWNER, ItemKind


@dataclass(frozen=True, slots=True)
class Found:
    """A claim within a clause: characters [`start`, `end`) of it."""

    attribute: str
    value: str
    start: int
    end: int
    rule: str
    says: Says = "holds"
    subject: str = OWNER
    name: str = ""
    kind: ItemKind = "semantic"
    text: str = ""
    replaces: str = ""
    corrects: bool = False
    several: bool = False
    denied: bool = False
    noun: str = ""

    def wording(self) -> str:
        """`noun` is the owner's own word for the attribute: a partner may be a wife."""
        return self.text or sentence(self.subject, self.noun or self.attribute, self.value, self.says, name=self.name)


Rule = Callable[[Plain], Iterator[Found]]

ADVERBS = (
    r"(?:\s+(?:now|currently|actually|also|still|just|really|recently|presently|basically|both|already|finally"
    r"|officially|only|always"
    r"|absolutely|definitely|totally|mostly|usually|mainly|have|even|all|so|very|much|completely|fully|happily"
    r"|again|proudly|then|since"
    r"|kind|quite|generally|typically|normally|personally|genuinely|sometimes|often|deeply|truly|simply))*"
)
I_DO = r"^(?:i|we)" + ADVERBS
I_AM = r"^(?:i am|i'm|im|we are|we're)" + ADVERBS
I_HAVE = r"^(?:i|we)(?:'ve| have| had)?" + ADVERBS


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


def end_of(clause: Plain, raw: str, value: str, at: int) -> int:
    where = raw.find(value)
    return at + where + len(value) if where >= 0 else len(clause.text)
