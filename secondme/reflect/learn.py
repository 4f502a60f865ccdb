"""Learning from a turn: its claims, held against what is known, become items. No model, a few milliseconds.

Only the owner's own turns teach: what the assistant said is no fact about the owner. Doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from secondme.memory.store import Store
from secondme.reflect.claims import Claim
from secondme.reflect.conflict import Decision, Held, decide
from secondme.reflect.rules import claims_of
from secondme.runtime.base import Embedder
from secondme.types import ItemKind, Learned, MemoryItem, NewItem, Span, Trust, Turn

N_RECENT = 6
"""Turns before this one that a correction without a subject ("it's Berlin, not Bonn") may speak of."""

ACTOR = "rule"

STRENGTH_DAYS: dict[ItemKind, float] = {"semantic": 90.0, "procedural": 180.0, "episodic": 30.0, "vault": 3650.0}
"""How long what was learned lasts without being used: what is so outlives what happened."""

_STEP_S = 0.001


def learn_from_turn(
    store: Store, turn: Turn, *, now: float, embedder: Embedder | None = None, project: str = "default"
) -> Learned:
    """Make items of what the owner said in `turn`, a turn of `project`.

    `now` is in Unix seconds; dates are told from when the turn was said. With an `embedder` the new items get their
    vectors at once, else in idle time. Raises as the store does.
    """
    if turn.role != "user" or turn.speaker:
        return Learned()
    claims = claims_of(turn.text, turn.created_at)
    return learn_claims(store, turn, claims, now=now, embedder=embedder, project=project) if claims else Learned()


def learn_claims(
    store: Store,
    turn: Turn,
    claims: Sequence[Claim],
    *,
    now: float,
    embedder: Embedder | None = None,
    project: str = "default",
    made_by: str = "",
) -> Learned:
    """The same for claims that were found otherwise; `made_by` says by whom, "" by the claim's own rule."""
    known = store.items_from("turn", turn.id)
    learner = _Learner(store, turn, project, made_by)
    with store.batch():
        for claim in claims:
            if not _is_known(known, claim, turn.id):
                learner.take(claim)
    if embedder is not None:
        embed(store, learner.items, embedder)
    return learner.learned()


def embed(store: Store, items: Sequence[MemoryItem], embedder: Embedder) -> None:
    """Give items their vectors; one too long for the embedder waits for idle time."""
    fitting = [
        i for i in items if i.kind not in ("vault", "lesson") and embedder.count_tokens(i.text) <= embedder.n_ctx
    ]
    if fitting and store.embedder() == (embedder.fingerprint, embedder.n_dims):
        vectors = embedder.embed([i.text for i in fitting])
        store.put_item_vectors([(i.id, v) for i, v in zip(fitting, vectors, strict=True)])


def _is_known(known: Sequence[MemoryItem], claim: Claim, turn_id: int) -> bool:
    """Whether an item was made from these very bytes for this claim before."""
    span = Span("turn", turn_id, claim.byte_start, claim.byte_end)
    return any(span in i.spans and _says(i, claim) for i in known)


def _says(item: MemoryItem, claim: Claim) -> bool:
    return item.text == claim.text or item.value == claim.value or not item.value or not claim.attribute


class _Learner:
    """Takes the claims of one turn in their order; each sees what the ones before it made."""

    def __init__(self, store: Store, turn: Turn, project: str, made_by: str) -> None:
        self._store, self._turn, self._project, self._made_by = store, turn, project, made_by
        self._recent = _recent(store, turn)
        self.items: list[MemoryItem] = []
        self._closed: dict[int, MemoryItem] = {}
        self._confirmed: list[MemoryItem] = []
        self._pending: list[MemoryItem] = []
        self._at = turn.created_at

    def learned(self) -> Learned:
        closed = tuple(self._store.items_by_ids(list(self._closed)))
        return Learned(tuple(self.items), closed, tuple(self._pending), tuple(self._confirmed))

    def take(self, claim: Claim) -> None:
        held = Held(self._store, self._project, [*self._recent, *self.items], frozenset(i.id for i in self.items))
        decision = decide(held, claim, self._at)
        if self._store.is_forgotten(self._new(decision)):
            return
        if decision.action == "confirm" and decision.against is not None:
            self._confirm(decision, decision.against)
        elif decision.action == "pending":
            self._leave_to_owner(decision)
        elif decision.action in ("add", "past"):
            self._add(decision)
        self._at += _STEP_S

    def _add(self, decision: Decision) -> None:
        if decision.against is not None:
            self._closed[decision.against.id] = decision.against
        for item in decision.closes:
            self._closed[item.id] = self._store.close_item(item.id, decision.since, actor=ACTOR)
        self.items.append(self._store.add_item(self._new(decision), actor=ACTOR))

    def _confirm(self, decision: Decision, item: MemoryItem) -> None:
        """Said again: it lasts longer, and is known from here as well."""
        again = self._store.add_item(self._new(decision, since=max(self._at, item.valid_from)), actor=ACTOR)
        kept = self._store.merge_items(item.id, [again.id], actor=ACTOR)
        self._store.use_items([kept.id], self._turn.created_at)
        kept = self._store.item(kept.id) or kept
        for other in decision.closes:
            self._closed[other.id] = self._store.close_item(other.id, self._at, actor=ACTOR)
        self._confirmed.append(kept)

    def _leave_to_owner(self, decision: Decision) -> None:
        item = self._store.add_item(self._new(decision, pending=True), actor=ACTOR)
        if decision.against is not None:
            self._store.link_items(item.id, decision.against.id, "contradicts", actor=ACTOR)
        self._pending.append(item)

    def _new(self, decision: Decision, *, since: float | None = None, pending: bool = False) -> NewItem:
        claim = decision.claim
        places = ((claim.byte_start, claim.byte_end), *claim.more)
        return NewItem(
            kind=claim.kind,
            text=claim.text,
            project=self._project,
            subject=claim.subject,
            attribute=claim.attribute,
            value=claim.value,
            slot=decision.slot,
            trust=Trust.CONVERSATION,
            made_by=self._made_by or claim.made_by,
            state="pending" if pending else "active",
            valid_from=since if since is not None else decision.since,
            valid_to=decision.until if decision.action == "past" else None,
            strength_days=STRENGTH_DAYS.get(claim.kind, 30.0),
            spans=tuple(Span("turn", self._turn.id, start, end) for start, end in places),
        )


def _recent(store: Store, turn: Turn) -> list[MemoryItem]:
    """Items made from the turns just before this one, in the order of these."""
    before = [t for t in store.turns_around([turn.id], N_RECENT) if t.id < turn.id and t.role == "user"]
    return [item for one in before for item in store.items_from("turn", one.id)]
