"""What a question asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondme.memory.store import Store
from secondme.text.terms import content_terms, match_expression, stem, words


def test_form_is_cut_and_content_stays() -> None:
    assert content_terms("What did Ada's analytical engine compute, and when?") == [
        "ada",
        "analytical",
        "engine",
        "compute",
    ]


def test_a_question_of_form_only_keeps_its_words() -> None:
    assert content_terms("Who are you?") == ["who", "are", "you"]


def test_accents_and_case_are_folded() -> None:
    assert words("Größe CAFÉ") == ["große", "cafe"]
    assert content_terms("Größe CAFÉ") == ["größe", "café"]


def test_stems_join_inflections() -> None:
    assert stem("ships") == stem("ship")
    assert stem("studies") == stem("study") == stem("studied")
    assert stem("walking") == stem("walked") == stem("walks")
    assert stem("glass") == "glass"


@given(st.text(max_size=60))
def test_any_question_makes_a_valid_query(question: str) -> None:
    terms = content_terms(question)
    expression = match_expression(terms)
    assert expression.count('"') == 2 * len(terms)


def test_operators_of_the_index_are_only_words(store: Store) -> None:
    for question in ('NEAR("a b", 3)', "x AND NOT y", 'title: "quo"te', "a* ^b -c", "()"):
        terms = content_terms(question)
        if terms:
            assert store.search_text(match_expression(terms), 5, None) == []
