"""Recall for documents: BM25 and vectors side by side, fused by score, with a gate that can say "nothing about it"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondme.memory.store import Store
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.fuse import zscore_fusion
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.terms import content_terms, match_expression
from secondme.types import Hit, StoredChunk

CANDIDATES = 100
"""Depth of each ranking before fusion."""

BEARING = 0.75
"""The gate: cosine to the question plus share of its idf weight that a text must reach to bear on it. On paragraphs of
one encyclopedia, with the half that held the answers taken away, it let 96% of answerable questions through and stopped
80% of the others, which asked about the articles that stayed."""


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
    fused = zscore_fusion((by_text, by_vector))
    order = sorted(fused, key=lambda i: -fused[i])[: max(k * 3, 24)]
    ranks = ({i: r for r, (i, _) in enumerate(by_text, 1)}, {i: r for r, (i, _) in enumerate(by_vector, 1)})
    similarity = dict(by_vector)
    hits = [
        Hit(
            chunk=chunk,
            score=fused[chunk.id] + coverage(searchable(chunk), weights),
            text_rank=ranks[0].get(chunk.id),
            vector_rank=ranks[1].get(chunk.id),
            similarity=similarity.get(chunk.id),
        )
        for chunk in store.chunks(order)
    ]
    hits.sort(key=lambda h: (-h.score, h.chunk.id))
    return Recall(tuple(hits[:k]), weights, vector, any(bears(h, weights) for h in hits))


def bears(hit: Hit, weights: dict[str, float]) -> bool:
    """The gate for one hit. A hit that only words found is judged by its words alone."""
    return (hit.similarity or 0.0) + coverage(searchable(hit.chunk), weights) >= BEARING


def searchable(chunk: StoredChunk) -> str:
    """A chunk's text with the headings it stands under and its file's title, as recall sees it."""
    return "\n".join((chunk.title, *chunk.chunk.heading_path, chunk.chunk.text))


def embed_question(question: str, embedder: Embedder) -> FloatMatrix:
    """Unit vector [n_dims] of a question of any length: the mean over windows that fit the embedder."""
    pieces = windows(question, embedder)
    mean: FloatMatrix = embedder.embed(pieces).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return mean / length if length else mean


def windows(text: str, embedder: Embedder) -> Sequence[str]:
    """`text` in pieces that fit the embedder, cut at spaces."""
    if embedder.count_tokens(text) <= embedder.n_ctx:
        return [text]
    half = len(text) // 2
    cut = text.rfind(" ", 1, half) + 1 or half
    return [*windows(text[:cut], embedder), *windows(text[cut:], embedder)]
