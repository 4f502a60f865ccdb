"""What somebody pasted is told from what he wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.text.pasted import own_words, pasted_spans

PASTED = "I keep bees in Turku."


@pytest.mark.parametrize(
    "text",
    [
        f"Here is the mail I got:\n\n{PASTED}",
        f"What do you think?\n> {PASTED}\n",
        f"```\n{PASTED}\n```\nWhat does it do?",
        f"Please summarise this article: “{PASTED}”",
        f"Look.\nFrom: a person\nSubject: bees\n\n{PASTED}",
        f"---------- Forwarded message ----------\n{PASTED}",
        f"User: {PASTED}\nAssistant: Noted.",
        f"<!-- {PASTED} --> And?",
        f"The newsletter says of me: '{PASTED}' Is that good English?",
        f'A caller said, word for word: "{PASTED}"',
        f"Can you shorten these lines from a forum?\n1. {PASTED}\n2. Tea was served.",
    ],
)
def test_the_pasted_part_is_no_word_of_the_owner(text: str) -> None:
    assert "bees in" not in own_words(text)
    assert len(own_words(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "I keep bees in Turku. My dog is called Tove.",
        "My email is: tove@example.com",
        "Remember this: I like tea",
        "Note to self: buy a smoker",
        "I told her that my name is Tove.",
        "I call it 'the hive' and it's mine. I don't know Kim's view.",
        "My motto is 'no hurry' and I keep to it.",
    ],
)
def test_what_the_owner_writes_stays(text: str) -> None:
    assert own_words(text) == text


@given(st.text(alphabet='ab >\n`:<!-"“”'))
def test_spans_are_in_order_and_within(text: str) -> None:
    at = 0
    for start, end in pasted_spans(text):
        assert at <= start < end <= len(text)
        at = end
