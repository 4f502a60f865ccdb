"""The rows of each tier: what documents take on the disk, in memory and in time, and what the model still knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from secondme.bench.cartridges.documents import Document, Kind
from secondme.bench.cartridges.judge import Judge
from secondme.bench.cartridges.metrics import Scores, pool
from secondme.bench.cartridges.workshop import Made, Opening, Workshop
from secondme.bench.rows import Row
from secondme.cartridges.tiers import TierName
from secondme.runtime.kv import KvShape

Say = Callable[[str], None]

PUBLISHED: Mapping[str, tuple[tuple[str, float], ...]] = {
    "T0": (("q8_0 blocks as they are", 32 / 17),),
    "T1": (("KVzip, published", 4.0),),
    "T2": (("Cartridges, published", 38.6),),
    "T3": (("Cartridges, published", 38.6), ("Attention Matching, published", 50.0)),
}
"""How many times smaller than f16 others say they are, on other models and tasks: KVzip (Kim et al. 2025) 3 to 4,
Cartridges (Eyuboglu et al. 2025), trained, 38.6, Attention Matching (Zweiger et al. 2026) up to 50. A block of q8_0 is
34 bytes for 32 values."""


@dataclass(slots=True)
class Tally:
    """What was seen of one tier, document by document."""

    scores: list[Scores] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    n_tokens: list[int] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """f16 bytes over bytes on the disk, of each document."""
        return [m.f16_bytes / m.size_bytes for m in self.made]


@dataclass(slots=True)
class Tallies:
    """All tiers over the same documents, between no document at all and the full cache but for its last bits."""

    tiers: dict[TierName, Tally]
    nothing: list[Scores] = field(default_factory=list)
    last_bit: list[Scores] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)

    def shares(self) -> list[tuple[Document, Mapping[str, float]]]:
        """Each document with how many times smaller than f16 it is in each tier."""
        return [(d, {name: t.ratios[i] for name, t in self.tiers.items()}) for i, d in enumerate(self.documents)]


def measure(
    documents: Iterable[Document], tiers: Sequence[TierName], workshop: Workshop, judge: Judge, say: Say
) -> Tallies:
    """One document after the other, each in every tier. Raises Cancelled."""
    seen = Tallies({tier: Tally() for tier in tiers})
    for n, document in enumerate(documents, 1):
        where = f"document {n} ({document.n_tokens} tokens)"
        say(f"{where}: full cache")
        judge.reference(document)
        say(f"{where}: no context")
        seen.nothing.append(judge.evaluate(document, judge.no_context(document), greedy=False))
        say(f"{where}: last bits flipped")
        seen.last_bit.append(judge.evaluate(document, judge.last_bit_flipped(document)))
        for tier in tiers:
            say(f"{where}: {tier}")
            tally = seen.tiers[tier]
            tally.made.append(workshop.build(document, tier))
            opening = workshop.open([document])
            tally.scores.append(judge.evaluate(document, opening.place))
            tally.openings.append(opening.without_cells())
            tally.n_tokens.append(document.n_tokens)
            say(f"{where}: {tier} so far {_so_far(tally)}")
        seen.documents.append(document)
    return seen


def _so_far(tally: Tally) -> str:
    """What a run that is stopped has shown by then."""
    scores = pool(tally.scores)
    ratio = _total(m.f16_bytes for m in tally.made) / _total(m.size_bytes for m in tally.made)
    facts = f"{scores.n_recalled('fact')} of {scores.n_known('fact')} facts"
    return f"{ratio:.1f}x, recall KL {scores.recall_kl:.4f}, {facts}"


_OF_LAST_BIT = ("recall_kl", "recall_kl_se", "facts_kl", "facts_ratio")
"""What the smallest change to the full cache does: what a tier differs by less is not known."""


def rows(seen: Tallies, shape: KvShape, setting: str) -> Iterator[Row]:
    """Rows of all tiers, then `last_bit/..` and `no_context/..`; a figure without anything measured gives none."""
    for tier, tally in seen.tiers.items():
        for case, value, unit, n in (*_sizes(tally, shape), *_fidelity(pool(tally.scores)), *_times(tally, shape)):
            if math.isfinite(value):
                yield Row("cartridges", f"{tier}/{case}", value, unit, n, setting=setting)
        ratio = _total(m.f16_bytes for m in tally.made) / _total(m.size_bytes for m in tally.made)
        for peer, theirs in PUBLISHED.get(tier, ()):
            yield Row("cartridges", f"{tier}/disk_ratio", ratio, "x", len(tally.made), peer, theirs, ratio / theirs)
    last_bit = (figure for figure in _fidelity(pool(seen.last_bit)) if figure[0] in _OF_LAST_BIT)
    for case, value, unit, n in last_bit:
        if math.isfinite(value):
            yield Row("cartridges", f"last_bit/{case}", value, unit, n, setting=setting)
    nothing = pool(seen.nothing)
    floors: Sequence[tuple[str, float, Kind]] = (
        ("recall_kl", nothing.of("text").recall_kl, "text"),
        ("facts_kl", nothing.facts_kl, "fact"),
    )
    for case, value, kind in floors:
        if math.isfinite(value):
            n = len(nothing.of(kind).replies)
            yield Row("cartridges", f"no_context/{case}", value, "nats", n, setting=setting)


Figures = Iterator[tuple[str, float, str, int]]
"""Case, value, unit, and over how many."""


def _sizes(tally: Tally, shape: KvShape) -> Figures:
    n = len(tally.made)
    yield "disk_ratio", _total(m.f16_bytes for m in tally.made) / _total(m.size_bytes for m in tally.made), "x", n
    held = _total(o.held_bytes for o in tally.openings)
    yield "ram_ratio", sum(tally.n_tokens) * shape.f16_bytes_per_token / held, "x", n
    if in_cache := _total(o.cache_bytes for o in tally.openings):
        yield "ram_ratio/here", _total(o.plain_bytes for o in tally.openings) / in_cache, "x", n


def _fidelity(scores: Scores) -> Figures:
    asked = scores.of("text")
    n = len(asked.replies)
    yield "recall_kl", asked.recall_kl, "nats", n
    yield "recall_kl_se", asked.recall_kl_se, "nats", n
    yield "facts_kl", scores.facts_kl, "nats", sum(r.kind == "fact" for r in scores.replies)
    yield "gold_nll", asked.gold_nll, "nats", n
    yield "gold_nll/full", asked.gold_nll_full, "nats", n
    yield "top1", 100 * asked.top1, "%", n
    yield "continuation_kl", scores.continuation_kl, "nats", scores.n_continuation
    yield "facts_ratio", _percent(scores.n_recalled("fact"), scores.n_known("fact")), "%", scores.n_known("fact")
    yield "pairs_ratio", _percent(scores.n_recalled("pair"), scores.n_known("pair")), "%", scores.n_known("pair")
    (ours, full), (exact, exact_full) = scores.f1, scores.exact
    yield "f1", 100 * ours, "%", n
    yield "f1_ratio", _percent(ours, full), "%", n
    yield "em_ratio", _percent(exact, exact_full), "%", exact_full


def _times(tally: Tally, shape: KvShape) -> Figures:
    n = len(tally.made)
    prefill = _total(m.prefill_s for m in tally.made)
    yield "build_over_prefill", _total(m.build_s for m in tally.made) / prefill, "x", n
    yield "prefill_over_open", prefill / _total(o.open_s for o in tally.openings), "x", n
    megabytes = sum(tally.n_tokens) * shape.f16_bytes_per_token / 1e6
    yield "decode_mb_per_s", megabytes / max(_total(o.decode_s for o in tally.openings), 1e-9), "MB/s", n


def _total(values: Iterable[float]) -> float:
    return sum(values)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
