"""The cartridge benchmark from the command line: a tiny run, and what it refuses before anything is measured."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from secondme.cli.main import main
from secondme.projects import plan
from tests.asking_cartridges import write_pairs, write_paragraphs


def test_rows_of_a_tiny_run(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    smollm2_path: Path,
    minilm_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "TEXT_S", 0.0)  # else a fast machine makes no cartridges of three small files
    paragraphs = write_paragraphs(tmp_path / "x.json", 3)
    arguments = [
        "--xquad",
        str(paragraphs),
        "--documents",
        "1",
        "--tokens",
        "400",
        "--tiers",
        "t0",
        "--json",
        "--answers",
    ]
    assert main(["bench", "cartridges", *arguments]) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    found = {row["case"]: row for row in rows if "peer" not in row}
    sizes, fidelity = ("disk_ratio", "ram_ratio"), ("recall_kl", "recall_kl_se", "facts_kl", "gold_nll", "top1")
    times = ("build_over_prefill", "prefill_over_open", "decode_mb_per_s")
    assert {f"T0/{case}" for case in (*sizes, *fidelity, *times)} <= found.keys()
    assert {
        "T0/continuation_kl",
        "compose/2/recall_kl",
        "T0/first_token_ratio",
        "no_context/recall_kl",
        "last_bit/recall_kl",
        "changed_file/3",
        "answers/recall/facts",
        "answers/text/f1",
        "answers/text/first_token_s",
    } <= found.keys()
    assert all(math.isfinite(row["value"]) and row["value"] >= 0 for row in rows)
    assert found["T0/recall_kl"]["value"] < 0.05 < found["no_context/recall_kl"]["value"]
    assert 0 < found["last_bit/recall_kl"]["value"] < 0.05
    assert 1.9 < found["T0/disk_ratio"]["value"] < 3 and found["T0/ram_ratio"]["value"] == 1
    assert "seed proof" in found["T0/recall_kl"]["setting"]
    (beside,) = [row for row in rows if "peer" in row]
    assert beside["case"] == "T0/disk_ratio" and beside["peer_value"] == pytest.approx(32 / 17)
    assert beside["ratio"] == pytest.approx(found["T0/disk_ratio"]["value"] * 17 / 32)
    assert 0 < found["changed_file/3"]["value"] < 1
    assert "document 1" in said.err and "T0" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["--xquad", "missing.json"], ["--xquad", "{x}", "--kv75", "missing.jsonl"], ["--xquad", "{kv}"]),
        *(
            ["--xquad", "{x}", "--kv75", "{x}"],
            ["--xquad", "{x}", "--tiers", "T0,T9"],
            ["--xquad", "{x}", "--tiers", ","],
        ),
        *(["--xquad", "{x}", "--documents", "-1"], ["--xquad", "{x}", "--tokens", "100"]),
        ["--xquad", "{x}", "--peers", "NoSuchPress"],
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = {"{x}": write_paragraphs(tmp_path / "x.json", 2), "{kv}": write_pairs(tmp_path / "kv.jsonl", 1, 3)}
    assert main(["bench", "cartridges", *(str(paths.get(a, a)) for a in arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and "\nhint: " in said.err


def test_a_number_that_is_none_is_refused_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "cartridges", "--documents", "many"])
    assert caught.value.code == 2
