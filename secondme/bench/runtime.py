"""Whether secondme's own layer costs speed: prefill and decode against the bare binding, all else the same."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondme.bench.rows import Row
from secondme.runtime.base import DecodedText, Generator, Sampling

TEXT = "The lighthouse keeper wrote down the wind, the tide and the names of the ships that passed. "


def run(path: Path, *, n: int, n_prompt: int, n_decode: int, threads: int) -> Iterator[Row]:
    """Rows in tokens per second; the peer is a loop over llama_cpp's low-level calls.

    The best of the runs is taken on both sides: what else the machine does can only slow a run down.
    """
    from secondme.runtime.llama import LlamaGenerator, LlamaOptions

    generator = LlamaGenerator(path, options=LlamaOptions(n_ctx=n_prompt + n_decode + 64, threads=threads))
    tokens = (generator.tokenize(TEXT) * (n_prompt // 8))[:n_prompt]
    bare = _Bare(path, n_ctx=n_prompt + n_decode + 64, threads=threads)
    try:
        ours: list[tuple[float, float]] = []
        peer: list[tuple[float, float]] = []
        for _ in range(n):
            ours.append(_measure(generator, tokens, n_decode))
            peer.append(bare.measure(tokens, n_decode))
    finally:
        bare.close()
        generator.close()
    for case, i, amount in (("prefill", 0, n_prompt), ("decode", 1, n_decode)):
        a, b = amount / min(t[i] for t in ours), amount / min(t[i] for t in peer)
        yield Row("runtime", f"{case}_over_bare", a, "tokens/s", n, "bare llama-cpp-python", b, a / b)


def _measure(generator: Generator, tokens: list[int], n_decode: int) -> tuple[float, float]:
    """Seconds of one prefill from an empty cache and of `n_decode` greedy tokens."""
    for _ in generator.prefill(tokens[:1]):
        pass
    started = time.perf_counter()
    for _ in generator.prefill(tokens):
        pass
    prefilled = time.perf_counter()
    n = sum(isinstance(e, DecodedText) for e in generator.decode(Sampling(max_tokens=n_decode)))
    ended = time.perf_counter()
    return prefilled - started, (ended - prefilled) * n_decode / max(n, 1)


class _Bare:
    """The shortest loop over the binding that does the same work."""

    def __init__(self, path: Path, *, n_ctx: int, threads: int) -> None:
        import llama_cpp.llama_cpp as lib

        self._lib: Any = lib
        model_params = lib.llama_model_default_params()
        self._model = lib.llama_model_load_from_file(str(path).encode(), model_params)
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, 512, 512
        params.n_threads = params.n_threads_batch = threads
        self._ctx = lib.llama_init_from_model(self._model, params)
        self._sampler = lib.llama_sampler_init_greedy()

    def measure(self, tokens: list[int], n_decode: int) -> tuple[float, float]:
        lib = self._lib
        lib.llama_memory_clear(lib.llama_get_memory(self._ctx), True)
        self._decode(tokens[:1])
        started = time.perf_counter()
        for at in range(1, len(tokens), 512):
            self._decode(tokens[at : at + 512])
        prefilled = time.perf_counter()
        token = lib.llama_sampler_sample(self._sampler, self._ctx, -1)
        for _ in range(n_decode):
            self._decode([token])
            token = lib.llama_sampler_sample(self._sampler, self._ctx, -1)
        return prefilled - started, time.perf_counter() - prefilled

    def _decode(self, tokens: list[int]) -> None:
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        if self._lib.llama_decode(self._ctx, self._lib.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("the bare loop could not decode")

    def close(self) -> None:
        self._lib.llama_sampler_free(self._sampler)
        self._lib.llama_free(self._ctx)
        self._lib.llama_model_free(self._model)
