"""What was said about a question, items and turns together, the newest of what is about one matter first.

Rules read only part of what people say. What they did not read is still in the turns; so these stand beside the items,
on one scale, and of statements about one matter the newest goes first (newest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondme.memory.store import Store
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.items import ItemHit, is_about_past, recall_items
from secondme.recall.newest import Statement, newest_first
from secondme.recall.retrieve import embed_question
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.sentences import split_sentences
from secondme.text.terms import content_terms
from secondme.types import Turn

CANDIDATES = 50

SURE = 1.1
"""Score from which an item is the answer, and turns only stand behind it."""

_QUESTION, _ASKS_ONLY, _ASSISTANT = 0.35, 1.0, 0.25
"""What is taken off a turn that ends with a question, that is nothing but one, and that the assistant said."""


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
    """The `k` statements that bear most on `question`; of those about one matter the newest first."""
    items = recall_items(question, store, embedder, project=project, k=k)
    turns = _turns(question, store, embedder, project)
    told = {s.ref_id for hit in items for s in hit.item.spans if s.kind == "turn"}
    every = [s for s, _ in turns]
    loose = [s for s in every if s.turn is not None and s.turn.id not in told]
    vectors = {s.turn.id: v for s, v in turns if s.turn is not None and v is not None}
    past = is_about_past(question)
    known = [Said(hit.score, item=hit) for hit in items]
    if known and known[0].score >= SURE:
        loose = loose if past else _newest_first(loose, vectors)
        newer = None if past else _newer(known[0], loose)
        if newer is None and not past:
            newer = _told_with(store, known[0])
        first = [] if newer is None else [newer]
        return tuple([*first, *known, *(s for s in loose if s is not newer)][:k])
    # Nothing known answers it for sure: then the turns themselves speak, those that something was learned from as well.
    shown = every if past else _newest_first(every, vectors)
    return tuple(sorted([*known, *shown], key=lambda s: -s.score)[:k])


def _told_with(store: Store, best: Said) -> Said | None:
    """The turn that said that something is over: what came in its place is often in the same breath."""
    item = best.item.item if best.item is not None else None
    if item is None or item.value or not item.attribute:
        return None
    turns = store.turns_by_ids([s.ref_id for s in item.spans if s.kind == "turn"])
    return Said(best.score, turn=turns[-1]) if turns else None


def _newer(best: Said, loose: Sequence[Said]) -> Said | None:
    """A later turn about what the best item is about, which no rule read: what was learned may be out of date."""
    if best.item is None:
        return None
    told = max((best.at, best.item.item.used_at if best.item.item.n_uses else best.at))
    later = [s for s in loose if s.turn is not None and s.turn.role == "user" and s.at > told]
    statements = [Statement(best.text, best.at, best.item.cosine + best.item.coverage)]
    statements += [Statement(s.text, s.at, s.score) for s in later]
    place = newest_first(statements)[0]
    return later[place - 1] if place else None


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
        if turn.text.rstrip().endswith("?"):
            score -= _QUESTION if len(split_sentences(turn.text)) > 1 else _ASKS_ONLY
        score -= _ASSISTANT * (turn.role == "assistant")
        found.append((Said(score, turn=turn), vectors[turn.id][0] if turn.id in vectors else None))
    return sorted(found, key=lambda pair: (-pair[0].score, -pair[0].at))


def _newest_first(said: Sequence[Said], vectors: dict[int, FloatMatrix]) -> list[Said]:
    statements = [
        Statement(s.text, s.at, s.score, vectors.get(s.turn.id) if s.turn is not None else None) for s in said
    ]
    ordered = [said[n] for n in newest_first(statements)]
    scores = sorted((s.score for s in said), reverse=True)
    return [Said(score, s.item, s.turn) for score, s in zip(scores, ordered, strict=True)]
