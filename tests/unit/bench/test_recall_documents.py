"""Recall of passages is measured as it is published: gains, discounts, and the plain fusion beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from secondme.bench.recall import Options, Tools, documents
from secondme.bench.recall.documents import Case
from secondme.runtime.echo import HashEmbedder

TEXTS = {
    "1": "the lamp of the lighthouse was lit in the evening by its keeper",
    "2": "rye bread rests for fourteen hours before it is baked",
    "3": "the keeper of the lighthouse wrote down every lamp that failed",
}


@pytest.fixture
def cranfield(tmp_path: Path) -> Path:
    path = tmp_path / "c.json"
    table = {
        "docs": [{"id": int(i), "title": f"paper {i}", "text": text} for i, text in TEXTS.items()],
        "queries": [{"qid": 1, "text": "who lit the lamp of the lighthouse"}, {"qid": 2, "text": "never judged"}],
        "qrels": {"1": {"1": 1, "3": 4, "2": -1}},
    }
    path.write_text(json.dumps(table), "utf-8")
    return path


def test_rows_of_a_small_collection(cranfield: Path) -> None:
    tools = Tools(HashEmbedder(), Options(cranfield=cranfield), lambda line: None)
    found = {row.case: row for row in documents.cranfield_rows(cranfield, tools)}
    assert found["cranfield/ndcg@10"].value == pytest.approx(100)
    assert found["cranfield/graded_ndcg@10"].value == pytest.approx(100)
    assert (found["cranfield/ndcg@10"].peer, found["cranfield/ndcg@10"].n) == ("plain fusion", 1)
    assert {"cranfield/ndcg@10/words", "cranfield/ndcg@10/vectors", "cranfield/ndcg@10/rrf"} <= set(found)
    assert found["search_p95_ms/3"].value > 0


def test_grades_of_cranfield_run_from_one_for_best_to_four() -> None:
    assert documents._gains({"a": 1, "b": "4", "c": 2, "d": -1, "e": 5}) == {"a": 4, "b": 1, "c": 3, "e": 1}


def test_ndcg_by_hand() -> None:
    case = Case("q", {"a": 4, "b": 1})
    graded = (1 + 4 / math.log2(3)) / (4 + 1 / math.log2(3))
    assert documents._mean_ndcg([case], [["b", "a"]], True) == pytest.approx(100 * graded)
    assert documents._mean_ndcg([case], [["b", "x", "a"]], False) == pytest.approx(
        100 * (1 + 1 / 2) / (1 + 1 / math.log2(3))
    )
    assert documents._mean_ndcg([case], [["x"]], False) == 0


def test_reciprocal_ranks_add_up() -> None:
    scores = documents._reciprocal(([(7, 0.9), (8, 0.1)], [(8, 3.0)]))
    assert documents._best(scores) == [8, 7]
    assert scores[8] == pytest.approx(1 / 62 + 1 / 61)
