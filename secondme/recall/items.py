"""Recall of items: what is known about a question, what holds now before what held once.

Candidates come from the indexes of words and vectors, and by attribute: "what do I do for a living" asks for `job`. The
slots of what was found are opened, so that with an old value the current one comes, and for a question about the past
the other way round. Scores are sums of shares of 0 to 1, weighed; they were set on made-up conversations
(`secondme bench recall --make-updates`), on seeds other than those reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from secondme.memory.store import Store
from secondme.memory.tiers import prior
from secondme.recall.evidence import coverage, term_weights
from secondme.recall.newest import Statement, newest_first
from secondme.recall.retrieve import embed_question
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.text.attributes import asked_for, attribute, canonical, nouns_of
from secondme.text.terms import content_terms, fold, match_expression, words
from secondme.types import OWNER, ItemState, MemoryItem

CANDIDATES = 60
"""Depth of each ranking."""

_W_ATTRIBUTE, _W_SUBJECT, _W_OTHER, _W_OLD, _W_PAST, _W_ENDED = 0.9, 0.35, 0.8, 0.45, 0.5, 0.3
_W_NOT_MINE = 1.6
"""What is taken off somebody else's item where the owner asks for his own."""

_MINE = re.compile(r"\b(?:i|my|am i|do i|i'm|me)\b", re.I)

_PAST = re.compile(
    r"\b(?:used to|did .{1,40}? use to|formerly|former|previous|previously|earlier|before"
    r"|(?<!how )old|original(?:ly)?|in the past|once|back then"
    r"|at first|first|initial|initially|no longer|changed? from|switch(?:ed)? from|replaced?|history|ex|last time|until"
    r"|back in|prior|(?:was|were) (?:my|our)"
    r"|did (?:i|we|he|she|they|my [\w-]+|[a-z]+) (?:live|work|use|drive|own|have|like|prefer|report|do for|eat|get up"
    r"|wake|go by|study|support|speak|play))\b",
    re.I,
)
_NOW = re.compile(
    r"\b(?:now|currently|current|these days|today|at the moment|at present|nowadays|still|latest|newest|actual)\b", re.I
)


@dataclass(frozen=True, slots=True)
class ItemHit:
    """An item that bears on a question. `current` tells whether it holds at the time asked about."""

    item: MemoryItem
    score: float
    current: bool
    cosine: float = 0.0
    coverage: float = 0.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question taken apart: stems with their idf, attributes and subjects it may ask for, and whether of the past."""

    weights: Mapping[str, float]
    attributes: Mapping[str, float]
    subjects: frozenset[str]
    past: bool
    at: float | None
    vector: FloatMatrix | None
    other: float = _W_OTHER


def recall_items(
    question: str,
    store: Store,
    embedder: Embedder | None,
    *,
    project: str | None,
    k: int,
    at: float | None = None,
    states: Sequence[ItemState] = ("active",),
    vector: FloatMatrix | None = None,
) -> tuple[ItemHit, ...]:
    """The `k` items that bear most on `question`, best first; secrets and lessons are never among them.

    `vector` is the question's, where it was embedded already; without it and an `embedder` words and attributes
    decide. `at` (Unix seconds) asks for what held then. Of one slot what holds comes first, unless the question is
    about the past.
    """
    if vector is None and embedder is not None:
        vector = embed_question(question, embedder)
    asked, terms = _take_apart(question, store, vector, project, at)
    found = _candidates(store, asked, terms, project, states)
    if also := _also_called(store.items_by_ids(found), asked.subjects):
        asked = replace(asked, subjects=asked.subjects | also)
        found += _candidates(store, asked, terms, project, states)
    cosines = _cosines(store, asked, project, states)
    items = store.items_by_ids(list(dict.fromkeys([*found, *cosines])))
    items = [i for i in _with_slots(store, items, states) if i.kind not in ("vault", "lesson", "core")]
    hits = [_scored(i, asked, cosines.get(i.id, 0.0)) for i in items]
    hits = [h for h in hits if h.score > 0]
    hits.sort(key=lambda h: (-h.score - prior(h.item.trust), -h.item.valid_from, -h.item.id))
    return tuple(_in_order(hits[: 4 * k], asked)[:k])


def is_about_past(question: str) -> bool:
    """Whether a question asks for what held once: "where did I use to live"."""
    return _PAST.search(question) is not None and not _NOW.search(question)


# The question --------------------------------------------------------------------------------------------------


def _take_apart(
    question: str, store: Store, vector: FloatMatrix | None, project: str | None, at: float | None
) -> tuple[_Asked, list[str]]:
    attributes = asked_for(question)
    terms = content_terms(re.sub(r"\bfor a living\b", "", question, flags=re.I))
    more = [w for name in attributes for noun in (name, *nouns_of(name)) for w in words(noun)]
    every = list(dict.fromkeys([*terms, *more]))
    # idf among turns stands in for idf among items: there are more of them, and they are the same language.
    weights = term_weights(terms, store.turn_df(terms), max(1, store.turn_stats(project).n_turns))
    other = _W_NOT_MINE if _MINE.search(question) else _W_OTHER
    return _Asked(weights, attributes, _subjects(question), is_about_past(question), at, vector, other), every


def _subjects(question: str) -> frozenset[str]:
    """Whom a question is about: "my wife's job" is about `partner`, "where does Anna live" about `anna`."""
    found = set()
    for match in re.finditer(r"\b(?:my|our)\s+(?:new |old |former |ex-?)?([\w-]+(?: friend)?)", question, re.I):
        known = attribute(match.group(1))
        if known is not None and known.takes == "name" and known.name not in ("name", "nickname"):
            found.add(canonical(match.group(1)))
    for match in re.finditer(r"(?<!^)(?<![.!?] )\b([A-ZÀ-Þ][\w-]+)", question):
        if match.group(1) not in ("I", "I'm"):
            found.add(fold(match.group(1)))
    return frozenset(found)


def _also_called(items: Iterable[MemoryItem], subjects: frozenset[str]) -> frozenset[str]:
    """What else those are called whom a question is about: "my sister" is Hanna, and Hanna is a sister."""
    found: set[str] = set()
    for item in items:
        known = attribute(item.attribute)
        if item.subject != OWNER or known is None or known.takes != "name" or known.name in ("name", "nickname"):
            continue
        names = {fold(item.value), *(fold(w) for w in item.value.split()[:1])}
        if item.attribute in subjects:
            found |= names
        elif names & subjects:
            found.add(item.attribute)
    return frozenset(found) - subjects


# The items -----------------------------------------------------------------------------------------------------


def _candidates(
    store: Store, asked: _Asked, terms: list[str], project: str | None, states: Sequence[ItemState]
) -> list[int]:
    wanted = list(dict.fromkeys([*terms, *(w for s in asked.subjects for w in words(s))]))
    if not wanted:
        return []
    return [i for i, _ in store.search_items(match_expression(wanted), CANDIDATES, project, states=states)]


def _cosines(store: Store, asked: _Asked, project: str | None, states: Sequence[ItemState]) -> dict[int, float]:
    if asked.vector is None or store.embedder() is None:
        return {}
    return dict(store.nearest_items(asked.vector, CANDIDATES, project, states=states))


def _with_slots(store: Store, items: Sequence[MemoryItem], states: Sequence[ItemState]) -> list[MemoryItem]:
    """With what else is in their slots: the current value of an old one, and the old ones of a current."""
    found = {i.id: i for i in items}
    for place in dict.fromkeys((i.project, i.slot) for i in items if i.slot):
        for other in store.items(place[0], slot=place[1], states=states):
            found.setdefault(other.id, other)
    return list(found.values())


def _holds(item: MemoryItem, at: float | None) -> bool:
    """Whether an item is so at `at`, None being until further notice; what happened stays so."""
    if not item.slot:
        return True
    if at is None:
        return item.holds
    return item.valid_from <= at and (item.valid_to is None or at < item.valid_to)


def _scored(item: MemoryItem, asked: _Asked, cosine: float) -> ItemHit:
    holds = _holds(item, asked.at)
    spoken = f"{item.text} {item.subject} {item.attribute} {' '.join(nouns_of(item.attribute))}"
    known = attribute(item.attribute) if item.attribute in asked.attributes else None
    if known is not None and known.takes == "name":
        spoken += " name named called"
    share = coverage(spoken, asked.weights)
    attribute_share = asked.attributes.get(item.attribute, 0.0)
    for twin in _TWINS.get(item.attribute, ()):
        attribute_share = max(attribute_share, 0.6 * asked.attributes.get(twin, 0.0))
    score = cosine + share
    is_its = (
        item.subject in asked.subjects
        or bool(asked.subjects & set(words(item.value)))
        or item.attribute in asked.subjects
    )
    if asked.subjects and item.subject != OWNER and item.subject not in asked.subjects:
        score -= _W_OTHER
    elif item.subject in asked.subjects:
        score += _W_SUBJECT + _W_ATTRIBUTE * attribute_share
    elif not asked.subjects or item.attribute in asked.subjects:
        score += _W_ATTRIBUTE * attribute_share - (0.0 if item.subject in (OWNER, "") or is_its else asked.other)
    if not share and not attribute_share and cosine < _LEAST:
        return ItemHit(item, 0.0, holds, cosine, share)
    if item.attribute and not item.value:
        score -= _W_ENDED
    if asked.past:
        score += -_W_OLD / 3 if holds else _W_PAST
    elif not holds:
        score -= _W_OLD
    return ItemHit(item, score, holds, cosine, share)


_LEAST = 0.25
"""Cosine below which an item that shares no word with the question is not looked at."""

_TWINS = {
    "dislikes": ("likes",),
    "does not eat": ("diet",),
    "does not drink": ("diet",),
    "birth year": ("age",),
    "nickname": ("name",),
    "uses": ("editor", "browser", "operating system", "programming language", "phone model", "laptop", "car", "bank"),
}
"""Attributes that may answer a question for another one, though not as surely."""


# The order -----------------------------------------------------------------------------------------------------


def _in_order(hits: Sequence[ItemHit], asked: _Asked) -> list[ItemHit]:
    """Within a slot what holds first (or, of the past, what held); of what has no slot the newer of two alike."""
    ordered = _by_slot(hits, asked)
    if asked.past:
        return ordered
    loose = [(n, h) for n, h in enumerate(ordered) if not h.item.slot]
    statements = [Statement(h.item.text, h.item.valid_from, h.score) for _, h in loose]
    for (place, _), n in zip(loose, newest_first(statements), strict=True):
        ordered[place] = loose[n][1]
    return ordered


def _by_slot(hits: Iterable[ItemHit], asked: _Asked) -> list[ItemHit]:
    ordered = list(hits)
    places: dict[tuple[str, str], list[int]] = {}
    for n, hit in enumerate(ordered):
        if hit.item.slot:
            places.setdefault((hit.item.project, hit.item.slot), []).append(n)
    for where in places.values():
        group = sorted(
            (ordered[n] for n in where), key=lambda h: (h.current == asked.past, -h.item.valid_from, -h.item.id)
        )
        best = max(h.score for h in group)
        for n, hit in zip(where, group, strict=True):
            ordered[n] = replace(hit, score=best if n == where[0] else min(best, hit.score))
    return sorted(ordered, key=lambda h: -h.score)
