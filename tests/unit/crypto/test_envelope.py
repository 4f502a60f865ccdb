"""Wrapping keys: what opens, what does not, and what the sizes are."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from secondme.crypto.envelope import KEY_BYTES, WRAPPED_BYTES, derive, random_key, unwrap, wrap

KEY, SECRET = bytes(range(32)), bytes(range(100, 132))


def test_a_wrapped_key_opens_with_its_key_in_its_place() -> None:
    wrapped = wrap(KEY, SECRET, b"here")
    assert len(wrapped) == WRAPPED_BYTES
    assert unwrap(KEY, wrapped, b"here") == bytearray(SECRET)
    assert SECRET not in wrapped
    assert unwrap(SECRET, wrapped, b"here") is None
    assert unwrap(KEY, wrapped, b"there") is None


def test_no_two_wrappings_are_alike() -> None:
    assert len({wrap(KEY, SECRET, b"") for _ in range(64)}) == 64
    assert len({bytes(random_key()) for _ in range(64)}) == 64 and len(random_key()) == KEY_BYTES


def test_every_flipped_bit_is_noticed() -> None:
    wrapped = wrap(KEY, SECRET, b"here")
    for i in range(len(wrapped) * 8):
        flipped = bytearray(wrapped)
        flipped[i // 8] ^= 1 << (i % 8)
        assert unwrap(KEY, bytes(flipped), b"here") is None


@pytest.mark.parametrize("cut", [0, 1, 12, 59])
def test_a_wrapped_key_cut_short_or_made_longer_does_not_open(cut: int) -> None:
    wrapped = wrap(KEY, SECRET, b"here")
    assert unwrap(KEY, wrapped[:cut], b"here") is None
    assert unwrap(KEY, wrapped + b"\0", b"here") is None


def test_a_wrapping_made_once_still_opens() -> None:
    """Zeros under a zero key and nonce; the first block is that of test case 14 in the specification of GCM."""
    wrapped = bytes(12) + bytes.fromhex(
        "cea7403d4d606b6e074ec5d3baf39d18726003ca37a62a74d1a2f58e7506358ed1d3084c99aa8a9fdabb3e83eb28c15d"
    )
    assert unwrap(bytes(32), wrapped, b"") == bytearray(32)


def test_derived_keys_follow_rfc_5869_and_differ_by_purpose() -> None:
    extracted = hmac.digest(bytes(32), KEY, hashlib.sha256)
    assert derive(KEY, b"purpose") == hmac.digest(extracted, b"purpose\x01", hashlib.sha256)
    assert derive(KEY, b"one") != derive(KEY, b"two") != KEY
