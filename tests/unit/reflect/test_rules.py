"""What the rules read, and above all what they do not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.reflect.rules import claims_of
from tests.unit.reflect.labelled import SAID_AT, labelled, scored

HELD_OUT, DEV = "sentences_held_out.txt", "sentences_dev.txt"


def claimed(text: str) -> list[tuple[str, str, str, str]]:
    return [(c.subject, c.attribute, c.value, c.says) for c in claims_of(text, SAID_AT)]


def test_sentences_that_were_tuned_on() -> None:
    precision, recall, bad = scored(DEV)
    assert (precision, recall, bad) == (1.0, 1.0, [])


def test_sentences_that_were_not() -> None:
    precision, recall, _ = scored(HELD_OUT)
    assert precision >= 0.95
    assert recall >= 0.95


@pytest.mark.parametrize("name", [HELD_OUT, DEV])
def test_a_claim_stands_where_it_says(name: str) -> None:
    for sentence, _ in labelled(name):
        raw = sentence.encode()
        for claim in claims_of(sentence, SAID_AT):
            span = raw[claim.byte_start : claim.byte_end].decode()
            if claim.kind == "vault":
                assert span == claim.value
            elif claim.kind == "semantic" and claim.value and claim.rule != "commute":
                assert claim.value.split(" (20")[0].lower() in span.lower(), (sentence, claim)


def test_bytes_are_those_of_the_text() -> None:
    text = "Grüße! 🙂 Übrigens — my sister Zoë lives in Málaga, and my wifi password is Schlüssel7."
    raw = text.encode()
    found = {c.attribute: raw[c.byte_start : c.byte_end].decode() for c in claims_of(text, SAID_AT)}
    assert found["wifi password"] == "Schlüssel7"
    assert found["home"] == "my sister Zoë lives in Málaga"


def test_later_sentences_and_clauses_count() -> None:
    text = "Morning! I slept badly. i live in leeds and work at bosch. Could you help? My cat is called Minka."
    assert claimed(text) == [
        ("owner", "home", "leeds", "holds"),
        ("owner", "employer", "bosch", "holds"),
        ("owner", "cat", "Minka", "holds"),
    ]


PASTED = """Please summarise this mail:

Hi, my name is Gerda and I live in Bremen. I work at Fennel Foods.
"""


@pytest.mark.parametrize(
    "text",
    [
        PASTED,
        "```\nname = 'x'  # my name is Bob\n```",
        "> I live in Ulm\n> I work at Bosch",
        "Alice: I live in Paris.\nBob: I work at Acme.",
        "He wrote: “I live in Ulm and I work at Bosch.”",
        "Imagine I live in Ulm. I work at Bosch. My name is Kim.",
        "Subject: hello\nI live in Ulm.",
        "I live in Ulm. " * 200,
    ],
)
def test_what_is_pasted_or_made_up_teaches_nothing(text: str) -> None:
    assert claimed(text) == []


def test_taking_it_back_takes_all_back() -> None:
    assert claimed("My name is Cleopatra. I live in a pyramid. Just kidding!") == []


def test_when_it_holds_is_told_by_tense_and_dates() -> None:
    told = {c.value: c for c in claims_of("I moved to Ghent in 2021. I worked at Quill until 2019.", SAID_AT)}
    ghent, quill = told["Ghent"], told["Quill"]
    assert ghent.since is not None and time.gmtime(ghent.since + 86400).tm_year == 2021
    assert quill.says == "held" and quill.until is not None
    assert time.gmtime(quill.until - 86400).tm_year == 2019


def test_an_appointment_has_its_day_beside_it() -> None:
    (claim,) = claims_of("I have a dentist appointment on Friday at 3pm", SAID_AT)  # said on 18 November 2026
    assert claim.value == "Friday at 3pm (2026-11-20)"
    assert "(2026-11-20)" in claim.text


def test_a_turn_takes_a_few_milliseconds() -> None:
    sentences = [s for s, _ in labelled(DEV)]
    claims_of(sentences[0], SAID_AT)
    started = time.process_time()
    for sentence in sentences:
        claims_of(sentence, SAID_AT)
    assert (time.process_time() - started) / len(sentences) < 0.005


def test_long_runs_take_no_long_time() -> None:
    awkward = [
        "my " * 2000,
        "I " + "a " * 3000,
        "my x is " + "1 " * 3000,
        "(" * 5000,
        "my password is " + "a" * 5000,
        "i live in " * 500,
    ]
    for text in awkward:
        started = time.process_time()
        claims_of(text, SAID_AT)
        assert time.process_time() - started < 1.0, text[:20]


WORDS = st.sampled_from(
    (
        "I my wife is not no longer Berlin used to live in work at , . ? ! \" ' never always password: 12 am and but"
        " she said if was"
    ).split()
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map(" ".join)))
def test_no_text_breaks_the_rules(text: str) -> None:
    n_bytes = len(text.encode("utf-8", "surrogatepass"))
    claims = claims_of(text, SAID_AT)
    for claim in claims:
        assert 0 <= claim.byte_start < claim.byte_end <= n_bytes
    hidden = [c.value for c in claims if c.kind == "vault"]
    for claim in claims:
        assert claim.kind == "vault" or not any(v in claim.text for v in hidden if len(v) > 3)
