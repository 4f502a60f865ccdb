"""A project prepared with one runtime opens with the other: what an owner sees who changes the backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.cartridges import tiers
from secondme.cartridges.calibrations import path_of, put_calibration
from secondme.config import Config
from secondme.projects import plan
from secondme.runtime.base import Generator
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.kv import AnyCells, RaggedCells
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from secondme.types import Notice, Opened, PrefillProgress
from tests.calibrated import a_calibration
from tests.commanding import PASSPHRASE, make_keys
from tests.tiny_mlx import gguf_of, write_tiny_mlx

TEXTS = {
    "bread.txt": "Bread needs flour, water, salt and twelve hours of rest.",
    "lamp.txt": "The lamp was lit in 1886.",
}
QUESTION = "When was the lamp lit?"


@pytest.fixture
def makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], Generator]]:
    """Both runtimes over the same random weights, with a calibration that was made up."""
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(plan, "TEXT_S", 0.0)
    monkeypatch.setattr(plan, "PATIENCE_S", 0.0)
    folder = write_tiny_mlx(tmp_path / "tiny")
    makers: dict[str, Callable[[], Generator]] = {
        "llama": lambda: LlamaGenerator(gguf_of(folder), options=LlamaOptions(n_ctx=4096, threads=1)),
        "rounded": lambda: LlamaGenerator(gguf_of(folder), options=LlamaOptions(n_ctx=4096, threads=1, kv_type="q8_0")),
        "mlx": lambda: MlxGenerator(folder, options=MlxOptions(n_ctx=4096)),
    }
    generator = makers["llama"]()
    put_calibration(path_of(generator.kv_identity().weights), a_calibration(identity=generator.kv_identity())[0])
    generator.close()
    make_keys()
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, text in TEXTS.items():
        (notes / name).write_text(text)
    return makers


@contextmanager
def assistant(generator: Generator, tier: str) -> Iterator[Assistant]:
    config = Config(cartridge_tier=tier)
    with Assistant(config, Credentials(PASSPHRASE), generator=generator, embedder=HashEmbedder()) as opened:
        yield opened


@pytest.mark.parametrize("tier", ["T0", "T1"])
@pytest.mark.parametrize(("maker", "opener"), [("llama", "mlx"), ("mlx", "llama"), ("rounded", "mlx")])
def test_a_project_opens_with_the_other_runtime(
    makers: dict[str, Callable[[], Generator]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tier: str,
    maker: str,
    opener: str,
) -> None:
    # With all rows kept nothing is filled up: random heads look at whatever would fill them.
    monkeypatch.setitem(tiers.TIERS, "T1", dataclasses.replace(tiers.T1, keep=1.0))
    with assistant(makers[maker](), tier) as first:
        for _ in first.ingest([tmp_path / "notes"], project="sea"):
            pass
        for _ in first.build_cartridges(["sea"]):
            pass
        rows = [(row.file, row.tier) for row in first.cartridges("sea")]
        assert [tier for _, tier in rows] == [tier, tier]
    generator = makers[opener]()
    placed: list[object] = []
    load_cells = generator.load_cells

    def watched(tokens: Sequence[int], cells: AnyCells) -> None:
        placed.append(cells)
        load_cells(tokens, cells)

    monkeypatch.setattr(generator, "load_cells", watched)
    with assistant(generator, tier) as second:
        events = list(second.open_project("sea"))
        shown = events[-1]
        assert isinstance(shown, Opened) and not any(isinstance(e, Notice | PrefillProgress) for e in events)
        assert {d.opened_as for d in shown.documents} == {"cartridge"}
        assert generator.cached_tokens == shown.tokens
        assert [isinstance(cells, RaggedCells) for cells in placed] == [tier == "T1" and opener == "mlx"]
        started = next(generator.prefill([*shown.tokens, *generator.tokenize("When?")]))
        assert started.n_done == len(shown.tokens) < started.n_total
        assert second.project_status("sea").n_pending == 0
        assert [(row.file, row.tier) for row in second.cartridges("sea")] == rows
