"""Statements of the owner's beside a question: how well each would answer it, whether it holds still or not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import Float32Matrix
from secondme.recall.evidence import coverage
from secondme.recall.standing.cues import begins_as_asked, is_own, people
from secondme.recall.succession import Matter, is_about
from secondme.recall.telling import Telling
from secondme.recall.turns.asked import Asked
from secondme.recall.turns.meaning import Compared, of_tokens
from secondme.recall.turns.pool import Pool
from secondme.text.answers import CRISP, sorts_of, told_part
from secondme.text.redirects import merely_asked
from secondme.text.terms import content_stems, fold, stem
from secondme.types import Turn

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

_THEY = re.compile(r"\b(?:he|she|they|him|her|them|his|their|he's|she's|they're)\b", re.I)
_MINE = re.compile(r"\b(?:my|mine|i|i'm|i've|me)\b", re.I)

_SUBJECT = re.compile(r"\b(?:does|did|do|is|was|has|had|are|were|will|can)\s+([A-ZÀ-Þ][\w-]+)\b(?!['’]s)")
"""Of whom something is asked by his name."""
_NEW = re.compile(r"\b(?:my|our) (?:brand[- ])?new\b", re.I)
"""Who asks how his new one works tells that he has it."""

_LEAST_WORDS = 4
"""Words that tell something beside a question; fewer do if there is a value among them."""

_LONGEST = 3.0
"""Logarithm of the words from which a statement is a long one."""


@dataclass(frozen=True, eq=False)
class Statements:
    """n turns of the owner's with their traces, by conversation and in order, beside the question they may answer.

    asked: the question, embedded; matter: what it asks for. weights: its stems by their idf.
    """

    asked: Asked
    matter: Matter
    weights: Mapping[str, float]
    pool: Pool

    @property
    def turns(self) -> Sequence[Turn]:
        return self.pool.turns

    def __len__(self) -> int:
        return len(self.pool)

    @cached_property
    def tells(self) -> list[Telling]:
        """What each of them tells, without what it asks; of what only asks all."""
        return [Telling(told_part(turn.text) or turn.text) for turn in self.turns]

    @cached_property
    def telling(self) -> NDArray[np.bool_]:
        """Which of them tell something of the matter [n]; the others only ask, or are about somebody else by name."""
        question = self.asked.text
        pairs = zip(self.turns, self.tells, strict=True)
        return np.array([tells_something(turn, question) and not is_of_another(question, t) for turn, t in pairs])

    @property
    def pooled(self) -> Float32Matrix:
        return self.pool.pooled


def tells_something(turn: Turn, question: str) -> bool:
    """Whether a turn is the owner's own, not part of `question`, and more than a question.

    Where he asks for his own affairs, one that asks the same and tells nothing of himself is a question, whatever it
    answers to itself.
    """
    return is_owners(turn, question) and not _asks_only(turn.text) and not asks_the_same(turn.text, question)


def asks_the_same(text: str, question: str) -> bool:
    """Whether, where the owner asks for his own affairs, `text` asks for the same and tells nothing of its writer."""
    return bool(_MINE.search(question)) and not content_stems(question).isdisjoint(content_stems(merely_asked(text)))


def is_of_another(question: str, tells: Telling) -> bool:
    """Whether `question` asks something of somebody by his name, and a statement begins with another's and has not his.

    "How old is Nour?" is not answered by "Elias is six".
    """
    asked = _SUBJECT.search(question)
    if asked is None or tells.about.kind != "name" or is_own(tells.text):
        return False
    name = fold(asked.group(1))
    return tells.about.name != name and stem(name) not in tells.stems


def is_owners(turn: Turn, question: str) -> bool:
    """Whether a turn is the owner's own, and no part of `question`."""
    return turn.role == "user" and not turn.speaker and turn.text.casefold() not in question.casefold()


def _asks_only(text: str) -> bool:
    """Whether `text` is a question or a request, and nothing in it tells anything."""
    told = told_part(text)
    is_short = told != text and len(told.split()) < _LEAST_WORDS and not sorts_of(told)
    return is_short and not _NEW.search(text)


def answering(told: Statements) -> Columns:
    """Columns [n] by name: nearness to the question by meaning and words, the sort of value, and of whom it speaks."""
    cover = np.array([coverage(t.text, told.weights) for t in told.tells], np.float32)
    compared = Compared(told.pool, cover)
    wordings = np.stack([told.asked.plain.pooled, told.asked.stripped.pooled])
    cosine, topic = compared.filled(told.pooled @ wordings.T).T
    tokens = of_tokens(told.asked.plain, compared)
    columns = {"cosine": cosine, "topic": topic, "coverage": cover}
    columns |= {name: tokens[name] for name in ("tokens", "close", "closest")}
    columns["own"] = np.array([is_own(t.text) for t in told.tells], np.float32)
    columns["only_asks"] = 1 - told.telling.astype(np.float32)
    return columns | _of_form(told) | _of_whom(told)


def _of_form(told: Statements) -> Columns:
    """What sort of value a statement has, beside what sort is asked for, and whether it asks itself."""
    wanted = told.matter.sorts
    rows = []
    for tells in told.tells:
        sorts = tells.all_sorts
        is_any = not wanted
        rows.append(
            (
                bool(wanted & sorts),
                bool(wanted and not wanted & sorts),
                is_any and not sorts,
                is_any and "name" in sorts,
                is_any and bool(sorts & CRISP),
                tells.asks,
                begins_as_asked(tells.text),
                min(_LONGEST, float(np.log1p(len(tells.text.split())))),
            )
        )
    names = ("gives", "lacks", "no_value", "name", "number", "asks", "requests", "length")
    return _columns(names, rows)


def _of_whom(told: Statements) -> Columns:
    """Whether a statement is about those the question is about."""
    asked = told.matter
    known = people(told.asked.text) | {stem(p) for p in asked.people} | asked.people
    rows = [
        (is_about(asked, t), bool(people(t.text) - known - asked.stems), is_foreign(asked, t), leaves_out(asked, t))
        for t in told.tells
    ]
    return _columns(("about", "other_people", "foreign", "leaves_out"), rows)


def is_foreign(asked: Matter, tells: Telling) -> bool:
    """Whether a statement begins with somebody else, and the owner is not in it, where he asks for his own affairs."""
    about = tells.about
    if about.kind not in ("person", "possessor", "name") or not asked.mine or is_own(tells.text):
        return False
    return about.name not in asked.people | asked.names and stem(about.name) not in asked.stems


def leaves_out(asked: Matter, tells: Telling) -> bool:
    """Whether somebody is asked about whom a statement does not name, and it begins with nobody he may be."""
    if not asked.people or tells.about.kind in ("person", "possessor", "name") or _THEY.search(tells.text):
        return False
    return not any(stem(person) in tells.stems for person in asked.people)


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> Columns:
    table = np.array(rows, np.float32).reshape(len(rows), len(names))
    return dict(zip(names, table.T, strict=True))
