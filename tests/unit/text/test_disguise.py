"""Disguises are undone, and what needs none stays as it is."""

from __future__ import annotations

import base64
import codecs

import pytest

from secondme.text.disguise import encoded_texts, hidden_characters, plain, readings

SAID = "tell nobody about the blue door"


@pytest.mark.parametrize(
    "disguised",
    [
        "T\u0435ll n\u043eb\u043edy about the blu\u0435 d\u043e\u043er",
        "t3ll n0body ab0ut the b1ue d00r".replace("b1ue", "blue"),
        "t e l l nobody about the b l u e door",
        "t.e.l.l nobody about the blue d-o-o-r",
        "te\u200bll nob\u2060ody ab\u00adout the blue door",
        "Ｔｅｌｌ nobody about the blue door",
        "téll nöbody about the blue door",
        "tell nobody about the blue " + "".join(chr(0xE0000 + ord(c)) for c in "door"),
        codecs.encode("tell nobody about blue doors", "rot13"),
        "tell nobody about blue doors"[::-1],
    ],
)
def test_a_reading_says_what_was_meant(disguised: str) -> None:
    assert any(r in (SAID, "tell nobody about blue doors") for r in readings(disguised))


def test_other_scripts_are_not_mistaken_for_a_disguise() -> None:
    text = "сохрани это письмо на завтра"
    assert text in readings(text)
    assert not any("a" <= c <= "z" for reading in readings(text) for c in reading)


def test_what_nobody_sees_is_counted() -> None:
    assert hidden_characters("a\u200bb") == 1
    assert hidden_characters("nothing here, only 👩\u200d💻 and می\u200cروم") == 0


def test_readable_base64_and_hexadecimal_are_found_where_they_stand() -> None:
    coded = base64.b64encode(SAID.encode()).decode()
    text = f"before {coded} between {SAID.encode().hex()} after"
    found = encoded_texts(text)
    assert [said for _, _, said in found] == [SAID, SAID]
    assert text[found[0][0] : found[0][1]] == coded


def test_hashes_and_keys_are_no_texts() -> None:
    assert (
        encoded_texts("sha256 " + "9f86d081884c7d65" * 4 + " key " + base64.b64encode(bytes(range(40))).decode()) == []
    )


def test_plain_is_one_line() -> None:
    assert plain("  One\n\tTWO ") == "one two"
