"""Secrets are overwritten in place: that, nothing beside it, and never a value that Python shares."""

from __future__ import annotations

import sys

import pytest

from secondme.crypto.erase import erase, layout_is_known


def test_the_layout_is_known_here() -> None:
    """Otherwise nothing would be overwritten, and the tests that look for keys in memory fail as well."""
    assert layout_is_known() == (sys.implementation.name == "cpython")


@pytest.mark.parametrize("text", ["correct horse", "caf\xe9 ole", "\u65e5\u672c\u8a9e!", "\U0001f600 and more"])
def test_a_string_is_overwritten_whole(text: str) -> None:
    secret = "".join(list(text))  # one of our own, and not the constant
    beside = "".join(list(text))
    erase(secret)
    assert all(letter == "\0" for letter in secret) and beside == text


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_are_overwritten_whole(kind: type[bytes] | type[bytearray]) -> None:
    secret, beside = kind(range(1, 33)), kind(range(1, 33))
    erase(secret)
    assert secret == bytes(32) and beside == bytes(range(1, 33))


def test_what_python_shares_is_left_alone() -> None:
    letter, byte = "Zebra"[0], b"Zebra"[:1]
    erase(letter, byte, "", b"", None)
    assert letter == "Zebra"[0] == chr(90) and byte == bytes([90])
