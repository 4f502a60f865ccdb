"""The shipped schemas are JSON Schemas of 2020-12, and what they say is held to."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest

from secondme.errors import CorruptRecord
from secondme.exchange import records, schema, tarball
from secondme.exchange.schema import _ANNOTATIONS, _OBJECT_WORDS, _WORDS
from tests.golden import make_export as golden

Record = dict[str, Any]
SOURCE = records.source_record(golden.SOURCES[2])
RECORDS: dict[str, list[Record]] = {
    "sources": [records.project_record(golden.PROJECTS[0]), records.folder_record(golden.FOLDER), SOURCE],
    "memories": [records.passage_record(golden.PASSAGES[2], golden.SOURCES[2])],
    "conversations": [
        records.conversation_record(golden.CONVERSATION),
        *(records.turn_record(turn) for turn in golden.TURNS),
    ],
    "edges": [records.part_of(golden.PASSAGES[0]), records.edge_record(golden.EDGE)],
}
ALL = [(name, record) for name, several in RECORDS.items() for record in several]


def rules(rule: Any) -> Iterator[dict[str, Any]]:
    """A schema and all those within it."""
    yield rule
    for word, inner in rule.items():
        if word in ("$defs", "properties"):
            for one in inner.values():
                yield from rules(one)
        elif word == "anyOf":
            for one in inner:
                yield from rules(one)
        elif word in ("items", "additionalProperties") and isinstance(inner, dict):
            yield from rules(inner)


@pytest.mark.parametrize("name", schema.NAMES)
def test_they_use_known_words_only_and_refer_to_what_is_there(name: str) -> None:
    root = schema.schema(name)
    assert root["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for rule in rules(root):
        assert set(rule) <= _ANNOTATIONS | _OBJECT_WORDS | set(_WORDS) | {"anyOf", "$ref", "items"}
        assert set(rule.get("required", ())) <= set(rule.get("properties", {}))
        if "$ref" in rule:
            assert rule["$ref"].removeprefix("#/$defs/") in root["$defs"]
        # A schema that leaves a field unsaid would let anything through.
        assert rule.get("type") != "object" or "additionalProperties" in rule


@pytest.mark.parametrize(("name", "record"), ALL)
def test_each_field_is_needed_has_its_type_and_no_other_is_allowed(name: str, record: Record) -> None:
    assert schema.fits(record, name)
    assert not schema.fits(record | {"more": 1}, name)
    for field in record:
        if field != "at":
            assert not schema.fits({k: v for k, v in record.items() if k != field}, name), field
        wrongs: list[Any] = [[{}], {"x": {}}, 1j]
        for wrong in wrongs:
            assert not schema.fits(record | {field: wrong}, name), (field, wrong)


@pytest.mark.parametrize(("name", "record"), ALL)
def test_records_come_back(name: str, record: Record) -> None:
    to: dict[Any, Any] = {"project": records.to_project, "folder": records.to_folder, "source": records.to_source,
                          "resource": records.to_passage, "conversation": records.to_conversation,
                          "turn": records.to_turn, None: records.to_edge}  # fmt: skip
    item = to[record.get("type")](copy.deepcopy(record))
    originals: tuple[Any, ...] = (
        *golden.PROJECTS, golden.FOLDER, *golden.SOURCES, *golden.PASSAGES, golden.CONVERSATION, *golden.TURNS,
        golden.EDGE, None,
    )  # fmt: skip
    assert item in originals


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"type": "integer"}, [0, -1], [True, 1.0, "1", None]),
        ({"type": "number"}, [0, 1.5], [False, "1"]),
        ({"type": ["string", "null"]}, ["", None], [0, []]),
        ({"const": 1}, [1], [True, 1.0, 2]),
        ({"enum": ["a", None]}, ["a", None], ["b", 0]),
        ({"pattern": "^[a-z]+$"}, ["abc", 7], ["abc\n", "", "A"]),
        ({"pattern": "b"}, ["abc"], ["ac"]),
        ({"minimum": 2, "maximum": 3}, [2, 3, "x"], [1, 4]),
        ({"minLength": 1, "maxLength": 2}, ["a", "ab", 5], ["", "abc"]),
        ({"items": {"type": "string"}, "maxItems": 1}, [[], ["a"], "x"], [[1], ["a", "b"]]),
        ({"additionalProperties": {"type": "null"}}, [{}, {"a": None}, 3], [{"a": 1}]),
        ({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "null"}}}, [{}, {"a": None}], [{"a": 0}]),
        ({"anyOf": [{"type": "null"}, {"const": 3}]}, [None, 3], [4]),
    ],
)
def test_what_each_word_means(monkeypatch: pytest.MonkeyPatch, rule: Record, good: list[Any], bad: list[Any]) -> None:
    monkeypatch.setattr(schema, "schema", lambda _: rule)
    assert all(schema.fits(value, "any") for value in good)
    assert not any(schema.fits(value, "any") for value in bad)


def test_a_word_that_nobody_knows_is_no_silent_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "schema", lambda _: {"uniqueItems": True})
    with pytest.raises(KeyError):
        schema.fits([1, 1], "any")


def test_what_goes_too_deep_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rule: Record = {"$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}
    monkeypatch.setattr(schema, "schema", lambda _: rule)
    deep: list[Any] = []
    for _ in range(30):
        deep = [deep]
    assert schema.fits([[]], "any") and not schema.fits(deep, "any")


def test_sizes_above_eight_gib_have_a_place_in_a_header() -> None:
    for size in (0, 8**11 - 1, 8**11, 2**40):
        member = next(tarball.members(io.BytesIO(tarball.header("sources.jsonl", size))))
        assert (member.name, member.size_bytes) == ("sources.jsonl", size)
    with pytest.raises(CorruptRecord):
        list(tarball.members(io.BytesIO(tarball.header("x", 5) + b"12345" + b"\1" * 507 + tarball.END)))
