"""Several documents behind one prefix, each read apart, beside one reading of all: fidelity, and time to an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from secondme.bench.cartridges.documents import Document, Recipe, documents, joined
from secondme.bench.cartridges.judge import Judge
from secondme.bench.cartridges.prompts import Tokenizer
from secondme.bench.cartridges.tiers import Say
from secondme.bench.cartridges.workshop import Opening, Workshop
from secondme.bench.rows import Row
from secondme.cartridges.tiers import TierName
from secondme.runtime.kv import KvReader

COUNTS = (2, 4, 8)
N_QUESTIONS = 32
"""Of all documents together."""


def parts(path: Path, tokenizer: Tokenizer, recipe: Recipe, *, n: int, n_tokens: int) -> list[Document]:
    """`n` documents of about `n_tokens` together, or less where the paragraphs do not give it."""
    each = replace(
        recipe,
        n_documents=n,
        n_tokens=n_tokens // n,
        n_questions=min(recipe.n_questions, -(-N_QUESTIONS // n)),
        n_facts=0,
    )
    return list(documents(path, tokenizer, each))


def rows(
    together: Sequence[Document], tiers: Sequence[TierName], workshop: Workshop, judge: Judge, say: Say
) -> Iterator[Row]:
    """`compose/<n>/recall_kl` of T0 and `compose/<n>/<tier>/recall_kl` of others, with times to the first token."""
    n, whole = len(together), joined(together)
    say(f"{n} documents together ({whole.n_tokens} tokens): full cache")
    prefill_s = judge.reference(whole).prefill_s
    for tier in tiers:
        say(f"{n} documents together: {tier}")
        for document in together:
            workshop.build(document, tier)
        opening = workshop.open(together)
        scores = judge.evaluate(whole, opening.place, greedy=False)
        head, n_asked = f"compose/{n}" if tier == "T0" else f"compose/{n}/{tier}", len(scores.replies)
        yield Row("cartridges", f"{head}/recall_kl", scores.recall_kl, "nats", n_asked)
        yield Row("cartridges", f"{head}/recall_kl_se", scores.recall_kl_se, "nats", n_asked)
        ask_s = _seconds_to_ask(whole, workshop.reader, opening)
        first = (prefill_s + ask_s) / (opening.open_s + ask_s)
        yield Row("cartridges", f"{tier}/prefill_over_open/{whole.n_tokens}", prefill_s / opening.open_s, "x", n)
        yield Row("cartridges", f"{tier}/first_token_ratio/{whole.n_tokens}", first, "x", n)


def _seconds_to_ask(whole: Document, reader: KvReader, opening: Opening) -> float:
    """From a question to the first token of its answer, where the documents are there already."""
    opening.place(reader)
    began = time.perf_counter()
    for _ in reader.read(whole.questions[0].tail):
        pass
    return time.perf_counter() - began
