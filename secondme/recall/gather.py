"""The planner: which evidence a question gets, from what is known down to what was once said, no deeper than needed.

The profile is always told. What is known comes first; what was said and what was read are searched as well, unless what
is known covers the question; faded and overarching memories only where all of that does not. A rule decides, not a
model: the share of the question's weight that the evidence speaks of. What is found is told once, in the order of time,
within a budget of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from secondme.memory.store import Store
from secondme.recall.excerpt import Asked, excerpts
from secondme.recall.masking import masks
from secondme.recall.pieces import Piece, of_passage
from secondme.recall.retrieve import retrieve
from secondme.runtime.base import Embedder
from secondme.text.terms import stems
from secondme.types import ItemKind, MemoryItem, Trust, Turn

CORE: tuple[ItemKind, ...] = ("core",)

N_ITEMS = 8
N_TURNS = 10
N_PASSAGES = 6
N_EMBEDDED = 3
"""Passages whose sentences are weighed by meaning too; what the model reads first."""

BUDGET = 420
"""Tokens of evidence where nobody says how many."""

SAME = 0.9
"""Pieces whose stems overlap by this much (Jaccard) say the same."""

WHOLE = 0.8
"""An item that was made of so much of a turn tells it: the turn is not told as well."""

_TRUST = {trust: n for n, trust in enumerate((Trust.OWNER, Trust.CONVERSATION, Trust.DOCUMENT, Trust.IMPORTED))}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how much to bring.

    `project` None means everywhere. `exclude_conversation` is the one under way, which the model reads anyway, and
    `without` are items that were made of the question itself. `budget` is in tokens; `cost` tells how many a piece
    takes, None is what its short form has for the embedder. `now` is in Unix seconds, None for the clock's. Up to
    `whole_history` tokens all that was ever said is brought; 0 is never.
    """

    project: str | None = None
    exclude_conversation: int | None = None
    without: frozenset[int] = frozenset()
    budget: int = BUDGET
    now: float | None = None
    cost: Callable[[Piece], int] | None = None
    whole_history: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What bears on a question. Items and turns are in the order of time, passages best first.

    `found` is False when nothing does: then only the profile `core` is there. `depth` tells how far it was looked: 1
    what is known, 2 what was said and read as well, 3 what has faded too. `weights` are the question's stems.
    """

    core: tuple[MemoryItem, ...] = ()
    items: tuple[Piece, ...] = ()
    turns: tuple[Piece, ...] = ()
    passages: tuple[Piece, ...] = ()
    found: bool = False
    depth: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All but the profile, as a prompt numbers them."""
        return (*self.items, *self.turns, *self.passages)

    @property
    def profile(self) -> str:
        """The blocks of the profile as one text."""
        return "\n".join(block.text for block in self.core)


def gather(question: str, store: Store, embedder: Embedder, scope: Scope = Scope()) -> Evidence:
    """What memory holds about `question`, within `scope`. Secrets are never in it."""
    hidden = masks(store, scope.project)
    core = tuple(store.items(scope.project, kinds=CORE, holding=True))
    found = retrieve(question, store, embedder, k=N_PASSAGES, project=scope.project)
    asked = Asked(found.weights, found.question_vector)
    hits = found.hits if found.found else ()
    passages = [of_passage(e, hidden) for e in excerpts(hits, asked, embedder, n_embedded=N_EMBEDDED)]
    return Evidence(core, (), (), tuple(passages), bool(passages), 1, found.weights)


# Within the budget ---------------------------------------------------------------------------------------------


def _distinct(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Each wording once, the first one of it; and no turn beside an item that was made of nearly all of it."""
    kept: list[tuple[Piece, frozenset[str]]] = []
    for piece in pieces:
        said = frozenset(stems(piece.spoken))
        if any(_same(said, other) or _tells(one, piece) for one, other in kept):
            continue
        kept.append((piece, said))
        yield piece


def _same(a: frozenset[str], b: frozenset[str]) -> bool:
    return len(a & b) >= SAME * len(a | b)


def _tells(one: Piece, other: Piece) -> bool:
    if not isinstance(one.source, MemoryItem) or not isinstance(other.source, Turn):
        return False
    size = len(other.source.text.encode("utf-8", "surrogatepass"))
    spans = [s for s in one.source.spans if (s.kind, s.ref_id) == ("turn", other.source.id)]
    return sum(s.byte_end - s.byte_start for s in spans) >= WHOLE * size


def _in_turn(*rankings: Sequence[Piece]) -> Iterator[Piece]:
    """The best of each ranking, then the second ones; of equal rank, the more trusted first."""
    for rank in zip_longest(*rankings):
        yield from sorted((p for p in rank if p is not None), key=lambda p: _TRUST[p.trust])


def _within(pieces: Iterable[Piece], budget: int, cost: Callable[[Piece], int]) -> list[Piece]:
    """As many of `pieces` as the budget takes, in their order; one that is too long gives way to shorter ones."""
    kept = []
    for piece in pieces:
        if (n := cost(piece)) <= budget:
            budget -= n
            kept.append(piece)
    return kept
