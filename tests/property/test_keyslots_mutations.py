"""A key file that was changed in any way is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from secondme.crypto import keyslots, slots
from secondme.crypto.keys import StoreKeys
from secondme.crypto.keyslots import KeySlots, Slot
from secondme.crypto.slots import close_slot, keyring_key, new_id, new_keys, recovery_key, sign, with_next
from secondme.crypto.unlock import unlock
from secondme.errors import CorruptRecord, NoKey, SchemaTooNew, WrongPassphrase
from tests.fault.soak import n
from tests.keyfiles import DEVICE, SECRET, added, with_passphrase

pytestmark = pytest.mark.soak

PASSPHRASE = "one"
REFUSALS = (CorruptRecord, SchemaTooNew, WrongPassphrase, NoKey)


def full_file() -> tuple[KeySlots, bytearray]:
    """A key file with a slot of each kind, a project's key, and a rotation under way."""
    file, master = with_passphrase(PASSPHRASE)
    for kind, key in (("keyring", keyring_key(SECRET, DEVICE)), ("recovery", recovery_key(SECRET))):
        slot = Slot("keyring" if kind == "keyring" else "recovery", new_id(), b"")
        file = added(file, master, close_slot(file.store_id, slot, key, master))
    keys = file.keys | new_keys(file.store_id, master, ["project:" + "0" * 32])
    return sign(with_next(replace(file, keys=keys), master), master), master


Opened = tuple[StoreKeys, bytes]

SLOTS, MASTER = full_file()
DATA = keyslots.serialize(SLOTS)
CURRENT: list[bytes] = []


@pytest.fixture(autouse=True, scope="module")
def in_memory() -> Iterator[None]:
    """Thousands of files: none is written, and Argon2 runs once. Any other salt or work factor gives another key."""
    assert SLOTS.slots[0].kdf is not None
    right = SLOTS.slots[0].kdf
    key = slots.stretch(PASSPHRASE, right)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "stretch", lambda passphrase, kdf: key if kdf == right else bytes(32))
        patch.setattr(keyslots, "load", lambda folder: keyslots.parse(CURRENT[-1]))
        yield


KEYS = (
    StoreKeys(SLOTS.store_id, slots.open_key(SLOTS, MASTER, "db"), slots.open_key(SLOTS, MASTER, "watermark"), 1),
    bytes(slots.open_key(SLOTS, MASTER, "export")),
)


def opened(data: bytes) -> Opened | None:
    """The keys of a folder with this key file; None if it was refused as it should be."""
    CURRENT[:] = [data]
    try:
        keys = unlock(Path("nowhere"), passphrase=PASSPHRASE)
        return keys.store, bytes(keys.export)
    except REFUSALS:
        return None


def assert_refused(data: bytes) -> None:
    """Any other bytes are refused, and those that were written open."""
    assert opened(data) == (KEYS if data == DATA else None)


def test_the_file_itself_opens() -> None:
    assert opened(DATA) == KEYS


def test_any_flipped_bit() -> None:
    """Every one in the long form, more than 20,000; every seventh otherwise, which comes to each place in a byte."""
    for i in range(0, len(DATA) * 8, n(7, 1)):
        changed = bytearray(DATA)
        changed[i // 8] ^= 1 << (i % 8)
        assert_refused(bytes(changed))


def test_any_truncation() -> None:
    for n_left in range(len(DATA)):
        assert_refused(DATA[:n_left])
        assert_refused(DATA[n_left + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        DATA + b"\n",
        b" " + DATA,
        b"\xef\xbb\xbf" + DATA,
        json.dumps(json.loads(DATA)).encode(),
        json.dumps(json.loads(DATA), indent=1, sort_keys=True).encode(),
        DATA.replace(b'"version": 2,', b'"version": 1,\n "version": 2,'),
        DATA.replace(b'"version": 2,', b'"version": 2.0,'),
    ],
)
def test_another_spelling_of_the_same(data: bytes) -> None:
    assert data != DATA
    assert_refused(data)


@settings(max_examples=n(150, 10_000), deadline=None)
@given(start=st.integers(0, len(DATA)), n_cut=st.integers(0, 200), insert=st.binary(max_size=8))
def test_any_piece_cut_out_or_put_in(start: int, n_cut: int, insert: bytes) -> None:
    assert_refused(DATA[:start] + insert + DATA[start + n_cut :])


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["", "AAAA", "00" * 8, "00" * 16, "keyring", "passphrase", "argon2id", keyslots.FORMAT]),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [p for key, item in inner for p in places(item, (*at, key))]


PLACES = places(json.loads(DATA))


@settings(max_examples=n(200, 10_000), deadline=None)
@given(at=st.sampled_from(PLACES), value=VALUES, drop=st.booleans())
def test_any_value_changed_or_dropped(at: tuple[Any, ...], value: Any, drop: bool) -> None:
    document = json.loads(DATA)
    owner = document
    for key in at[:-1]:
        owner = owner[key]
    if drop:
        del owner[at[-1]]
    else:
        owner[at[-1]] = value
    assert_refused(json.dumps(document, indent=1).encode())


@settings(max_examples=n(60, 10_000), deadline=None)
@given(a=st.sampled_from(PLACES), b=st.sampled_from(PLACES))
def test_any_two_values_exchanged_with_another_files(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    """Parts of two files of the same owner, with the same passphrase, do not mix."""
    document, other = json.loads(DATA), json.loads(OTHER)
    for at in (a, b):
        target, source = document, other
        for key in at[:-1]:
            target, source = target[key], source[key]
        target[at[-1]] = copy.deepcopy(source[at[-1]])
    assert_refused(json.dumps(document, indent=1).encode())


OTHER = keyslots.serialize(full_file()[0])


def test_a_slot_added_by_somebody_else_is_noticed() -> None:
    theirs = Slot("keyring", "0" * 16, bytes(60))
    assert_refused(keyslots.serialize(replace(SLOTS, slots=(*SLOTS.slots, theirs))))


def test_an_older_sequence_under_the_same_mac_is_noticed() -> None:
    assert_refused(keyslots.serialize(replace(SLOTS, sequence=2)))
    assert_refused(keyslots.serialize(replace(SLOTS, next=None)))
