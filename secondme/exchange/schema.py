"""The JSON Schemas of an export (2020-12), which are shipped inside each, and a validator for the words they use.

    type const enum pattern minimum maximum minLength maxLength required properties additionalProperties items maxItems
    anyOf $ref (to $defs of the same schema)

A schema that uses another word is refused at once, so none is ever silently ignored. The words are from the 2020-12
drafts of JSON Schema Core and Validation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("manifest", "sources", "memories", "conversations", "items", "edges")

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description"})
_OBJECT_WORDS = frozenset({"properties", "required", "additionalProperties"})
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
}
_MAX_DEPTH = 20

Rule = dict[str, Any]


@cache
def schema_bytes(name: str) -> bytes:
    """The shipped schema of `NAME.jsonl`, or of `manifest.json`, as it stands in every export."""
    return (files("secondme.exchange") / "schemas" / f"{name}.schema.json").read_bytes()


@cache
def schema(name: str) -> Rule:
    loaded: Rule = json.loads(schema_bytes(name))
    return loaded


def fits(value: Any, name: str) -> bool:
    """Whether `value` is what the schema called `name` describes."""
    root = schema(name)
    return _fits(value, root, root, 0)


def _fits(value: Any, rule: Rule, root: Rule, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        return False
    for word, wanted in rule.items():
        if word in _ANNOTATIONS or word in _OBJECT_WORDS:
            continue
        if word == "anyOf":
            good = any(_fits(value, option, root, depth + 1) for option in wanted)
        elif word == "$ref":
            good = _fits(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, depth + 1)
        elif word == "items":
            good = not isinstance(value, list) or all(_fits(v, wanted, root, depth + 1) for v in value)
        else:
            good = _WORDS[word](value, wanted)
        if not good:
            return False
    return not isinstance(value, dict) or _object_fits(value, rule, root, depth)


def _object_fits(value: dict[str, Any], rule: Rule, root: Rule, depth: int) -> bool:
    if any(name not in value for name in rule.get("required", ())):
        return False
    known: Rule = rule.get("properties", {})
    others = rule.get("additionalProperties", True)
    for name, item in value.items():
        inner = known.get(name, others)
        if inner is False or (isinstance(inner, dict) and not _fits(item, inner, root, depth + 1)):
            return False
    return True


def _is_type(value: Any, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    return any(_TYPES[name](value) for name in names)


@cache
def _pattern(wanted: str) -> re.Pattern[str]:
    # JSON Schema's `$` is the very end, Python's may lie before a last newline.
    return re.compile(wanted.removesuffix("$") + r"\Z" if wanted.endswith("$") else wanted)


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)


_WORDS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_type,
    "const": _same,
    "enum": lambda v, wanted: any(_same(v, w) for w in wanted),
    "pattern": lambda v, wanted: not isinstance(v, str) or _pattern(wanted).search(v) is not None,
    "minimum": lambda v, wanted: not _TYPES["number"](v) or v >= wanted,
    "maximum": lambda v, wanted: not _TYPES["number"](v) or v <= wanted,
    "minLength": lambda v, wanted: not isinstance(v, str) or len(v) >= wanted,
    "maxLength": lambda v, wanted: not isinstance(v, str) or len(v) <= wanted,
    "maxItems": lambda v, wanted: not isinstance(v, list) or len(v) <= wanted,
}
