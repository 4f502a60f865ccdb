"""Turns "I no longer live in", "I used to be" and "don't ... any more" into the plain statement and what is said of it.

The words of negation are taken out, so that the rules need to know one form only; `place` leads back to the clause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from secondme.reflect.claims import Says

_ANY_MORE = re.compile(r"[\s,]+(?:any ?more|any longer|these days|now|at all)$", re.I)
_SOURCES: tuple[tuple[str, Says, str], ...] = (
    (r"\b(?:no longer|not any ?more|not any longer)\b", "ends", ""),
    (r"\bused to be(?= an?\b| the\b| called\b| named\b| vegan| vegetarian| allergic| married| \w)", "held", "was"),
    (r"\bused to\b", "held", ""),
    (r"\b(?:formerly|previously|once)\b", "held", ""),
    (r"(?<=\bi) (?:do not|don't|dont|never|did not|didn't)\b", "ends", ""),
    (r"(?<=\bwe) (?:do not|don't|dont|never|did not|didn't)\b", "ends", ""),
    (r"\b(?:does not|doesn't)\b", "ends", ""),
    (r"(?<=\bi'm) not\b|(?<=\bi am) not\b|(?<=\bwe're) not\b|(?<=\bwe are) not\b", "ends", ""),
    (r"\bisn't\b|\bis not\b|\baren't\b|\bare not\b", "ends", "is"),
    (r"\bwasn't\b|\bwas not\b", "ends", "was"),
)
_FORMS = tuple((re.compile(pattern, re.I), says, kept) for pattern, says, kept in _SOURCES)


@dataclass(frozen=True, slots=True)
class Plain:
    """`text` without its negation, of which `n_cut` characters are missing at `cut_at`.

    `any_more`: it was so, and is no longer.
    """

    text: str
    says: Says
    any_more: bool = False
    cut_at: int = 0
    n_cut: int = 0

    def place(self, at: int) -> int:
        """The offset in the clause itself of offset `at` in `text`."""
        return at + self.n_cut if at > self.cut_at else at


def plain(text: str) -> Plain:
    says: Says = "holds"
    any_more = False
    cut_at = n_cut = 0
    for pattern, said, kept in _FORMS:
        match = pattern.search(text)
        if match:
            says = said
            any_more = said == "ends" and ("longer" in match.group() or "any" in match.group())
            cut_at = match.start()
            head, tail = text[:cut_at].rstrip(), text[match.end() :].lstrip()
            shorter = " ".join(part for part in (head, kept, tail) if part)
            n_cut = len(text) - len(shorter)
            text = shorter
            break
    if says == "ends":
        end = _ANY_MORE.search(text)
        if end:
            any_more = True
            text = text[: end.start()]
    return Plain(text, says, any_more, cut_at, n_cut)
