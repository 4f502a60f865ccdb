"""Rows beside other retrievers: how rankings become figures, and what is said when their process fails.

The process itself runs here without bm25s and mem0ai: programs of a few lines stand where its Python would.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secondme.bench.recall import Options, Tools
from secondme.bench.recall.peers import compare
from secondme.bench.recall.peers.compare import chosen, fused, python, rows
from secondme.bench.recall.peers.dialogues import Asked, Dialogue, counts, read, recall
from secondme.bench.recall.peers.exchange import (
    Answer,
    Conversation,
    Request,
    read_answers,
    read_request,
    read_vectors,
    write_request,
)
from secondme.bench.rows import Row
from secondme.errors import BackendUnavailable, SecondMeError, UsageError
from secondme.runtime.echo import HashEmbedder

TALK = {
    "conversation": {
        "speaker_a": "Ines",
        "session_2_date_time": "9 May",
        "session_2": [{"speaker": "Jost", "dia_id": "D2:1", "text": "The kiln is warm."}],
        "session_1": [
            {"speaker": "Ines", "dia_id": "D1:1", "text": "I glaze the bowls on Monday."},
            {"speaker": "Jost", "dia_id": "D1:2", "text": "My ferry leaves at noon."},
        ],
    },
    "qa": [
        {"question": "When does the ferry leave?", "category": 4, "evidence": ["D1:2"], "answer": "noon"},
        {"question": "Who has bowls and a kiln?", "category": 1, "evidence": ["D1:1; D2:1"], "answer": "both"},
        {"question": "What is the cat called?", "category": 5, "evidence": [], "adversarial_answer": "?"},
        {"question": "Where is the harbour?", "category": 5, "evidence": ["D9:9"]},
    ],
}


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps([TALK, TALK]), "utf-8")
    return path


def tools(peers: str, said: Callable[[str], None] = lambda _: None) -> Tools:
    return Tools(HashEmbedder(), Options(peers=peers), said)


def test_turns_come_in_the_order_of_their_sessions_with_their_speakers(talk: Path) -> None:
    first, second = read(talk)
    assert first == second
    assert first.turns == (
        "Ines: I glaze the bowls on Monday.",
        "Jost: My ferry leaves at noon.",
        "Jost: The kiln is warm.",
    )
    assert first.asked == (
        Asked("When does the ferry leave?", "single-hop", frozenset({1})),
        Asked("Who has bowls and a kiln?", "multi-hop", frozenset({0, 2})),
    )
    assert [len(one.asked) for one in read(talk, 1)] == [1, 1]


def test_recall_is_the_share_of_the_evidence_and_conversations_count_alike() -> None:
    a, b = Asked("?", "temporal", frozenset({1, 2})), Asked("?", "single-hop", frozenset({0}))
    dialogues = [Dialogue(("x",) * 5, (a, a, b)), Dialogue(("x",) * 5, (a,))]
    rankings = [[[1, 4, 2], [3], [0]], [[4, 2]]]
    assert recall(dialogues, rankings, 2) == pytest.approx({"temporal": 37.5, "all": 50.0, "single-hop": 100.0})
    assert recall(dialogues, rankings, 3)["temporal"] == pytest.approx(50.0)
    assert counts(dialogues) == {"temporal": 3, "single-hop": 1, "all": 4}


def test_fusion_adds_reciprocal_ranks() -> None:
    assert fused([[7, 8, 9], [9, 7]]) == [7, 9, 8]  # 1/61 + 1/62, 1/63 + 1/61, 1/62
    assert fused([[5], [4]]) == [4, 5]
    assert fused([[], []]) == []


def test_peers_are_named_one_by_one_or_all_together() -> None:
    assert chosen("all") == compare.PEERS == ("bm25s", "dense", "rrf", "mem0")
    assert chosen("dense, mem0") == ("dense", "mem0")
    with pytest.raises(UsageError, match="no peer mem1") as error:
        chosen("mem1")
    assert "bm25s" in str(error.value.hint)


def test_an_environment_is_looked_for_where_it_was_named(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "ENVIRONMENT", tmp_path)
    monkeypatch.delenv(compare.VARIABLE, raising=False)
    with pytest.raises(UsageError, match="not installed") as error:
        list(rows(talk, tools("rrf"), {}))
    assert "make bench PEERS=mem0" in str(error.value.hint)
    monkeypatch.setenv(compare.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"there is no .*none"):
        python()


def test_vectors_alone_need_no_process(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "ENVIRONMENT", tmp_path)
    monkeypatch.delenv(compare.VARIABLE, raising=False)
    found = {row.case: row for row in rows(talk, tools("dense"), {"locomo/recall@5/all": 50.0})}
    beside, alone = found["locomo/recall@5/all"], found["locomo/recall@10/multi-hop/dense"]
    assert (beside.value, beside.peer, beside.peer_value, beside.ratio, beside.n) == (50.0, "dense", 100.0, 0.5, 4)
    assert (alone.value, alone.peer, alone.n) == (100.0, "", 2)


def test_what_is_asked_arrives_as_it_was(tmp_path: Path) -> None:
    request = Request(("bm25s",), 3, (Conversation(("a", "b"), ("c?",)),))
    write_request(tmp_path, request, [b"\0" * 36])
    assert read_request(tmp_path) == request
    assert read_vectors(tmp_path, 0, 3) == [[0.0, 0.0, 0.0]] * 3


# The child process --------------------------------------------------------------------------------------------------


def stand_in(folder: Path, body: str) -> Path:
    """A program in place of the environment's Python; its last argument is the folder of the exchange."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys, json\nfolder = sys.argv[-1]\n{body}\n", "utf-8")
    path.chmod(0o755)
    return path


def answered(rankings: list[list[list[int]]], *peers: str) -> str:
    answers = [{"peer": p, "rankings": rankings, "write_s": [0.004, 0.002, 0.03], "search_s": [0.01]} for p in peers]
    return f"open(folder + '/answers.json', 'w').write({json.dumps(answers)!r})"


def measured(path: Path, talk: Path, peers: str, ours: dict[str, float], patch: pytest.MonkeyPatch) -> dict[Any, Row]:
    patch.setenv(compare.VARIABLE, str(path))
    return {(row.case, row.peer): row for row in rows(talk, tools(peers), ours)}


def test_rankings_and_times_become_rows(tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """
request = json.load(open(folder + "/request.json"))
assert request["peers"] == ["bm25s", "mem0"] and request["n_dims"] == 384
assert len(open(folder + "/0.f32", "rb").read()) == 4 * 384 * (3 + 2)
"""
    path = stand_in(tmp_path, body + answered([[[0, 1], [0, 2]]] * 2, "bm25s", "mem0"))
    ours = {"locomo/recall@5/all": 100.0, "locomo/write_ms": 1.0}
    found = measured(path, talk, "all", ours, monkeypatch)
    assert found["locomo/recall@5/all", "mem0"].peer_value == 100.0
    write = found["locomo/write_ms", "mem0"]
    assert (write.value, write.peer_value, write.ratio, write.unit) == (1.0, 4.0, 4.0, "ms")
    assert found["locomo/search_p95_ms/bm25s", ""].value == 10.0
    assert {peer for _, peer in found} == {"", "bm25s", "dense", "rrf", "mem0"}


def test_the_fusion_asks_for_the_ranking_by_words(tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stand_in(tmp_path, answered([[[], []]] * 2, "bm25s"))
    found = measured(path, talk, "rrf", {}, monkeypatch)
    assert found["locomo/recall@5/all/rrf", ""].value == 100.0  # by the vectors' ranking alone
    assert not [case for case, _ in found if "bm25s" in case]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("sys.exit('ModuleNotFoundError: no mem0')", "status 1", "ModuleNotFoundError: no mem0; install"),
        ("import os; os.kill(os.getpid(), 9)", "status -9", "make bench PEERS=mem0"),
        ("open(folder + '/answers.json', 'w').write('{}')", "cannot be read", "make bench PEERS=mem0"),
        ("", "cannot be read", "make bench PEERS=mem0"),
        (answered([[[0]]] * 2, "mem0"), "cannot be read", "make bench PEERS=mem0"),
    ],
)
def test_a_process_that_fails_is_one_line_with_a_hint(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str, hint: str
) -> None:
    with pytest.raises(SecondMeError, match=message) as error:
        measured(stand_in(tmp_path, body), talk, "mem0", {}, monkeypatch)
    assert hint in str(error.value.hint)


def test_a_python_that_does_not_start_is_an_error_too(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text("no program")
    with pytest.raises(BackendUnavailable, match="does not start"):
        measured(path, talk, "mem0", {}, monkeypatch)


def test_answers_are_taken_only_as_a_whole(tmp_path: Path) -> None:
    request = Request(("mem0",), 3, (Conversation(("a",), ("b?", "c?")),))
    whole = Answer("mem0", [[[0], []]], [0.1], [0.2])
    for answers, is_whole in (([whole], True), ([], False), ([Answer("bm25s", [[[0], []]], [], [])], False)):
        (tmp_path / "answers.json").write_text(json.dumps([vars_of(one) for one in answers]), "utf-8")
        if is_whole:
            assert read_answers(tmp_path, request) == {"mem0": whole}
        else:
            with pytest.raises(ValueError, match="missing"):
                read_answers(tmp_path, request)


def vars_of(one: Answer) -> dict[str, object]:
    return {name: getattr(one, name) for name in Answer.__slots__}
