"""How well texts fit a question by its words: BM25 over a few candidates, with the store's document frequencies.

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from secondme.text.terms import stem, words

K1 = 1.5
"""How soon more occurrences of a word say nothing more."""
B = 0.75
"""How far long texts are held to say a word by their length alone."""


_SURE = 2  # letters of a word that no stem changes


@dataclass(frozen=True, slots=True)
class Fit:
    """`bm25` of a text; `coverage`: the share of the question's weight whose stems stand in it, 0 to 1."""

    bm25: float
    coverage: float


def fits(texts: Sequence[str], weights: Mapping[str, float]) -> list[Fit]:
    """How well each of `texts` fits the stems of a question, `weights` being their idf (`evidence.term_weights`).

    The mean length is that of these texts.
    """
    beginnings = {w[:_SURE] for w in weights}
    known: dict[str, str] = {}
    counts = [_counted(text, beginnings, weights, known) for text in texts]
    mean = sum(n for _, n in counts) / (len(counts) or 1) or 1.0
    total = sum(weights.values()) or 1.0
    return [
        Fit(
            sum(weights[w] * tf * (K1 + 1) / (tf + K1 * (1 - B + B * n / mean)) for w, tf in found.items()),
            sum(weights[w] for w in found) / total,
        )
        for found, n in counts
    ]


def _counted(
    text: str, beginnings: Collection[str], weights: Mapping[str, float], known: dict[str, str]
) -> tuple[dict[str, int], int]:
    """How often each stem of `weights` stands in `text`, and the text's length in words. `known` are stems so far.

    Only words that begin as one of the stems does can have it, which spares stemming all others.
    """
    found: dict[str, int] = {}
    all_words = words(text)
    for word in all_words:
        if word[:_SURE] in beginnings:
            base = known.get(word)
            if base is None:
                base = known[word] = stem(word)
            if base in weights:
                found[base] = found.get(base, 0) + 1
    return found, len(all_words)
