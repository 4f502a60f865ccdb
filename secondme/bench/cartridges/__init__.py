"""`secondme bench cartridges`: what a document's cache costs compressed, and what the model still knows with it.

    facts.py      invented facts                     prompts.py   how document and question stand in a prompt
    documents.py  texts with facts and questions     metrics.py   KL, answers, recalled facts
    judge.py      one cache beside the full one      references.py  what the full cache answers
    workshop.py   builds and opens, as the program   tiers.py     the rows of each tier
    compose.py    several documents, one prefix      changed.py   one changed file of many
    answers.py    the program's answers: from a cartridge, from the text, by search alone
    cross.py      cartridges of one runtime, opened under another
    peers/        kvpress, in an environment of its own

Nothing ships with the program: the caller brings the paragraphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.rows import Row
from secondme.errors import UsageError
from secondme.types import CancelCheck, never_cancelled

if TYPE_CHECKING:
    from secondme.bench.cartridges.documents import Document, Recipe
    from secondme.bench.cartridges.judge import Judge
    from secondme.bench.cartridges.peers.compare import Options as PeerOptions
    from secondme.bench.cartridges.tiers import Tallies
    from secondme.bench.cartridges.workshop import Workshop
    from secondme.cartridges.tiers import TierName
    from secondme.runtime.base import Embedder, Generator

TIERS: tuple[TierName, ...] = ("T0", "T1", "T2", "T3")
COMPOSED_TIERS = ("T0", "T1", "T2")
COMPOSED_TOKENS = 6000
N_CTX = 8192
N_PAIR_DOCUMENTS = 2
N_ANSWERED = 2
"""Documents that are asked about by the whole program: every question is answered three times."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. xquad: paragraphs with questions. kv75: records of key-value retrieval, or None.

    tiers: names with commas, "" for all. n_documents: at most so many, 0 for the eight there are for proof; with a
    number, only two are composed. n_tokens: about so many of a document at most, 0 for all. seed: which facts are
    planted. peers: kvpress's methods with commas, "all" for those commonly compared, "" for none; they take minutes a
    document, so that n_peer_documents may say fewer than ours, 0 for all. note: what rows say of the runtime.
    """

    xquad: Path
    kv75: Path | None = None
    tiers: str = ""
    n_documents: int = 0
    n_tokens: int = 0
    seed: str = "proof"
    peers: str = ""
    n_peer_documents: int = 0
    note: str = ""

    @property
    def chosen_tiers(self) -> tuple[TierName, ...]:
        wanted = {name.strip().upper() for name in self.tiers.split(",")} if self.tiers else set[str](TIERS)
        return tuple(tier for tier in TIERS if tier in wanted)

    @property
    def recipe(self) -> Recipe:
        from secondme.bench.cartridges.documents import Recipe

        whole = Recipe(n_tokens=self.n_tokens, seed=self.seed)
        return replace(whole, n_questions=2, n_facts=2) if 0 < self.n_tokens < 1000 else whole


def checked(options: Options) -> Options:
    """The same, if it can be measured. Raises UsageError for files that are none, unknown tiers and missing peers."""
    from secondme.bench.cartridges.documents import read_pairs, read_paragraphs

    for name in options.tiers.split(",") if options.tiers else ():
        if name.strip().upper() not in TIERS:
            raise UsageError(f"there is no tier {name.strip()}", hint=f"there are: {', '.join(TIERS)}")
    if min(options.n_documents, options.n_tokens, options.n_peer_documents) < 0:
        raise UsageError("fewer than no documents or tokens cannot be measured", hint="--documents N --tokens N")
    if 0 < options.n_tokens < 400:
        raise UsageError(f"{options.n_tokens} tokens are too few for facts to be among them", hint="--tokens 400")
    read_paragraphs(options.xquad)
    if options.kv75 is not None:
        read_pairs(options.kv75)
    if options.peers:
        _peers(options)
    return options


def _peers(options: Options) -> PeerOptions:
    from secondme.bench.cartridges.peers import compare

    presses = compare.chosen("" if options.peers == "all" else options.peers)
    return compare.Options(compare.python(), presses, threads=_threads())


def _threads() -> int:
    import os

    return os.cpu_count() or 1


def run(
    options: Options,
    load: Callable[[], Generator],
    *,
    say: Callable[[str], None],
    cancelled: CancelCheck = never_cancelled,
    embedder: Callable[[], Embedder] | None = None,
) -> Iterator[Row]:
    """Rows for `options` as `checked` returns them, and with an `embedder` those of the program's answers.

    `say` is told what is being done; raises Cancelled.
    """
    from secondme.bench.cartridges.judge import Judge
    from secondme.bench.cartridges.workshop import Workshop

    generator = load()
    try:
        with Workshop(generator, min(N_CTX, generator.info.n_ctx_train), cancelled=cancelled) as workshop:
            workshop.require(options.chosen_tiers)
            work = _Work(options, generator, workshop, Judge(workshop.reader, generator, cancelled=cancelled), say)
            seen, rows = _of_tiers(work)
            yield from rows
            yield from _composed(work)
        yield from _changed(options, generator, say, cancelled)
        if embedder is not None:
            yield from _answered(options, generator, embedder, say, cancelled)
    finally:
        generator.close()
    if options.peers:
        yield from _compared(options, seen, say)


@dataclass(frozen=True, slots=True)
class _Work:
    options: Options
    generator: Generator
    workshop: Workshop
    judge: Judge
    say: Callable[[str], None]


def _of_tiers(work: _Work) -> tuple[Tallies, list[Row]]:
    from secondme.bench.cartridges.documents import documents, pair_documents
    from secondme.bench.cartridges.tiers import measure, rows

    options, generator = work.options, work.generator
    recipe = options.recipe
    chosen: Iterator[Document] = islice(
        documents(options.xquad, generator, recipe, part="proof"), options.n_documents or None
    )
    if options.kv75 is not None:
        few = replace(recipe, n_documents=min(options.n_documents or N_PAIR_DOCUMENTS, N_PAIR_DOCUMENTS))
        chosen = chain(chosen, pair_documents(options.kv75, generator, few))
    seen = measure(chosen, options.chosen_tiers, work.workshop, work.judge, work.say)
    return seen, list(rows(seen, work.workshop.reader.identity.shape, _setting(options, generator)))


def _setting(options: Options, generator: Generator) -> str:
    return ", ".join(filter(None, (generator.info.name, f"seed {options.seed}", options.note)))


def run_cross(
    options: Options,
    load_reader: Callable[[], Generator],
    load_builder: Callable[[], Generator],
    *,
    say: Callable[[str], None],
    cancelled: CancelCheck = never_cancelled,
) -> Iterator[Row]:
    """The rows `cross/..`: documents that one runtime built, opened under the other, beside the reader's own.

    Raises CartridgeIncompatible where the two do not run the same weights, and Cancelled.
    """
    from secondme.bench.cartridges import cross
    from secondme.bench.cartridges.documents import documents
    from secondme.bench.cartridges.judge import Judge
    from secondme.bench.cartridges.workshop import Workshop

    with ExitStack() as stack:
        reader, builder = (stack.enter_context(closing(load())) for load in (load_reader, load_builder))
        n_ctx = min(N_CTX, reader.info.n_ctx_train)
        theirs, own = (stack.enter_context(Workshop(g, n_ctx, cancelled=cancelled)) for g in (builder, reader))
        own.require(options.chosen_tiers)
        judge = Judge(own.reader, reader, cancelled=cancelled)
        chosen = islice(documents(options.xquad, reader, options.recipe, part="proof"), options.n_documents or None)
        figures = cross.rows(chosen, options.chosen_tiers, (theirs, own), judge, say)
        setting = f"{_setting(options, reader)}; built by {builder.info.backend}, opened by {reader.info.backend}"
        yield from cross.as_rows(figures, setting)


def _composed(work: _Work) -> Iterator[Row]:
    from secondme.bench.cartridges import compose

    options = work.options
    tiers = [tier for tier in options.chosen_tiers if tier in COMPOSED_TIERS]
    for n in (2,) if options.n_documents else compose.COUNTS:
        n_tokens = min(COMPOSED_TOKENS, n * options.n_tokens or COMPOSED_TOKENS)
        together = compose.parts(options.xquad, work.generator, options.recipe, n=n, n_tokens=n_tokens)
        for row in compose.rows(together, tiers, work.workshop, work.judge, work.say):
            yield row
            if n == compose.PROJECT or options.n_documents:  # the project by whose opening a tier is known
                yield from compose.of_tier(row)


def _changed(
    options: Options, generator: Generator, say: Callable[[str], None], cancelled: CancelCheck
) -> Iterator[Row]:
    from secondme.bench.cartridges import changed

    tier = options.chosen_tiers[min(1, len(options.chosen_tiers) - 1)]
    n_files = changed.FEW_FILES if options.n_documents else changed.N_FILES
    texts = changed.texts(options.xquad, generator, n_files)
    say(f"{n_files} files, and one of them changed: {tier}")
    found = changed.row(texts, generator, tier, cancelled)
    if found is not None:
        yield found


def _answered(
    options: Options,
    generator: Generator,
    load_embedder: Callable[[], Embedder],
    say: Callable[[str], None],
    cancelled: CancelCheck,
) -> Iterator[Row]:
    from secondme.bench.cartridges import answers
    from secondme.bench.cartridges.documents import documents

    asked = islice(documents(options.xquad, generator, options.recipe, part="proof"), N_ANSWERED)
    tier = options.chosen_tiers[min(1, len(options.chosen_tiers) - 1)]
    embedder = load_embedder()
    try:
        yield from answers.rows(list(asked)[: options.n_documents or None], (generator, embedder), tier, say, cancelled)
    finally:
        embedder.close()


def _compared(options: Options, seen: Tallies, say: Callable[[str], None]) -> Iterator[Row]:
    """The peers come last, when the model is closed: their process needs the memory, and the cores."""
    from secondme.bench.cartridges.metrics import pool
    from secondme.bench.cartridges.peers import compare
    from secondme.config import load_config
    from secondme.runtime.catalog import resolve

    n = options.n_peer_documents or len(seen.documents)
    found = compare.compare(resolve(load_config().model).path, seen.shares()[:n], _peers(options), say)
    scores = {tier: pool(tally.scores[:n]) for tier, tally in seen.tiers.items()}
    facts: dict[str, float] = {tier: 100 * s.n_facts_recalled / s.n_facts for tier, s in scores.items() if s.n_facts}
    kl: dict[str, float] = {tier: s.recall_kl for tier, s in scores.items()}
    yield from compare.rows(found, kl, facts)
