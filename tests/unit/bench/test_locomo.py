"""The benchmark of conversations, on a made-up file of two samples: rows, and weights that are learned and used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secondme.bench.recall import Options, Tools, locomo, transfer
from secondme.bench.recall.learn import listwise
from secondme.errors import UsageError
from secondme.recall.turns.weights import read
from secondme.runtime.echo import HashEmbedder

TOLD = (
    ("My cousin Ottilie keeps bees on the roof.", "Who keeps bees on the roof?"),
    ("The old pier burned down in the night.", "What burned down in the night?"),
    ("I learned to carve spoons from birch.", "What did Vera learn to carve?"),
    ("We crossed the glacier with two dogs.", "With how many dogs was the glacier crossed?"),
)


def _sample(name: str, months: tuple[str, str], n_asked: int = 4) -> dict[str, object]:
    conversation: dict[str, object] = {"speaker_a": "Vera", "speaker_b": "Milan"}
    asked = []
    for n, month in enumerate(months, 1):
        turns = []
        for i, (told, question) in enumerate(TOLD[2 * n - 2 : 2 * n]):
            turns += [
                {"speaker": "Vera", "dia_id": f"D{n}:{2 * i + 1}", "text": told, "blip_caption": "a photo of a field"},
                {"speaker": "Milan", "dia_id": f"D{n}:{2 * i + 2}", "text": "Really? Tell me more about that day."},
            ]
            asked.append({"question": question, "category": 1 + i * 4, "evidence": [f"D{n}:{2 * i + 1}"]})
        conversation |= {f"session_{n}": turns, f"session_{n}_date_time": f"1:56 pm on 8 {month}, 2030"}
    unanswerable = {"question": "Who?", "category": 4, "evidence": []}
    return {"sample_id": name, "conversation": conversation, "qa": [*asked[:n_asked], unanswerable]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "made-up.json"
    path.write_text(
        json.dumps(
            [_sample("a", ("May", "June")), _sample("b", ("July", "August")), _sample("c", ("March", "April"), 2)]
        )
    )
    return path


def _figures(path: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> dict[str, float]:
    monkeypatch.setattr(transfer, "N_FEW", 1)
    monkeypatch.setattr(transfer, "chats", lambda *_: transfer_chats)
    tools = Tools(HashEmbedder(), Options(locomo=path, **options), lambda _: None)  # type: ignore[arg-type]
    return {row.case: row.value for row in locomo.rows(path, tools)}


transfer_chats = transfer.chats(1, 3)


def test_rows_of_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = _figures(path, monkeypatch)
    assert figures["locomo/recall@10/all"] == 100.0  # four turns a session: all are among ten
    assert figures["locomo/recall@5/multi-hop"] >= 50.0
    assert {"locomo/recall@10/adversarial", "locomo/session_hit@5", "locomo/not_in_memory_at_95"} <= figures.keys()
    assert "locomo/recall@10/temporal" not in figures  # none was asked
    assert 0 < figures["prompt_tokens"] <= 550
    assert {"transfer/recall@10", "transfer/found", "transfer/few/recall@1"} <= figures.keys()


def test_learned_weights_are_written_with_those_that_leave_a_conversation_out(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "learned.json"
    assert _figures(path, monkeypatch, learn=out)["locomo/recall@10/all"] == 100.0
    weights = read(out)
    one, _, two = weights.held_out.values()
    assert not np.array_equal(one.first.weights, two.first.weights)
    assert weights.first.weights.any() and weights.command


def test_two_conversations_teach_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    with pytest.raises(UsageError, match="teach nothing"):
        _figures(path, monkeypatch, learn=tmp_path / "learned.json")


def test_learning_finds_what_tells_the_answers(rng: np.random.Generator) -> None:
    rows = [rng.normal(size=(30, 4)) for _ in range(80)]
    targets = [np.arange(30) == int(np.argmax(2 * r[:, 1] - r[:, 3])) for r in rows]
    weights = listwise(rows, targets, 1.0)
    assert weights[1] > 1 and weights[3] < -0.5
    assert abs(weights[0]) < 0.5 * weights[1] and abs(weights[2]) < 0.5 * weights[1]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_chats_are_the_same_for_a_seed() -> None:
    assert transfer.chats(3, 4) == transfer.chats(3, 4) != transfer.chats(4, 4)
    for chat in transfer.chats(3, 20):
        assert all(chat.turns[place][0] == "user" for place, _ in chat.asked)
