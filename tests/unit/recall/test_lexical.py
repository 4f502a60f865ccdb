"""BM25 over candidates: by its formula, by stems, and never more than its words can say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.recall.lexical import K1, B, fits
from secondme.text.terms import stem, stems

WEIGHTS = {"lamp": 2.0, "ship": 1.0}


def test_scores_are_those_of_the_formula() -> None:
    first, second = fits(["lamp lamp ship ship", "one lamp"], WEIGHTS)
    mean = 3.0

    def part(weight: float, tf: int, length: int) -> float:
        return weight * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / mean))

    assert first.bm25 == pytest.approx(part(2, 2, 4) + part(1, 2, 4))
    assert second.bm25 == pytest.approx(part(2, 1, 2))
    assert first.coverage == 1.0
    assert second.coverage == pytest.approx(2 / 3)


def test_words_fit_by_their_stems() -> None:
    (fit,) = fits(["Ships, shipped and the keeper's lamps"], WEIGHTS)
    assert fit.coverage == 1.0


def test_nothing_asked_and_nothing_there() -> None:
    assert fits([], WEIGHTS) == []
    assert [(f.bm25, f.coverage) for f in fits(["", "lamp"], {})] == [(0, 0), (0, 0)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="abdeginlsty '’éß", max_size=40), max_size=4), st.text(alphabet="abdeginlsty", max_size=8)
)
def test_no_stem_is_overlooked(texts: list[str], word: str) -> None:
    weights = {stem(word): 1.0}
    assert [f.coverage for f in fits(texts, weights)] == [float(stem(word) in stems(text)) for text in texts]
