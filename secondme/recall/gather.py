"""The planner: which evidence a question gets, from what is known down to what was once said, no deeper than needed.

The profile is always told. What is known comes first; what was said is always searched, since the owner may have
corrected it in words that no rule read; what was read as well, unless what is known covers the question and still
holds; faded and overarching memories only where all of that does not. A rule decides, not a model: the share of the
question's weight that the evidence speaks of. What is found is told once, within a budget of tokens: what holds now
first, all else in the order of time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest

from secondme.memory.store import Store
from secondme.memory.tiers import rank
from secondme.recall.consensus import agreed, answered_by_owner, core, own_first
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.excerpt import Asked, excerpts
from secondme.recall.items import is_about_past, recall_items
from secondme.recall.masking import Masks, masks
from secondme.recall.pieces import Piece, of_item, of_passage, of_turn
from secondme.recall.retrieve import BEARING, embed_question, retrieve_by
from secondme.recall.standing import asks_the_same, standing, tells
from secondme.recall.succession import REACH, Told, matter, pointers
from secondme.recall.telling import Telling
from secondme.recall.turns import TurnRecall, recall_turns
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.terms import content_terms, stems
from secondme.types import ItemKind, ItemState, MemoryItem, Turn

CORE: tuple[ItemKind, ...] = ("core",)

N_ITEMS = 8
N_TURNS = 10
N_PASSAGES = 6
N_CORRECTED = 3
"""Turns, the best ones, whose corrections are looked for beside them."""

N_EMBEDDED = 3
"""Passages whose sentences are weighed by meaning too; what the model reads first."""

BUDGET = 490
"""Tokens of evidence where nobody says how many."""

COVERS = 0.8
"""Share of the question's weight from which something known covers it, so that nothing else is searched."""

ENOUGH = 0.5
"""Share below which what was found does not suffice, so that faded memories are searched too."""

ACTIVE: tuple[ItemState, ...] = ("active",)
FADED: tuple[ItemState, ...] = ("archived",)

_WORDS_AROUND = 5
"""Words that tell who said a turn, and when."""

_TOKENS_OF_A_WORD = 1.4

TOGETHER = 0.6
"""What the best turns together must reach, as BEARING for one text: of two development conversations every question
with an answer passes even .8, and from .6 to .7 the same two of twelve about the world at large."""

LONG = 200
"""Turns from which the learned gate of turns is believed; it was learned on conversations of 400 and more."""

UNSEEN = 0.25
"""What stands for the cosine of turns that were not embedded yet."""

SAME = 0.9
"""Pieces whose stems overlap by this much (Jaccard) say the same."""

WHOLE = 0.8
"""An item that was made of so much of a turn tells it: the turn is not told as well."""

_ANSWERED = re.compile(
    r"\b(?:you|assistant|we)\b.{0,20}\b(?:sa(?:y|id)|t(?:ell|old)|recommend|suggest|advi[sc]e|answer|explain|propose"
    r"|discuss|talk|wr(?:i|o)te|mention)",
    re.I,
)
"""Questions about what was answered."""

_USE_TO = re.compile(r"\buse to\b", re.I)
"""What "did" makes of "used to", by which questions about the past are told."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how much to bring.

    `project` None means everywhere. `exclude_conversation` is the one under way, which the model reads anyway, and
    `without` are items that were made of the question itself. `budget` is in tokens; `cost` tells how many a piece
    takes, None is what its short form has for the embedder. `now` is in Unix seconds, None for the clock's. Up to
    `whole_history` tokens all that was ever said is brought; 0 is never. `at`: of what is known, what was so at that
    moment; None is now.
    """

    project: str | None = None
    exclude_conversation: int | None = None
    without: frozenset[int] = frozenset()
    budget: int = BUDGET
    now: float | None = None
    cost: Callable[[Piece], int] | None = None
    whole_history: int = 0
    at: float | None = None


EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What bears on a question. Items and turns are in the order of time, but where he asks for his own affairs what
    the owner said comes before what others did; passages best first.

    `found` is False when nothing does: then only the profile `core` is there. `depth` tells how far it was looked: 1
    what is known, 2 what was said and read as well, 3 what has faded too. `weights` are the question's stems. `lead` is
    the item or turn that holds now, or for a question about the past held before, where one of them does.
    """

    core: tuple[MemoryItem, ...] = ()
    items: tuple[Piece, ...] = ()
    turns: tuple[Piece, ...] = ()
    passages: tuple[Piece, ...] = ()
    found: bool = False
    depth: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    lead: Piece | None = None

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All but the profile, as a prompt numbers them."""
        lead = () if self.lead is None else (self.lead,)
        return (*lead, *(p for p in (*self.items, *self.turns, *self.passages) if p not in lead))

    @property
    def profile(self) -> str:
        """The blocks of the profile as one text."""
        return "\n".join(block.text for block in self.core)


@dataclass(frozen=True)  # without slots, for what is kept once it was asked for
class _Look:
    """One question on its way through the store."""

    question: str
    store: Store
    embedder: Embedder
    scope: Scope
    masks: Masks
    now: float
    weights: Mapping[str, float]
    vector: FloatMatrix

    @cached_property
    def nearest(self) -> float:
        """The cosine of the turn nearest to the question; UNSEEN stands for it where none was embedded."""
        found = self.store.nearest_turns(self.vector, 1, self.scope.project) if self.store.embedder() else []
        return found[0][1] if found else UNSEEN

    def cost(self, piece: Piece) -> int:
        return self.scope.cost(piece) if self.scope.cost else self.embedder.count_tokens(piece.brief)


def gather(question: str, store: Store, embedder: Embedder, scope: Scope = EVERYWHERE) -> Evidence:
    """What memory holds about `question`, within `scope`. Secrets are never in it. Raises ModelError, StoreError."""
    look = _look(question, store, embedder, scope)
    known, is_enough = _known(look, ACTIVE, N_ITEMS)
    heard = _hear(look, N_TURNS)
    lead = _lead(look, known, heard, is_enough=is_enough)
    if is_enough and (not lead or lead[0] is known[0]):
        return _evidence(look, 1, [known], lead[:1])
    said = [*_said(look, heard, lead), *_said_of_core(look, heard)]
    whole = _all_said(look) if said else []
    found = [known, whole or said, _read(look, N_PASSAGES)]
    if whole or _share([lead, *found], look.weights) >= ENOUGH:
        return _evidence(look, 2, found, lead, is_whole=bool(whole))
    return _evidence(look, 3, [*found, _known(look, FADED, N_ITEMS)[0]], lead)


def ranked(
    question: str, store: Store, embedder: Embedder, scope: Scope = EVERYWHERE, *, k: int = 8
) -> tuple[list[Piece], dict[str, float]]:
    """What holds now and what did before, then up to `k` pieces of each kind, the best of each first and what has faded
    last; and the question's weights."""
    look = _look(question, store, embedder, scope)
    known, is_enough = _known(look, ACTIVE, k)
    heard = _hear(look, k)
    lead = _lead(look, known, heard, is_enough=is_enough, is_search=True)
    found = known, _said(look, heard, lead), _read(look, k)
    pieces = [*_distinct([*lead, *_in_turn(*found)]), *_known(look, FADED, k)[0]]
    return pieces, dict(look.weights)


def _look(question: str, store: Store, embedder: Embedder, scope: Scope) -> _Look:
    now = time.time() if scope.now is None else scope.now
    hidden, weights = masks(store, scope.project), _weights(question, store)
    vector = embed_question(question, embedder)
    return _Look(question, store, embedder, scope, hidden, now, weights, vector)


def _weights(question: str, store: Store) -> dict[str, float]:
    """The question's stems by how rare they are in all that was said and read."""
    terms = content_terms(question)
    in_chunks, in_turns = store.term_df(terms), store.turn_df(terms)
    n = store.n_chunks + store.turn_stats().n_turns
    return term_weights(terms, {t: in_chunks.get(t, 0) + in_turns.get(t, 0) for t in terms}, max(1, n))


def _evidence(
    look: _Look,
    depth: int,
    rankings: Sequence[Sequence[Piece]],
    lead: Sequence[Piece] = (),
    *,
    is_whole: bool = False,
) -> Evidence:
    """`lead`, and the best of `rankings`, as far as the budget takes them beside the profile."""
    core = tuple(look.store.items(look.scope.project, kinds=CORE, holding=True))
    profile = "\n".join(block.text for block in core)
    budget = max(look.scope.budget, look.scope.whole_history) if is_whole else look.scope.budget
    room = budget - (look.embedder.count_tokens(profile) if profile else 0)
    own = answered_by_owner(look.question, (p for ranking in rankings for p in ranking))
    kept = agreed(look.question, _within(_distinct([*lead, *own, *_in_turn(*rankings)]), room, look.cost))
    first = next((p for p in kept for one in lead[:1] if (p.kind, p.ref_id) == (one.kind, one.ref_id)), None)
    said, known = (own_first(look.question, (p for p in kept if p.kind == kind)) for kind in ("turn", "item"))
    passages = tuple(p for p in kept if p.kind == "passage")
    found = bool(kept) or coverage(profile, look.weights) >= BEARING
    return Evidence(core, tuple(known), tuple(said), passages, found, depth, look.weights, first)


def _share(rankings: Sequence[Sequence[Piece]], weights: Mapping[str, float]) -> float:
    """Share of the question's weight that all that was found speaks of."""
    return coverage("\n".join(p.spoken for ranking in rankings for p in ranking), weights)


# The three kinds -----------------------------------------------------------------------------------------------


def _known(look: _Look, states: tuple[ItemState, ...], k: int) -> tuple[list[Piece], bool]:
    """What is known that bears on the question, best first; and whether the best of it covers the question."""
    scope = look.scope
    asked = _USE_TO.sub("used to", look.question)
    vector = look.vector if asked == look.question else None
    hits = recall_items(
        asked, look.store, look.embedder, project=scope.project, k=k, at=scope.at, states=states, vector=vector
    )
    bearing = [h for h in hits if h.score >= BEARING and h.item.id not in scope.without]
    if not is_about_past(look.question):  # what was so before would only stand in the way
        bearing = [h for h in bearing if h.current] or bearing
    is_enough = bool(bearing) and bearing[0].current and bearing[0].coverage >= COVERS
    return [of_item(h.item, h.score, look.now) for h in bearing], is_enough


def _hear(look: _Look, k: int) -> TurnRecall:
    """The turns nearest to the question, whether they bear on it or not."""
    scope = look.scope
    return recall_turns(
        look.question,
        look.store,
        look.embedder,
        project=scope.project,
        k=k,
        now=look.now,
        exclude_conversation=scope.exclude_conversation,
        hidden=look.masks,
    )


def _said(look: _Look, heard: TurnRecall, lead: Sequence[Piece]) -> list[Piece]:
    """What was said that bears on the question, best first; where something leads, the rest of it bears too."""
    hits = [h for h in heard.hits if _tells_something(h.turn, look)]
    if not lead and not _bear([h.turn for h in hits], look, is_found=heard.found):
        return []
    corrected = _corrected([h.turn for h in hits[:N_CORRECTED]], look)
    found_ids = {h.turn.id for h in hits}
    pieces = []
    for hit in hits:
        pieces.append(of_turn(hit.turn, hit.score, look.masks))
        more = [t for t in corrected.get(hit.turn.id, ()) if t.id not in found_ids]
        pieces += [of_turn(t, hit.score, look.masks) for t in more]
    return pieces


def _said_of_core(look: _Look, heard: TurnRecall) -> list[Piece]:
    """What the owner said himself of what is asked, where words that lead up to the question drew others' turns."""
    asked = core(look.question)
    if len(asked.split()) + 1 >= len(look.question.split()):
        return []
    near = _hear(replace(look, question=asked, vector=embed_question(asked, look.embedder)), N_TURNS)
    known = {h.turn.id for h in heard.hits}
    pieces = [of_turn(h.turn, h.score, look.masks) for h in near.hits if h.turn.id not in known]
    return answered_by_owner(asked, pieces)


def _lead(
    look: _Look, known: Sequence[Piece], heard: TurnRecall, *, is_enough: bool, is_search: bool = False
) -> list[Piece]:
    """What holds now, then what may have held before; for a question about the past the other way round.

    Whoever searches looks at what is near himself. An answer rests on nothing that does not bear on the question: by
    the learned threshold alone, a small memory would have something to say about every third question.

    What is surely known leads itself, unless the owner said something later that took its place. What he typed himself
    and what was read is replaced by nothing that was merely said.
    """
    best = known[0] if known and is_enough and not _sums_up(known[0]) else None
    is_fixed = look.scope.at is not None or (best is not None and not best.turn_ids)
    if heard.weighed is None or is_fixed:
        return [best] if best is not None else []
    turns = {n for piece in known for n in piece.turn_ids}
    excluded = look.scope.exclude_conversation
    stands = standing(heard.weighed, look.store, turns, exclude_conversation=excluded)
    bears = best is not None or _bears_by_rule(look, heard)
    if stands is None or not (bears or (is_search and stands.bears and not _is_long(look))):
        return [best] if best is not None else []
    is_its = best is not None and stands.now.id in best.turn_ids
    is_newer = best is None or (stands.claims and stands.now.created_at > best.at)
    if best is not None and (not _ends(best) if is_its else not is_newer):
        now = best
    else:
        now = _told_as(stands.now, 1.0, known, look)
    before = [_told_as(t, 0.0, known, look) for t in stands.before if t.id not in now.turn_ids]
    return [*before[:1], now, *before[1:]] if is_about_past(look.question) else [now, *before]


def _told_as(turn: Turn, score: float, known: Sequence[Piece], look: _Look) -> Piece:
    """A turn, or what is known where that was made of nearly all of it."""
    said = of_turn(turn, score, look.masks)
    return next((p for p in known if _tells(p, said) and not (_sums_up(p) or _ends(p))), said)


def _sums_up(piece: Piece) -> bool:
    """Whether it is a summary of several, which says neither what holds nor since when."""
    return isinstance(piece.source, MemoryItem) and piece.source.kind == "topic"


def _ends(piece: Piece) -> bool:
    """Whether it says only that something is over; the turn it was learned from may say what came in its place."""
    return isinstance(piece.source, MemoryItem) and bool(piece.source.attribute) and not piece.source.value


def _bears_by_rule(look: _Look, heard: TurnRecall) -> bool:
    return _bear([h.turn for h in heard.hits if _tells_something(h.turn, look)], look, is_found=heard.found)


def _corrected(turns: Sequence[Turn], look: _Look) -> dict[int, list[Turn]]:
    """Of the owner's turns, by id: what corrects them in words that no search finds, "make that Friday"."""
    own = [t for t in turns if t.role == "user" and not t.speaker]
    if not own:
        return {}
    around = [t for t in look.store.turns_around([t.id for t in own], REACH) if t.role == "user" and not t.speaker]
    told = [Told(Telling(t.text), t.created_at, 0.0, t.id, t.conversation_id, n) for n, t in enumerate(around)]
    asked, place = matter(look.question), {t.id: n for n, t in enumerate(around)}
    return {t.id: [around[n] for n in pointers(asked, told[place[t.id]], told)] for t in own}


def _all_said(look: _Look) -> list[Piece]:
    """All that was said, where that is wanted and fits; else nothing."""
    scope, store = look.scope, look.store
    if not scope.whole_history:
        return []
    stats = store.turn_stats(scope.project)
    if stats.n_turns * (stats.mean_words + _WORDS_AROUND) * _TOKENS_OF_A_WORD > scope.whole_history:
        return []
    others = [c for c in store.conversations(scope.project) if c.id != scope.exclude_conversation]
    turns = [t for c in others for t in store.turns(c.id) if _tells_something(t, look)]
    return [of_turn(t, 0.0, look.masks) for t in turns]


def _bear(turns: Sequence[Turn], look: _Look, *, is_found: bool) -> bool:
    """Whether the best turns bear on the question: one of them by its words, or all together by words and meaning.

    `is_found` is the learned gate's word. It was learned on long conversations, and counts for those only.
    """
    shares = [coverage(f"{t.speaker} {t.text}", look.weights) for t in turns]
    if max(shares, default=0.0) >= BEARING:
        return True
    if not turns or (_is_long(look) and not is_found):
        return False
    share = coverage("\n".join(f"{t.speaker} {t.text}" for t in turns), look.weights)
    if share >= TOGETHER:
        return True
    return share + look.nearest >= TOGETHER


def _is_long(look: _Look) -> bool:
    return look.store.turn_stats(look.scope.project).n_turns >= LONG


def _tells_something(turn: Turn, look: _Look) -> bool:
    """Earlier questions and requests tell nothing, and what a model answered is evidence only of what it answered."""
    if turn.speaker:
        return not asks_the_same(turn.text, look.question)
    if turn.role == "user":
        return tells(turn, look.question)
    return bool(_ANSWERED.search(look.question))


def _read(look: _Look, k: int) -> list[Piece]:
    """Passages that bear on the question, best first."""
    found = retrieve_by(look.question, look.vector, look.store, k=k, project=look.scope.project)
    asked = Asked(found.weights, found.question_vector)
    hits = found.hits if found.found else ()
    return [of_passage(e, look.masks) for e in excerpts(hits, asked, look.embedder, n_embedded=N_EMBEDDED)]


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
    for level in zip_longest(*rankings):
        yield from sorted((p for p in level if p is not None), key=lambda p: -rank(p.trust))


def _within(pieces: Iterable[Piece], budget: int, cost: Callable[[Piece], int]) -> list[Piece]:
    """As many of `pieces` as the budget takes, in their order; one that is too long gives way to shorter ones."""
    kept = []
    for piece in pieces:
        if (n := cost(piece)) <= budget:
            budget -= n
            kept.append(piece)
    return kept
