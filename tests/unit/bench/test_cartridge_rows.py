"""The rows of each tier, against sums worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondme.bench.cartridges import Options
from secondme.bench.cartridges.compose import of_tier
from secondme.bench.cartridges.metrics import Reply, Scores
from secondme.bench.cartridges.tiers import PUBLISHED, Tallies, Tally, rows
from secondme.bench.cartridges.workshop import Made, Opening
from secondme.bench.rows import Row
from secondme.cartridges.tiers import TIERS
from secondme.runtime.kv import KvShape

SHAPE = KvShape(n_layers=2, n_kv_heads=1, n_heads=1, k_dim=8, v_dim=8)  # 64 bytes a token


def text(kl: float, *, f1: float = 0.0) -> Reply:
    return Reply("text", 2, kl, 1.0, 2, "", False, f1, False)


def fact(recalled: bool) -> Reply:
    return Reply("fact", 1, 0.5, 1.0, 1, "", False, 0.0, recalled)


def tally() -> Tally:
    """Two documents of 100 and 300 tokens."""
    return Tally(
        scores=[
            Scores((text(0.2, f1=0.5), fact(True)), (text(0, f1=1.0), fact(True)), 1.0, 10),
            Scores((text(0.6), fact(False), fact(True)), (text(0), fact(True), fact(False)), 2.0, 10),
        ],
        made=[Made(640, 6400, 2.0, 3.0), Made(1280, 19200, 6.0, 13.0)],
        openings=[Opening(None, 0, 3200, 0.01, 0.001), Opening(None, 0, 9600, 0.03, 0.003)],
        n_tokens=[100, 300],
    )


def test_rows_of_a_tier() -> None:
    seen = Tallies({"T1": tally()}, nothing=[Scores((text(4.0),), (text(0),), 0, 0)])
    made = list(rows(seen, SHAPE, "a model"))
    found = {row.case: row for row in made if not row.peer}
    expected = {
        "T1/disk_ratio": 25600 / 1920,
        "T1/ram_ratio": 2.0,
        "T1/recall_kl": 0.8 / 4,
        "T1/facts_kl": 0.5,
        "T1/continuation_kl": 3 / 20,
        "T1/gold_nll": 0.5,
        "T1/top1": 100.0,
        "T1/facts_ratio": 50.0,
        "T1/f1": 25.0,
        "T1/f1_ratio": 50.0,
        "T1/build_over_prefill": 2.0,
        "T1/prefill_over_open": 200.0,
        "T1/decode_mb_per_s": 25600 / 1e6 / 0.004,
        "no_context/recall_kl": 2.0,
    }
    assert {case: found[case].value for case in expected} == pytest.approx(expected)
    assert found["T1/facts_ratio"].n == 2 and found["T1/recall_kl"].n == 2
    # Nothing was answered exactly and no pair asked for: rows of 0/0 are left out, not printed as NaN.
    assert not {"T1/em_ratio", "T1/pairs_ratio", "no_context/facts_kl"} & found.keys()
    assert all("NaN" not in row.as_json() for row in made)
    assert json.loads(found["T1/recall_kl"].as_json())["setting"] == "a model"
    (beside,) = [row for row in made if row.peer]
    assert (beside.case, beside.peer_value) == ("T1/disk_ratio", 4.0)
    assert beside.ratio == pytest.approx(25600 / 1920 / 4)


def test_peers_are_granted_the_bytes_of_each_document() -> None:
    assert tally().ratios == [10, 15]


def test_every_tier_has_a_published_figure_beside_it() -> None:
    assert PUBLISHED.keys() == TIERS.keys()


def test_tiers_are_chosen_in_their_order() -> None:
    assert Options(Path("x")).chosen_tiers == ("T0", "T1", "T2", "T3")
    assert Options(Path("x"), tiers=" t3, T0").chosen_tiers == ("T0", "T3")


def test_a_row_without_a_setting_is_as_before() -> None:
    assert "setting" not in json.loads(Row("b", "c", 1.0, "x", 1).as_json())


def test_a_tier_is_known_by_the_time_to_an_answer_of_one_project() -> None:
    def row(case: str) -> Row:
        return Row("cartridges", case, 50.0, "x", 4, setting="6000 tokens")

    assert [r.case for r in of_tier(row("compose/4/first_token_ratio"))] == ["T0/first_token_ratio"]
    assert list(of_tier(row("compose/4/T2/first_token_ratio"))) == [row("T2/first_token_ratio")]
    assert not list(of_tier(row("compose/4/T2/recall_kl")))
