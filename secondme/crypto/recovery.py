"""The recovery code: 256 random bits that open a memory when keyring and passphrase are lost.

Written in Crockford's base32 (no I, L, O, U), with 24 bits of SHA-256 behind the key, in 14 groups of four:

    7ZQK-0M3P-...-X9TA

A typing error is found by the checksum, with 1 chance in 16 million of missing it. Case, spaces and dashes do not
matter, and O, I and L are read as the digits they are mistaken for.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from secondme.crypto.envelope import KEY_BYTES

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
N_CHARACTERS = 56
GROUP = 4
_CHECK_BYTES = 3
_CONFUSED = str.maketrans("OIL", "011")
_SEPARATORS = "-\u2010\u2011\u2012\u2013\u2014\u2212_.:,"


def new_code() -> bytearray:
    """32 random bytes."""
    return bytearray(os.urandom(KEY_BYTES))


def spell(code: bytes | bytearray) -> str:
    """The code as its owner writes it down, 69 characters."""
    number = int.from_bytes(code + _checksum(code), "big")
    text = "".join(ALPHABET[number >> 5 * i & 31] for i in reversed(range(N_CHARACTERS)))
    return "-".join(text[i : i + GROUP] for i in range(0, N_CHARACTERS, GROUP))


def read(text: str) -> bytearray | None:
    """The code that was typed; None if it is none, or has a typing error."""
    typed = _bare(text)
    if len(typed) != N_CHARACTERS or not set(typed) <= set(ALPHABET):
        return None
    # Bit by bit into one place: a number would leave the code behind in memory.
    held = bytearray(KEY_BYTES + _CHECK_BYTES)
    for at, character in enumerate(typed):
        value = ALPHABET.index(character)
        for bit in range(5):
            held[(5 * at + bit) // 8] |= (value >> (4 - bit) & 1) << 7 - (5 * at + bit) % 8
    check = bytes(held[KEY_BYTES:])
    held[KEY_BYTES:] = b""
    return held if hmac.compare_digest(_checksum(held), check) else None


def resembles(text: str) -> bool:
    """Whether somebody meant to type a recovery code: about as long as one, in its characters, with digits in it."""
    typed = _bare(text)
    n_known = sum(c in ALPHABET for c in typed)
    n_digits = sum(c in "0123456789" for c in typed)
    return abs(len(typed) - N_CHARACTERS) <= 2 * GROUP and n_known >= len(typed) - 4 and n_digits >= GROUP


def first_difference(spelled: str, typed: str) -> int:
    """The number of the first group, from 1, in which what was typed is not the code; 0 if it is the code."""
    right, given = _bare(spelled), _bare(typed)
    if right == given:
        return 0
    same = next((i for i, (a, b) in enumerate(zip(right, given, strict=False)) if a != b), min(len(right), len(given)))
    return min(same, N_CHARACTERS - 1) // GROUP + 1


def _bare(text: str) -> list[str]:
    """The characters that count, one by one, so that no second string is made of a secret."""
    return [c.upper().translate(_CONFUSED) for c in text if c not in _SEPARATORS and not c.isspace()]


def _checksum(code: bytes | bytearray) -> bytes:
    digest = hashlib.sha256(b"secondme recovery code")
    digest.update(code)
    return digest.digest()[:_CHECK_BYTES]
