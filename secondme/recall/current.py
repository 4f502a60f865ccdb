"""What was said about a question, items and turns together, the newest of what is about one matter first.

Rules read only part of what people say. What they did not read is still in the turns; so these stand beside the items,
on one scale, and of statements about one matter the newest goes first (newest.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from secondme.memory.store import Store
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.items import ItemHit, is_about_past, recall_items
from secondme.recall.newest import Statement, newest_first
from secondme.recall.retrieve import embed_question
from secondme.recall.succession import REACH, Matter, Told, can_answer, matter, predecessors, successors
from secondme.recall.telling import Telling
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.answers import asks
from secondme.text.sentences import split_sentences
from secondme.text.terms import content_terms
from secondme.types import Turn

CANDIDATES = 50

SURE = 1.1
"""Score from which an item is the answer, and turns only stand behind it."""

_QUESTION, _ASKS_ONLY, _ASSISTANT, _UNFIT = 0.35, 1.0, 0.25, 0.3
"""What is taken off a turn that asks beside telling, that only asks, that the assistant said, and that has no value of
the sort that is asked for."""

_AS_ITEM = 0.8
"""What a sure item bears on the question at least, where it has the attribute in other words."""

_LEAST = 0.15
"""Score from which a turn bears on a question at all."""

_LONG = 400
"""Characters of a turn above which an item made of it speaks for itself."""

N_NEAR = 6
"""Turns whose neighbours are looked at, as a correction that names nothing stands near what it corrects."""


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that bears on a question: an item, or a turn that no item was made of; higher scores are better."""

    score: float
    item: ItemHit | None = None
    turn: Turn | None = None

    @property
    def text(self) -> str:
        return self.item.item.text if self.item is not None else self.turn.text if self.turn is not None else ""

    @property
    def at(self) -> float:
        """When it was said, or holds from, in Unix seconds."""
        return self.item.item.valid_from if self.item is not None else self.turn.created_at if self.turn else 0.0


def recall_said(
    question: str, store: Store, embedder: Embedder | None, *, project: str | None, k: int
) -> tuple[Said, ...]:
    """The `k` statements that bear most on `question`; of those about one matter the newest first.

    For a question about the past what was replaced comes first, the latest of it before the rest.
    """
    items = recall_items(question, store, embedder, project=project, k=k)
    turns = _turns(question, store, embedder, project)
    told = {s.ref_id for hit in items for s in hit.item.spans if s.kind == "turn"}
    every = [s for s, _ in turns]
    vectors = {s.turn.id: v for s, v in turns if s.turn is not None and v is not None}
    past, asked = is_about_past(question), matter(question)
    known = [Said(hit.score, item=hit) for hit in items]
    if known and known[0].score >= SURE:
        loose = [s for s in every if s.turn is not None and s.turn.id not in told]
        first = [] if past else _told_with(store, known[0])
        ranked = [*first, *known, *(loose if past else _newest_first(loose, vectors, asked))]
    else:
        # Nothing known answers it for sure: then the turns speak, those that something was learned from as well.
        shown = every if past else _newest_first(every, vectors, asked)
        ranked = sorted([*known, *shown], key=lambda s: -s.score)
    if not ranked:
        return ()
    line = _line(ranked[0], every, store, asked)
    if not past:
        first = line[line.index(ranked[0]) :][::-1]
    elif ranked[0].item is None or ranked[0].item.current:
        first = [*(line[-2::-1] or _earlier(line[-1], every, asked)), line[-1]]
    else:
        first = ranked[:1]
    return tuple([*first, *(s for s in ranked if not any(_is_same(s, one) for one in first))][:k])


def _earlier(current: Said, every: Sequence[Said], asked: Matter) -> list[Said]:
    """The best turn from before what holds now, with a value of the same sort: what was so once is in none later."""
    sorts, at = Telling(current.text).sorts, next((s.at for s in every if _turn_of(s) == _turn_of(current)), current.at)
    for said in every:
        tells = Telling(said.text)
        if _is_owners(said) and said.at < at and sorts & tells.sorts and can_answer(asked, tells):
            return [said] if said.score >= _LEAST else []
    return []


def _line(best: Said, every: Sequence[Said], store: Store, asked: Matter) -> list[Said]:
    """What the best statement took the place of, itself, and what took its place, by time."""
    near = [n for s in (best, *every[:N_NEAR]) if (n := _turn_of(s))]
    around = {t.id: t for t in store.turns_around(near, REACH)}
    scored = {s.turn.id for s in every if s.turn is not None}
    said = [*every, *(Said(0.0, turn=t) for t in around.values() if t.id not in scored)]
    own = {_turn_of(best), *(s.ref_id for s in (best.item.item.spans if best.item else ()) if s.kind == "turn")}
    others = [s for s in said if _is_owners(s) and _turn_of(s) not in own]
    ids = [n for s in (best, *others) if (n := _turn_of(s))]
    context = _Context(around, {n: p for p, n in enumerate(around)}, store.traces(ids) if store.embedder() else {})
    told = [_told(s, context) for s in (best, *others)]
    before, after = predecessors(asked, told[0], told[1:]), successors(asked, told[0], told[1:])
    return [*(others[n] for n in reversed(before)), best, *(others[n] for n in after)]


@dataclass(frozen=True, slots=True)
class _Context:
    """Turns around the best ones by id, the place of each in the order of telling, and traces."""

    turns: Mapping[int, Turn]
    places: Mapping[int, int]
    traces: Mapping[int, tuple[FloatMatrix, bytes]]


def _told(said: Said, context: _Context) -> Told:
    """An item speaks in the words of its turn, which say more of what changed."""
    n = _turn_of(said)
    turn, hit = context.turns.get(n), said.item
    text = turn.text if turn is not None and len(turn.text) <= _LONG else said.text
    return Told(
        Telling(text, hit.item.value if hit is not None else ""),
        max(
            turn.created_at if turn is not None else said.at,
            hit.item.used_at if hit is not None and hit.item.n_uses else 0,
        ),
        said.score if hit is None else max(hit.cosine + hit.coverage, min(said.score, _AS_ITEM)),
        n if turn is not None else 0,
        turn.conversation_id if turn is not None else 0,
        context.places.get(n, 0),
        context.traces[n][0] if n in context.traces else None,
    )


def _is_owners(said: Said) -> bool:
    return said.turn is not None and said.turn.role == "user" and not said.turn.speaker


def _turn_of(said: Said) -> int:
    """The turn in which it was said; 0 for what was typed or read."""
    if said.turn is not None:
        return said.turn.id
    spans = said.item.item.spans if said.item is not None else ()
    return next((s.ref_id for s in reversed(spans) if s.kind == "turn"), 0)


def _is_same(one: Said, other: Said) -> bool:
    if one.turn is not None or other.turn is not None:
        return one.turn is not None and other.turn is not None and one.turn.id == other.turn.id
    return one is other


def _told_with(store: Store, best: Said) -> list[Said]:
    """The turn that said that something is over: what came in its place is often in the same breath."""
    item = best.item.item if best.item is not None else None
    if item is None or item.value or not item.attribute:
        return []
    turns = store.turns_by_ids([s.ref_id for s in item.spans if s.kind == "turn"])
    return [Said(best.score, turn=turns[-1])] if turns else []


def _turns(
    question: str, store: Store, embedder: Embedder | None, project: str | None
) -> list[tuple[Said, FloatMatrix | None]]:
    """Turns by words and meaning, on the scale of items: cosine and share of the question's weight, best first."""
    terms = content_terms(question)
    stats = store.turn_stats(project)
    weights = term_weights(terms, store.turn_df(terms), stats.n_turns)
    ids = [i for i, _ in store.search_turns(store.turn_match(terms), CANDIDATES, project)] if terms else []
    cosines: dict[int, float] = {}
    if embedder is not None and store.embedder() is not None:
        cosines = dict(store.nearest_turns(embed_question(question, embedder), CANDIDATES, project))
    turns = store.turns_by_ids(list(dict.fromkeys([*ids, *cosines])))
    vectors = store.traces([t.id for t in turns]) if cosines else {}
    found = []
    for turn in turns:
        score = cosines.get(turn.id, 0.0) + coverage(turn.text, weights)
        if asks(turn.text):
            score -= _QUESTION if len(split_sentences(turn.text)) > 1 else _ASKS_ONLY
        score -= _ASSISTANT * (turn.role == "assistant")
        found.append((Said(score, turn=turn), vectors[turn.id][0] if turn.id in vectors else None))
    return sorted(found, key=lambda pair: (-pair[0].score, -pair[0].at))


def _newest_first(said: Sequence[Said], vectors: dict[int, FloatMatrix], asked: Matter) -> list[Said]:
    """Of those that can answer the newest of each matter first; the others keep behind what bears as much."""
    fit = [s for s in said if can_answer(asked, Telling(s.text))]
    statements = [Statement(s.text, s.at, s.score, vectors.get(s.turn.id) if s.turn is not None else None) for s in fit]
    ordered = [fit[n] for n in newest_first(statements)]
    scores = sorted((s.score for s in fit), reverse=True)
    moved = [Said(score, s.item, s.turn) for score, s in zip(scores, ordered, strict=True)]
    unfit = [replace(s, score=s.score - _UNFIT) for s in said if s not in fit]
    return sorted([*moved, *unfit], key=lambda s: -s.score)
