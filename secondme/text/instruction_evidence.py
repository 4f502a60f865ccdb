"""Tells what is said to an assistant of somebody from what a manual tells its readers: a readable dot product.

The signs of `instruction_patterns` find orders; manuals, standards and code are made of orders. An attack must reach an
assistant that answers somebody: it speaks of answering and remembering, of whom it serves, of what that person is and
has, or takes back what was told. A manual speaks of files, options and calls, and is full of their marks. What speaks
for harmlessness weighs little beside what speaks against it, so that code around an order does not free it. The weights
stand in `weights/instructions-1.json`, with the command that learned them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from secondme.text.instruction_features import features, names

SHIPPED = Path(__file__).resolve().parent / "weights" / "instructions-1.json"

OF_ANYBODY = frozenset({"as the owner", "asks of himself", "state of a name"})
"""What people say of themselves and of each other: novels, letters and minutes are full of it."""
_SPAN = 300
"""Characters that are judged at once: what stands further apart has nothing to do with each other."""

_CLOSE = 4
"""Sentences behind an order that belong to it if they refer to something."""
_FAR = 8
"""Sentences behind an order of which none belongs to it: it could as well stand in the next paragraph."""
_TECHNICAL_FROM = 0.6
_REFERS = re.compile(
    r"\W*(?:(?:it|this|that|these|those|they|them|he|she|his|her|their|its|such|so|then|and|but|also|instead|otherwise"
    r"|therefore|hence|always|never|do|don't|please|only|the (?:same|new|old|right|correct|other|only|former|latter)"
    r"|all"
    r"|every|any|no|if|when|say|answer|reply|use|name|give|tell)\b|[-*+•] )",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A weight a feature; what a sentence must add up to in the open (`least`) and in a hidden place."""

    least: float
    least_hidden: float
    of: dict[str, float]


def windows(sentence: str) -> list[str]:
    """What of a sentence is judged at once: all of it, or runs of its lines that are no longer than SPAN characters."""
    if len(sentence) <= _SPAN:
        return [sentence]
    lines = [
        line[at : at + _SPAN]
        for line in sentence.split("\n")
        if line.strip()
        for at in range(0, max(1, len(line) - _SPAN // 2), _SPAN // 2)
    ]
    return [_run(lines[at:]) for at in range(len(lines))]


def _run(lines: Sequence[str]) -> str:
    """As many of the first lines as are no longer than SPAN; the first in any case."""
    taken, length = 1, len(lines[0])
    while taken < len(lines) and length + len(lines[taken]) < _SPAN:
        length += len(lines[taken]) + 1
        taken += 1
    return "\n".join(lines[:taken])


def evidence(sentence: str, *, besides: frozenset[str] = frozenset()) -> float:
    """How much speaks for words to an assistant in the most telling part of `sentence`; compare with `shipped()`.

    `besides`: features that are not counted.
    """
    weights = shipped().of
    return max(
        sum(weights.get(name, 0.0) * value for name, value in features(window).items() if name not in besides)
        for window in windows(sentence)
    )


def goes_on(order: str, sentence: str, n_behind: int) -> bool:
    """Whether `sentence`, the `n_behind`-th behind `order` in its paragraph, is what the order is about.

    Close behind, all is but what speaks of code; further away only what says something an assistant could take for its
    owner's affairs, or has a name in common with the order.
    """
    if n_behind > _FAR:
        return False
    found = features(sentence[:_SPAN])
    if evidence(sentence) >= shipped().least_hidden or "private" in found:
        return True
    if not names(order).isdisjoint(names(sentence)):
        return True
    is_technical = found.get("marks of code", 0.0) + found.get("technical words", 0.0) >= _TECHNICAL_FROM
    return not is_technical and (n_behind == 1 or (n_behind <= _CLOSE and bool(_REFERS.match(sentence))))


@lru_cache(maxsize=1)
def shipped() -> Weights:
    """The weights that come with the program."""
    table = json.loads(SHIPPED.read_text("utf-8"))
    return Weights(table["least"], table["least_hidden"], dict(table["features"]))
