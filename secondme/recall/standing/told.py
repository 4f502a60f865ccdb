"""Statements of the owner's beside a question: how well each would answer it, whether it holds still or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import Float32Matrix
from secondme.recall.evidence import coverage
from secondme.recall.standing.cues import begins_as_asked, people
from secondme.recall.succession import Matter, is_about
from secondme.recall.telling import Telling
from secondme.recall.turns.asked import Asked
from secondme.recall.turns.meaning import Compared, of_tokens
from secondme.recall.turns.pool import Pool
from secondme.text.answers import CRISP
from secondme.text.terms import stem
from secondme.types import Turn

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

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
        return [Telling(turn.text) for turn in self.turns]

    @property
    def pooled(self) -> Float32Matrix:
        return self.pool.pooled


def answering(told: Statements) -> Columns:
    """Columns [n] by name: nearness to the question by meaning and words, the sort of value, and of whom it speaks."""
    cover = np.array([coverage(turn.text, told.weights) for turn in told.turns], np.float32)
    compared = Compared(told.pool, cover)
    wordings = np.stack([told.asked.plain.pooled, told.asked.stripped.pooled])
    cosine, topic = compared.filled(told.pooled @ wordings.T).T
    tokens = of_tokens(told.asked.plain, compared)
    columns = {"cosine": cosine, "topic": topic, "coverage": cover}
    columns |= {"tokens": tokens["tokens"], "close": tokens["close"]}
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
    rows = [(is_about(asked, t), bool(people(t.text) - known - asked.stems)) for t in told.tells]
    return _columns(("about", "other_people"), rows)


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> Columns:
    table = np.array(rows, np.float32).reshape(len(rows), len(names))
    return dict(zip(names, table.T, strict=True))
