"""What a KvReader promises, on every runtime, over the same tiny model."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from secondme.errors import Cancelled, ContextOverflow, ModelError
from secondme.runtime.base import Generator
from secondme.runtime.kv import Cells, FloatRows, KvReader, QuantizedCells, RaggedCells
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.llama_context import CellType
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from tests.tiny_mlx import TinyMlx, gguf_of, write_tiny_mlx

N_CTX = 600
TOKENS = np.random.default_rng(2).integers(3, 250, N_CTX).tolist()


@pytest.fixture(scope="module", params=["llama f16", "llama q8_0", "mlx"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    folder = write_tiny_mlx(tmp_path_factory.mktemp("readers") / "model", TinyMlx())
    opened: Generator
    if request.param == "mlx":
        opened = MlxGenerator(folder, options=MlxOptions(n_ctx=1024))
    else:
        kv_type: CellType = "f16" if request.param.endswith("f16") else "q8_0"
        options = LlamaOptions(n_ctx=1024, threads=1, kv_type=kv_type)
        opened = LlamaGenerator(gguf_of(folder), options=options)
    yield opened
    opened.close()


@pytest.fixture
def reader(generator: Generator) -> Iterator[KvReader]:
    opened = generator.reader(N_CTX)
    yield opened
    opened.close()


def read(reader: KvReader, tokens: list[int]) -> None:
    for _ in reader.read(tokens):
        pass


def exact(reader: KvReader) -> Cells | QuantizedCells:
    return reader.cells() if reader.identity.dtype == "f16" else reader.quantized_cells()


def same(a: Cells | QuantizedCells, b: Cells | QuantizedCells) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(parts(a), parts(b), strict=True))


def parts(cells: Cells | QuantizedCells) -> list[np.ndarray]:
    scales = [cells.k_scales, cells.v_scales] if isinstance(cells, QuantizedCells) else []
    return [cells.positions, cells.k, cells.v, *scales]


def close(a: FloatRows, b: FloatRows) -> bool:
    return bool(np.abs(a - b).max() < 1e-2 * np.abs(b).max())


def test_cells_there_and_back_are_the_same(reader: KvReader) -> None:
    read(reader, TOKENS[:40])
    cells = exact(reader)
    logits = reader.logits(TOKENS[40:45])
    assert reader.n_tokens == 45
    reader.rewind(0)
    assert not close(reader.logits(TOKENS[40:45]), logits), "what is in the cache counts"
    reader.place(40, cells)
    assert reader.n_tokens == 40 and same(exact(reader), cells)
    assert close(reader.logits(TOKENS[40:45]), logits)


def test_cells_are_those_from_a_position_on(reader: KvReader) -> None:
    read(reader, TOKENS[:40])
    whole, rest = reader.cells(), reader.cells(30)
    assert rest.positions.tolist() == list(range(30, 40)) and rest.positions.dtype == np.int32
    assert np.array_equal(rest.k, whole.k[:, 30:]) and np.array_equal(rest.v, whole.v[:, 30:])
    assert all(part.flags.c_contiguous for part in parts(rest))
    blocks = reader.quantized_cells(30)
    assert blocks.k.shape == (3, 10, 128) and blocks.k_scales.shape == (3, 10, 4)
    assert blocks.rotated == (reader.identity.dtype == "q8_0")


def test_fewer_cells_than_positions(reader: KvReader) -> None:
    """What is read next stands at the next position, and the cells that are gone are not looked at."""
    read(reader, TOKENS[:40])
    cells = reader.cells()
    some = Cells(cells.positions[15:], cells.k[:, 15:].copy(), cells.v[:, 15:].copy())
    reader.place(40, some)
    assert (reader.n_tokens, len(reader.cells())) == (40, 25)
    logits = reader.logits(TOKENS[40:44])
    assert reader.cells().positions.tolist() == list(range(15, 44))
    later = dataclasses.replace(some, positions=some.positions + 100)
    reader.place(140, later)
    assert not close(reader.logits(TOKENS[40:44]), logits), "turned by another distance"


def test_reading_in_pieces_and_going_back(reader: KvReader, generator: Generator) -> None:
    whole = reader.logits(TOKENS[:40])
    reader.rewind(15)
    assert reader.n_tokens == 15 and close(reader.logits(TOKENS[15:40]), whole[15:])
    reader.rewind(99)
    assert reader.n_tokens == 40
    reader.rewind(0)
    assert reader.n_tokens == 0 and len(reader.cells()) == 0 and len(reader.quantized_cells()) == 0
    assert reader.logits([]).shape == (0, generator.info.n_vocab)


def test_placed_cells_go_as_a_whole(reader: KvReader) -> None:
    read(reader, TOKENS[:40])
    reader.place(40, exact(reader))
    read(reader, TOKENS[:5])
    reader.rewind(40)
    assert reader.n_tokens == 40
    reader.rewind(39)
    assert reader.n_tokens == 0 and len(reader.cells()) == 0


def test_progress_and_room(reader: KvReader) -> None:
    events = [event.n_done for event in reader.read(TOKENS[:300])]
    assert events[0] == 0 and events[-1] == 300 and events == sorted(set(events))
    for call in (reader.read, reader.logits):
        with pytest.raises(ContextOverflow):
            call(TOKENS[:301])
        with pytest.raises(ModelError, match="vocabulary"):
            call([-1])
    with pytest.raises(ContextOverflow):
        reader.place(N_CTX + 1, reader.cells())
    assert reader.n_tokens == 300


def test_a_long_text_is_captured_layer_by_layer_and_once(reader: KvReader) -> None:
    """Keys as they are in the cache, queries of the same tokens."""
    found: dict[int, list[tuple[FloatRows, FloatRows]]] = {}
    order: list[int] = []

    def sink(layer: int, queries: FloatRows, keys: FloatRows) -> None:
        order.append(layer)
        assert queries.flags.writeable and keys.flags.writeable
        found.setdefault(layer, []).append((queries, keys))

    for _ in reader.read(TOKENS[:300], capture=sink):
        pass
    assert order == [0, 1, 2] * (len(order) // 3)
    cells = reader.cells()
    for layer in range(3):
        queries, keys = (np.concatenate([pair[side] for pair in found[layer]]) for side in (0, 1))
        assert queries.shape == (300, 4, 64) and keys.shape == (300, 2, 64) and queries.dtype == np.float32
        allowed = 3e-2 if reader.identity.dtype == "q8_0" else 2e-3
        assert np.abs(cells.k[layer] - keys).max() < allowed * np.abs(keys).max()


def test_stopping_keeps_the_blocks_that_were_told_of(reader: KvReader) -> None:
    done: list[int] = []
    with pytest.raises(Cancelled):
        for event in reader.read(TOKENS[:500], cancelled=lambda: len(done) > 1):
            done.append(event.n_done)
    assert 0 < done[-1] < 500 and reader.n_tokens == done[-1] == len(reader.cells())
    rest = list(reader.read(TOKENS[done[-1] : 500]))
    assert rest[-1].n_done == 500 - done[-1]


def test_a_pause_computes_nothing_and_loses_nothing(reader: KvReader) -> None:
    pause, done = threading.Event(), list[int]()
    pause.set()

    def work() -> None:
        done.extend(event.n_done for event in reader.read(TOKENS[:30], paused=pause.is_set))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.15)
    assert done == [] or done == [0]
    assert reader.n_tokens == 0
    pause.clear()
    thread.join(30)
    assert done == [0, 30] and reader.n_tokens == 30
    with pytest.raises(Cancelled):
        list(reader.read(TOKENS[:30], paused=lambda: True, cancelled=lambda: True))
    assert reader.n_tokens == 30


def test_the_generator_is_left_alone(reader: KvReader, generator: Generator) -> None:
    list(generator.prefill(TOKENS[:12]))
    read(reader, TOKENS[:20])
    assert generator.cached_tokens == tuple(TOKENS[:12])


def test_what_does_not_fit_changes_nothing(reader: KvReader) -> None:
    read(reader, TOKENS[:10])
    before, cells = exact(reader), reader.cells()
    ragged = RaggedCells(10, reader.identity.shape, np.zeros(7, np.int64), cells.k[0, :, 0], cells.v[0, :, 0], 16)
    wrong: list[tuple[int, Cells | RaggedCells]] = [
        (11, cells),
        (10, dataclasses.replace(cells, v=cells.v * np.float16(np.nan))),
        (10, dataclasses.replace(cells, k=cells.k[:, :, :1].copy())),
        (10, ragged),
    ]
    for n_tokens, each in wrong:
        with pytest.raises(ModelError, match="cannot be placed"):
            reader.place(n_tokens, each)
    assert reader.n_tokens == 10 and same(exact(reader), before)


def test_an_error_in_the_sink_drops_the_block(reader: KvReader) -> None:
    blocks = [0]

    def fail(layer: int, queries: FloatRows, keys: FloatRows) -> None:
        blocks[0] += layer == 0
        if blocks[0] > 1 and layer == 1:
            raise KeyError("the sink's own")

    with pytest.raises(KeyError, match="own"):
        list(reader.read(TOKENS[:500], capture=fail))
    assert 0 < reader.n_tokens < 500 and len(reader.cells()) == reader.n_tokens
    read(reader, TOKENS[:10])


def test_an_older_read_notices_that_the_cache_was_moved(reader: KvReader) -> None:
    moves: list[Callable[[], object]] = [
        lambda: reader.rewind(0),
        lambda: reader.place(0, dataclasses.replace(reader.cells(10_000))),
        lambda: reader.logits([5]),
    ]
    for move in moves:
        reader.rewind(0)
        stream = reader.read(TOKENS[:550])
        next(stream), next(stream)
        move()
        with pytest.raises(ModelError, match="moved"):
            next(stream)


def test_closed_is_closed(generator: Generator) -> None:
    reader, other = generator.reader(N_CTX), generator.reader(N_CTX)
    stream = reader.read(TOKENS[:30])
    next(stream)
    reader.close()
    reader.close()
    calls: list[Callable[[], object]] = [
        lambda: list(stream),
        lambda: reader.read([1]),
        lambda: reader.rewind(0),
        reader.cells,
        reader.quantized_cells,
        lambda: reader.place(0, other.cells()),
        lambda: reader.logits([1]),
    ]
    for call in calls:
        with pytest.raises(ModelError):
            call()
    read(other, TOKENS[:2])
    generator.forget()
    with pytest.raises(ModelError):
        other.cells()
