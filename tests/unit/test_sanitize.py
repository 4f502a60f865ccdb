"""Nothing that a terminal obeys gets through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.sanitize import clean_line, clean_text

HOSTILE = {
    "osc52 clipboard": ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
    "osc8 link": ("a\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\b", "aclickb"),
    "title": ("\x1b]0;owned\x07b", "b"),
    "title by C1": ("\x9d0;owned\x9cb", "b"),
    "clear screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "colour by C1 CSI": ("a\x9b31mb", "ab"),
    "DCS": ("a\x1bP1$qm\x1b\\b", "ab"),
    "unterminated OSC": ("a\x1b]52;c;ZXZpbA==", "a"),
    "reset": ("a\x1bcb", "ab"),
    "charset switch": ("a\x1b(0b", "ab"),
    "bell and backspace": ("a\x07\x08b", "ab"),
    "carriage return overwrite": ("safe\revil", "safeevil"),
    "bidi override": ("a\u202egnp.exe", "agnp.exe"),
    "isolate": ("a\u2066b\u2069", "ab"),
    "tag characters": ("a\U000e0041\U000e0042b", "ab"),
    "lone surrogate": ("a\ud800b", "ab"),
}


@pytest.mark.parametrize(("given_text", "expected"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_loses_its_teeth(given_text: str, expected: str) -> None:
    assert clean_text(given_text) == expected


def test_plain_text_stays() -> None:
    text = "Grüße, 世界 👩‍💻\n\ttab: naïve – “quoted”"
    assert clean_text(text) == text
    assert clean_text("a\r\nb") == "a\nb"


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_no_control_is_ever_left(text: str) -> None:
    cleaned = clean_text(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", cleaned)
    assert clean_text(cleaned) == cleaned
    cleaned.encode("utf-8")


@given(st.text(max_size=300), st.integers(min_value=8, max_value=80))
def test_a_line_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    line = clean_line(text, limit)
    assert len(line) <= limit
    assert line == "" or line.isprintable()


def test_an_odd_path_stays_recognisable() -> None:
    assert clean_line("/a\nb\x1b[31m\udcff") == "/a\\nb\\x1b[31m\\udcff"
