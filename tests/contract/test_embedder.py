"""One body for every embedder: what the protocol promises, on the hashed one and on the real MiniLM."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from secondme.errors import Cancelled, ContextOverflow, ModelError
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.llama import LlamaEmbedder
from tests.reading_memory import hits

TEXTS = [
    "",
    " \n",
    "hello",
    "The cat sat on the mat.",
    "日本語 한국어 हिन्दी",
    "def f(x): return x",
    "🙂👩‍👩‍👧",
    "a\x00b",
    "x" * 90,
]
CLOSE = ("The cat sat on the mat", "A cat sits on a mat", "Quarterly revenue grew by a tenth")

FORGETTING = """
import sys
from pathlib import Path
from secondme.runtime.llama import LlamaEmbedder

embedder = LlamaEmbedder(Path(sys.argv[1]))
text = "".join(f" the {n} velvet zebras sleep" for n in range(30))
embedder.embed([text])
embedder.embed_tokens([text])[0].tokens[:] = 0  # the answer is the caller's, who has it
print(*embedder._tokens(text)[40:52], flush=True)
sys.stdin.readline()
embedder.forget()
print("forgotten" if not embedder._wordpiece._words else "kept", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module", params=["hash", "minilm"])
def make(request: pytest.FixtureRequest) -> Callable[[], Embedder]:
    if request.param == "hash":
        return HashEmbedder
    path: Path = request.getfixturevalue("minilm_path")
    return lambda: LlamaEmbedder(path)


@pytest.fixture(scope="module")
def embedder(make: Callable[[], Embedder]) -> Iterator[Embedder]:
    opened = make()
    yield opened
    opened.close()


def longest(embedder: Embedder) -> str:
    """A text of exactly `n_ctx` tokens."""
    text = "one " * embedder.n_ctx
    while embedder.count_tokens(text) > embedder.n_ctx:
        text = text[4:]
    assert embedder.count_tokens(text) == embedder.n_ctx
    return text


def test_vectors_have_length_one(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.n_dims)
    assert vectors.dtype == np.dtype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.n_dims)


def test_related_texts_are_closer(embedder: Embedder) -> None:
    a, b, c = embedder.embed(CLOSE)
    assert a @ b > a @ c + 0.2


def test_a_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    texts = [*TEXTS, *CLOSE] * 6
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts[:12]])
    assert ((together[:12] * alone).sum(axis=1) > 0.9999).all()
    np.testing.assert_allclose(together[:12], together[-12:], atol=2e-3)


def test_the_longest_text_is_read_whole(embedder: Embedder) -> None:
    text = longest(embedder)
    whole, changed = embedder.embed([text, text[:-4] + "six "])
    assert embedder.count_tokens(text[:-4] + "six ") == embedder.n_ctx
    assert np.abs(whole - changed).max() > 1e-4


def test_a_longer_text_is_refused(embedder: Embedder) -> None:
    with pytest.raises(ContextOverflow) as caught:
        embedder.embed(["short", longest(embedder) + " one"])
    assert str(embedder.n_ctx + 1) in caught.value.message


def test_a_huge_word_is_counted_in_no_time(embedder: Embedder) -> None:
    started = time.monotonic()
    for text in ("x" * 1_000_000, "é" * 1_000_000, "東" * 100_000, "\u0301" * 100_000):
        n_tokens = embedder.count_tokens(text)
        if n_tokens > embedder.n_ctx:
            with pytest.raises(ContextOverflow):
                embedder.embed([text])
        else:
            assert embedder.embed([text]).shape == (1, embedder.n_dims)
    assert time.monotonic() - started < 30  # far above what it takes, far below a hang


def test_cancelled_between_batches(embedder: Embedder) -> None:
    polls = iter([False, True])
    with pytest.raises(Cancelled):
        embedder.embed([longest(embedder)] * 8, cancelled=lambda: next(polls))


def test_tokens_have_length_one_and_pool_to_what_embed_gives(embedder: Embedder) -> None:
    found = embedder.embed_tokens([*TEXTS, *CLOSE])
    pooled = np.stack([text.pooled for text in found])
    np.testing.assert_allclose(pooled, embedder.embed([*TEXTS, *CLOSE]), atol=1e-5)
    for text, read in zip([*TEXTS, *CLOSE], found, strict=True):
        n_tokens = embedder.count_tokens(text) - 2  # without those that begin and end every text
        assert read.vectors.shape == (n_tokens, embedder.n_dims)
        assert read.tokens.shape == (n_tokens,) and len(read.words) == n_tokens
        assert [x.dtype.name for x in (read.vectors, read.pooled, read.tokens)] == ["float32", "float32", "int32"]
        np.testing.assert_allclose(np.linalg.norm(read.vectors, axis=1), 1, atol=1e-5)


def test_no_texts_have_no_tokens(embedder: Embedder) -> None:
    assert embedder.embed_tokens([]) == []


def test_every_token_names_the_word_it_is_of(embedder: Embedder) -> None:
    (read,) = embedder.embed_tokens(["Unbelievably, Anna laughed."])
    assert list(dict.fromkeys(read.words)) == ["unbelievably", ",", "anna", "laughed", "."]
    assert read.words.count("unbelievably") > 1
    again, other = embedder.embed_tokens(["anna", "laughed"])
    assert again.tokens[0] == read.tokens[read.words.index("anna")] != other.tokens[0]


def test_tokens_of_related_words_are_closer(embedder: Embedder) -> None:
    """What late interaction lives on: the best match of a word is the same word in another sentence."""
    a, b = embedder.embed_tokens(["my sister bought a violin", "the violin was a gift, and the weather was fine"])
    products = a.vectors[a.words.index("violin")] @ b.vectors.T
    assert int(np.argmax(products)) == b.words.index("violin")


def test_tokens_do_not_depend_on_the_other_texts(embedder: Embedder) -> None:
    texts = [*TEXTS, *CLOSE] * 6
    for text, together in zip(texts[:12], embedder.embed_tokens(texts), strict=False):
        (alone,) = embedder.embed_tokens([text])
        assert np.array_equal(together.tokens, alone.tokens) and together.words == alone.words
        np.testing.assert_allclose(together.vectors, alone.vectors, atol=5e-3)


def test_a_longer_text_is_cut_for_its_tokens(embedder: Embedder) -> None:
    text = longest(embedder)
    whole, longer = embedder.embed_tokens([text, text + " and one more"])
    assert np.array_equal(whole.tokens, longer.tokens)
    np.testing.assert_allclose(longer.pooled, whole.pooled, atol=1e-5)
    assert len(embedder.embed_tokens(["x" * 100_000])[0].tokens) <= embedder.n_ctx


def test_tokens_are_cancelled_between_batches(embedder: Embedder) -> None:
    polls = iter([False, True])
    with pytest.raises(Cancelled):
        embedder.embed_tokens([longest(embedder)] * 8, cancelled=lambda: next(polls))


def test_threads_share_one_embedder(embedder: Embedder) -> None:
    expected = embedder.embed(TEXTS)
    found: list[FloatMatrix] = []
    threads = [threading.Thread(target=lambda: found.append(embedder.embed(TEXTS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert len(found) == 4


def test_fingerprint_is_stable(embedder: Embedder, make: Callable[[], Embedder]) -> None:
    other = make()
    assert other.fingerprint == embedder.fingerprint != ""
    other.close()


def test_close_is_final_and_may_be_repeated(make: Callable[[], Embedder]) -> None:
    embedder = make()
    embedder.close()
    embedder.close()
    for ask in (embedder.embed, embedder.embed_tokens):
        with pytest.raises(ModelError):
            ask(["hello"])


@dataclass(frozen=True)
class Reference:
    texts: list[str]
    ids: list[list[int]]
    vectors: FloatMatrix


@pytest.fixture(scope="module")
def reference() -> Reference:
    table = json.loads(Path(__file__).with_name("reference").joinpath("minilm.json").read_text())
    packed = base64.b64decode(table["vectors_i16_times_32767"])
    vectors = np.frombuffer(packed, "<i2").reshape(len(table["texts"]), -1).astype(np.float32)
    return Reference(table["texts"], table["ids"], vectors / np.float32(32767))


def test_minilm_gives_the_reference_vectors(reference: Reference, minilm_path: Path) -> None:
    """Measured: lowest 0.999997 with float16 weights. Any slip in tokens or pooling costs far more than the margin."""
    embedder = LlamaEmbedder(minilm_path)
    cosines = (embedder.embed(reference.texts) * reference.vectors).sum(axis=1)
    embedder.close()
    assert len(cosines) >= 20
    wrong = {text[:40]: float(cosine) for text, cosine in zip(reference.texts, cosines, strict=True) if cosine < 0.9995}
    assert not wrong


def test_the_mean_of_minilms_tokens_is_the_reference_vector(reference: Reference, minilm_path: Path) -> None:
    embedder = LlamaEmbedder(minilm_path)
    found = embedder.embed_tokens(reference.texts)
    embedder.close()
    assert [list(text.tokens) for text in found] == [ids[1:-1] for ids in reference.ids]
    assert min(float(text.pooled @ row) for text, row in zip(found, reference.vectors, strict=True)) > 0.9995


def test_minilm_counts_tokens_as_the_reference(reference: Reference, minilm_path: Path) -> None:
    embedder = LlamaEmbedder(minilm_path)
    assert embedder.n_ctx == 256
    assert [embedder.count_tokens(text) for text in reference.texts] == [len(ids) for ids in reference.ids]
    embedder.close()


def test_forgetting_changes_no_vector(embedder: Embedder) -> None:
    before, tokens = embedder.embed(TEXTS), embedder.embed_tokens(TEXTS)
    embedder.forget()
    assert np.array_equal(embedder.embed(TEXTS), before)
    for again, once in zip(embedder.embed_tokens(TEXTS), tokens, strict=True):
        assert np.array_equal(again.vectors, once.vectors)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_embedded_is_not_left_in_a_real_models_memory(minilm_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORGETTING, str(minilm_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        tokens = child.stdout.readline()
        left = {"tokens": struct.pack("<12i", *map(int, tokens.split()))}
        assert hits(child.pid, left)["tokens"] > 0
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "forgotten\n"
        assert hits(child.pid, left)["tokens"] == 0
