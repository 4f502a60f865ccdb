"""Sentences and their places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondme.recall.evidence import coverage, term_weights
from secondme.text.sentences import split_sentences


def test_prose_falls_into_sentences() -> None:
    text = "It rained at 3.5 mm. Dr. Reed stayed in.\nThe keeper (of the light) left!  Why? Nobody knows"
    assert [s.text for s in split_sentences(text)] == [
        "It rained at 3.5 mm.",
        "Dr. Reed stayed in.",
        "The keeper (of the light) left!",
        "Why?",
        "Nobody knows",
    ]


def test_lists_and_paragraphs_end_sentences() -> None:
    text = "Things to bring:\n- a rope\n- a lamp\n\nand courage"
    assert [s.text for s in split_sentences(text)] == ["Things to bring:", "- a rope", "- a lamp", "and courage"]


@given(st.text(alphabet="aB .!?\n\"')。é1-", max_size=200))
def test_offsets_point_at_the_sentence(text: str) -> None:
    for sentence in split_sentences(text):
        assert text[sentence.start : sentence.end] == sentence.text
        assert sentence.text.strip() == sentence.text != ""


def test_coverage_is_the_share_of_weight() -> None:
    weights = term_weights(["rare", "common"], {"rare": 1, "common": 9}, 10)
    assert coverage("nothing of it", weights) == 0
    assert coverage("rare and common", weights) == 1
    assert coverage("rare", weights) > 0.5 > coverage("common", weights)
    assert coverage("anything", {}) == 0
