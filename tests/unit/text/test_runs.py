"""Long runs of nothing are cut out of what rules read, in the same length, and cost no time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.reflect.rules import claims_of
from secondme.text.instructions import suspects, suspects_said
from secondme.text.runs import without_runs


@given(st.text(alphabet=" \n-ab.", max_size=300))
def test_the_text_keeps_its_length_and_all_but_runs(text: str) -> None:
    short = without_runs(text)
    assert len(short) == len(text)
    assert all(a == b or b == "\ufffc" for a, b in zip(text, short, strict=True))
    assert [c for c in short if c.isalpha()] == [c for c in text if c.isalpha()]


def test_what_is_said_around_a_run_keeps_its_place() -> None:
    text = "I live in Bergen." + "\n" * 300 + "My sister is called Ada."
    claims = {c.attribute: (c.byte_start, c.byte_end) for c in claims_of(text, 0.0)}
    assert len(claims) == 2
    starts = sorted(start for start, _ in claims.values())
    assert starts[0] < 17 and starts[1] >= 317


@pytest.mark.parametrize("piece", ["\n", " ", "- ", "> ", '"', "\t"])
def test_a_run_is_read_at_once(piece: str) -> None:
    text = piece * 20_000
    began = time.perf_counter()
    assert claims_of(text, 0.0) == [] and suspects(text) == suspects_said(text) == []
    assert time.perf_counter() - began < 5
