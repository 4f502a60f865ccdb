"""The recovery code: what is forgiven, and that no slip of the pen passes."""

from __future__ import annotations

import string
from itertools import combinations

import pytest

from secondme.crypto.recovery import ALPHABET, N_CHARACTERS, first_difference, new_code, read, resembles, spell

CODES = [bytes(32), b"\xff" * 32, bytes(range(32))]


def test_a_code_reads_back() -> None:
    for code in [*map(bytearray, CODES), *(new_code() for _ in range(20))]:
        assert read(spell(code)) == code
    assert len({spell(new_code()) for _ in range(64)}) == 64
    assert len(new_code()) == 32


def test_a_code_is_spelled_as_it_always_was() -> None:
    """Pinned: it is on somebody's paper."""
    assert spell(bytes(range(32))) == "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-QKDM"


def test_it_is_read_in_any_dress() -> None:
    code = bytes(range(32))
    spelled = spell(code)
    assert {"0", "1"} <= set(spelled)
    for dressed in (
        spelled.lower(),
        spelled.replace("-", ""),
        spelled.replace("-", " "),
        spelled.replace("-", "\u2013"),
        f"  {spelled}\n",
        spelled.replace("0", "O").replace("1", "I"),
        spelled.replace("0", "o").replace("1", "l"),
        spelled.replace("-", "\t - "),
    ):
        assert read(dressed) == bytearray(code), dressed
        assert resembles(dressed)


@pytest.mark.parametrize("code", CODES)
def test_no_single_wrong_character_passes(code: bytes) -> None:
    text = spell(code).replace("-", "")
    for i, right in enumerate(text):
        for wrong in ALPHABET + "U?*":
            if wrong != right:
                assert read(text[:i] + wrong + text[i + 1 :]) is None


@pytest.mark.parametrize("code", CODES)
def test_no_two_exchanged_characters_pass(code: bytes) -> None:
    text = spell(code).replace("-", "")
    for i, j in combinations(range(N_CHARACTERS), 2):
        swapped = list(text)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        if text[i] != text[j]:
            assert read("".join(swapped)) is None


def test_no_missing_doubled_or_exchanged_group_passes() -> None:
    groups = spell(bytes(range(32))).split("-")
    for i in range(len(groups)):
        assert read("-".join(groups[:i] + groups[i + 1 :])) is None
        assert read("-".join([*groups[:i], groups[i], *groups[i:]])) is None
        for j in range(i):
            moved = groups.copy()
            moved[i], moved[j] = moved[j], moved[i]
            assert read("-".join(moved)) is None


def test_a_passphrase_is_no_code_and_does_not_look_like_one() -> None:
    for text in ("", "correct horse battery staple", "x" * N_CHARACTERS, "a" * 1000, string.printable, "\udcff" * 60):
        assert read(text) is None and not resembles(text)


def test_a_mistyped_code_still_looks_like_one() -> None:
    spelled = spell(bytes(range(32)))
    for typed in (spelled[:-1], spelled + "7", spelled.replace("5", "U"), spelled[5:], spelled + " " + spelled[:4]):
        assert read(typed) is None and resembles(typed), typed
    assert not resembles(spelled[:20])


def test_the_group_with_the_slip_is_named() -> None:
    spelled = spell(bytes(range(32)))
    groups = spelled.split("-")
    assert first_difference(spelled, spelled.lower().replace("0", "o")) == 0
    for i, group in enumerate(groups):
        wrong = "-".join([*groups[:i], group[:-1] + ("Z" if group[-1] != "Z" else "Y"), *groups[i + 1 :]])
        assert first_difference(spelled, wrong) == i + 1
    assert first_difference(spelled, "-".join(groups[:-1])) == 14
    assert first_difference(spelled, "") == 1
    assert first_difference(spelled, spelled + "0") == 14
