"""Sets of updates: made alike for a seed, read in the documented form and in its shortest, and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondme.bench.recall import Options, Tools, updates
from secondme.bench.recall.make_updates import LOOSE, TOPICS, make
from secondme.bench.recall.update_chats import CHATTED
from secondme.bench.recall.update_chats_dev import CHATTED_DEV
from secondme.bench.recall.update_chats_dev_last import CHATTED_DEV_LAST
from secondme.bench.recall.update_chats_dev_more import CHATTED_DEV_MORE
from secondme.errors import UsageError
from secondme.runtime.echo import HashEmbedder

DEV = (*CHATTED_DEV, *CHATTED_DEV_MORE, *CHATTED_DEV_LAST)

MINIMAL: dict[str, Any] = {
    "cases": [
        {
            "turns": [
                {"role": "user", "text": "The choir rehearses a Byrd mass for spring.", "at": "2025-09-01T10:00:00"},
                {"role": "assistant", "text": "That sounds lovely."},
                {"text": "The choir rehearses a Holst carol for spring instead.", "at": 1756980000},
            ],
            "question": "Which piece does the choir rehearse for spring?",
            "current": "a Holst carol",
            "old": ["a Byrd mass"],
        },
        {
            "turns": [{"text": "I live in Graz."}, {"text": "I moved to Linz."}],
            "question": "Where do I live?",
            "past_question": "Where did I use to live?",
            "current": "Linz",
            "old": "Graz",
        },
    ]
}


def tools(path: Path, limit: int = 0) -> Tools:
    return Tools(HashEmbedder(), Options(updates=path, limit=limit), lambda _: None)


def measured(path: Path, limit: int = 0) -> dict[str, float]:
    return {row.case: row.value for row in updates.rows(path, tools(path, limit))}


def test_a_seed_makes_one_set_and_another_seed_another(tmp_path: Path) -> None:
    assert make("a", 40) == make("a", 40) != make("b", 40)
    updates.write(tmp_path / "set.json", "a")
    cases, seed = updates.read(tmp_path / "set.json")
    assert seed == "a" and len(cases) == 200
    for case in cases:
        assert any(updates.holds(text, case.current) for _, text, _ in case.turns)
        assert case.current not in case.old
        assert [at for *_, at in case.turns] == sorted(at for *_, at in case.turns)
        assert not any("{" in text for _, text, _ in case.turns)


def test_wordings_that_were_tuned_on_are_not_in_other_sets() -> None:
    for topic in (*TOPICS, *LOOSE):
        for wordings in (topic.first, topic.correction, topic.question):
            assert len(wordings) >= 2, topic.name
    chats = [
        {w for topic in topics for w in (*topic.first, *topic.correction, *topic.question)} for topics in (DEV, CHATTED)
    ]
    assert chats[0].isdisjoint(chats[1])
    asked = [{c["question"] for c in make(seed, 300)["cases"]} for seed in ("dev", "other")]
    assert asked[0].isdisjoint(asked[1])


def test_a_set_of_the_shortest_form_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "minimal.json"
    path.write_text(json.dumps(MINIMAL), "utf-8")
    found = measured(path)
    assert found.pop("updates/learn_ms") > 0
    assert found == {"updates/current_first": 100.0, "updates/history": 100.0, "updates/past_first": 100.0}


def test_a_case_that_fails_lowers_the_figure_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    case = MINIMAL["cases"][1] | {"current": "Wels", "old": ["Steyr"], "id": "case seven"}
    path.write_text(json.dumps({"cases": [case]}), "utf-8")
    said: list[str] = []
    rows = {r.case: r.value for r in updates.rows(path, Tools(HashEmbedder(), Options(updates=path), said.append))}
    assert (rows["updates/current_first"], rows["updates/history"], rows["updates/past_first"]) == (0.0, 0.0, 0.0)
    assert said == ["case seven: not first"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"cases": [{"turns": []}]}', '{"cases": 3}', '{"cases": [{"turns": [{}]}]}']
)
def test_another_format_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError):
        updates.read(path)


def test_values_are_found_as_whole_words() -> None:
    assert updates.holds("We moved to São Paulo!", "sao paulo")
    assert not updates.holds("Limericks are fun", "Limerick")
    assert not updates.holds("anything", "")
