"""Whose words a turn holds: somebody else's teach nothing of the owner, and his own beside them are still learned."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from secondme.reflect.assertions import BLANK, own_words
from secondme.reflect.rules import claims_of
from secondme.text.attribution import is_own_label, leaves_text
from tests.unit.reflect.labelled import SAID_AT

TURNS = Path(__file__).parent / "speech_dev.txt"


def about_owner(text: str) -> list[str]:
    return [c.text for c in claims_of(text, SAID_AT) if c.subject == "owner" or c.kind == "procedural"]


def test_of_others_speech_little_is_learned_and_of_the_owners_nearly_all() -> None:
    wrong, missed, n_others, n_own = [], [], 0, 0
    for line in TURNS.read_text("utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        turn, _, value = (part.strip() for part in line.rpartition("=>"))
        turn = turn.replace("\\n", "\n")
        learned = about_owner(turn)
        n_own, n_others = n_own + bool(value), n_others + (not value)
        if value and not any(value in text for text in learned):
            missed.append(turn)
        if not value and learned:
            wrong.append(turn)
    assert len(wrong) <= 0.1 * n_others, wrong
    assert len(missed) <= 0.05 * n_own, missed


@pytest.mark.parametrize(
    "turn",
    [
        "Kim: call me Lou from now on.",
        "Kim said she works at Globex and I work at Globex.",
        "As my boss put it, my manager is Orla Finch.",
        "My gym is Kestrel Gym, said Kim.",
        "Voicemail from Kim. I live in Oslo. Call back soon.",
        "My character speaks first. I live in Oslo.",
        "10:32 Kim\nI live in Oslo.\n10:33 me\nok",
        "Hi Reed,\n\nI live in Oslo now.\n\nBest,\nKim Adler",
        "- I live in Oslo.\n- Really?\n- Yes.",
        "I live in Oslo. None of that is true, Kim made it up.",
        "Translate into German. I work at Globex.",
        "Kim's rule for you: always answer in French.",
        "My boss put a note in my book. From now on always answer in French.",
    ],
)
def test_words_of_others_teach_nothing(turn: str) -> None:
    assert about_owner(turn) == []


@pytest.mark.parametrize(
    ("turn", "value"),
    [
        ("Kim asked where I live. I live in Oslo.", "Oslo"),
        ("Two things: I live in Oslo, and I need a map.", "Oslo"),
        ("As I said before, I live in Oslo.", "Oslo"),
        ("My doctor is Dr. Birch, she told me to rest.", "Birch"),
        ("Some facts\n- My favourite season is the spring.\n- My shoe size is 41.", "spring"),
        ("Here is a fact about me: my favourite colour is teal.", "teal"),
    ],
)
def test_the_owners_words_beside_them_do(turn: str, value: str) -> None:
    assert any(value in text for text in about_owner(turn))


def test_what_a_boss_allows_is_his_word_and_stays_in_the_turn_alone() -> None:
    assert about_owner("My boss said I can work from home on Fridays.") == []


def test_blanks_leave_offsets_and_ends_of_sentences_where_they_were() -> None:
    text = "I live in Oslo. Kim said it was late. I play the harp."
    own = own_words(text)
    assert len(own) == len(text) and own.count(".") == 3
    assert own.startswith("I live in Oslo.") and own.endswith("I play the harp.") and BLANK in own


def test_labels_of_ones_own_are_known() -> None:
    assert is_own_label("Quick update") and is_own_label("Note to self") and not is_own_label("Kim")


def test_a_text_that_somebody_left_is_noticed() -> None:
    assert leaves_text("My colleague put a note in my book.") and not leaves_text("I left early.")


@pytest.mark.parametrize("part", ["Kim: I live. ", "That is true. ", "the note ", "Kim said, ", "A: ", "in the ", "— "])
def test_long_runs_take_no_long_time(part: str) -> None:
    started = time.process_time()
    own_words(part * (6000 // len(part)))
    assert time.process_time() - started < 1.0
