"""Secrets are found wherever they stand, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from secondme.reflect.rules import claims_of
from secondme.reflect.secrets import iban, luhn, secrets


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("my wifi password is blue42horse", "wifi password", "blue42horse"),
        ("The password for the router is Tulip-9.", "password for the router", "Tulip-9"),
        ("PIN: 4821", "pin", "4821"),
        ("Our door code is 77 31 09", "door code", "77 31 09"),
        ("my card: 4111 1111 1111 1111", "card number", "4111 1111 1111 1111"),
        ("AKIAIOSFODNN7EXAMPLE is in the logs", "access key", "AKIAIOSFODNN7EXAMPLE"),
        ('passphrase: "four green old boats"', "passphrase", "four green old boats"),
        ("pay to DE89 3704 0044 0532 0130 00 please", "iban", "DE89 3704 0044 0532 0130 00"),
    ],
)
def test_found(text: str, name: str, value: str) -> None:
    found = secrets(text)
    assert [(s.name, s.value, text[s.start : s.end]) for s in found] == [(name, value, value)]


@pytest.mark.parametrize(
    "text",
    [
        "my password is too short",
        "What is my password?",
        "The password was changed yesterday.",
        "I forgot my PIN",
        "I ordered 4111111111111112 screws",
        "call me at 0151 23456789",
        "The key is to stay calm.",
        "The secret is out.",
    ],
)
def test_not_found(text: str) -> None:
    assert secrets(text) == []


def test_a_secret_is_in_no_other_claim_and_found_in_code_too() -> None:
    text = (
        "Remember that my wifi password is blue42horse. I live in Ulm.\n```\nkey = 'sk-live-a8Kd93jfLs02mXq7ZtYw'\n```"
    )
    claims = claims_of(text, 0.0)
    assert sorted(c.value for c in claims if c.kind == "vault") == ["blue42horse", "sk-live-a8Kd93jfLs02mXq7ZtYw"]
    assert not any("blue42horse" in c.text for c in claims if c.kind != "vault")
    assert any(c.attribute == "home" for c in claims)


def test_every_place_of_a_secret_is_known() -> None:
    text = "My PIN is 4821. Again: my PIN is 4821."
    (claim,) = claims_of(text, 0.0)
    places = ((claim.byte_start, claim.byte_end), *claim.more)
    assert [text[a:b] for a, b in places] == ["4821", "4821"]


def test_check_digits() -> None:
    assert luhn("4111111111111111") and not luhn("4111111111111112")
    assert iban("DE89 3704 0044 0532 0130 00") and not iban("DE88 3704 0044 0532 0130 00")
