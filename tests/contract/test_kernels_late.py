"""One body for every kernel of the late family: each must equal a product written out in full, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.kernels import capabilities, late
from secondme.runtime.base import FloatMatrix
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.llama import LlamaEmbedder

every_isa = pytest.mark.parametrize("isa", capabilities().isas)
PROJECTION = late.projection_of("an embedder of the tests", 384)
TAG = PROJECTION.tag

LONG = [
    "the river rises in the mountains and flows through three countries before it reaches the sea near an old harbour",
    "we walked along the river to the harbour and had lunch",
]


def cosines(projection: late.Projection, a: FloatMatrix, b: FloatMatrix) -> FloatMatrix:
    """Of the projected vectors, without the rounding."""
    rows = [vectors @ projection.matrix for vectors in (a, b)]
    left, right = (projected / np.linalg.norm(projected, axis=1, keepdims=True) for projected in rows)
    return np.asarray(left @ right.T)


def pack(rows: NDArray[np.int8], tag: bytes = TAG) -> bytes:
    return tag + rows.tobytes()


def products(query: NDArray[np.int8], texts: Sequence[NDArray[np.int8]]) -> NDArray[np.float32]:
    """Independent of the face: int64 throughout, a token at a time."""
    best = np.zeros((len(texts), len(query)), np.int64)
    for i, rows in enumerate(texts):
        for j, token in enumerate(query):
            best[i, j] = max(((row.astype(np.int64) * token).sum() for row in rows), default=0)
    return best.astype(np.float32) / np.float32(late.SCALE * late.SCALE)


def unit(random: np.random.Generator, n: int, n_dims: int = 384) -> FloatMatrix:
    rows = random.standard_normal((n, n_dims)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@every_isa
@given(
    n_query=st.integers(0, 35),
    n_rows=st.lists(st.integers(0, 40), max_size=6),
    extreme=st.sampled_from([None, -128, 127]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_product_written_out(
    isa: str, n_query: int, n_rows: list[int], extreme: int | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    low, high = (-128, 128) if extreme is None else (extreme, extreme + 1)
    query = random.integers(low, high, (n_query, late.ROW_DIMS), np.int16).astype(np.int8)
    texts = [random.integers(low, high, (n, late.ROW_DIMS), np.int16).astype(np.int8) for n in n_rows]
    found = late.maxsim(pack(query), None, [pack(rows) for rows in texts], isa=isa)
    assert found.dtype == np.float32 and found.shape == (len(texts), n_query)
    assert np.array_equal(found, products(query, texts))


@every_isa
def test_weights_scale_the_columns(isa: str) -> None:
    random = np.random.default_rng(1)
    query = late.pack_tokens(unit(random, 9), PROJECTION)
    packs = [late.pack_tokens(unit(random, n), PROJECTION) for n in (4, 0, 17)]
    weights = np.linspace(0, 2, 9, dtype=np.float32)
    plain = late.maxsim(query, None, packs, isa=isa)
    assert np.array_equal(late.maxsim(query, weights, packs, isa=isa), plain * weights)


@every_isa
def test_what_is_not_of_the_projection_counts_as_empty(isa: str) -> None:
    random = np.random.default_rng(2)
    vectors = unit(random, 5)
    query = late.pack_tokens(vectors, PROJECTION)
    strange = late.pack_tokens(vectors, late.projection_of("another embedder", 384))
    found = late.maxsim(query, None, [strange, query[:-1], b"", query[:2], query[:4], query], isa=isa)
    assert not found[:5].any() and found[5].min() > 0.9
    assert [PROJECTION.made(packed) for packed in (strange, query[:-1], b"", query[:4], query)] == [False] * 3 + [
        True
    ] * 2


@every_isa
def test_wrong_input_is_refused_at_the_boundary(isa: str) -> None:
    query = late.pack_tokens(unit(np.random.default_rng(3), 2), PROJECTION)
    for damaged in (b"", query[:3], query[:-1]):
        with pytest.raises(ValueError, match="no pack"):
            late.maxsim(damaged, None, [query], isa=isa)
    with pytest.raises(ValueError, match="weight"):
        late.maxsim(query, np.ones(3, np.float32), [query], isa=isa)


def test_a_packs_products_are_about_the_cosines_of_the_projected_vectors() -> None:
    random = np.random.default_rng(4)
    a, b = unit(random, 12), unit(random, 30)
    packs = [late.pack_tokens(b[i : i + 1], PROJECTION) for i in range(len(b))]
    found = late.maxsim(late.pack_tokens(a, PROJECTION), None, packs)
    assert np.abs(found - cosines(PROJECTION, b, a)).max() < 0.01


def test_only_what_is_kept_is_packed() -> None:
    vectors = unit(np.random.default_rng(5), 6)
    keep = np.array([True, False, True, True, False, False])
    assert late.pack_tokens(vectors, PROJECTION, keep) == late.pack_tokens(vectors[keep], PROJECTION)
    assert len(late.pack_tokens(vectors, PROJECTION, keep)) == late.TAG_BYTES + 3 * late.ROW_DIMS
    for wrong in (keep[:5], keep.astype(np.int8)):
        with pytest.raises(ValueError, match="bool"):
            late.pack_tokens(vectors, PROJECTION, wrong)


def test_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        late.pack_tokens(np.zeros((2, 100), np.float32), PROJECTION)
    with pytest.raises(ValueError, match="finite"):
        late.pack_tokens(np.full((1, 384), np.nan, np.float32), PROJECTION)


@pytest.mark.parametrize("n_dims", [1, 64, 128, 129, 384, 1024])
def test_a_random_projection_is_orthonormal_and_always_the_same(n_dims: int) -> None:
    projection = late.projection_of("some embedder", n_dims)
    small = min(n_dims, late.ROW_DIMS)
    matrix = projection.matrix.astype(np.float64)
    gram = matrix @ matrix.T if n_dims <= late.ROW_DIMS else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(small), atol=1e-5)
    late.projection_of.cache_clear()
    assert np.array_equal(late.projection_of("some embedder", n_dims).matrix, projection.matrix)


def test_a_vector_of_zeros_is_close_to_nothing() -> None:
    nothing = late.pack_tokens(np.zeros((1, 384), np.float32), PROJECTION)
    assert not late.maxsim(nothing, None, [nothing]).any()


def test_the_default_embedder_has_a_table_and_others_have_none(minilm_path: Path) -> None:
    embedder = LlamaEmbedder(minilm_path)
    try:
        shipped = late.projection_of(embedder.fingerprint, embedder.n_dims)
        assert shipped.identity.startswith("pca ")
        np.testing.assert_allclose(shipped.matrix.T @ shipped.matrix, np.eye(late.ROW_DIMS), atol=2e-3)
        a, b = (text.vectors for text in embedder.embed_tokens(LONG))
        off = [np.abs(cosines(by, a, b) - a @ b.T).mean() for by in (shipped, late.projection_of("other", 384))]
        assert off[0] < 0.8 * off[1], off  # measured: .042 and .071
    finally:
        embedder.close()
    hashed = HashEmbedder()
    assert late.projection_of(hashed.fingerprint, hashed.n_dims).identity.startswith("random ")


def test_a_word_is_found_in_the_text_that_has_it() -> None:
    embedder = HashEmbedder()
    projection = late.projection_of(embedder.fingerprint, embedder.n_dims)
    texts = embedder.embed_tokens(["the violin was a gift", "we painted the fence", "it rained on monday"])
    packs = [late.pack_tokens(text.vectors, projection) for text in texts]
    (query,) = embedder.embed_tokens(["who painted a violin"])
    best = late.maxsim(late.pack_tokens(query.vectors, projection), None, packs)
    assert best[0].argmax() == 3 and best[1].argmax() == 1
