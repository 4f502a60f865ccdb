"""Sentences of our own with what they claim, and how well the rules find it.

`sentences_dev.txt` is what the rules were tuned on, `sentences_held_out.txt` was written before they were and never
looked at for it. A line is a sentence, `=>`, and its claims, as the first line of each file explains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondme.reflect.claims import Claim
from secondme.reflect.rules import claims_of

SAID_AT = 1795000000.0
_SAYS = {"-": "ends", "~": "held"}


@dataclass(frozen=True)
class Expected:
    subject: str
    attribute: str
    value: str
    says: str

    def is_met_by(self, claim: Claim) -> bool:
        attribute = self.attribute in ("*", claim.attribute) or (self.attribute == "?" and not claim.attribute)
        value = self.value == "*" or _plain(self.value) == _plain(claim.value)
        return self.subject == claim.subject and attribute and value and self.says == claim.says


def labelled(name: str) -> Iterator[tuple[str, list[Expected]]]:
    for line in (Path(__file__).parent / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            sentence, _, claims = line.rpartition("=>")
            yield sentence.strip(), [_expected(c.strip()) for c in claims.split(";") if c.strip()]


def _expected(text: str) -> Expected:
    says = _SAYS.get(text[0], "holds")
    left, value = text.lstrip("-~").split("=", 1)
    subject, _, attribute = left.rpartition(".")
    return Expected(subject or "owner", attribute, value, says)


def _plain(value: str) -> str:
    undated = re.sub(r"\s*\(\d{4}-\d\d-\d\d\)$", "", value).lower().strip(" .!")
    return re.sub(r"^(?:a|an|the|on|at) ", "", undated)


def scored(name: str) -> tuple[float, float, list[str]]:
    """(precision, recall, the sentences where something is wrong)."""
    right = wrong = missed = 0
    bad = []
    for sentence, expected in labelled(name):
        left = claims_of(sentence, SAID_AT)
        n_missed = 0
        for one in expected:
            hit = next((c for c in left if one.is_met_by(c)), None)
            if hit is None:
                n_missed += 1
            else:
                left.remove(hit)
        right, wrong, missed = right + len(expected) - n_missed, wrong + len(left), missed + n_missed
        if left or n_missed:
            bad.append(sentence)
    return right / (right + wrong), right / (right + missed), bad
