"""What a question asks for: its kind, the time it is about, the names in it, and what is left without its form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from secondme.text.dates import Anchors, When, resolve
from secondme.text.entities import names as names_of
from secondme.text.terms import QUESTION_WORDS, fold

QuestionKind = Literal[
    "when", "how long", "how many", "who", "where", "why", "how", "would", "yes-no", "which", "what", "none"
]


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """A question taken apart.

    kind: what its answer would be; "none" for what is no question. interval: the time it is about, the surest of its
    date expressions, or None. names: as written. terms: its content words without names, question words and dates, in
    lower case, each once. date_terms: the words of its date expressions, likewise. stripped: the content words in their
    order and spelling, for embedding; the question itself where none are left.
    """

    kind: QuestionKind
    interval: When | None
    names: tuple[str, ...]
    terms: tuple[str, ...]
    date_terms: tuple[str, ...]
    stripped: str


_BE = r"(?:is|are|was|were|be|am|has|have|had|do|does|did|will|can|shall|should)(?:n['’]t)?"
_KINDS: tuple[tuple[QuestionKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))  # type: ignore[misc]
    for kind, pattern in (
        ("when", r"\bwhen\b(?!.*\bwhat\b)|\bhow long ago\b|\bhow recently\b"),
        (
            "when",
            r"\b(?:what|which)(?:'s| is| was)?(?: the)?(?: \w+)? "
            r"(?:date|day|month|year|time|season|week|weekend|decade)s?\b",
        ),
        (
            "how long",
            r"\bhow long\b|\bhow many (?:\w+ )?(?:minutes|hours|days|weeks|months|years|decades)\b|\bhow much time\b",
        ),
        (
            "how many",
            r"\bhow (?:many|much|often|old|far|big|large|tall|high|fast|heavy)\b|\bwhat (?:number|amount|age)\b",
        ),
        ("would", r"\b(?:would|might|could)\b|\blikely\b"),
        (
            "why",
            r"\bwhy\b|\bhow come\b|\bwhat (?:\w+ )?(?:reasons?|made|caused|motivated|inspired|prompted)\b|\bwhat for\b",
        ),
        (
            "where",
            r"\bwhere\b|\b(?:what|which)(?: \w+)? (?:cit(?:y|ies)|countr(?:y|ies)|towns?|places?|states?|locations?)\b",
        ),
        ("who", r"\bwho(?:m|se)?\b|\b(?:what|which) (?:person|people|friends?|family members?)\b"),
        ("how", r"\bhow\b"),
        ("which", r"\bwhich\b"),
        ("what", r"\bwhat\b"),
        ("yes-no", rf"^\W*(?:and |but |so |or )?{_BE}\b"),
    )
)
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_FORM_WORDS = QUESTION_WORDS | frozenset(
    """type types kind kinds sort sorts likely mention mentioned mentions say said says tell told according describe
    described describes conversation during might may upon did happen""".split()
)


def analyse(
    question: str,
    now: date,
    names: Collection[str] = (),
    anchors: Anchors | None = None,
    *,
    southern: bool = False,
) -> QuestionForm:
    """Take `question`, asked on the day `now`, apart. `names` are known ones, found in any case."""
    told = resolve(question, now, anchors, southern=southern)
    named = names_of(question, names)
    plain, dated = _apart(question, told)
    drop = _FORM_WORDS.union(fold(word) for name in named for word in _words(name))
    kind = kind_of(question)
    if kind == "how long":
        drop |= {"long"}
    kept = [w for w in plain if fold(w) not in drop]
    return QuestionForm(
        kind=kind,
        interval=max(told, key=lambda w: (w.certainty, -w.byte_start), default=None),
        names=named,
        terms=_unique(kept),
        date_terms=_unique(dated),
        stripped=" ".join(kept) or question,
    )


def kind_of(question: str) -> QuestionKind:
    """The kind alone, by the words that ask."""
    low = question.lower()
    return next((kind for kind, pattern in _KINDS if pattern.search(low)), "none")


def _apart(question: str, told: Sequence[When]) -> tuple[list[str], list[str]]:
    """The words outside date expressions, and those inside."""
    plain: list[str] = []
    dated: list[str] = []
    raw = question.encode("utf-8", "surrogatepass")
    at = 0
    for when in told:
        plain += _words(_text(raw[at : when.byte_start]))
        dated += _words(_text(raw[when.byte_start : when.byte_end]))
        at = when.byte_end
    return plain + _words(_text(raw[at:])), dated


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _words(text: str) -> list[str]:
    """Words as written, without possessives."""
    return [_POSSESSIVE.sub("", word) for word in _WORD.findall(text)]


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(w.lower() for w in words))
