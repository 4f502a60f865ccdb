"""What a changed cache costs: its next-token distributions and answers beside those of the full cache.

KL is the Kullback-Leibler divergence of the two distributions in nats. Natural text alone misleads: it goes on well
from a cache that has lost every name. So the figure to go by is the KL at the tokens of gold answers.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from secondme.bench.cartridges.documents import Kind

LogProbs = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reply:
    """One question under one cache. kl, nll: sums over the `n` tokens of the gold answer; top1: how many have the same
    likeliest token. text: the greedy answer. Under the full cache itself kl is 0.
    """

    kind: Kind
    n: int
    kl: float
    nll: float
    top1: int
    text: str
    exact: bool
    f1: float
    holds: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """Replies under a changed cache beside those under the full one, of one document or (`pool`) of many."""

    replies: tuple[Reply, ...]
    full: tuple[Reply, ...]
    continuation_kl_sum: float
    n_continuation: int

    def of(self, *kinds: Kind) -> Scores:
        """Only questions of these kinds."""
        both = [(r, f) for r, f in zip(self.replies, self.full, strict=True) if r.kind in kinds]
        return replace(self, replies=tuple(r for r, _ in both), full=tuple(f for _, f in both))

    @property
    def recall_kl(self) -> float:
        """Mean over gold-answer tokens of questions about the text, nats; of planted facts if there are no others."""
        return _mean([(r.kl, r.n) for r in self._asked])

    @property
    def recall_kl_se(self) -> float:
        """Standard error of `recall_kl`, from the spread over questions."""
        return standard_error([(r.kl, r.n) for r in self._asked])

    @property
    def _asked(self) -> Sequence[Reply]:
        return [r for r in self.replies if r.kind == "text"] or self.replies

    @property
    def facts_kl(self) -> float:
        return _mean([(r.kl, r.n) for r in self.replies if r.kind == "fact"])

    @property
    def gold_nll(self) -> float:
        """Mean negative log-likelihood of gold-answer tokens, nats."""
        return _mean([(r.nll, r.n) for r in self._asked])

    @property
    def gold_nll_full(self) -> float:
        n = len(self.replies)
        kinds = {r.kind for r in self._asked}
        return _mean([(r.nll, r.n) for r in self.full[:n] if r.kind in kinds])

    @property
    def top1(self) -> float:
        """Share of gold-answer tokens with the same likeliest token."""
        return _mean([(r.top1, r.n) for r in self._asked])

    @property
    def continuation_kl(self) -> float:
        return self.continuation_kl_sum / self.n_continuation if self.n_continuation else math.nan

    def n_known(self, kind: Kind) -> int:
        """Questions of a kind that the full cache answers letter by letter; others do not count."""
        return sum(f.holds for f in self.full if f.kind == kind)

    def n_recalled(self, kind: Kind) -> int:
        """How many of those this cache answers so."""
        both = zip(self.replies, self.full, strict=True)
        return sum(r.holds for r, f in both if f.kind == kind and f.holds)

    @property
    def n_facts(self) -> int:
        """Planted facts that the full cache answers."""
        return self.n_known("fact")

    @property
    def n_facts_recalled(self) -> int:
        return self.n_recalled("fact")

    @property
    def exact(self) -> tuple[int, int]:
        """(answers that match a gold one, those under the full cache), questions about the text."""
        return sum(r.exact for r in self.of("text").replies), sum(r.exact for r in self.of("text").full)

    @property
    def f1(self) -> tuple[float, float]:
        """Means over questions about the text: (this cache, the full one)."""
        asked = self.of("text")
        n = max(1, len(asked.full))
        return sum(r.f1 for r in asked.replies) / n, sum(r.f1 for r in asked.full) / n


def pool(scores: Iterable[Scores]) -> Scores:
    """All documents together: every gold token counts alike."""
    each = list(scores)
    return Scores(
        tuple(r for s in each for r in s.replies),
        tuple(f for s in each for f in s.full),
        sum(s.continuation_kl_sum for s in each),
        sum(s.n_continuation for s in each),
    )


def log_probs(logits: NDArray[np.float32]) -> LogProbs:
    """float32 [n, n_vocab] to log-probabilities."""
    shifted: LogProbs = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def kl_rows(full: LogProbs, other: LogProbs) -> NDArray[np.float64]:
    """KL(full || other) of each row, nats. Tokens that `full` holds for impossible count nothing."""
    p = np.exp(full)
    terms = np.multiply(p, np.subtract(full, other, where=p > 0, out=np.zeros_like(p)))
    rows: NDArray[np.float64] = terms.sum(axis=-1, dtype=np.float64)
    return np.maximum(rows, 0)


def _mean(sums: Sequence[tuple[float, int]]) -> float:
    n = sum(count for _, count in sums)
    return sum(value for value, _ in sums) / n if n else math.nan


def standard_error(sums: Sequence[tuple[float, int]]) -> float:
    """Of the ratio sum(values) / sum(counts), questions being drawn (Cochran, Sampling Techniques, 6.3)."""
    m, n = len(sums), sum(count for _, count in sums)
    if m < 2 or not n:
        return math.nan
    mean = _mean(sums)
    return math.sqrt(sum((value - mean * count) ** 2 for value, count in sums) * m / (m - 1)) / n


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text: str) -> list[str]:
    """Small letters, no punctuation, no articles: as SQuAD compares answers (Rajpurkar et al. 2016)."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(text: str, answers: Sequence[str]) -> float:
    """Best overlap of words with any of the answers, 0 to 1."""
    best, given = 0.0, words(text)
    for answer in answers:
        wanted = words(answer)
        common = sum((Counter(given) & Counter(wanted)).values())
        if common:
            best = max(best, 2 * common / (len(given) + len(wanted)))
    return best


def exact(text: str, answers: Sequence[str]) -> bool:
    return any(words(text) == words(answer) for answer in answers)


def holds(text: str, answer: str) -> bool:
    """Whether the answer stands in the text letter by letter, not as a part of a longer word or number."""
    return re.search(rf"(?<![\w]){re.escape(answer)}(?![\w])", text) is not None
