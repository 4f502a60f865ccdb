"""How the next token is chosen, as a chain of llama.cpp's samplers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secondme.errors import ModelError
from secondme.runtime.base import Sampling
from secondme.runtime.llama_lib import library

_PENALTY_WINDOW = 64


class Sampler:
    """A chain for one decode; close it afterwards. The penalty also counts the last tokens of `history`.

    Raises ModelError if the grammar cannot be read.
    """

    def __init__(self, sampling: Sampling, history: Sequence[int], n_vocab: int, vocab: Any) -> None:
        lib = self._lib = library()
        self._chain: Any = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._sample = lib.llama_sampler_sample
        if sampling.repeat_penalty != 1.0:
            self._add(lib.llama_sampler_init_penalties(n_vocab, _PENALTY_WINDOW, sampling.repeat_penalty, 0.0, 0.0))
            for token in history[-_PENALTY_WINDOW:]:  # before there is a grammar, which would read them, too
                lib.llama_sampler_accept(self._chain, token)
        if sampling.grammar is not None:
            self._add_grammar(vocab, sampling.grammar)
        if sampling.temperature <= 0:
            self._add(lib.llama_sampler_init_greedy())
        else:
            self._add(lib.llama_sampler_init_top_k(sampling.top_k))
            self._add(lib.llama_sampler_init_top_p(sampling.top_p, 1))
            self._add(lib.llama_sampler_init_min_p(sampling.min_p, 1))
            self._add(lib.llama_sampler_init_temp(sampling.temperature))
            self._add(lib.llama_sampler_init_dist(sampling.seed % 0xFFFFFFFF))  # the largest value means random

    def sample(self, ctx: Any) -> int:
        """The next token after the last evaluated one of `ctx`."""
        token: int = self._sample(self._chain, ctx, -1)
        return token

    def close(self) -> None:
        self._lib.llama_sampler_free(self._chain)

    def _add_grammar(self, vocab: Any, grammar: str) -> None:
        made = self._lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
        if not made:
            self.close()
            raise ModelError("the grammar cannot be read", hint="it is to be GBNF with a rule `root`")
        self._add(made)

    def _add(self, sampler: Any) -> None:
        self._lib.llama_sampler_chain_add(self._chain, sampler)
