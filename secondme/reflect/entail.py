"""Whether a claim that a model made follows from the words it was made of.

A small model invents. So a claim is taken only if a clause that the owner asserts (no question, no guess, no quotation:
assertions.py) holds the words of its value and of its subject, denies what it denies, and, where there is an embedder,
means about the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from secondme.reflect.assertions import Assertion, asserted
from secondme.reflect.claims import Says
from secondme.reflect.negation import plain
from secondme.runtime.base import Embedder
from secondme.text.attributes import asked_for, attribute
from secondme.text.terms import content_stems, stem, words
from secondme.types import OWNER

SAME_MEANING = 0.65
"""Cosine of a claim's wording to its clause. With all-MiniLM-L6-v2, of the sentences that the rules were tuned on, 91%
of the claims lie above it, and 43% of claims with their value and a wrong attribute."""

_OF_THE_OWNER = re.compile(r"\b(?:i|i'm|i've|my|mine|me|we|we're|our|us)\b", re.I)


def source_of(
    text: str, subject: str, name: str, value: str, says: Says, clauses: Sequence[Assertion] | None = None
) -> Assertion | None:
    """The clause of `text` that holds the claim (subject, attribute `name`, value), or None if none does.

    `clauses` are those of `text` as `asserted` finds them, where the caller has them.
    """
    for clause in asserted(text) if clauses is None else clauses:
        holds = _in_a_row(value, clause.text) and _speaks_of(subject, clause.text)
        if holds and _names(name, value, clause.text) and _agrees(says, clause.text):
            return clause
    return None


def means_the_same(claim: str, clause: str, embedder: Embedder) -> bool:
    """Whether the wording of a claim lies close enough to its clause."""
    if max(embedder.count_tokens(claim), embedder.count_tokens(clause)) > embedder.n_ctx:
        return False
    one, other = embedder.embed([claim, clause])
    return float(one @ other) >= SAME_MEANING


def _in_a_row(value: str, clause: str) -> bool:
    wanted, there = words(value), words(clause)
    places = range(len(there) - len(wanted) + 1)
    return bool(wanted) and any(there[n : n + len(wanted)] == wanted for n in places)


def _speaks_of(subject: str, clause: str) -> bool:
    if subject == OWNER:
        return _OF_THE_OWNER.search(clause) is not None
    return set(words(subject)) <= set(words(clause))


def _names(name: str, value: str, clause: str) -> bool:
    """Whether the clause speaks of the attribute beside its value: in its own words, or in those that ask for it."""
    rest = [w for w in words(clause) if w not in words(value)]
    own = content_stems(name)
    if own and own <= {stem(w) for w in rest}:
        return True
    known = attribute(name)
    return known is not None and known.name in asked_for(" ".join(rest))


def _agrees(says: Says, clause: str) -> bool:
    said = plain(clause).says
    past = re.search(r"\b(?:was|were|had|worked|lived)\b", clause, re.I) is not None
    return says == said or (says == "held" and said == "holds" and past)
