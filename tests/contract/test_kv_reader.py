"""What a KvReader promises, on the real small model and on tiny ones of other shapes and ropes."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.errors import Cancelled, CartridgeIncompatible, ContextOverflow, ModelError
from secondme.kernels import kv
from secondme.runtime import llama_reader, llama_selftest
from secondme.runtime.base import Generator
from secondme.runtime.kv import Cells, FloatRows, KvReader, KvShape, QuantizedCells, RaggedCells, Rope
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.llama_capture import ggml
from secondme.runtime.llama_cells import build_state
from secondme.runtime.llama_context import CellType, ContextSettings, LlamaContext
from secondme.runtime.llama_identity import rope_of
from secondme.runtime.llama_lib import library
from secondme.runtime.llama_model import LlamaModel
from secondme.runtime.llama_reader import LlamaReader
from tests.contract.test_kv_cells import altered, same, some_cells
from tests.tiny_models import MAMBA, Tiny, write_tiny

TEXT = (
    "The harbour of Brixham keeps a ledger of otters. In 1787 Ada Quill counted 41 of them between the lighthouse and "
    "the mill, wrote the number down twice, and sold the ledger for six shillings to a man who could not swim."
)
TINY: dict[str, Tiny] = {
    "llama": Tiny(),
    "halves": Tiny("qwen3", qk_norm=True),
    "factors": Tiny(factors=tuple(1 + i / 8 for i in range(32))),
    "linear": Tiny(numbers={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "yarn": Tiny(numbers={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}),
    "heads of 128": Tiny(k_dim=128, v_dim=128, n_rot=128),
    "heads of 96": Tiny(k_dim=96, v_dim=96, n_rot=96, rope_base=500000.0),
    "heads of 32": Tiny(k_dim=32, v_dim=32, n_rot=32),
    "no window": Tiny("gemma3", qk_norm=True),
}
TINY_SHAPE = KvShape(2, 2, 4, 64, 64)
REFUSED: dict[str, tuple[Tiny, str]] = {
    "a sliding window": (Tiny("gemma3", qk_norm=True, numbers={"attention.sliding_window": 8}), "sliding window"),
    "recurrent": (Tiny("mamba", numbers=MAMBA), "running summary"),
    "keys turned by the context": (
        Tiny(numbers={"rope.scaling.type": "longrope"}, long_factors=("long", "short")),
        "length of the context",
    ),
    "layers that differ": (Tiny("deci", n_kv_heads=(2, 4)), "differ"),
    "positions of several parts": (
        Tiny("qwen2vl", n_heads=1, n_kv_heads=1, biases=True, lists={"rope.dimension_sections": [8, 12, 12, 0]}),
        "several parts",
    ),
}


@pytest.fixture(scope="module", params=["f16", "q8_0"])
def generator(request: pytest.FixtureRequest, smollm2_path: Path) -> Iterator[LlamaGenerator]:
    opened = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=512, kv_type=request.param))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def opened_reader(generator: LlamaGenerator) -> Iterator[LlamaReader]:
    reader = generator.reader(512)
    yield reader
    reader.close()


@pytest.fixture
def reader(opened_reader: LlamaReader) -> LlamaReader:
    opened_reader.rewind(0)
    return opened_reader


@pytest.fixture
def tiny(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., LlamaGenerator]]:
    """Opens tiny models, and closes them after the test."""
    opened: list[LlamaGenerator] = []

    def make(model: Tiny, kv_type: CellType = "f16", n_batch: int = 0) -> LlamaGenerator:
        path = write_tiny(tmp_path / f"{len(opened)}.gguf", model)
        options = LlamaOptions(n_ctx=1024, threads=1, kv_type=kv_type, n_batch=n_batch)
        opened.append(LlamaGenerator(path, options=options))
        return opened[-1]

    yield make
    for generator in opened:
        generator.close()


def tokens_of(generator: Generator, n: int = 40) -> list[int]:
    tokens = generator.tokenize(TEXT)
    return (tokens * (n // len(tokens) + 1))[:n]


def read(reader: KvReader, tokens: list[int]) -> None:
    for _ in reader.read(tokens):
        pass


def exact(reader: LlamaReader) -> Cells | QuantizedCells:
    return reader.cells() if reader.identity.dtype == "f16" else reader.quantized_cells()


def state(reader: LlamaReader) -> NDArray[np.uint8]:
    return reader._context.state()


# The real model --------------------------------------------------------------------------------------------------


def test_cells_there_and_back_are_the_same_bytes(reader: LlamaReader, generator: LlamaGenerator) -> None:
    tokens = tokens_of(generator)
    read(reader, tokens)
    before, cells = state(reader), exact(reader)
    logits = reader.logits(tokens[:3])
    assert reader.n_tokens == len(tokens) + 3
    reader.place(len(tokens), cells)
    assert reader.n_tokens == len(tokens)
    assert np.array_equal(state(reader), before)
    assert same(exact(reader), cells)
    assert np.abs(reader.logits(tokens[:3]) - logits).max() < 1e-4


def test_the_identity_names_what_a_cache_depends_on(reader: LlamaReader, generator: LlamaGenerator) -> None:
    identity = reader.identity
    assert identity == generator.kv_identity()
    assert identity.shape == KvShape(30, 3, 9, 64, 64)
    assert identity.shape.f16_bytes_per_token == 23_040
    assert identity.rope == Rope("adjacent", 64, 100000.0)
    assert identity.weights == generator.info.fingerprint
    assert identity.rotated == (identity.dtype == "q8_0")
    assert len({identity.weights, identity.tokenizer, identity.template}) == 3
    assert all(len(name) == 64 for name in (identity.weights, identity.tokenizer, identity.template))


def test_a_choice_of_cells_answers_as_if_the_others_were_dropped(
    reader: LlamaReader, generator: LlamaGenerator
) -> None:
    tokens = tokens_of(generator)
    read(reader, tokens)
    cells, keep = exact(reader), np.r_[0:4, 9:20, 30:40]
    names = ("positions", "k", "v", "k_scales", "v_scales")
    chosen = altered(
        cells,
        **{
            name: getattr(cells, name)[keep if name == "positions" else (slice(None), keep)]
            for name in names
            if hasattr(cells, name)
        },
    )
    reader.place(len(tokens), chosen)
    assert same(exact(reader), chosen)
    logits = reader.logits(tokens[:3])
    reader.place(len(tokens), cells)
    whole = reader.logits(tokens[:3])
    reader.place(len(tokens), cells)
    for start, end in ((4, 9), (20, 30)):
        assert library().llama_memory_seq_rm(reader._context._memory, 0, start, end)
    dropped = reader.logits(tokens[:3])
    assert 10 * divergence(dropped, logits) < 0.05 < divergence(whole, logits)


def divergence(left: FloatRows, right: FloatRows) -> float:
    """Mean KL divergence of the next token, in nats."""
    p, q = (rows - np.logaddexp.reduce(rows.astype(np.float64), axis=-1, keepdims=True) for rows in (left, right))
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def attended(queries: FloatRows, keys: FloatRows, values: FloatRows) -> FloatRows:
    """Causal attention, [n, n_heads, v_dim]; slow and plain."""
    n, n_heads, dim = queries.shape
    group = n_heads // keys.shape[1]
    out = np.empty((n, n_heads, values.shape[2]), np.float32)
    for head in range(n_heads):
        for i in range(n):
            scores = keys[: i + 1, head // group] @ queries[i, head] / np.sqrt(dim)
            weights = np.exp(scores - scores.max())
            out[i, head] = weights @ values[: i + 1, head // group] / weights.sum()
    return out


def test_captured_queries_and_keys_are_those_of_the_attention(reader: LlamaReader, generator: LlamaGenerator) -> None:
    """The attention that NumPy computes from them is the one whose result the graph goes on with."""
    tokens = tokens_of(generator, 24)
    seen: dict[int, tuple[FloatRows, FloatRows]] = {}
    list(reader.read(tokens, capture=lambda layer, queries, keys: seen.update({layer: (queries, keys)})))
    assert list(seen) == list(range(30))
    cells = reader.cells()
    tolerance = 1e-3 if reader.identity.dtype == "f16" else 3e-2
    for layer, (queries, keys) in seen.items():
        assert queries.shape == (24, 9, 64) and keys.shape == (24, 3, 64)
        assert np.abs(cells.k[layer] - keys).max() < tolerance * np.abs(keys).max()
    outputs = graph_outputs(reader, tokens)
    for layer in (0, 7):
        found = attended(*seen[layer], cells.v[layer].astype(np.float32)).reshape(24, -1)
        assert np.abs(found - outputs[layer]).max() < 2 * tolerance * np.abs(outputs[layer]).max()


def graph_outputs(reader: LlamaReader, tokens: list[int]) -> dict[int, FloatRows]:
    """What the attention of each layer gave, [n, n_heads * v_dim], read from llama.cpp's own graph."""
    found = dict[int, FloatRows]()
    functions = ggml()

    def watch(tensor: int, ask: bool, _: object) -> bool:
        name = re.fullmatch(rb"kqv_out-(\d+)", functions.ggml_get_name(tensor))
        if name is not None and not ask:
            rows = np.empty((len(tokens), reader.identity.shape.n_heads * 64), np.float32)
            functions.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
            found[int(name.group(1))] = kv.hadamard(rows) if reader.identity.rotated else rows
        return name is not None

    callback = library().ggml_backend_sched_eval_callback(watch)
    settings = ContextSettings(256, 64, reader.identity.dtype, eval_callback=callback)
    other = reader._context.beside(settings)
    other.evaluate(tokens, 0)
    other.close()
    return found


def test_reading_in_pieces_and_going_back(reader: LlamaReader, generator: LlamaGenerator) -> None:
    tokens = tokens_of(generator)
    whole = reader.logits(tokens)
    reader.rewind(15)
    assert reader.n_tokens == 15
    assert np.abs(reader.logits(tokens[15:]) - whole[15:]).max() < 0.3
    reader.rewind(99)
    assert reader.n_tokens == len(tokens)
    assert reader.cells(30).positions.tolist() == list(range(30, 40))
    reader.rewind(0)
    assert reader.n_tokens == 0 and len(reader.cells()) == 0 and len(reader.quantized_cells()) == 0
    assert reader.logits([]).shape == (0, generator.info.n_vocab)


def test_placed_cells_go_as_a_whole(reader: LlamaReader, generator: LlamaGenerator) -> None:
    tokens = tokens_of(generator)
    read(reader, tokens)
    reader.place(len(tokens), exact(reader))
    read(reader, tokens[:5])
    reader.rewind(len(tokens))
    assert reader.n_tokens == len(tokens)
    reader.rewind(len(tokens) - 1)
    assert reader.n_tokens == 0 and len(reader.cells()) == 0


def test_progress_and_room(reader: LlamaReader, generator: LlamaGenerator) -> None:
    tokens = tokens_of(generator)
    events = list(reader.read(tokens))
    assert [(event.n_done, event.n_total) for event in events] == [(0, 40), (40, 40)]
    for call in (reader.read, reader.logits):
        with pytest.raises(ContextOverflow):
            call(tokens * 12)
        with pytest.raises(ModelError, match="vocabulary"):
            call([-1])
    with pytest.raises(ContextOverflow):
        reader.place(513, reader.cells())
    assert reader.n_tokens == 40


def test_cancelled_inside_a_block(reader: LlamaReader, generator: LlamaGenerator) -> None:
    tokens = tokens_of(generator, 200)
    asked = threading.Event()
    threading.Timer(0.2, asked.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(reader.read(tokens, cancelled=asked.is_set))
    assert time.monotonic() - started < 2
    assert reader.n_tokens == 0 and len(reader.cells()) == 0
    read(reader, tokens[:10])


def test_paused_inside_a_block_and_done_again(reader: LlamaReader, generator: LlamaGenerator) -> None:
    """Nothing is computed in a pause; afterwards the cache is as without one, and each layer was captured once."""
    tokens = tokens_of(generator, 80)
    read(reader, tokens)
    expected = exact(reader)
    reader.rewind(0)
    pause, layers = threading.Event(), list[int]()
    threading.Timer(0.15, pause.set).start()
    done: list[int] = []

    def work() -> None:
        stream = reader.read(tokens, capture=lambda layer, *_: layers.append(layer), paused=pause.is_set)
        done.extend(event.n_done for event in stream)

    thread = threading.Thread(target=work)
    thread.start()
    pause.wait(5)
    time.sleep(0.4)
    used = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - used < 0.15
    assert done == [0] and layers == [] and reader.n_tokens == 0
    pause.clear()
    thread.join(30)
    assert done == [0, 80] and layers == list(range(30))
    assert same(exact(reader), expected)


def test_cancelled_in_a_pause(reader: LlamaReader, generator: LlamaGenerator) -> None:
    asked = threading.Event()
    threading.Timer(0.1, asked.set).start()
    with pytest.raises(Cancelled):
        list(reader.read(tokens_of(generator), cancelled=asked.is_set, paused=lambda: True))
    assert reader.n_tokens == 0


def test_the_generator_is_left_alone(reader: LlamaReader, generator: LlamaGenerator) -> None:
    list(generator.prefill(tokens_of(generator, 12)))
    read(reader, tokens_of(generator, 20))
    assert len(generator.cached_tokens) == 12


# Tiny models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("name", TINY)
def test_other_shapes_and_ropes(tiny: Callable[..., LlamaGenerator], name: str, kv_type: CellType) -> None:
    generator = tiny(TINY[name], kv_type)
    reader = generator.reader(600)
    model, rope = TINY[name], reader.identity.rope
    assert (rope.n_dims, rope.freq_base, rope.factors) == (model.n_rot, model.rope_base, model.factors)
    assert rope.movable == (name != "yarn")
    assert rope.pairs == ("halves" if model.arch in ("qwen3", "gemma3") else "adjacent")
    tokens = tokens_of(generator, 300)  # more than a block
    read(reader, tokens)
    before, cells = state(reader), exact(reader)
    logits = reader.logits(tokens[:80])
    reader.place(300, cells)
    assert np.array_equal(state(reader), before)
    assert np.abs(reader.logits(tokens[:80]) - logits).max() < 1e-3 * np.abs(logits).max()


@pytest.mark.parametrize("name", [name for name in TINY if name != "yarn"])
def test_keys_move_by_the_rope_of_the_identity(tiny: Callable[..., LlamaGenerator], name: str) -> None:
    """Read at 0 and turned to 500, the first layer's keys are those that were read at 500."""
    generator = tiny(TINY[name])
    reader = generator.reader(600)
    tokens, rope = tokens_of(generator, 20), reader.identity.rope
    read(reader, tokens)
    near = reader.cells().k[0]
    reader.rewind(0)
    read(reader, tokens_of(generator, 500) + tokens)
    far = reader.cells(500).k[0].astype(np.float32)
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    pairs: kv.Pairs = "halves" if rope.pairs == "halves" else "adjacent"
    moved = kv.rotate_cells(near, kv.rope_angles(np.array([500], np.int32), frequencies), pairs).astype(np.float32)
    assert np.abs(moved - far).max() < 4e-3 * np.abs(far).max()
    assert np.abs(near - far).max() > 0.1 * np.abs(far).max()


@pytest.mark.parametrize("name", REFUSED)
def test_models_whose_cache_cannot_be_taken_apart(tiny: Callable[..., LlamaGenerator], name: str) -> None:
    model, why = REFUSED[name]
    generator = tiny(model)
    for call in (lambda: generator.reader(256), generator.kv_identity):
        with pytest.raises(CartridgeIncompatible, match=why) as caught:
            call()
        assert caught.value.hint


def test_q8_0_and_f16_readers_take_each_other_s_cells(tiny: Callable[..., LlamaGenerator]) -> None:
    """Rounding is all that lies between them, whether a cache rotates or not."""
    for name in ("llama", "heads of 128", "heads of 32"):
        plain, rounded = (tiny(TINY[name], kv_type).reader(256) for kv_type in ("f16", "q8_0"))
        tokens = list(range(97, 127))
        read(plain, tokens)
        wanted = plain.logits(tokens[:4])
        plain.rewind(30)
        for cells in (plain.cells(), plain.quantized_cells()):
            rounded.place(30, cells)
            assert np.abs(rounded.logits(tokens[:4]) - wanted).max() < 0.1 * np.abs(wanted).max()
            rounded.rewind(30)
        plain.place(30, rounded.quantized_cells())
        assert np.abs(plain.logits(tokens[:4]) - wanted).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("wrong", ["freq_base", "pairs", "factors", "n_dims"])
def test_a_rope_that_is_not_the_model_s_is_found_out(
    tiny: Callable[..., LlamaGenerator], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """Without knowing it, nothing can be moved; the cache is still exact."""
    changes: dict[str, object] = {"freq_base": 9000.0, "pairs": "halves", "factors": (1.5,) * 32, "n_dims": 32}

    def told(model: LlamaModel, shape: KvShape) -> Rope:
        return dataclasses.replace(rope_of(model, shape), **{wrong: changes[wrong]})  # type: ignore[arg-type]

    monkeypatch.setattr(llama_selftest, "_verdicts", {})
    monkeypatch.setattr(llama_reader, "rope_of", told)
    assert not tiny(TINY["llama"]).reader(256).identity.rope.movable


def test_a_build_that_writes_another_layout_is_refused(
    tiny: Callable[..., LlamaGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*args: object) -> NDArray[np.uint8]:
        built = build_state(*args)  # type: ignore[arg-type]
        built[-1] ^= 1
        return built

    monkeypatch.setattr(llama_selftest, "_verdicts", {})
    monkeypatch.setattr(llama_selftest, "build_state", other)
    generator = tiny(TINY["llama"])
    for _ in range(2):  # the verdict is kept
        with pytest.raises(CartridgeIncompatible, match="differs when it is put back"):
            generator.reader(256)


def test_the_test_is_made_once(tiny: Callable[..., LlamaGenerator], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny(TINY["llama"])
    first = generator.reader(256)
    monkeypatch.setattr(llama_selftest._Test, "verdict", lambda _: pytest.fail("tested again"))
    assert generator.reader(128).identity == first.identity == generator.kv_identity()


def test_values_in_columns(tiny: Callable[..., LlamaGenerator], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flash attention llama.cpp holds values transposed."""
    original = LlamaContext._params

    def params(context: LlamaContext) -> object:
        made = original(context)
        made.flash_attn_type = library().LLAMA_FLASH_ATTN_TYPE_DISABLED
        return made

    generator = tiny(TINY["llama"])
    with_flash = generator.reader(256)
    tokens = tokens_of(generator, 30)
    read(with_flash, tokens)
    monkeypatch.setattr(LlamaContext, "_params", params)
    monkeypatch.setattr(llama_selftest, "_verdicts", {})
    reader = generator.reader(256)
    assert reader.layout.transposed and not with_flash.layout.transposed
    read(reader, tokens)
    before, cells = state(reader), reader.cells()
    assert np.abs(cells.v[0] - with_flash.cells().v[0]).max() < 1e-3
    reader.place(30, cells)
    assert np.array_equal(state(reader), before)
    reader.place(30, with_flash.quantized_cells())


def ragged_of(cells: Cells) -> RaggedCells:
    """The same, head by head."""
    n_layers, n, n_heads, _ = cells.k.shape
    k, v = (np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(-1, x.shape[3]) for x in (cells.k, cells.v))
    shape = KvShape(n_layers, n_heads, n_heads, k.shape[1], v.shape[1])
    return RaggedCells(n, shape, np.arange(n_layers * n_heads + 1) * n, k, v, 16)


def test_what_does_not_fit_changes_nothing(tiny: Callable[..., LlamaGenerator]) -> None:
    generator = tiny(TINY["llama"])
    reader = generator.reader(256)
    read(reader, tokens_of(generator, 10))
    before, cells = state(reader), reader.cells()
    for wrong, n_tokens in ((cells, 11), (altered(cells, v=cells.v * np.float16(np.nan)), 10)):
        with pytest.raises(ModelError, match="cannot be placed"):
            reader.place(n_tokens, wrong)
    assert not reader.takes_ragged and not generator.takes_ragged
    with pytest.raises(ModelError, match="cannot be placed"):
        reader.place(10, ragged_of(cells))
    assert reader.n_tokens == 10 and np.array_equal(state(reader), before)


def test_an_error_in_the_sink_drops_the_block(tiny: Callable[..., LlamaGenerator]) -> None:
    generator = tiny(TINY["llama"])
    reader = generator.reader(600)

    def fail(layer: int, queries: FloatRows, keys: FloatRows) -> None:
        if len(queries) < 256 and layer == 1:
            raise KeyError("the sink's own")

    with pytest.raises(KeyError, match="own"):
        list(reader.read(tokens_of(generator, 330), capture=fail))
    assert reader.n_tokens == 256 and len(reader.cells()) == 256
    read(reader, tokens_of(generator, 10))


def test_a_graph_without_the_expected_nodes_is_refused(
    tiny: Callable[..., LlamaGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = tiny(TINY["llama"])
    reader = generator.reader(256)
    monkeypatch.setattr("secondme.runtime.llama_capture._NAME", re.compile(rb"([QK])other-(\d+)"))
    with pytest.raises(CartridgeIncompatible, match="cannot be watched"):
        list(reader.read(tokens_of(generator, 10), capture=lambda *_: None))
    assert reader.n_tokens == 0


def test_an_older_read_notices_that_the_cache_was_moved(tiny: Callable[..., LlamaGenerator]) -> None:
    generator = tiny(TINY["llama"])
    reader = generator.reader(600)
    stream = reader.read(tokens_of(generator, 600))
    next(stream), next(stream)
    reader.rewind(0)
    with pytest.raises(ModelError, match="moved"):
        next(stream)


@pytest.mark.parametrize("end", ["reader", "generator", "forget"])
def test_closed_is_closed(tiny: Callable[..., LlamaGenerator], end: str) -> None:
    generator = tiny(TINY["llama"])
    reader, other = generator.reader(256), generator.reader(256)
    stream = reader.read(tokens_of(generator, 30))
    next(stream)
    {"reader": reader.close, "generator": generator.close, "forget": generator.forget}[end]()
    reader.close()
    calls: list[Callable[[], object]] = [
        lambda: list(stream),
        lambda: reader.read([1]),
        lambda: reader.rewind(0),
        reader.cells,
        reader.quantized_cells,
        lambda: reader.place(0, some_cells(TINY_SHAPE, 0)),
        lambda: reader.logits([1]),
    ]
    for call in calls:
        with pytest.raises(ModelError):
            call()
    if end == "reader":
        read(other, [1, 2])
        generator.close()
    with pytest.raises(ModelError):
        other.cells()


def test_close_ends_a_block_under_way(smollm2_path: Path) -> None:
    generator = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=512))
    reader = generator.reader(512)
    threading.Timer(0.3, generator.close).start()
    started = time.monotonic()
    with pytest.raises(ModelError, match="closed"):
        list(reader.read(tokens_of(generator, 256) * 2))
    assert time.monotonic() - started < 2.5
