"""The benchmarks under MLX from the command line, with a model of some hundred kilobytes that both runtimes run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from secondme.bench import cartridges
from secondme.bench.mlx.agreement import public_text
from secondme.cli.main import main
from tests.asking_cartridges import write_paragraphs
from tests.tiny_mlx import TinyMlx, write_tiny_gguf


@pytest.fixture
def tiny(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model of the settings; what is converted from it goes to a folder of the test's own."""
    path = write_tiny_gguf(tmp_path / "models" / "tiny.gguf", TinyMlx(kind="Q8_0"))
    monkeypatch.setenv("SECONDME_MODELS", str(path.parent))
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text(f'model = "{path}"\n', "utf-8")
    return path


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    assert main(["bench", *arguments, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(math.isfinite(row["value"]) for row in found)
    return {row["case"]: row for row in found if "peer" not in row}


def value(row: dict[str, object]) -> float:
    assert isinstance(row["value"], int | float)
    return row["value"]


def test_speed_and_agreement(capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The keeper of the light wrote down the wind and the tide. " * 20, "utf-8")
    found = rows(capsys, "runtime", "--backend", "mlx", "--quick", "--texts", str(text))
    speeds, agreements = ("prefill_over_mlx_lm", "decode_over_mlx_lm"), ("logits_kl", "top1", "greedy")
    agreed = {f"{kind}/{case}" for kind in ("agreement", "agreement/unrounded") for case in agreements}
    assert found.keys() == {*speeds, *agreed}
    assert all(value(found[case]) > 0 for case in speeds)
    assert 0 <= value(found["agreement/logits_kl"]) < 0.01
    assert value(found["agreement/top1"]) > 90
    assert value(found["agreement/unrounded/logits_kl"]) < value(found["agreement/logits_kl"])
    assert value(found["agreement/unrounded/logits_kl"]) < 1e-4 and value(found["agreement/unrounded/top1"]) > 98
    assert "tiny" in str(found["agreement/logits_kl"]["setting"])


def test_documentation_of_python_is_read_where_no_text_is_named() -> None:
    assert len(public_text(None)) > 100_000


@pytest.mark.parametrize("text", ["missing.txt", "short.txt"])
def test_too_little_text_is_refused(
    text: str, capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.txt").write_text("Too short.", "utf-8")
    assert main(["bench", "runtime", "--backend", "mlx", "--quick", "--texts", text]) == 2
    said = capsys.readouterr().err
    assert "error: " in said and "\nhint: " in said and "--texts" in said


def test_a_missing_peer_is_told_of_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECONDME_MLX_LM_PYTHON", str(tmp_path / "none"))
    assert main(["bench", "runtime", "--backend", "mlx", "--quick", "--peers"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "make bench PEERS=mlx-lm" in said.err


def test_cartridges_of_mlx(
    capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a token a byte, the program's own rules alone fill this model's context, so no project has room in it.
    monkeypatch.setattr(cartridges, "_changed", lambda *_: iter(()))
    paragraphs = write_paragraphs(tmp_path / "x.json", 3)
    asked = ("--xquad", str(paragraphs), "--documents", "1", "--tokens", "900", "--tiers", "T0")
    found = rows(capsys, "cartridges", "--backend", "mlx", *asked)
    assert {
        "T0/disk_ratio",
        "T0/ram_ratio",
        "T0/ram_ratio/here",
        "T0/recall_kl",
        "T0/prefill_over_open",
    } <= found.keys()
    assert value(found["T0/recall_kl"]) < 0.01
    assert value(found["T0/ram_ratio"]) >= 1 and value(found["T0/ram_ratio/here"]) > 0.5
    assert value(found["compose/2/recall_kl"]) < 0.01
    assert "expanded" in str(found["T0/recall_kl"]["setting"])


@pytest.mark.parametrize(("backend", "builder"), [("mlx", "llama.cpp"), ("llama.cpp", "mlx")])
def test_cartridges_cross_over(
    backend: str, builder: str, capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path
) -> None:
    paragraphs = write_paragraphs(tmp_path / "x.json", 3)
    asked = ("--xquad", str(paragraphs), "--documents", "1", "--tokens", "900", "--tiers", "T0")
    found = rows(capsys, "cartridges", "--backend", backend, "--cross", *asked)
    assert found.keys() == {f"cross/T0/{case}" for case in ("recall_kl", "own", "beyond", "beyond_se")}
    foreign, own, beyond = (value(found[f"cross/T0/{case}"]) for case in ("recall_kl", "own", "beyond"))
    assert beyond == pytest.approx(foreign - own)
    assert 0 <= own < 0.01 and 0 <= foreign < 0.01
    assert f"built by {builder}, opened by {backend}" in str(found["cross/T0/own"]["setting"])
