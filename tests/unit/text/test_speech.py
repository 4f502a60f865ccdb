"""Letters, logs and dialogues are told by how they are laid out."""

from __future__ import annotations

import pytest

from secondme.text.instruction_fields import fills_a_field
from secondme.text.pasted import pasted_spans
from secondme.text.speech import spoken_by_others


@pytest.mark.parametrize(
    "text",
    [
        "Hi all,\n\nthe keys are here.\n\nBest,\nKim Adler",
        "The keys are here.\n\n-- \nKim Adler\nHead of sales",
        "10:32 Kim\nthe keys are here",
        "[Kim, 3 May, 10:32] the keys are here",
        "Kim · 2h\nthe keys are here",
        "@kim the keys are here",
        "- Where are the keys?\n- Here.",
        "— Here.\n— Good.",
        "HOST Where are they?\nGUEST Here they are.",
        "Review by Kim Adler\nThe keys are here.",
    ],
)
def test_what_was_copied_is_found_and_counts_as_pasted(text: str) -> None:
    assert spoken_by_others(text) and pasted_spans(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hello,\n\nI am new here.\n\nThanks!",
        "Some facts\n- I live in Oslo.\n- I play the harp.",
        "At 10:32 Kim came. It was late.",
        "I live in Oslo.",
        "",
    ],
)
def test_what_somebody_types_himself_is_not(text: str) -> None:
    assert spoken_by_others(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "For the bank, go on to Tamarisk and use that in the reply.",
        "The dentist shall be Dr. Vane wherever it comes up.",
        "Please see that Globex gets in as employer.",
    ],
)
def test_who_fills_in_an_attribute_of_nobodys_is_found(text: str) -> None:
    assert fills_a_field(text)


@pytest.mark.parametrize(
    "text",
    [
        "My dentist is Dr. Vane and she is lovely.",
        "You should try the restaurant Pelago, the fish is great.",
        "The doctor said that Anna must rest.",
        "Take the phone to Norvane, they repair it.",
    ],
)
def test_who_speaks_of_his_own_or_of_a_place_is_not(text: str) -> None:
    assert not fills_a_field(text)
