"""Every benchmark runs, in its smallest size, and prints rows that a program can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondme.cli.main import main


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    lines = capsys.readouterr().out.splitlines()
    found = [json.loads(line) for line in lines]
    for row in found:
        assert {"bench", "case", "value", "unit", "n", "commit", "machine"} <= row.keys()
        assert ("peer" in row) == ("ratio" in row) == ("peer_value" in row)
    return {str(row["case"]): row for row in found}


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("startup", {"version_over_bare", "help_over_bare", "first_paint_over_import"}),
        ("runtime", {"prefill_over_bare", "decode_over_bare"}),
        ("ingest", {"overhead_over_embedding", "files_per_s", "mb_per_s", "rescan_s", "rss_mb"}),
        # No row `unlock_s`, because the tests run without a keyring.
        (
            "store",
            {
                "sealed_read_gb_per_s",
                "sealed_read_over_plain",
                "watermark_ms",
                "watermark_batched_ms",
                "encrypted_over_plain",
                "unlock_passphrase_s",
                "destroy_keys_s",
            },
        ),
    ],
)
def test_rows(
    name: str, cases: set[str], capsys: pytest.CaptureFixture[str], smollm2_path: Path, minilm_path: Path
) -> None:
    assert main(["bench", name, "--quick", "--json"]) == 0
    assert rows(capsys).keys() == cases


def test_recall_on_data_that_is_brought(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], smollm2_path: Path, minilm_path: Path
) -> None:
    texts = {
        "The lamp of the lighthouse was lit in 1886.": ("When was the lamp of the lighthouse lit?", "1886"),
        "Rye bread rests for fourteen hours.": ("How long does rye bread rest?", "fourteen hours"),
        "The barque Concordia ran aground in May.": ("When did the barque Concordia run aground?", "May"),
        "The tide reached 7.42 metres in the harbour.": ("How high did the tide reach?", "7.42 metres"),
    }
    paragraphs = [
        {"title": "t", "context": text, "qas": [{"id": "1", "question": q, "answers": [a]}]}
        for text, (q, a) in texts.items()
    ]
    (tmp_path / "xquad_tiny.json").write_text(json.dumps(paragraphs), "utf-8")
    docs = [{"id": str(i), "title": f"paper {i}", "text": text} for i, text in enumerate(texts)]
    queries = [{"qid": str(i), "text": q} for i, (q, _) in enumerate(texts.values())]
    qrels = {str(i): {str(i): "2"} for i in range(len(texts))}
    (tmp_path / "cranfield_tiny.json").write_text(
        json.dumps({"docs": docs, "queries": queries, "qrels": qrels}), "utf-8"
    )
    assert main(["bench", "recall", "--data", str(tmp_path), "--answers", "--json"]) == 0
    found = rows(capsys)
    assert found["cranfield/ndcg@10"]["value"] == 100
    assert found["xquad/hit@1"]["value"] == found["xquad/cited@any"]["value"] == 100
    assert found["xquad/unanswerable_refused"]["value"] == 100


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "nonsense"]) == 2
    assert main(["bench", "recall"]) == 2
    assert main(["bench", "recall", "--data", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("hint: ") == 3
