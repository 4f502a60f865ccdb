"""What only the llama.cpp backend has: aborting inside a block, memory, threads, state against the real size."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.errors import BackendUnavailable, Cancelled, ModelError, OutOfMemory
from secondme.runtime import llama_lib, room
from secondme.runtime.base import DecodedText, Sampling
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.llama import LlamaEmbedder, LlamaGenerator, LlamaOptions
from secondme.runtime.llama_model import choose_n_ctx, split_runs
from secondme.runtime.room import DEFAULT_N_CTX
from secondme.types import Message

SENTENCE = "The lighthouse keeper wrote down the wind and the tide. "


@pytest.fixture(scope="module")
def generator(smollm2_path: Path) -> Iterator[LlamaGenerator]:
    opened = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=2048, n_batch=1024, name="smollm2"))
    yield opened
    opened.close()


def test_cancel_stops_inside_a_block(generator: LlamaGenerator) -> None:
    list(generator.prefill([]))
    tokens = (generator.tokenize(SENTENCE) * 100)[:1024]  # one block of several seconds
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    started = time.monotonic()
    events = generator.prefill(tokens, cancelled=asked.is_set)
    assert next(events).n_done == 0
    with pytest.raises(Cancelled):
        list(events)
    assert time.monotonic() - started < 2.5
    assert generator.cached_tokens == ()
    list(generator.prefill(tokens[:20]))  # and it works on, with an exact cache
    assert generator.usage.n_used == 20


def test_a_failed_block_leaves_the_text_after_it_unchanged(generator: LlamaGenerator) -> None:
    tokens = generator.tokenize("one two three four five one two three four five one two")
    list(generator.prefill(tokens))
    expected = [event for event in generator.decode(Sampling(max_tokens=6)) if isinstance(event, DecodedText)]
    list(generator.prefill(tokens))
    asked = threading.Event()
    threading.Timer(0.2, asked.set).start()
    with pytest.raises(Cancelled):
        list(generator.prefill(tokens + (generator.tokenize(SENTENCE) * 100)[:1000], cancelled=asked.is_set))
    assert generator.cached_tokens == tuple(tokens)
    assert [e for e in generator.decode(Sampling(max_tokens=6)) if isinstance(e, DecodedText)] == expected


def test_close_ends_a_block_under_way(smollm2_path: Path) -> None:
    generator = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=2048, n_batch=1024))
    tokens = (generator.tokenize(SENTENCE) * 100)[:1024]
    threading.Timer(0.3, generator.close).start()
    started = time.monotonic()
    with pytest.raises(ModelError, match="closed"):
        list(generator.prefill(tokens))
    assert time.monotonic() - started < 2.5


def test_a_character_of_several_tokens_comes_out_whole(generator: LlamaGenerator) -> None:
    list(generator.prefill(generator.tokenize("🍕" * 14)))
    texts = [e.text for e in generator.decode(Sampling(max_tokens=12)) if isinstance(e, DecodedText)]
    assert set(texts) == {"", "🍕"}


def test_endless_runs_are_cut_before_they_reach_the_regex(generator: LlamaGenerator) -> None:
    for text in ("a" * 60_000, " " * 60_000, "é\u0301" * 30_000, "x " * 5_000 + "." * 2_500, "b" * 1_000, ""):
        pieces = split_runs(text)
        assert "".join(pieces) == text
        assert max(map(len, re.findall(r"\S+|\s+", max(pieces, key=len))), default=0) <= 1_000
        assert generator.detokenize(generator.tokenize(text)) == text
    assert split_runs("ordinary words, a few thousand of them " * 100) == [
        "ordinary words, a few thousand of them " * 100
    ]


def test_repeat_penalty_counts_the_prompt(generator: LlamaGenerator) -> None:
    tokens = generator.tokenize("one two three one two three one two three one two")
    texts = []
    for penalty in (1.0, 3.0):
        list(generator.prefill(tokens))
        sampling = Sampling(max_tokens=3, repeat_penalty=penalty)
        texts.append("".join(e.text for e in generator.decode(sampling) if isinstance(e, DecodedText)))
    assert texts[0].startswith(" three one")
    assert "three" not in texts[1]


def test_kv_bytes_per_token_is_what_a_state_grows_by(generator: LlamaGenerator) -> None:
    tokens = generator.tokenize(SENTENCE * 3)
    sizes = []
    for n in (10, 30):
        list(generator.prefill(tokens[:n]))
        sizes.append(len(generator.save_state()))
    assert generator.info.kv_bytes_per_token == 23_040
    grown = (sizes[1] - sizes[0]) / 20
    assert 23_040 <= grown <= 23_040 * 1.01


def test_info_is_cheap_and_the_fingerprint_is_the_file_s_hash(generator: LlamaGenerator, smollm2_path: Path) -> None:
    assert (generator.info.name, generator.info.n_ctx, generator.info.n_ctx_train) == ("smollm2", 2048, 8192)
    assert generator.info.fingerprint == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    given = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=64, fingerprint="f" * 64))
    assert given.info.fingerprint == "f" * 64
    given.close()


def test_the_real_template_matches_plain_rendering(generator: LlamaGenerator) -> None:
    tokens = generator.chat_tokens([Message("system", "Be kind."), Message("user", "Hi")])
    text = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokens == generator.tokenize(text, special=True)


def test_a_model_without_a_template_says_so(smollm2_path: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(smollm2_path.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.no_template__", 1))
    generator = LlamaGenerator(base, options=LlamaOptions(n_ctx=64))
    with pytest.raises(ModelError, match="base has no chat template"):
        generator.chat_tokens([Message("user", "Hi")])
    generator.close()


def test_an_embedding_model_is_no_generator(minilm_path: Path) -> None:
    with pytest.raises(ModelError, match="not a language model"):
        LlamaGenerator(minilm_path)


def test_a_language_model_is_no_embedder(smollm2_path: Path) -> None:
    with pytest.raises(ModelError, match="not an embedding model"):
        LlamaEmbedder(smollm2_path)


@pytest.mark.parametrize(
    ("free_mb", "asked", "expected"),
    [(8000, 0, DEFAULT_N_CTX), (8000, 3000, 3000), (350, 0, 2048)],
    ids=["enough", "as asked", "as much as fits"],
)
def test_context_follows_the_wish_and_the_memory(
    smollm2_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, asked: int, expected: int
) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: free_mb * 1_000_000)
    assert choose_n_ctx(read_gguf_header(smollm2_path), asked, on_gpu=False) == expected


@pytest.mark.parametrize(("free_mb", "asked"), [(350, 8192), (300, 0), (50, 0)])
def test_what_does_not_fit_into_memory_is_refused(
    smollm2_path: Path, monkeypatch: pytest.MonkeyPatch, free_mb: int, asked: int
) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: free_mb * 1_000_000)
    with pytest.raises(OutOfMemory) as caught:
        LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=asked))
    assert "GB" in caught.value.message
    assert caught.value.hint


def test_more_context_than_the_model_was_trained_for_is_refused(smollm2_path: Path) -> None:
    with pytest.raises(ModelError, match="trained for"):
        LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=8193))


def test_a_missing_runtime_is_an_error_with_a_remedy(smollm2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_lib, "_LIBRARY", [])
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_cpp", None)
    with pytest.raises(BackendUnavailable) as caught:
        LlamaGenerator(smollm2_path)
    assert "llama-cpp-python" in str(caught.value.hint)


def test_loading_is_quiet_and_tells_openmp_to_sleep(smollm2_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from secondme.runtime.llama import *;"
        f"g = LlamaGenerator(Path({str(smollm2_path)!r}), options=LlamaOptions(n_ctx=64));"
        "list(g.prefill(g.tokenize('hello'))); print(os.environ['OMP_WAIT_POLICY']); g.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "passive\n", "")
