"""Copies of a text are near each other, and other texts are not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondme.text.shingles import NEAR, distance, resemblance, shingles, simhash, spelled

TEXT = "the ferry to the island leaves at nine from the second pier and comes back before it is dark in winter"


def test_a_copy_with_another_number_and_case_is_the_same() -> None:
    assert simhash("Room 12 is closed until May 3") == simhash("room 14 is CLOSED until may 9")


def test_a_copy_with_a_word_changed_is_near() -> None:
    assert distance(simhash(TEXT), simhash(TEXT.replace("dark", "late"))) <= NEAR


def test_another_text_is_far() -> None:
    other = "whoever plants beans too early loses them to the frost that comes in the nights of late april"
    assert distance(simhash(TEXT), simhash(other)) > NEAR
    assert resemblance(TEXT, other) == 0.0


@given(st.text())
def test_any_text_has_a_fingerprint_of_64_bits(text: str) -> None:
    assert 0 <= simhash(text) < 1 << 64
    assert resemblance(text, text) == (1.0 if shingles(text) else 0.0)


def test_what_spells_no_fingerprint_is_left_out() -> None:
    assert spelled([f"{simhash('one two three'):016x}", "", "xyz", "0x" + "1" * 14, "١" * 16, "1" * 17]) == {
        simhash("one two three")
    }
