"""Several documents behind one prefix, each read apart, beside one reading of all: fidelity, and time to an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from secondme.bench.cartridges.documents import Document, Recipe, documents, joined
from secondme.bench.cartridges.judge import Judge
from secondme.bench.cartridges.prompts import Tokenizer
from secondme.bench.cartridges.tiers import Say
from secondme.bench.cartridges.workshop import Workshop
from secondme.bench.rows import Row
from secondme.cartridges.tiers import TierName

COUNTS = (2, 4, 8)
PROJECT = 4
"""Documents of a project of some 6,000 tokens."""

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
    """`compose/<n>/recall_kl` of T0, `compose/<n>/<tier>/recall_kl` of others, and how soon an answer begins."""
    n, whole = len(together), joined(together)
    where = f"{n} documents together ({whole.n_tokens} tokens)"
    say(f"{where}: full cache")
    prefill_s = judge.reference(whole).prefill_s
    for tier in tiers:
        say(f"{where}: {tier}")
        for document in together:
            workshop.build(document, tier)
        opening = workshop.open(together)
        scores = judge.evaluate(whole, opening.place, greedy=False)
        figures = [
            ("recall_kl", scores.recall_kl, "nats"),
            ("recall_kl_se", scores.recall_kl_se, "nats"),
            ("prefill_over_open", prefill_s / opening.open_s, "x"),
        ]
        tail = whole.questions[0].tail
        if workshop.may_ask(whole.n_tokens + len(tail)):
            open_s, ask_s = workshop.asked(together, tail)
            figures.append(("first_token_ratio", (prefill_s + ask_s) / (open_s + ask_s), "x"))
        head, setting = f"compose/{n}" if tier == "T0" else f"compose/{n}/{tier}", f"{whole.n_tokens} tokens"
        for case, value, unit in figures:
            yield Row("cartridges", f"{head}/{case}", value, unit, len(scores.replies), setting=setting)


def of_tier(row: Row) -> Iterator[Row]:
    """`<tier>/first_token_ratio`, where `row` is that of one count of documents."""
    head, _, case = row.case.rpartition("/")
    if case == "first_token_ratio":
        tier = head.split("/")[2] if head.count("/") == 2 else "T0"
        yield replace(row, case=f"{tier}/{case}")
