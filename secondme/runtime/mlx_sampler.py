"""How the next token is chosen from MLX's logits: the steps of llama.cpp's samplers, in its order, in NumPy.

The same settings leave the same candidates with the same probabilities as `sampler.py` does; only the random numbers
are others. Repetition penalty: Keskar et al. 2019; top-p: Holtzman et al. 2019; min-p: Nguyen et al. 2024.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secondme.errors import ModelError
from secondme.runtime.base import Sampling
from secondme.runtime.gbnf import read_gbnf
from secondme.runtime.gbnf_match import Matcher

Logits = NDArray[np.float32]
Ids = NDArray[np.intp]

_PENALTY_WINDOW = 64
_FIRST_TRIED = 512
"""Tokens that are put in order first; only where a grammar refuses most of these, all others are, too."""


class Pieces(Protocol):
    """What of a tokenizer a grammar needs. It must be hashable, and its tokens never change."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def end_tokens(self) -> frozenset[int]: ...

    def piece(self, token: int) -> bytes: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """pieces: each token's bytes. first_byte: int16 [n_vocab], 256 where a grammar never allows the token."""

    pieces: tuple[bytes, ...]
    first_byte: NDArray[np.int16]


class MlxSampler:
    """Chooses the tokens of one decode. The penalty also counts the last tokens of `history`.

    Raises ModelError if the grammar cannot be read.
    """

    def __init__(self, sampling: Sampling, history: Sequence[int], tokenizer: Pieces) -> None:
        self._sampling = sampling
        self._tokenizer = tokenizer
        self._recent = deque(history[-_PENALTY_WINDOW:], _PENALTY_WINDOW)
        self._random = np.random.default_rng(sampling.seed % 0xFFFFFFFF)
        self._matcher: Matcher | None = None
        if sampling.grammar:  # an empty one forbids nothing
            try:
                self._matcher = Matcher(read_gbnf(sampling.grammar))
            except ValueError:
                raise ModelError("the grammar cannot be read", hint="it is to be GBNF with a rule `root`") from None

    @property
    def greedy(self) -> bool:
        """Whether `sample` is nothing but the largest logit, which the device can find by itself."""
        sampling = self._sampling
        return sampling.temperature <= 0 and sampling.repeat_penalty == 1.0 and self._matcher is None

    def sample(self, logits: Logits) -> int:
        """The next token after logits [n_vocab]. Raises ModelError where the grammar allows none."""
        ids, probabilities = self.candidates(logits)
        at = 0 if len(ids) == 1 else int(np.searchsorted(probabilities.cumsum(), self._random.random(), "right"))
        token = int(ids[min(at, len(ids) - 1)])
        self._accept(token)
        return token

    def candidates(self, logits: Logits) -> tuple[Ids, NDArray[np.float64]]:
        """The tokens that `sample` draws from, likeliest first, and their probabilities; one if it is greedy."""
        sampling = self._sampling
        penalized = self._penalized(logits[: self._tokenizer.n_vocab])
        greedy = sampling.temperature <= 0
        ids = self._best(penalized, 1 if greedy else max(0, sampling.top_k))
        kept: NDArray[np.float64] = penalized[ids].astype(np.float64)
        if not greedy:
            kept = kept[: _top_p(kept, sampling.top_p)]
            kept = kept[: _min_p(kept, sampling.min_p)]
            kept /= sampling.temperature
        return ids[: len(kept)], _softmax(kept)

    def _penalized(self, logits: Logits) -> Logits:
        penalty = self._sampling.repeat_penalty
        if penalty == 1.0 or not self._recent:
            return logits
        found = logits.copy()
        ids = np.fromiter(set(self._recent), np.intp)
        found[ids] = np.where(found[ids] <= 0, found[ids] * penalty, found[ids] / penalty)
        return found

    def _best(self, logits: Logits, most: int) -> Ids:
        """The `most` likeliest tokens that the grammar allows, in order; all of them for 0."""
        if self._matcher is None:
            return _descending(logits, np.arange(len(logits)), most)
        vocabulary = _vocabulary(self._tokenizer)
        able = np.append(self._matcher.first_bytes(), False)[vocabulary.first_byte]
        if self._matcher.may_end:
            able[list(self._tokenizer.end_tokens)] = True
        found = itertools.islice(self._allowed(logits, np.flatnonzero(able), vocabulary), most or None)
        ids = np.fromiter(found, np.intp)
        if not len(ids):
            raise ModelError(
                "the grammar allows no token of this model", hint="it asks for characters that the model cannot write"
            )
        return ids

    def _allowed(self, logits: Logits, ids: Ids, vocabulary: _Vocabulary) -> Iterator[int]:
        """Those of `ids` that the grammar allows, likeliest first."""
        assert self._matcher is not None
        for token in itertools.chain.from_iterable(_in_order(logits, ids)):
            if token in self._tokenizer.end_tokens or self._matcher.allows(vocabulary.pieces[token]):
                yield token

    def _accept(self, token: int) -> None:
        self._recent.append(token)
        if self._matcher is not None and token not in self._tokenizer.end_tokens:
            self._matcher.accept(self._tokenizer.piece(token))


@functools.lru_cache(maxsize=2)
def _vocabulary(tokenizer: Pieces) -> _Vocabulary:
    """Control tokens are not text, and a NUL is allowed nowhere, as in llama.cpp."""
    pieces = tuple(tokenizer.piece(token) for token in range(tokenizer.n_vocab))
    able = (p[0] if p and p[0] and token not in tokenizer.end_tokens else 256 for token, p in enumerate(pieces))
    return _Vocabulary(pieces, np.fromiter(able, np.int16, len(pieces)))


def _descending(logits: Logits, ids: Ids, most: int) -> Ids:
    """The `most` of `ids` with the largest logits, largest first, all of them for 0; of equal ones the first."""
    if most == 1 and len(ids):
        return ids[[int(logits[ids].argmax())]]
    if 0 < most < len(ids):
        chosen = np.argpartition(-logits[ids], most - 1)[:most]
        ids = ids[np.sort(chosen)]
    return ids[np.argsort(-logits[ids], kind="stable")]


def _in_order(logits: Logits, ids: Ids) -> Iterator[list[int]]:
    """All of `ids`, largest logit first, in two lists of which mostly the first is enough."""
    first = _descending(logits, ids, _FIRST_TRIED)
    yield first.tolist()
    yield _descending(logits, np.setdiff1d(ids, first), 0).tolist()


def _top_p(logits: NDArray[np.float64], p: float) -> int:
    """How many of the first together have probability `p`; `logits` descend."""
    if p >= 1:
        return len(logits)
    return min(len(logits), int(np.searchsorted(_softmax(logits).cumsum(), p)) + 1)


def _min_p(logits: NDArray[np.float64], p: float) -> int:
    """How many are at least `p` times as likely as the first."""
    if p <= 0:
        return len(logits)
    return max(1, int(np.count_nonzero(logits >= logits[0] + np.log(p))))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(logits - logits.max())
    weights /= weights.sum()
    return weights
