"""Scores against attention computed in full, and reading again that leaves a reader as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from secondme.cartridges.score import AttentionRecorder, TokenScores, emphasis, read_again, repetitions
from secondme.errors import Cancelled
from secondme.runtime.kv import CaptureSink, Cells, FloatRows, KvShape
from secondme.types import CancelCheck, PrefillProgress, never_cancelled

SHAPE = KvShape(n_layers=2, n_kv_heads=2, n_heads=6, k_dim=8, v_dim=8)
N_PREFIX, N_TOKENS = 3, 300


def cells() -> Cells:
    rng = np.random.default_rng(1)
    k = rng.normal(0, 2, (SHAPE.n_layers, N_PREFIX + N_TOKENS, SHAPE.n_kv_heads, SHAPE.k_dim)).astype(np.float16)
    return Cells(np.arange(N_PREFIX + N_TOKENS, dtype=np.int32), k, np.zeros_like(k))


def captured(n: int, seed: int) -> tuple[FloatRows, FloatRows]:
    rng = np.random.default_rng(seed)
    queries = rng.normal(0, 2, (n, SHAPE.n_heads, SHAPE.k_dim)).astype(np.float32)
    return queries, rng.normal(0, 2, (n, SHAPE.n_kv_heads, SHAPE.k_dim)).astype(np.float32)


def attention(queries: FloatRows, own: FloatRows, layer: int, head: int) -> FloatRows:
    """Softmax over cells and own keys of all queries that share a kv head, [n * group, n_tokens]."""
    keys = np.concatenate([cells().k[layer, :, head].astype(np.float32), own[:, head]])
    rows = []
    for i in range(len(queries)):
        for q in range(head * 3, head * 3 + 3):
            logits = keys[: N_PREFIX + N_TOKENS + i + 1] @ queries[i, q] / np.sqrt(8)
            weights = np.exp(logits - logits.max())
            rows.append((weights / weights.sum())[N_PREFIX : N_PREFIX + N_TOKENS])
    return np.array(rows, np.float32)


@pytest.mark.parametrize("blocks", [(40,), (1, 25, 14)])
def test_scores_are_the_largest_and_the_root_mean_square_attention(blocks: tuple[int, ...]) -> None:
    recorder = AttentionRecorder(SHAPE, cells(), start=N_PREFIX)
    queries, keys = captured(40, seed=2)
    for layer in range(SHAPE.n_layers):
        for block in np.split(np.arange(40), np.cumsum(blocks)[:-1]):
            recorder.capture(layer, queries[block], keys[block])
    scores = recorder.scores()
    for layer in range(SHAPE.n_layers):
        for head in range(SHAPE.n_kv_heads):
            expected = attention(queries, keys, layer, head)
            index = layer * SHAPE.n_kv_heads + head
            np.testing.assert_allclose(scores.peak[index], expected.max(axis=0), rtol=1e-4, atol=1e-7)
            rms = np.sqrt(np.square(expected, dtype=np.float64).mean(axis=0))
            np.testing.assert_allclose(scores.rms[index], rms, rtol=1e-4, atol=1e-7)


def test_a_text_does_not_see_the_one_before_it() -> None:
    recorder, apart = (AttentionRecorder(SHAPE, cells(), start=N_PREFIX) for _ in range(2))
    first, second = captured(20, seed=3), captured(20, seed=4)
    recorder.capture(0, *first)
    recorder.begin()
    recorder.capture(0, *second)
    apart.capture(0, *second)
    peak = np.maximum(attention(*first, 0, 1).max(axis=0), apart.scores().peak[1])
    np.testing.assert_allclose(recorder.scores().peak[1], peak, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("n_tokens", [0, 1, 15, 16, 17, 100])
def test_repetitions_say_every_token_once_in_chunks_of_about_the_same_length(n_tokens: int) -> None:
    texts = repetitions(range(n_tokens), [-1, -2], chunk=16)
    assert all(text[:2] == [-1, -2] and len(text) <= 18 for text in texts)
    assert [token for text in texts for token in text[2:]] == list(range(n_tokens))
    assert max(map(len, texts)) - min(map(len, texts)) <= 1


def test_numbers_and_names_are_emphasised_with_all_their_tokens() -> None:
    pieces = [
        "Ada",
        " Qu",
        "ill",
        " paid",
        " 1",
        ",",
        "482",
        ".",
        "50",
        " for",
        " the",
        " b",
        "2",
        "b",
        "-",
        "x",
        ",",
        " in",
    ]
    marked = [p for p, w in zip(pieces, emphasis(pieces, 2.0), strict=True) if w == 2]
    assert marked == ["Ada", " Qu", "ill", " 1", "482", "50", "2", "b", "-", "x"]
    assert emphasis([]).shape == (0,)
    assert emphasis(["", " \n", "\ufffd"]).tolist() == [1, 1, 1]


class Reader:
    """Counts positions and captures made-up queries, in blocks of 10."""

    def __init__(self) -> None:
        self.n_tokens = N_PREFIX + N_TOKENS

    def read(
        self,
        tokens: Sequence[int],
        *,
        capture: CaptureSink | None = None,
        cancelled: CancelCheck = never_cancelled,
        paused: CancelCheck = never_cancelled,
    ) -> Iterator[PrefillProgress]:
        for start in range(0, len(tokens), 10):
            if cancelled():
                raise Cancelled("reading was stopped")
            n = len(tokens[start : start + 10])
            assert capture is not None
            for layer in range(SHAPE.n_layers):
                capture(layer, *captured(n, seed=start))
            self.n_tokens += n
            yield PrefillProgress(start + n, len(tokens))

    def rewind(self, n_tokens: int) -> None:
        self.n_tokens = n_tokens


def test_reading_again_counts_all_texts_and_leaves_the_reader_as_it_was() -> None:
    reader, recorder = Reader(), AttentionRecorder(SHAPE, cells(), start=N_PREFIX)
    progress = list(read_again(reader, recorder, [range(25), range(15)]))  # type: ignore[arg-type]
    assert [p.n_done for p in progress] == [10, 20, 25, 35, 40]
    assert {p.n_total for p in progress} == {40}
    assert reader.n_tokens == N_PREFIX + N_TOKENS
    assert recorder.scores().peak.max() > 0


def test_stopping_leaves_the_reader_as_it_was() -> None:
    reader, recorder = Reader(), AttentionRecorder(SHAPE, cells(), start=N_PREFIX)
    polls = iter([False, False, True])
    with pytest.raises(Cancelled):
        list(read_again(reader, recorder, [range(50)], cancelled=lambda: next(polls)))  # type: ignore[arg-type]
    assert reader.n_tokens == N_PREFIX + N_TOKENS
    running = read_again(reader, recorder, [range(50)])  # type: ignore[arg-type]
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert reader.n_tokens == N_PREFIX + N_TOKENS


def test_weighed_scores_keep_the_peaks_level_and_the_order_of_the_mean_squares() -> None:
    rng = np.random.default_rng(0)
    rms = rng.random((4, 50), dtype=np.float32) + np.float32(0.01)
    scores = TokenScores(peak=rms * 30, rms=rms)
    plain = scores.weighed(np.ones(50, np.float32))
    np.testing.assert_allclose(plain, scores.peak, rtol=1e-4)
    weights = np.ones(50, np.float32)
    weights[7] = 2
    np.testing.assert_allclose(scores.weighed(weights)[:, 7], 2 * plain[:, 7], rtol=1e-5)
    silent = TokenScores(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))
    assert silent.weighed(np.ones(3, np.float32)).tolist() == [[0, 0, 0]]
