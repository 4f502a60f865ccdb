"""Calibrating a tiny model: gradients against differences, the file against itself, and the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from secondme.cartridges import codec
from secondme.cartridges.calibrating import Calibrated, CalibrationProgress, Recipe, calibrate, recipe_for
from secondme.cartridges.calibration import parse_calibration
from secondme.cartridges.gradients import Gradients
from secondme.cartridges.select import gather, select
from secondme.cartridges.tiers import T1
from secondme.cartridges.turn import rotate
from secondme.cli.main import main
from secondme.errors import Cancelled, CartridgeIncompatible
from secondme.runtime.gguf_weights import LlamaWeights, read_llama_weights
from secondme.runtime.kv import Cells, KvReader
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from tests.tiny_models import Tiny, write_tiny

RNG = np.random.default_rng(7)
TEXTS = [RNG.integers(3, 250, 260).tolist() for _ in range(2)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.gguf", Tiny(n_heads=2, n_kv_heads=1))


@pytest.fixture(scope="module")
def weights(tiny: Path) -> LlamaWeights:
    read = read_llama_weights(tiny)
    assert read is not None
    return read


@pytest.fixture(scope="module")
def generator(tiny: Path) -> Iterator[LlamaGenerator]:
    generator = LlamaGenerator(tiny, options=LlamaOptions(n_ctx=1024, threads=1))
    yield generator
    generator.close()


@pytest.fixture
def reader(generator: LlamaGenerator) -> Iterator[KvReader]:
    reader = generator.reader(1024)
    yield reader
    reader.close()


def made(reader: KvReader, recipe: Recipe) -> Calibrated:
    *progress, last = calibrate(reader, TEXTS, recipe)
    assert isinstance(last, Calibrated)
    counts = [p.n_done for p in progress if isinstance(p, CalibrationProgress)]
    assert counts == list(range(1, len(counts) + 1))
    return last


def test_gradients_are_the_slopes_of_the_predictions(reader: KvReader, weights: LlamaWeights) -> None:
    """By central differences of the drawn tokens' log-probabilities, at a few rows of both layers."""
    for _ in reader.read(TEXTS[0][:30]):
        pass
    cells, further, skip, start = reader.cells(), TEXTS[1][:12], 3, 4
    shape, rope = reader.identity.shape, reader.identity.rope
    k, v = cells.k.astype(np.float32), cells.v.astype(np.float32)

    def model(k: np.ndarray, v: np.ndarray) -> Gradients:
        return Gradients(weights, shape, rope, Cells(cells.positions, k, v), start)

    found = model(k, v).of(further, skip=skip, seed=1)
    assert found.n_predictions == len(further) - skip
    slope = model(k, v).forward(further).drawn(np.random.default_rng(1), skip).astype(np.float64)
    rng = np.random.default_rng(2)
    for layer, head, row in ((0, 0, 4), (0, 0, 20), (1, 0, 29)):
        for side, analytic in (("k", found.keys), ("v", found.values)):
            direction = rng.standard_normal(64).astype(np.float32)
            step = 0.05 * direction
            if side == "k":
                step = rotate(step[None], cells.positions[[row]], rope)[0]
            ends = []
            for sign in (1, -1):
                changed = {"k": k.copy(), "v": v.copy()}
                changed[side][layer, row, head] += sign * step
                ends.append((model(changed["k"], changed["v"]).forward(further).h[skip:] * slope).sum())
            numeric = (ends[0] - ends[1]) / 0.1
            told = float(analytic[layer + head, row - start] @ direction)
            assert numeric == pytest.approx(told, rel=0.05, abs=2e-4)


def test_the_numpy_model_is_the_runtimes(reader: KvReader, weights: LlamaWeights) -> None:
    for _ in reader.read(TEXTS[0][:40]):
        pass
    model = Gradients(weights, reader.identity.shape, reader.identity.rope, reader.cells(), 0)
    ours = model.forward(TEXTS[1][:10]).h @ weights.output.T
    theirs = reader.logits(TEXTS[1][:10])
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()


def test_a_calibration_is_made_the_same_twice_and_serves(
    reader: KvReader, generator: LlamaGenerator, weights: LlamaWeights
) -> None:
    recipe = Recipe((1, 2), (5, 6), weights, 4096, n_tokens=200, n_pieces=2, n_further=40)
    first, again = made(reader, recipe), made(reader, recipe)
    assert first.data == again.data
    assert first.used_gradients
    calibration = parse_calibration(first.data)
    calibration.check_fits(generator.kv_identity())

    reader.rewind(0)
    for _ in reader.read(TEXTS[0]):
        pass
    scores = np.random.default_rng(0).random((2, 260)).astype(np.float32) ** 4
    chosen = select(scores, 300)
    rows = gather(reader.cells(), chosen, calibration.shape, calibration.rope)
    read = codec.decode(codec.encode(rows, chosen.scores, calibration, T1), 260, calibration)
    assert np.square(read.k - rows.k).mean() < 0.1 * np.square(rows.k).mean()
    assert np.square(read.v - rows.v).mean() < 0.1 * np.square(rows.v).mean()


def test_without_weights_there_is_a_plainer_calibration(reader: KvReader, generator: LlamaGenerator) -> None:
    recipe = recipe_for(generator, None)
    plain = made(reader, recipe)
    assert not plain.used_gradients
    plain.calibration.check_fits(generator.kv_identity())


def test_too_little_text_is_refused_and_stopping_stops(reader: KvReader, weights: LlamaWeights) -> None:
    recipe = Recipe((1, 2), (5, 6), weights, 4096)
    with pytest.raises(CartridgeIncompatible):
        list(calibrate(reader, [[5] * 20], recipe))
    with pytest.raises(Cancelled):
        list(calibrate(reader, TEXTS, recipe, cancelled=lambda: True))


def test_models_that_are_not_plain_are_not_looked_into(tmp_path: Path) -> None:
    assert read_llama_weights(write_tiny(tmp_path / "a.gguf", Tiny("qwen3", qk_norm=True))) is None
    assert read_llama_weights(write_tiny(tmp_path / "b.gguf", Tiny(biases=True))) is None


def test_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(2):
        (texts / f"{i}.txt").write_text("the harbour keeps a ledger of otters and of mills. " * 6, "utf-8")
    out = tmp_path / "made.smkc"
    command = ["models", "calibrate", str(tiny), "--text", str(texts), "--out", str(out)]
    assert main(command) == 0
    digest = capsys.readouterr().out.strip()
    assert parse_calibration(out.read_bytes()).digest == digest
    assert main([*command[:4], str(tmp_path / "nothing.txt")]) == 2
    assert "text" in capsys.readouterr().err
