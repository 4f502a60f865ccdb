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

from secondme.text.disguise import readings
from secondme.text.instruction_features import features, is_telling, names

SHIPPED = Path(__file__).resolve().parent / "weights" / "instructions-1.json"

SIGNS = "signs"
"""The feature that stands for the patterns of `instruction_patterns`."""
_CONCERNS = re.compile(
    r"assist|bots?\b|models?\b|\bagents?\b|\bais?\b|\bllms?\b|gpt|claude|gemini|copilot|users?\b|\bowner|\bperson|\bhuman"
    r"|principal|holder|reader|listener|individual|programmer|developer|customer|patient|addressee|\byou|\bsystems?\b"
    r"|software|programs?\b|modules?\b|\btools?\b|machines?\b|memor|remember|recall|knowledge|profile|\bnot(?:e|es|ing)\b"
    r"|entr(?:y|ies)\b|record|facts?\b|belie|stored|question|quer(?:y|ies)|requests?\b|prompts?\b|\bask|answer"
    r"|repl(?:y|ies)|respon|input|output|previous|conversation|nothing (?:else|more)|no other|leave out|retriev|\bsay\b"
    r"|ignor|disregard|forget|overrid|instruction|experience|lesson|thought|observation|\bplan\b|summar|called|confirm"
    r"|[^\x00-\x7f]|\b(?:der|das|und|mit|auf|dem|dir|el|los|las|que|por|para|le|les|des|est|pour|il|di|che|het|een|na"
    r"|nie|och|att|ve|bir)\b"
)
"""Without any of this nothing is for an assistant."""
OF_ANYBODY = frozenset({"as the owner", "asks of himself", "state of a name"})
"""What people say of themselves and of each other: novels, letters and minutes are full of it."""
SPAN = 300
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
    if len(sentence) <= SPAN:
        return [sentence]
    lines = [
        line[at : at + SPAN]
        for line in sentence.split("\n")
        if line.strip()
        for at in range(0, max(1, len(line) - SPAN // 2), SPAN // 2)
    ]
    return [_run(lines[at:]) for at in range(len(lines))]


def _run(lines: Sequence[str]) -> str:
    """As many of the first lines as are no longer than SPAN; the first in any case."""
    taken, length = 1, len(lines[0])
    while taken < len(lines) and length + len(lines[taken]) < SPAN:
        length += len(lines[taken]) + 1
        taken += 1
    return "\n".join(lines[:taken])


def evidence(sentence: str, signs: float = 1.0) -> float:
    """How much speaks for words to an assistant in the most telling part of `sentence`; compare with `shipped()`.

    `signs` is how far the signs of an order are there, 0 to 1. Without all of them, what anybody says of himself is not
    counted.
    """
    return max(_weighed(shown) for shown in shown_by(sentence, signs))


def shown_by(sentence: str, signs: float) -> list[dict[str, float]]:
    """The features of each part of `sentence` that is judged at once, with its `signs` (0 to 1)."""
    parts = (features(window) for window in windows(sentence))
    if signs >= 1.0:
        return [{**part, SIGNS: 1.0} for part in parts]
    return [{**{n: v for n, v in part.items() if n not in OF_ANYBODY}, SIGNS: max(0.0, signs)} for part in parts]


def _weighed(shown: dict[str, float]) -> float:
    weights = shipped().of
    return sum(weights.get(name, 0.0) * value for name, value in shown.items())


def is_for_assistant(sentence: str, signs: float, more: float = 0.0) -> bool:
    """Whether `sentence` shows enough, and more than any text, to be taken for words to an assistant.

    `signs` as for `evidence`; `more` is what it must add up to beyond the least, below 0 for a hidden place.
    """
    shown = shown_by(sentence, signs) if may_concern(sentence) else []
    return is_telling_part(shown, signs) and max(_weighed(part) for part in shown) >= shipped().least + more


def may_concern(sentence: str) -> bool:
    """Whether a sentence has any of the words without which nothing is for an assistant; costs little."""
    return any(_CONCERNS.search(reading) for reading in readings(sentence))


def is_telling_part(shown: Sequence[dict[str, float]], signs: float) -> bool:
    """Whether what the parts of a sentence show is worth weighing: all of the signs, or a feature that tells."""
    return bool(shown) and (signs >= 1.0 or any(is_telling(part.keys() - {SIGNS}) for part in shown))


def goes_on(order: str, sentence: str, n_behind: int) -> bool:
    """Whether `sentence`, the `n_behind`-th behind `order` in its paragraph, is what the order is about.

    Close behind, all is but what speaks of code; further away only what says something an assistant could take for its
    owner's affairs, or has a name in common with the order.
    """
    if n_behind > _FAR:
        return False
    found = features(sentence[:SPAN])
    if is_for_assistant(sentence, 0.0) or "private" in found:
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
