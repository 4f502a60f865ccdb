"""A manifest says what a cartridge is, or is refused: every field on its own, and against what is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from secondme.cartridges.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_TOKENS,
    Expected,
    Manifest,
    Section,
    check_manifest,
    hash_of_tokens,
    model_key,
    pack,
    pack_tokens,
    parse,
)
from secondme.errors import CartridgeIncompatible, CartridgeStale, CorruptCartridge
from secondme.runtime.kv import KvIdentity, Rope
from tests.sealing_cartridges import ROPE, SHAPE, TOKENS, identity_of, manifest_of, sha

DIGEST = bytes(range(32))


def whole() -> Manifest:
    tokens = Section("tokens", -1, 12, bytes.fromhex(hash_of_tokens(TOKENS)))
    return replace(manifest_of(), sections=(tokens, Section("k", 0, 90, DIGEST), Section("k", 1, 0, DIGEST)))


def test_it_comes_back_from_its_only_spelling() -> None:
    packed = pack(whole())
    assert parse(packed) == whole()
    assert pack(parse(packed)) == packed
    assert json.dumps(json.loads(packed), sort_keys=True, separators=(",", ":")).encode() == packed


def test_numbers_of_position_are_floats_whatever_they_were() -> None:
    rope = replace(ROPE, freq_base=500000, factors=(1,) * 16)  # a whole number is one, in Python
    packed = pack(manifest_of(identity=identity_of(rope=rope)))
    assert b'"freq_base":500000.0' in packed and parse(packed).identity.rope == rope


VALUES: list[tuple[str, object]] = [
    ("source_hash", "A" * 64),
    ("source_hash", "0" * 63),
    ("prefix_hash", None),
    ("tokens_hash", 3),
    ("n_tokens", 0),
    ("n_tokens", -1),
    ("n_tokens", True),
    ("n_tokens", 1.0),
    ("n_tokens", MAX_TOKENS + 1),
    ("start", -1),
    ("start", 1 << 40),
    ("tier", "T4"),
    ("tier", ["T0"]),
    ("codec", 0),
    ("codec", 1 << 16),
    ("calibration", "0"),
    ("calibration", None),
    ("complete", 1),
    ("sections", [["k", 0, 1, "A" * 43]]),
    ("format", 0),
    ("format", "1"),
    ("identity", None),
    ("identity", []),
]
IDENTITY: list[tuple[str, object]] = [
    ("weights", ""),
    ("tokenizer", "g" * 64),
    ("template", 1),
    ("dtype", "f32"),
    ("dtype", None),
    ("rotated", 0),
    ("runtime", ""),
    ("runtime", "two\nlines"),
    ("runtime", "x" * 257),
    ("state_version", -1),
    ("state_version", "1"),
    ("shape", None),
    ("shape", []),
    ("rope", "none"),
]
SHAPES: list[tuple[str, object]] = [
    ("n_layers", 0),
    ("n_layers", 513),
    ("n_kv_heads", 0),
    ("n_kv_heads", 3),
    ("n_heads", 0),
    ("n_heads", 1 << 31),
    ("k_dim", 0),
    ("k_dim", 1025),
    ("v_dim", "32"),
]
ROPES: list[tuple[str, object]] = [
    ("pairs", "thirds"),
    ("pairs", "none"),
    ("n_dims", 0),
    ("n_dims", 31),
    ("n_dims", 34),
    ("freq_base", 0.0),
    ("freq_base", -1.0),
    ("freq_base", 10000),
    ("freq_base", 1e300),
    ("freq_scale", None),
    ("factors", [1.0]),
    ("factors", [1] * 16),
    ("factors", [0.0] * 16),
    ("factors", None),
    ("movable", 1),
]


def edited(change: Callable[[Any], None]) -> bytes:
    found = json.loads(pack(whole()))
    change(found)
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (place, name, value)
        for place, table in (("", VALUES), ("identity", IDENTITY), ("shape", SHAPES), ("rope", ROPES))
        for name, value in table
    ],
)
def test_every_field_has_bounds(place: str, name: str, value: object) -> None:
    def change(found: Any) -> None:
        home = found if not place else found["identity"] if place == "identity" else found["identity"][place]
        home[name] = value

    with pytest.raises(CorruptCartridge, match="cannot be trusted"):
        parse(edited(change))


@pytest.mark.parametrize("place", ["", "identity", "shape", "rope"])
def test_no_key_is_missing_or_one_too_many(place: str) -> None:
    def home(found: Any) -> Any:
        return found if not place else found["identity"] if place == "identity" else found["identity"][place]

    def add(found: Any) -> None:
        home(found)["more"] = 1

    for name in home(json.loads(pack(whole()))):

        def leave_out(found: Any, name: str = name) -> None:
            del home(found)[name]

        with pytest.raises(CorruptCartridge):
            parse(edited(leave_out))
    with pytest.raises(CorruptCartridge):
        parse(edited(add))


SECTIONS: list[list[object]] = [
    ["K", 0, 1, "A" * 43],
    ["k" * 17, 0, 1, "A" * 43],
    [None, 0, 1, "A" * 43],
    ["v", 2, 1, "A" * 43],
    ["v", -2, 1, "A" * 43],
    ["v", 0.0, 1, "A" * 43],
    ["k", 1, 1, "A" * 43],
    ["v", 0, 1, "A" * 43],
    ["v", 1, -1, "A" * 43],
    ["v", 1, 1 << 30, "A" * 43],
    ["v", 1, 1, "A" * 42],
    ["v", 1, 1, "A" * 42 + "B"],
    ["v", 1, 1, "é" * 43],
    ["v", 1, 1, "!" * 43],
    ["v", 1, 1, None],
    ["v", 1, 1],
    ["v", 1, 1, "A" * 43, 1],
]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_cannot_be_is_refused(section: list[object]) -> None:
    with pytest.raises(CorruptCartridge):
        parse(edited(lambda found: found["sections"].append(section)))


def test_the_token_ids_come_first_and_are_those_that_were_hashed() -> None:
    for change in (
        lambda found: found["sections"].reverse(),
        lambda found: found["sections"].pop(0),
        lambda found: found["sections"][0].__setitem__(2, 16),
        lambda found: found["sections"][0].__setitem__(3, "A" * 43),
        lambda found: found.__setitem__("tokens_hash", sha("others")),
        lambda found: found.__setitem__("n_tokens", 4),
    ):
        with pytest.raises(CorruptCartridge):
            parse(edited(change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"format":' + b"9" * 5000 + b"}",
        b'{"format":NaN}',
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptCartridge):
        parse(data)


def test_another_spelling_of_the_same_is_refused() -> None:
    packed = pack(whole())
    for other in (
        packed + b"\n",
        packed.replace(b":5,", b": 5,", 1),
        packed.replace(b'"start"', b'"st\\u0061rt"', 1),
        packed.replace(b"10000.0", b"1e4", 1),
        packed.replace(b'"codec":1,', b'"codec":1,"codec":1,', 1),
        packed.replace(b'"complete":true', b'"complete":true,"complete":true', 1),
    ):
        assert other != packed
        with pytest.raises(CorruptCartridge):
            parse(other)


def test_a_newer_format_is_named_as_such() -> None:
    with pytest.raises(CartridgeIncompatible, match="newer version"):
        parse(edited(lambda found: found.update(format=2, more="unknown")))


def test_more_sections_than_a_reader_takes_are_not_written() -> None:
    shape = replace(SHAPE, n_layers=512)
    tokens = whole().sections[0]
    many = tuple(Section(f"k{i}", layer, 1, DIGEST) for layer in range(512) for i in range(8))
    with pytest.raises(ValueError, match="sections"):
        replace(manifest_of(identity=identity_of(shape=shape)), sections=(tokens, *many))


def test_only_token_ids_are_packed() -> None:
    assert pack_tokens([]) == b"" and pack_tokens([1, 2**31 - 1]) == b"\x01\0\0\0\xff\xff\xff\x7f"
    for wrong in ([-1], [2**31]):
        with pytest.raises(ValueError, match="token"):
            pack_tokens(wrong)


# Comparing -----------------------------------------------------------------------------------------------------


def expected(**changes: Any) -> Expected:
    same = Expected(identity_of(), sha("text"), sha("prefix"), hash_of_tokens(TOKENS), None, 4096)
    return replace(same, **changes)


def test_what_was_made_for_this_fits() -> None:
    check_manifest(whole(), expected())
    check_manifest(whole(), expected(tokens_hash=None, calibration=sha("calibration"), n_ctx=3))
    check_manifest(replace(manifest_of(), calibration=sha("c"), tier="T1"), expected(calibration=sha("c")))


OTHER_MODELS: dict[str, tuple[object, str]] = {
    "weights": (sha("other"), "model"),
    "tokenizer": (sha("other"), "tokenizer"),
    "template": (sha("other"), "template"),
    "shape": (replace(SHAPE, k_dim=64), "shape"),
    "rope": (Rope("halves", 32, 10000.0), "position"),
}
OTHER_RUNTIMES: dict[str, object] = {
    "dtype": "q8_0",
    "rotated": True,
    "runtime": "test 2",
    "state_version": 2,
}


def test_a_field_is_of_the_model_or_of_the_runtime() -> None:
    assert set(OTHER_MODELS) | set(OTHER_RUNTIMES) == set(KvIdentity.__dataclass_fields__)


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_whatever_differs_of_the_model_is_named(name: str) -> None:
    value, word = OTHER_MODELS[name]
    other = replace(identity_of(), **{name: value})  # type: ignore[arg-type]
    with pytest.raises(CartridgeIncompatible, match=word):
        check_manifest(whole(), expected(identity=other))
    assert model_key(other, sha("prefix"), "") != whole().model_key


@pytest.mark.parametrize(
    "rope",
    [
        replace(ROPE, pairs="halves"),
        replace(ROPE, n_dims=16),
        replace(ROPE, freq_base=10001.0),
        replace(ROPE, freq_scale=0.5),
        replace(ROPE, factors=(1.0,) * 16),
        replace(ROPE, movable=False),
    ],
    ids=str,
)
def test_keys_that_were_turned_otherwise_are_refused(rope: Rope) -> None:
    other = replace(identity_of(), rope=rope)
    with pytest.raises(CartridgeIncompatible, match="position settings"):
        check_manifest(whole(), expected(identity=other))
    assert model_key(other, sha("prefix"), "") != whole().model_key


def test_another_runtime_of_the_same_model_opens_it() -> None:
    for change in (*({name: value} for name, value in OTHER_RUNTIMES.items()), OTHER_RUNTIMES):
        other = replace(identity_of(), **change)  # type: ignore[arg-type]
        check_manifest(whole(), expected(identity=other))
        assert model_key(other, sha("prefix"), "") == whole().model_key
        # Its own description stays, for who decodes it.
        assert parse(pack(replace(manifest_of(), identity=other))).identity == other


def test_another_prefix_calibration_or_context_is_named() -> None:
    coded = replace(manifest_of(), calibration=sha("c"), tier="T2")
    for manifest, other, word in (
        (whole(), expected(prefix_hash=sha("other")), "instructions"),
        (coded, expected(), "calibration of the model, which is not installed"),
        (coded, expected(calibration=sha("d")), "newer one"),
        (whole(), expected(n_ctx=2), "context"),
    ):
        with pytest.raises(CartridgeIncompatible, match=word):
            check_manifest(manifest, other)
    keys = {
        whole().model_key,
        coded.model_key,
        model_key(identity_of(), sha("other"), ""),
        model_key(identity_of(), sha("prefix"), sha("d")),
    }
    assert len(keys) == 4


def test_another_text_makes_it_stale() -> None:
    for change in ({"source_hash": sha("other")}, {"tokens_hash": sha("other")}):
        with pytest.raises(CartridgeStale, match="changed"):
            check_manifest(whole(), expected(**change))
    # Of one that is not complete, the first tokens are in it only.
    check_manifest(replace(manifest_of(), complete=False), expected(tokens_hash=sha("longer")))
