"""Recall for documents: BM25 and vectors side by side, fused by rank, with a gate that can say "nothing about it"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondme.memory.store import Store
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.fuse import reciprocal_rank_fusion
from secondme.recall.terms import content_terms, match_expression
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.types import Hit, StoredChunk

CANDIDATES = 50
"""Depth of each ranking before fusion."""

COVERAGE_WEIGHT = 0.02
"""What full coverage of the question's terms adds to a fused score, whose best possible value is 2 / 61."""

SIMILAR = 0.45
RELATED = 0.22
COVERED = 0.5
"""The gate. A text bears on a question if its vector is close (cosine >= SIMILAR), or if it holds at least COVERED of
the question's idf weight and its vector is not foreign (cosine >= RELATED)."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What recall found. `weights` are the question's stems with their idf; `found` is the gate's word."""

    hits: tuple[Hit, ...]
    weights: dict[str, float]
    question_vector: FloatMatrix
    found: bool


def retrieve(question: str, store: Store, embedder: Embedder, *, k: int = 8, project: str | None = None) -> Recall:
    """Return the `k` chunks that bear most on `question`, best first."""
    terms = content_terms(question)
    weights = term_weights(terms, store.term_df(terms), store.stats().n_chunks)
    vector = embed_question(question, embedder)
    by_text = store.search_text(match_expression(terms), CANDIDATES, project) if terms else []
    by_vector = store.search_vectors(vector, CANDIDATES, project)
    fused = reciprocal_rank_fusion([[i for i, _ in by_text], [i for i, _ in by_vector]], (1.0, 1.0))
    order = sorted(fused, key=lambda i: -fused[i])[: max(k * 3, 24)]
    ranks = ({i: r for r, (i, _) in enumerate(by_text, 1)}, {i: r for r, (i, _) in enumerate(by_vector, 1)})
    similarity = dict(by_vector)
    hits = [
        Hit(
            chunk=chunk,
            score=fused[chunk.id] + COVERAGE_WEIGHT * coverage(searchable(chunk), weights),
            text_rank=ranks[0].get(chunk.id),
            vector_rank=ranks[1].get(chunk.id),
            similarity=similarity.get(chunk.id),
        )
        for chunk in store.chunks(order)
    ]
    hits.sort(key=lambda h: (-h.score, h.chunk.id))
    return Recall(tuple(hits[:k]), weights, vector, any(bears(h, weights) for h in hits))


def bears(hit: Hit, weights: dict[str, float]) -> bool:
    """The gate for one hit. A hit that only words found has no cosine at hand and is judged by its words alone."""
    if hit.similarity is not None and hit.similarity >= SIMILAR:
        return True
    if hit.similarity is not None and hit.similarity < RELATED:
        return False
    return coverage(searchable(hit.chunk), weights) >= COVERED


def searchable(chunk: StoredChunk) -> str:
    """A chunk's text with the headings it stands under and its file's title, as recall sees it."""
    return "\n".join((chunk.title, *chunk.chunk.heading_path, chunk.chunk.text))


def embed_question(question: str, embedder: Embedder) -> FloatMatrix:
    """Unit vector [n_dims] of a question of any length: the mean over windows that fit the embedder."""
    pieces = _windows(question, embedder)
    mean: FloatMatrix = embedder.embed(pieces).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean


def _windows(text: str, embedder: Embedder) -> Sequence[str]:
    if embedder.count_tokens(text) <= embedder.n_ctx:
        return [text]
    half = len(text) // 2
    cut = text.rfind(" ", 1, half) + 1 or half
    return [*_windows(text[:cut], embedder), *_windows(text[cut:], embedder)]
