"""What of a recalled passage bears on the question: its best sentence, to be quoted, and the sentences around it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secondme.recall.evidence import coverage
from secondme.recall.retrieve import windows
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.sentences import Sentence, split_sentences
from secondme.types import Hit

AROUND = 1
"""Sentences kept on either side of the quoted one."""

_MARKED = re.compile(r"\s{0,3}#{1,6}\s[^\n]*$")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A hit, the sentence of it that bears most on the question, and that sentence with its neighbours."""

    hit: Hit
    quote: Sentence
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as recall sees it: stems with their idf, and its unit vector [n_dims]."""

    weights: Mapping[str, float]
    vector: FloatMatrix


def excerpts(hits: Sequence[Hit], asked: Asked, embedder: Embedder, *, n_embedded: int) -> tuple[Excerpt, ...]:
    """One excerpt a hit. Sentences of the first `n_embedded` hits are judged by meaning as well as by words."""
    sentences = [split_sentences(h.chunk.chunk.text) or [_whole(h)] for h in hits]
    wanted = [s.text for group in sentences[:n_embedded] for s in group]
    similar = iter(_similarities(wanted, asked.vector, embedder))
    found = []
    for n, (hit, group) in enumerate(zip(hits, sentences, strict=True)):
        scores = [coverage(s.text, asked.weights) + (next(similar) if n < n_embedded else 0.0) for s in group]
        telling = [i for i, s in enumerate(group) if not _is_heading(s.text, hit)] or range(len(group))
        best = max(telling, key=lambda i: (scores[i], -i))
        first, last = group[max(0, best - AROUND)], group[min(len(group) - 1, best + AROUND)]
        found.append(Excerpt(hit, group[best], hit.chunk.chunk.text[first.start : last.end]))
    return tuple(found)


def _is_heading(sentence: str, hit: Hit) -> bool:
    """Whether it is a heading above or in the passage, which names what is asked about and says nothing of it."""
    path = hit.chunk.chunk.heading_path
    is_marked = hit.chunk.media_type == "text/markdown" and _MARKED.match(sentence) is not None
    return is_marked or (bool(path) and sentence.strip("#=*_ \t\n") == path[-1].strip())


def _whole(hit: Hit) -> Sentence:
    text = hit.chunk.chunk.text
    return Sentence(text, 0, len(text))


def _similarities(texts: Sequence[str], vector: FloatMatrix, embedder: Embedder) -> list[float]:
    """Cosine of each text's beginning to the question; a sentence longer than the embedder is judged by that."""
    if not texts:
        return []
    cosines: FloatMatrix = embedder.embed([windows(t, embedder)[0] for t in texts]) @ vector
    return [float(c) for c in np.asarray(cosines)]
