"""What memory does while nobody waits: embeds what is new, makes one of two, groups, links, and puts away what fades.

Every step ends with what it has done stored, so it can be stopped at any point; a run that was not stopped leaves
nothing to do for one right after it. No raw text is touched, and whatever is made points at where it comes from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from secondme.errors import Cancelled
from secondme.memory.store import Store
from secondme.reflect import duplicates, fade, link, topics
from secondme.reflect.topics import Cluster, Member
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.runtime.traces import traces
from secondme.text.instructions import is_suspect
from secondme.text.pasted import pasted_spans
from secondme.types import (
    CancelCheck,
    ItemKind,
    ItemLink,
    ItemState,
    MemoryItem,
    NewItem,
    Span,
    Trust,
    Turn,
    never_cancelled,
)

ACTOR = fade.ACTOR
TOPICS_BY = "rule:topics/1"
BATCH = 16
"""Texts embedded between two looks at whether somebody waits."""

NEWEST_TURNS, NEWEST_ITEMS = 1500, 4000
"""How far back turns are grouped, and items compared: it bounds the work, and old groups stay as they are."""

TOPIC_DAYS = 30.0
"""Strength of a new topic, as of any item."""

_TOPIC: tuple[ItemKind, ...] = ("topic",)
_KEPT: tuple[ItemState, ...] = ("active", "archived")
_ASIDE: tuple[ItemState, ...] = ("active", "archived", "pending", "quarantined")


@dataclass(frozen=True, slots=True)
class Step:
    """A step has changed `n` things: `embed`, `merge`, `topics`, `link` or `fade`."""

    name: str
    n: int


@dataclass(frozen=True, slots=True)
class Consolidated:
    """The last event. `finished` is False if it was stopped, or the time was over, before all was looked at."""

    n_embedded: int
    n_merged: int
    n_topics: int
    n_linked: int
    n_faded: int
    finished: bool


ConsolidateEvent = Step | Consolidated


def consolidate(
    store: Store,
    embedder: Embedder,
    *,
    now: float,
    cancelled: CancelCheck = never_cancelled,
    budget_s: float = 60.0,
) -> Iterator[ConsolidateEvent]:
    """Consolidate all projects; ends early, without an error, when cancelled or after `budget_s` seconds.

    `now` (Unix seconds) is what ages are counted to. Raises ModelError, StoreError.
    """
    ends = time.monotonic() + budget_s

    def stopped() -> bool:
        return cancelled() or time.monotonic() >= ends

    counts = dict.fromkeys(("embed", "merge", "topics", "link", "fade"), 0)
    steps: list[tuple[str, Callable[[str], Iterator[int]]]] = [
        ("fade", lambda p: (1 for _ in fade.settle(store, p, now, stopped))),
        ("merge", lambda p: _merge(store, p, stopped)),
        ("topics", lambda p: _topics(store, p, stopped)),
        ("link", lambda p: _link(store, p)),
    ]
    try:
        for n in _embed(store, embedder, stopped):
            counts["embed"] += n
            yield Step("embed", n)
        for project in (p.name for p in store.projects()):
            for name, work in steps:
                for n in () if stopped() else work(project):
                    counts[name] += n
                    if n:
                        yield Step(name, n)
        for n in _embed(store, embedder, stopped):  # topics are new items
            counts["embed"] += n
            yield Step("embed", n)
    except Cancelled:
        pass
    yield Consolidated(
        counts["embed"], counts["merge"], counts["topics"], counts["link"], counts["fade"], not stopped()
    )


def _embed(store: Store, embedder: Embedder, stopped: CancelCheck) -> Iterator[int]:
    """Turns without a trace, newest first, then items without a vector; yields how many have one now."""
    if store.embedder() is None:
        store.set_embedder(embedder.fingerprint, embedder.n_dims)
    while not stopped() and (turns := store.turns_without_trace(BATCH)):
        store.put_traces(traces(turns, embedder, cancelled=stopped))
        yield len(turns)
    while not stopped() and (items := store.items_without_vector(BATCH)):
        texts = [_within(item.text, embedder) for item in items]
        vectors = embedder.embed(texts, cancelled=stopped)
        store.put_item_vectors([(item.id, vectors[n]) for n, item in enumerate(items)])
        yield len(items)


def _within(text: str, embedder: Embedder) -> str:
    """The beginning of `text` that the embedder takes."""
    while embedder.count_tokens(text) > embedder.n_ctx:
        text = text[: len(text) // 2]
    return text


def _vectors(store: Store, project: str) -> dict[int, FloatMatrix]:
    """Unit vectors of the newest active and archived items, float32 [n_dims], by item id."""
    ids, rows = store.item_vectors(project, states=_KEPT)
    newest = rows[-NEWEST_ITEMS:].astype(np.float32)
    newest /= np.maximum(np.linalg.norm(newest, axis=1, keepdims=True), 1e-9)
    return {int(i): newest[n] for n, i in enumerate(ids[-NEWEST_ITEMS:])}


def _merge(store: Store, project: str, stopped: CancelCheck) -> Iterator[int]:
    """Make one of those that say the same, and look again: what one of them closed may hold again, and say it too."""
    vectors = _vectors(store, project)
    while found := duplicates.groups(_comparable(store, project), vectors):
        for group in found:
            if stopped():
                return
            store.merge_items(group[0].id, [i.id for i in group[1:]], actor=ACTOR)
            yield len(group) - 1


def _comparable(store: Store, project: str) -> list[MemoryItem]:
    return [i for i in store.items(project) if i.kind in ("episodic", "semantic", "procedural")]


def _link(store: Store, project: str) -> Iterator[int]:
    found = link.related(_comparable(store, project), _vectors(store, project))
    known = {(k.from_id, k.to_id): k.weight for i in {f.from_id for f in found} for k in _related(store, i)}
    new = [f for f in found if known.get((f.from_id, f.to_id)) != f.weight]
    if new:
        yield store.put_links(new, actor=ACTOR)


def _related(store: Store, item_id: int) -> list[ItemLink]:
    return [k for k in store.item_links(item_id) if k.kind == "related" and k.from_id == item_id]


# Topics --------------------------------------------------------------------------------------------------------


def _topics(store: Store, project: str, stopped: CancelCheck) -> Iterator[int]:
    """Let topics grow, found new ones and drop those whose members are gone; yields 1 for each that changed."""
    known = store.items(project, kinds=_TOPIC, states=_KEPT)
    vectors = _vectors(store, project)
    items = {i.id: i for i in store.items(project) if i.kind in ("episodic", "semantic") and i.id in vectors}
    member_of = {t.id: [k.to_id for k in store.item_links(t.id) if k.kind == "member"] for t in known}
    turns = _turns(store, project, {s.ref_id for t in known for s in t.spans}, stopped)
    seen = {i: v for i, (v, _) in store.traces(list(turns)).items()}
    members = {("turn", i): Member("turn", i, v) for i, v in seen.items()}
    members |= {("item", i): Member("item", i, vectors[i]) for i in items}
    existing = [
        Cluster(
            t.id,
            [
                members[key]
                for key in [*(("turn", s.ref_id) for s in t.spans), *(("item", i) for i in member_of[t.id])]
                if key in members
            ],
        )
        for t in known
    ]
    for cluster in topics.grouped(list(members.values()), [c for c in existing if c.members]):
        if stopped():
            return
        before = next((t for t in known if t.id == cluster.topic_id), None)
        yield from _stored(store, project, cluster, before, [turns[m.id] for m in cluster.members if m.kind == "turn"])
    gone = [c.topic_id for c in existing if not c.members]
    if gone:
        store.remove_items(gone, actor=ACTOR)
        yield len(gone)


def _stored(
    store: Store, project: str, cluster: Cluster, before: MemoryItem | None, turns: Sequence[Turn]
) -> Iterator[int]:
    """Bring a topic's item in step with its cluster; yields 1 if that changed anything."""
    if not any(t.speaker == "" for t in turns):  # a summary quotes the owner
        yield store.remove_items([before.id], actor=ACTOR) if before else 0
        return
    vectors = {m.id: m.vector for m in cluster.members if m.kind == "turn"}
    about = topics.summary(turns, cluster.mean, vectors)
    item_ids = sorted(m.id for m in cluster.members if m.kind == "item")
    linked = sorted(k.to_id for k in store.item_links(before.id) if k.kind == "member") if before else []
    if before is not None and before.text == about.text and set(before.spans) == set(about.spans):
        topic = before
    else:
        topic = store.add_item(_new_topic(project, about, before), actor=ACTOR)
        if before is not None:
            links = [ItemLink(topic.id, i, "member") for i in linked]
            store.put_links(links, actor=ACTOR)
            store.remove_items([before.id], actor=ACTOR)
    new = [ItemLink(topic.id, i, "member") for i in item_ids if i not in linked]
    if new:
        store.put_links(new, actor=ACTOR)
    if new or topic is not before:
        yield 1


def _new_topic(project: str, about: topics.Summary, before: MemoryItem | None) -> NewItem:
    return NewItem(
        "topic",
        about.text,
        project=project,
        trust=Trust.CONVERSATION,
        made_by=TOPICS_BY,
        valid_from=before.valid_from if before else None,
        strength_days=before.strength_days if before else TOPIC_DAYS,
        spans=about.spans,
    )


def _turns(store: Store, project: str, also: set[int], stopped: CancelCheck) -> dict[int, Turn]:
    """What the owner and people he spoke with said of late, and what topics hold, by turn id.

    Turns that hold a secret or something quarantined, that was pasted or reads like an instruction, are left out.
    Telling them takes a millisecond or two each: raises Cancelled where somebody waits meanwhile.
    """
    aside = {s.ref_id for s in _places_aside(store, project) if s.kind == "turn"}
    found: dict[int, Turn] = {t.id: t for t in store.turns_by_ids(sorted(also))}
    for conversation in sorted(store.conversations(project), key=lambda c: -c.id):
        if len(found) >= NEWEST_TURNS:
            break
        found |= {t.id: t for t in store.turns(conversation.id)}
    kept: dict[int, Turn] = {}
    for i, t in sorted(found.items()):
        if stopped():
            raise Cancelled("stopped", hint="what was done stays, and the rest is done another time")
        if t.role == "user" and i not in aside and not pasted_spans(t.text) and not is_suspect(t.text):
            kept[i] = t
    return kept


def _places_aside(store: Store, project: str) -> Iterator[Span]:
    for item in store.items(project, states=_ASIDE):
        if item.kind == "vault" or item.state == "quarantined":
            yield from item.spans
