"""A layer's cache under MLX beside attention written out in NumPy: placed rows, ragged ones, in 16 and 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.runtime import mlx_cache
from secondme.runtime.mlx_cache import STEP, HeadRows, LayerCache, Watch
from secondme.runtime.mlx_lib import core, on_worker

Rows = NDArray[np.float32]
_T = TypeVar("_T")
N_HEADS, N_KV, DIM = 4, 2, 64


def done(work: Callable[[], _T]) -> _T:
    return on_worker(work)


def random_rows(rng: np.random.Generator, *shape: int) -> Rows:
    return rng.standard_normal(shape).astype(np.float32)


def expected(queries: Rows, keys: list[Rows], values: list[Rows]) -> Rows:
    """Queries [n_heads, n, dim] over each key head's rows, of which the last n are those of the queries' tokens."""
    out, group, n = [], len(queries) // len(keys), queries.shape[1]
    for i, query in enumerate(queries):
        k, v = keys[i // group], values[i // group]
        logits = query @ k.T / np.sqrt(query.shape[1])
        for row in range(n):
            logits[row, len(k) - n + row + 1 :] = -np.inf
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        out.append((weights / weights.sum(axis=1, keepdims=True)) @ v)
    return np.stack(out)


def attended(cache: LayerCache, queries: Rows, keys: Rows, values: Rows) -> Rows:
    """A block read as a model's layer does."""

    def work() -> Rows:
        mx = core()
        mask = cache.make_mask(queries.shape[1])
        k, v = cache.update_and_fetch(mx.array(keys)[None], mx.array(values)[None])
        found = cache.attend(mx.array(queries)[None], k, v, DIM**-0.5, mask)
        return np.array(found[0])

    return done(work)


def head(k: Rows, v: Rows, bits: int) -> HeadRows:
    mx = core()
    if bits == 16 or not len(k):
        return HeadRows(len(k), mx.array(k), mx.array(v))
    return HeadRows(len(k), mx.quantize(mx.array(k), 64, 8), mx.quantize(mx.array(v), 64, 8), 64)


@pytest.fixture(scope="module", params=["cpu", "metal"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is done on Metal runs here too, only more slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlx_cache, "on_metal", lambda: request.param == "metal")
        yield


@settings(deadline=None, max_examples=25)
@given(
    counts=st.lists(st.integers(0, 40), min_size=N_KV, max_size=N_KV),
    blocks=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    bits=st.sampled_from([16, 8]),
    seed=st.integers(0, 99),
)
def test_ragged_heads_attend_to_their_own_rows(counts: list[int], blocks: list[int], bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys, values = ([random_rows(rng, n, DIM) for n in counts] for _ in range(2))
    cache = LayerCache(Watch())
    done(lambda: cache.place_ragged([head(k, v, bits) for k, v in zip(keys, values, strict=True)], 50))
    assert cache.offset == 50
    for n in blocks:
        queries = random_rows(rng, N_HEADS, n, DIM)
        k, v = random_rows(rng, N_KV, n, DIM), random_rows(rng, N_KV, n, DIM)
        keys = [np.concatenate([a, b]) for a, b in zip(keys, k, strict=True)]
        values = [np.concatenate([a, b]) for a, b in zip(values, v, strict=True)]
        found = attended(cache, queries, k, v)
        assert np.abs(found - expected(queries, keys, values)).max() < (1e-5 if bits == 16 else 0.05)
    assert cache.offset == 50 + sum(blocks)


@pytest.mark.parametrize("n_placed", [0, 3, STEP, STEP + 1])
def test_placed_rows_of_equal_heads_are_rows_like_any(n_placed: int) -> None:
    rng = np.random.default_rng(n_placed)
    keys, values = random_rows(rng, N_KV, n_placed, DIM), random_rows(rng, N_KV, n_placed, DIM)
    cache = LayerCache(Watch())
    done(lambda: cache.place(core().array(keys)[None], core().array(values)[None], n_placed, 400))
    assert cache.offset == 400 and cache.n_rows == n_placed
    queries, k, v = (random_rows(rng, n, 5, DIM) for n in (N_HEADS, N_KV, N_KV))
    found = attended(cache, queries, k, v)
    all_keys, all_values = np.concatenate([keys, k], axis=1), np.concatenate([values, v], axis=1)
    assert np.abs(found - expected(queries, list(all_keys), list(all_values))).max() < 1e-5


def test_what_is_trimmed_is_read_again_the_same() -> None:
    rng = np.random.default_rng(1)
    cache = LayerCache(Watch())
    keys, values = random_rows(rng, N_KV, 3, DIM), random_rows(rng, N_KV, 3, DIM)
    done(lambda: cache.place_ragged([head(k, v, 16) for k, v in zip(keys, values, strict=True)], 7))
    blocks = [tuple(random_rows(rng, n, size, DIM) for n in (N_HEADS, N_KV, N_KV)) for size in (STEP, 4)]
    first = [attended(cache, *block) for block in blocks]
    cache.trim_to(7 + STEP)
    assert np.array_equal(attended(cache, *blocks[1]), first[1])
    cache.trim_to(7)
    assert [np.array_equal(attended(cache, *b), f) for b, f in zip(blocks, first, strict=True)] == [True, True]


def test_a_watch_sees_the_blocks_own_queries_and_keys_and_may_stop_it() -> None:
    rng, watch = np.random.default_rng(2), Watch()
    cache = LayerCache(watch)
    seen: list[Any] = []
    blocks = [tuple(random_rows(rng, n, size, DIM) for n in (N_HEADS, N_KV, N_KV)) for size in (6, 2)]
    for block in blocks:
        watch.record = lambda queries, keys: seen.append((np.array(queries[0]), np.array(keys[0])))
        attended(cache, *block)
    for (queries, keys), block in zip(seen, blocks, strict=True):
        assert np.array_equal(queries, block[0]) and np.array_equal(keys, block[1])

    def stop() -> None:
        raise KeyError("stopped")

    watch.record, watch.poll = None, stop
    with pytest.raises(KeyError, match="stopped"):
        attended(cache, *blocks[1])


def test_ragged_rows_take_no_more_than_they_are() -> None:
    rng = np.random.default_rng(3)
    counts = (200, 40)
    plain, ragged, packed = (LayerCache(Watch()) for _ in range(3))
    keys, values = ([random_rows(rng, n, DIM) for n in counts] for _ in range(2))
    done(lambda: plain.place(core().zeros((1, N_KV, 256, DIM)), core().zeros((1, N_KV, 256, DIM)), 256, 256))
    for cache, bits in ((ragged, 16), (packed, 8)):
        done(
            lambda cache=cache, bits=bits: cache.place_ragged(  # type: ignore[misc]
                [head(k, v, bits) for k, v in zip(keys, values, strict=True)], 256
            )
        )
    assert plain.nbytes == 2 * N_KV * 256 * DIM * 4
    assert ragged.nbytes == 2 * sum(counts) * DIM * 4
    assert packed.nbytes == 2 * sum(counts) * (DIM + 2 * 4)
