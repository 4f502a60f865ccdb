"""Conversations in the form in which every peer gets them, and how a ranking of their turns is judged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
"""LoCoMo's numbers of the kinds of question (Maharana et al. 2024)."""

_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the places of the turns that hold its answer."""

    question: str
    category: str
    evidence: frozenset[int]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """turns: "Speaker: text", in order; the places of `Asked` count from 0. Questions without evidence are left out."""

    turns: tuple[str, ...]
    asked: tuple[Asked, ...]


def read(path: Path, limit: int = 0) -> list[Dialogue]:
    """The conversations of a file in LoCoMo's format, at most `limit` questions of each, 0 for all."""
    return [_dialogue(sample, limit) for sample in json.loads(path.read_text("utf-8"))]


def _dialogue(sample: Mapping[str, Any], limit: int) -> Dialogue:
    talk = sample["conversation"]
    numbers = sorted(int(found[1]) for key in talk if (found := _SESSION.fullmatch(key)))
    turns = [turn for number in numbers for turn in talk[f"session_{number}"]]
    places = {turn["dia_id"]: place for place, turn in enumerate(turns)}
    asked = []
    for qa in sample["qa"]:
        named = [one for text in qa.get("evidence") or () for one in _TURN.findall(text)]
        if evidence := frozenset(places[one] for one in named if one in places):
            asked.append(Asked(qa["question"], CATEGORIES[qa["category"]], evidence))
    return Dialogue(tuple(f"{turn['speaker']}: {turn['text']}" for turn in turns), tuple(asked[: limit or None]))


def recall(dialogues: Sequence[Dialogue], rankings: Sequence[Sequence[Sequence[int]]], k: int) -> dict[str, float]:
    """Percent of the evidence among the first `k`, by category and for `all`: the mean over conversations.

    rankings: for each conversation and question the places of turns, best first.
    """
    found: dict[str, list[float]] = {}
    for dialogue, ranked in zip(dialogues, rankings, strict=True):
        shares: dict[str, list[float]] = {}
        for asked, places in zip(dialogue.asked, ranked, strict=True):
            share = len(asked.evidence & set(places[:k])) / len(asked.evidence)
            for name in (asked.category, "all"):
                shares.setdefault(name, []).append(share)
        for name, values in shares.items():
            found.setdefault(name, []).append(sum(values) / len(values))
    return {name: 100 * sum(values) / len(values) for name, values in found.items()}


def counts(dialogues: Sequence[Dialogue]) -> dict[str, int]:
    """How many questions of each category, and of `all`, there are."""
    names = [asked.category for dialogue in dialogues for asked in dialogue.asked]
    return {name: names.count(name) for name in names} | {"all": len(names)}
