"""Questions are taken apart: kind, time, names, and what is left of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from secondme.text.question import analyse, kind_of

WEDNESDAY = date(2023, 8, 2)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did Ana move?", "when"),
        ("What year did Ana move?", "when"),
        ("In which month was the fair?", "when"),
        ("What's the date of the fair?", "when"),
        ("How long ago did she quit?", "when"),
        ("How long has she lived there?", "how long"),
        ("How many weeks lay between the two trips?", "how long"),
        ("How many cats does Ana have?", "how many"),
        ("How often does she swim?", "how many"),
        ("How old is her son?", "how many"),
        ("Who called last week?", "who"),
        ("Whose bike was stolen?", "who"),
        ("Which friend came along?", "who"),
        ("Where does Ana live?", "where"),
        ("Which city did she move to?", "where"),
        ("Why did she quit?", "why"),
        ("What made her quit?", "why"),
        ("How did she find the flat?", "how"),
        ("Would Ana enjoy sailing?", "would"),
        ("What is she likely to study?", "would"),
        ("Which book did she like?", "which"),
        ("What did she buy?", "what"),
        ("According to Ana, what is best?", "what"),
        ("Did Ana buy a car?", "yes-no"),
        ("Hasn't she moved yet?", "yes-no"),
        ("And is she well?", "yes-no"),
        ("List her hobbies", "none"),
    ],
)
def test_kind_is_told_by_the_words_that_ask(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_a_question_is_taken_apart() -> None:
    form = analyse("What did ana's brother buy in Oslo last May?", WEDNESDAY, ["Ana"])
    assert (form.kind, form.names) == ("what", ("Oslo", "Ana"))
    assert form.interval is not None
    assert (form.interval.start, form.interval.end) == (date(2023, 5, 1), date(2023, 5, 31))
    assert (form.terms, form.date_terms, form.stripped) == (("brother", "buy"), ("last", "may"), "brother buy")


def test_the_surest_date_is_its_time() -> None:
    form = analyse("Was it on a Friday or on 3 May 2023?", WEDNESDAY)
    assert form.interval is not None
    assert form.interval.start == date(2023, 5, 3)


def test_where_nothing_is_left_the_question_stands() -> None:
    form = analyse("What about you?", WEDNESDAY)
    assert (form.terms, form.stripped, form.interval) == ((), "What about you?", None)


def test_spelling_is_kept_for_embedding_and_folded_in_terms() -> None:
    form = analyse("Why is the 5K run for the café dear to her?", WEDNESDAY)
    assert (form.stripped, form.terms) == ("5K run café dear", ("5k", "run", "café", "dear"))


def test_it_is_not_loaded_before_it_is_asked() -> None:
    check = "import sys, secondme.text, secondme.__main__; print(any('text.date' in m for m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
