"""Every benchmark runs, in its smallest size, and prints rows that a program can read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secondme.bench.vectors import PEERS
from secondme.bench.vectors.texts import real_sample
from secondme.cli.main import main
from secondme.errors import UsageError
from secondme.runtime.echo import HashEmbedder


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


def test_vectors(capsys: pytest.CaptureFixture[str], minilm_path: Path) -> None:
    assert main(["bench", "vectors", "--quick", "--rows", "5000", "--passages", "12", "--json"]) == 0
    found = rows(capsys)
    assert {
        *(
            "scan/5000x64",
            "scan/5000x64/median",
            "signs/5000x64",
            "bandwidth_share/5000x64",
            "store_search/5000x64",
            "store_search/5000x64/sql",
        ),
        *("filtered/1%", "filtered/10%/adjacent", "filtered/50%", "lookaside/1000", "lookaside/near/0.999"),
        *("dot/384/serial", "dot_signed/768/serial", "call_overhead", "reader_p99/1", "reader_p99/16+writer"),
        *("recall@10/random/5000", "recall@10/exact/12", "recall@10/int8/12", "recall@10/signs/12"),
        *("ivf/5000x64", "ivf/5000x64/build", "ivf/5000x64/insert", "traverse/5000", "recall@10/lists/12"),
        *("build_mb_per_s/5000x64", "build_mb_per_s/5000x64/usable"),
    } <= found.keys()
    assert found["recall@10/random/5000"]["value"] == found["recall@10/exact/12"]["value"] == 1
    assert all(float(str(row["value"])) > 0 for case, row in found.items() if case != "call_overhead")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--rows", "0"), ("--rows", "-5"), ("--dims", "0"), ("--dims", "5000"), ("--k", "0"), ("--k", "2001")),
        *(("--rows", "5", "--k", "6"), ("--isa", "neon9"), ("--isa", "numpy"), ("--peers", "pinecone")),
        *(("--texts", "/no/such/folder"), ("--passages", "3")),
    ],
)
def test_vectors_that_cannot_be_measured(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "vectors", "--quick", *arguments]) == 2
    out, err = capsys.readouterr()
    error, hint = err.splitlines()
    assert out == "" and error.startswith("error: ") and hint.startswith("hint: ")


def test_peers_that_are_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "faiss", "no_such_module")
    assert main(["bench", "vectors", "--quick", "--peers", "numpy,faiss"]) == 2
    assert capsys.readouterr().err == "error: not installed: faiss\nhint: make bench PEERS=1\n"


def test_recall_of_texts_that_are_brought(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few lines of text are too few passages; a hash stands for the model, as every vector is kept in the cache."""
    monkeypatch.setenv("SECONDME_HOME", str(tmp_path / "home"))
    (tmp_path / "a.txt").write_text("One short line.\n", "utf-8")
    with pytest.raises(UsageError, match="too little text"):
        real_sample(tmp_path, 100, 10, HashEmbedder())
    for i in range(30):
        (tmp_path / f"{i}.md").write_text(f"# Note {i}\n\n" + " ".join(f"word{i * j}" for j in range(40)), "utf-8")
    first = real_sample(tmp_path, 100, 10, HashEmbedder())
    embedder = HashEmbedder()
    monkeypatch.setattr(embedder, "embed", lambda texts: pytest.fail("embedded again"))
    again = real_sample(tmp_path, 100, 10, embedder)
    assert first.n_rows == 30 and np.array_equal(first.rows, again.rows)
    assert first.recall([(q, np.argsort(-(first.rows @ first.queries[q]))[:10]) for q in range(30)]) == 1


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
    xquad, cranfield = tmp_path / "xquad.json", tmp_path / "cranfield.json"
    xquad.write_text(json.dumps(paragraphs), "utf-8")
    docs = [{"id": str(i), "title": f"paper {i}", "text": text} for i, text in enumerate(texts)]
    queries = [{"qid": str(i), "text": q} for i, (q, _) in enumerate(texts.values())]
    qrels = {str(i): {str(i): "2"} for i in range(len(texts))}
    cranfield.write_text(json.dumps({"docs": docs, "queries": queries, "qrels": qrels}), "utf-8")
    files = ["--cranfield", str(cranfield), "--xquad", str(xquad)]
    assert main(["bench", "recall", *files, "--answers", "--json"]) == 0
    found = rows(capsys)
    assert found["cranfield/ndcg@10"]["value"] == 100
    assert found["xquad/hit@1"]["value"] == found["xquad/cited@any"]["value"] == 100
    assert found["xquad/unanswerable_refused"]["value"] == 100


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "nonsense"]) == 2
    assert main(["bench", "recall"]) == 2
    assert main(["bench", "recall", "--locomo", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("hint: ") == 3
