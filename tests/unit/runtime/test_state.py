"""The envelope of a saved cache: whole, or refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.errors import ModelError
from secondme.runtime.state import VERSION, open_state, seal_state

IDENTITY = {"model": "abc", "build": "1"}


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.binary())
def test_what_was_sealed_comes_out(tokens: list[int], payload: bytes) -> None:
    found, view, _ = open_state(IDENTITY, seal_state(IDENTITY, tokens, payload))
    assert (found, bytes(view)) == (tokens, payload)


@given(st.integers(0), st.integers(1, 255))
def test_no_changed_byte_passes(place: int, change: int) -> None:
    sealed = bytearray(seal_state(IDENTITY, [1, 2, 3], b"payload"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(ModelError):
        open_state(IDENTITY, bytes(sealed))


@given(st.integers(0, 200))
def test_no_shorter_state_passes(size: int) -> None:
    sealed = seal_state(IDENTITY, [1, 2, 3], b"payload")
    with pytest.raises(ModelError):
        open_state(IDENTITY, sealed[: min(size, len(sealed) - 1)])


@pytest.mark.parametrize(
    ("other", "named"), [({**IDENTITY, "build": "2"}, "build"), ({"model": "abc"}, "build"), ({}, "build")]
)
def test_a_state_of_something_else_is_named(other: dict[str, str], named: str) -> None:
    with pytest.raises(ModelError, match=f"another {named}"):
        open_state(other, seal_state(IDENTITY, [1], b""))


@pytest.mark.parametrize(
    "header",
    [b"{}", b"[]", b"\xff", b"null", b'{"identity": {}, "n_tokens": -1, "payload_bytes": 1}', b'{"identity": 1}'],
)
def test_a_wrong_header_with_a_right_checksum_is_refused(header: bytes) -> None:
    body = b"SMSV" + VERSION.to_bytes(2, "little") + len(header).to_bytes(4, "little") + header
    with pytest.raises(ModelError):
        open_state(IDENTITY, body + hashlib.sha256(body).digest())


def test_wrong_sizes_with_a_right_checksum_are_refused() -> None:
    sealed = seal_state(IDENTITY, [1, 2], b"payload")[:-32]
    for body in (sealed + b"x", sealed[:-1], sealed.replace(b'"n_tokens": 2', b'"n_tokens": 3')):
        with pytest.raises(ModelError, match="do not add up"):
            open_state(IDENTITY, body + hashlib.sha256(body).digest())
