"""What may change in a set of updates: the values it takes, and the wordings that state, correct and ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """What may change. `{v}` in a wording is the value, `{o}` the one before; a wording without `{v}` needs none.

    `beside` is said as well, and is about something or somebody else.
    """

    name: str
    values: Sequence[str]
    first: Sequence[str]
    correction: Sequence[str]
    question: Sequence[str]
    past: Sequence[str]
    beside: Sequence[str] = ()
