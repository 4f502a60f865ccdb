"""One cartridge, two runtimes: documents that one built, opened under the other.

The reader's own full cache is the reference, as for its own cartridges, which stand beside: what is beyond these is the
price of crossing over. A reader that computes otherwise makes other keys and values of the same document, from its
first layer on; so a foreign full cache would not be free of this either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from secondme.bench.cartridges.documents import Document
from secondme.bench.cartridges.judge import Judge
from secondme.bench.cartridges.metrics import Scores, pool, standard_error
from secondme.bench.cartridges.workshop import Workshop
from secondme.bench.rows import Row
from secondme.cartridges.tiers import TierName


@dataclass(slots=True)
class _Tally:
    """One tier, document by document: cartridges of the other runtime, and the reader's own."""

    foreign: list[Scores] = field(default_factory=list)
    own: list[Scores] = field(default_factory=list)


def rows(
    documents: Iterable[Document],
    tiers: Sequence[TierName],
    workshops: tuple[Workshop, Workshop],
    judge: Judge,
    say: Callable[[str], None],
) -> Iterator[tuple[str, float, str, int]]:
    """(case, value, unit, n) of `cross/<tier>/...`. workshops: the builder's, and that of the reader who is judged.

    Raises Cancelled.
    """
    builder, reader = workshops
    seen = {tier: _Tally() for tier in tiers}
    for n, document in enumerate(documents, 1):
        say(f"document {n} ({document.n_tokens} tokens): full cache")
        judge.reference(document)
        for tier in tiers:
            say(f"document {n}: {tier} built by both")
            builder.build(document, tier)
            foreign = builder.open([document], reader=reader.reader)
            seen[tier].foreign.append(judge.evaluate(document, foreign.place, greedy=False))
            reader.build(document, tier)
            own = reader.open([document])
            seen[tier].own.append(judge.evaluate(document, own.place, greedy=False))
            said = ", ".join(f"{case} {value:.4f}" for case, value, _, _ in _of_tier(tier, seen[tier]))
            say(f"document {n}: so far {said}")
    for tier, tally in seen.items():
        yield from _of_tier(tier, tally)


def _of_tier(tier: TierName, tally: _Tally) -> Iterator[tuple[str, float, str, int]]:
    """Question by question, so that `beyond` is known more closely than the two figures that it lies between."""
    foreign, own = pool(tally.foreign).of("text"), pool(tally.own).of("text")
    pairs = zip(foreign.replies, own.replies, strict=True)
    n = len(own.replies)
    yield f"cross/{tier}/recall_kl", foreign.recall_kl, "nats", n
    yield f"cross/{tier}/own", own.recall_kl, "nats", n
    yield f"cross/{tier}/beyond", foreign.recall_kl - own.recall_kl, "nats", n
    yield f"cross/{tier}/beyond_se", standard_error([(a.kl - b.kl, b.n) for a, b in pairs]), "nats", n


def as_rows(figures: Iterable[tuple[str, float, str, int]], setting: str) -> Iterator[Row]:
    for case, value, unit, n in figures:
        yield Row("cartridges", case, value, unit, n, setting=setting)
