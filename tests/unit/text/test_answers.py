"""Sorts of values by their form, and what asks without a question mark."""

from __future__ import annotations

import time

import pytest

from secondme.text.answers import (
    Sort,
    asked_about,
    asks,
    is_to_be_written,
    requests,
    sorts_asked,
    sorts_of,
    values_in,
    without_values,
)


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("the dentist is at 3:30", "time"),
        ("make it 4pm", "time"),
        ("half past six then", "time"),
        ("tuesday works", "day"),
        ("it is on 12 June", "day"),
        ("the quote is £310", "money"),
        ("they pay me 72k", "money"),
        ("I water it twice a week", "often"),
        ("it takes half an hour", "long"),
        ("we run 3.12", "version"),
        ("there are twenty of us", "number"),
        ("text me on 07700 900123", "code"),
        ("she is called Priya", "name"),
        ("it lies under the stairs", "place"),
    ],
)
def test_values_are_told_by_their_form(text: str, sort: Sort) -> None:
    assert sort in sorts_of(text)


def test_words_without_a_value_have_no_sort() -> None:
    assert sorts_of("we chose navy after all") == frozenset()
    assert "number" not in sorts_of("my phone is an S24")


@pytest.mark.parametrize(
    ("question", "sort"),
    [
        ("What time is standup?", "time"),
        ("when's the wedding", "day"),
        ("how much is the boiler service?", "money"),
        ("How often do I water the fern?", "often"),
        ("how old is my son", "number"),
        ("which version of python are we on?", "version"),
        ("what's my phone number?", "code"),
    ],
)
def test_a_question_asks_for_sorts(question: str, sort: Sort) -> None:
    assert sort in sorts_asked(question)


def test_any_words_may_answer_where_and_who() -> None:
    assert sorts_asked("Where do I live?") == sorts_asked("Who is my boss?") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "how do magnets work",
        "ok so what's the capital of Peru",
        "give me three tips",
        "Is it late?",
        "is it safe to eat",
    ],
)
def test_what_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize("text", ["we moved to Dijon", "when my sister left I wept", "what a goal that was"])
def test_what_tells(text: str) -> None:
    assert not asks(text)


def test_values_are_cut_out_and_listed() -> None:
    assert "Diner" not in without_values("They moved it to Joe's Diner at 4pm") and "4pm" in values_in("now 4pm")


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("Summarise what slices are in two sentences.", "what slices are"),
        ("please give me a short summary of the lighthouse", "the lighthouse"),
        ("Explain to me briefly how cartridges open, in plain words", "how cartridges open"),
        ("Tell me where I live", "where I live"),
        ("Summarise briefly.", "Summarise briefly."),
        ("Where is the lamp, please?", "Where is the lamp, please?"),
        ("write down that the lamp is broken", "write down that the lamp is broken"),
        ("List of lamps in the tower", "List of lamps in the tower"),
    ],
)
def test_what_a_request_is_about(question: str, about: str) -> None:
    assert asked_about(question) == about
    assert requests(question) == (about != question or question == "Summarise briefly.")


def test_long_runs_of_blanks_are_read_at_once() -> None:
    began = time.process_time()
    assert asked_about("summarise" + " " * 20_000 + "the lamp") == "the lamp"
    assert requests("please, " * 10_000) is False
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Summarise what slices are", True),
        ("please give me a short summary of the lighthouse", True),
        ("can you explain how the lamp works", True),
        ("Tell me where I live", False),
        ("give me the address of the lighthouse", False),
        ("write down that the lamp is broken", False),
    ],
)
def test_what_no_sentence_can_be_is_to_be_written(text: str, is_one: bool) -> None:
    assert is_to_be_written(text) is is_one
