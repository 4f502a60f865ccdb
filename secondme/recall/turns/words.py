"""Features of words: BM25 of a turn, of those around it and of its conversation, and how much of a question is there.

Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.pool import Pool, standardised_each
from secondme.text.terms import QUESTION_WORDS, fold, stem

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Numbers = NDArray[np.int64]
Columns = dict[str, Floats]

_WORD = re.compile(r"[^\W_]+")
_APART = "".join(c if c.isalnum() else " " for c in map(chr, range(128)))
_NEAR = {-2: 0.3, -1: 0.6, 1: 0.6, 2: 0.3}
_K1, _B = 1.2, 0.5
_HEAD = 3  # letters of a word that no stem changes


def _words(texts: Sequence[str]) -> list[list[str]]:
    """Runs of letters and digits of each. ASCII, which nearly all text is, takes a quarter of the time of matching."""
    plain = "".join(text for text in texts if text.isascii()).translate(_APART)
    found, at = [], 0
    for text in texts:
        if text.isascii():
            found.append(plain[at : at + len(text)].split())
            at += len(text)
        else:
            found.append(_WORD.findall(text))
    return found


class Spoken:
    """The words of n texts as numbers, so that what is asked of them is counted for all texts at once.

    folded: the texts as words are compared. heads: the first words of each, two at most. codes: a number for each of
    the v different words, by where it stands first. of, at: the text and the word of each of the words in order [w].
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.folded = [fold(text) for text in texts]
        lists = _words([text.replace("’", "'").replace("'s", "") for text in self.folded])
        self.heads = [found[:2] for found in lists]
        codes: defaultdict[str, int] = defaultdict(count().__next__)
        sizes = np.fromiter(map(len, lists), np.int64, len(lists))
        self.at = np.fromiter(map(codes.__getitem__, chain.from_iterable(lists)), np.int64, int(sizes.sum()))
        self.of = np.repeat(np.arange(len(lists)), sizes)
        self.codes: dict[str, int] = dict(codes)

    def __len__(self) -> int:
        return len(self.folded)


class Counted(Spoken):
    """The words of n turns, and how widely those of content are spread: `spread` [v] turns, 0 for all other words.

    stems: how often each of t stems stands in each turn [t, n]. lengths: content words of each turn [n], at least one.
    rarity: ln(1 + n / spread) of each word [v]. turns, words: each turn's content words, each once [p].
    """

    def __init__(self, asked: Asked, pool: Pool) -> None:
        super().__init__([turn.text for turn in pool.turns])
        self.spelled = list(self.codes)
        n, v = len(self), len(self.spelled)
        is_content = np.ones(v, np.bool_)
        is_content[[self.codes[w] for w in QUESTION_WORDS & self.codes.keys()]] = False
        kept = is_content[self.at]
        self.content_of, self.content_at = self.of[kept], self.at[kept]
        self.stems = self._stems(asked.stems, is_content)
        self.lengths = np.maximum(1, np.bincount(self.content_of, minlength=n)).astype(np.float32)
        pairs = np.sort(self.content_of * v + self.content_at)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        self.turns, self.words = np.divmod(pairs, max(1, v))
        self.spread = np.bincount(self.words, minlength=v)
        logs = [0.0, *(math.log1p(n / s) for s in range(1, int(self.spread.max(initial=0)) + 1))]
        self.rarity: Doubles = np.array(logs, np.float64)[self.spread]

    def _stems(self, stems: Sequence[str], is_content: NDArray[np.bool_]) -> Floats:
        """Only words that begin as one of the stems does can have it, which spares stemming all others."""
        n = len(self)
        rows = {s: i for i, s in enumerate(stems)}
        heads = {s[:_HEAD] for s in rows}
        row_of = np.full(len(self.codes), -1)
        for word, code in self.codes.items():
            if word[:_HEAD] in heads and is_content[code]:
                row_of[code] = rows.get(stem(word), -1)
        found = row_of[self.content_at]
        has = found >= 0
        counts = np.bincount(found[has] * n + self.content_of[has], minlength=len(rows) * n)
        return counts.reshape(len(rows), n).astype(np.float32)

    def said_by(self, turn: int) -> Numbers:
        """The content words of one turn, each once."""
        first, last = np.searchsorted(self.turns, (turn, turn + 1))
        return self.words[first:last]

    def summed(self, values: Doubles) -> Doubles:
        """For each turn the sum of `values` [v] over its content words, each once [n]."""
        return np.asarray(np.bincount(self.turns, values[self.words], len(self)), np.float64)

    def beyond(self, words: Numbers, asked: Asked) -> Numbers:
        """Those of `words` that are neither a name in the question nor of one of its stems."""
        stems, names = set(asked.stems), set(asked.names)
        said = ((w, self.spelled[w]) for w in words.tolist())
        return np.array([w for w, word in said if word not in names and stem(word) not in stems], np.int64)


def word_features(asked: Asked, pool: Pool, counted: Counted) -> Columns:
    """Columns [n] by name."""
    tf, weights, lengths = counted.stems, asked.weights, counted.lengths
    near = {o: pool.shifted(tf, o) for o in (-2, -1, 1, 2)}
    long = {o: pool.shifted(lengths, o) for o in near}
    around = sum(near.values(), np.zeros_like(tf))
    five = around + tf + sum((pool.shifted(tf, o) for o in (-5, -4, -3, 3, 4, 5)), np.zeros_like(tf))
    five_long = sum((pool.shifted(lengths, o) for o in range(-5, 6) if o), lengths)
    weighted = tf + sum((near[o] * np.float32(x) for o, x in _NEAR.items()), np.zeros_like(tf))
    weighted_long = lengths + sum((long[o] * np.float32(x) for o, x in _NEAR.items()), np.zeros_like(lengths))
    there = (tf > 0).astype(np.float32)
    shares = (weights / asked.total).astype(np.float32)
    coverage: Floats = shares @ there
    wide: Floats = shares @ ((around + tf) > 0).astype(np.float32)
    told = pool.summed(tf.T).T
    found: Columns = {
        "bm25": bm25(tf, weights, lengths),
        "bm25_before": bm25(near[-1], weights, long[-1] + 1),
        "bm25_after": bm25(near[1], weights, long[1] + 1),
        "bm25_around": bm25(around, weights, sum(long.values(), np.ones_like(lengths))),
        "bm25_near": bm25(weighted, weights, weighted_long),
        "bm25_wide": bm25(five, weights, five_long),
        "bm25_conversation": bm25(told, weights, pool.summed(lengths), 0.75),
        "rarest": np.asarray((there * weights[:, None]).max(axis=0, initial=0.0), np.float32),
        "coverage": coverage,
        "coverage_near": wide,
        "coverage_conversation": shares @ (told > 0).astype(np.float32),
    }
    columns = standardised_each(found)
    columns |= {"coverage": coverage, "coverage_near": wide, "n_terms": np.asarray(there.sum(axis=0), np.float32)}
    columns["bm25"] = found["bm25"]
    others = [i for i, s in enumerate(asked.stems) if s in asked.others]
    columns["other_names"] = np.asarray(there[others].sum(axis=0), np.float32)
    columns["other_names_near"] = ((around + tf)[others] > 0).sum(axis=0).astype(np.float32)
    return columns


def bm25(tf: Floats, weights: Floats, lengths: Floats, b: float = _B) -> Floats:
    """Scores [n] of term frequencies [t, n]."""
    norm = np.float32(_K1) * (1 - b + b * lengths / lengths.mean())
    scores: Floats = weights @ (tf * np.float32(_K1 + 1) / (tf + norm))
    return scores
