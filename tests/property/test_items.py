"""When items hold: the rule over intervals against its definition, and the store's rows against the rule."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import apsw
import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from secondme.memory import conversations, intervals, items, oplog
from secondme.memory.conversations import NewTurn
from secondme.memory.digests import item_digest
from secondme.memory.intervals import Claim, Piece
from secondme.memory.migrations import MIGRATIONS, migrate
from secondme.memory.rows import Row
from secondme.memory.slots import HOLDING
from secondme.types import ItemChanges, ItemState, NewItem, Span
from tests.fault.soak import n as count

TIMES = st.integers(0, 12).map(float)
LENGTHS = st.none() | st.integers(0, 6).map(float)
MOMENTS = [t / 2 for t in range(-2, 50)]
STATES: st.SearchStrategy[ItemState] = st.sampled_from(["active", "archived", "pending", "quarantined"])
SLOTS = st.sampled_from(["owner|employer", "owner|city", ""])


# A busy machine is no fault of the generator's.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# The rule ------------------------------------------------------------------------------------------------------


@st.composite
def claims_of(draw: st.DrawFn) -> list[Claim]:
    told = draw(st.lists(st.tuples(TIMES, LENGTHS, st.booleans()), max_size=7))
    made = []
    for number, (start, length, interrupts) in enumerate(told, 1):
        end = None if length is None else start + length
        made.append(Claim(number, start, end, number, interrupts and end is not None))
    return draw(st.permutations(made))


def holder(claims: list[Claim], at: float) -> int | None:
    """Who holds at a moment, as the rule says it, word by word."""
    begun = [c for c in claims if c.start <= at and not c.is_empty]
    for claim in sorted(begun, key=lambda c: (c.start, c.place), reverse=True):
        if claim.told_to is None or at < claim.told_to:
            return claim.id
        if not claim.interrupts:
            return None
    return None


def covers(piece: Piece, at: float) -> bool:
    return piece.start <= at and (piece.end is None or at < piece.end)


@settings(PATIENT, max_examples=count(300, 20_000))
@given(claims_of())
def test_pieces_are_what_the_rule_says(claims: list[Claim]) -> None:
    pieces = intervals.pieces(claims)
    for at in MOMENTS:
        holding = [p.id for p in pieces if covers(p, at)]
        assert holding == [i for i in [holder(claims, at)] if i is not None], at
    for piece, following in pairwise(pieces):
        assert piece.end is not None and piece.start < piece.end <= following.start
        assert piece.id != following.id or piece.end < following.start


@settings(PATIENT, max_examples=count(200, 10_000))
@given(claims_of(), TIMES, st.floats(-5, 20))
def test_what_is_so_from_now_on_holds_now(claims: list[Claim], stored: float, now: float) -> None:
    """Whatever the clock says, unless something was told to begin later than it was stored."""
    known = [replace(c, created=max(stored, c.start)) for c in claims]
    start = intervals.start_now(now, known)
    new = Claim(99, start, None, 1 + max((c.place for c in known), default=0), False)
    assert start >= now
    last = intervals.pieces([*known, new])[-1]
    assert (last.id, last.end) == (99, None)


@settings(PATIENT, max_examples=count(200, 10_000))
@given(claims_of(), st.data())
def test_what_is_closed_now_held_before_and_not_after(claims: list[Claim], data: st.DataObject) -> None:
    if not claims:
        return
    claim = data.draw(st.sampled_from(claims))
    now = data.draw(st.floats(-5, 20))
    end = intervals.close_at(claim, None, now)
    assert end > claim.start or claim.is_empty
    others = [c for c in claims if c.id != claim.id]
    after = intervals.pieces([*others, replace(claim, told_to=end)])
    assert not any(p.id == claim.id and (p.end is None or p.end > end) for p in after)


# The rows ------------------------------------------------------------------------------------------------------


class ItemMachine(RuleBasedStateMachine):
    """The functions of `items.py` on a real schema, against a dict of what was told."""

    @initialize()
    def make(self) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.pragma("foreign_keys", True)
        migrate(self.connection, MIGRATIONS)
        oplog.set_genesis(self.connection, "test")
        talk = conversations.new(self.connection, "default", "talk")
        for text in ("one", "two", "three"):
            conversations.add_turn(self.connection, NewTurn(talk, "user", text))
        self.told: dict[int, Claim] = {}
        self.slots: dict[int, str] = {}
        self.states: dict[int, ItemState] = {}
        self.turns: dict[int, set[int]] = {}
        self.now = 5.0

    def claims(self, slot: str) -> list[Claim]:
        ids = [i for i in self.told if self.slots[i] == slot and slot and self.states[i] in HOLDING]
        return [self.told[i] for i in ids]

    def next_place(self, slot: str) -> int:
        return 1 + max((c.place for c in self.claims(slot)), default=0)

    def some(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.told)))

    @rule(by=st.integers(-6, 6))
    def clock_moves(self, by: int) -> None:
        self.now = max(0.0, self.now + by)

    @rule(
        slot=SLOTS,
        start=st.none() | TIMES,
        length=LENGTHS,
        state=STATES,
        turns=st.sets(st.integers(1, 3), min_size=1, max_size=2),
    )
    def add(self, slot: str, start: float | None, length: float | None, state: ItemState, turns: set[int]) -> None:
        claims = self.claims(slot) if state in HOLDING else []
        begins = intervals.start_now(self.now, claims) if start is None else start
        end = None if length is None else begins + length
        spans = tuple(Span("turn", i, 0, 4) for i in sorted(turns))
        new = NewItem("semantic", "said", slot=slot, state=state, valid_from=start, valid_to=end, spans=spans)
        place = self.next_place(slot) if state in HOLDING else 0
        item_id = items.add(self.connection, new, "owner", self.now)
        created = max(self.now, begins) if start is None else self.now
        self.told[item_id] = Claim(item_id, begins, end, place, end is not None, created)
        self.slots[item_id], self.states[item_id], self.turns[item_id] = slot, state, set(turns)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), at=st.none() | TIMES)
    def close(self, data: st.DataObject, at: float | None) -> None:
        item_id = self.some(data)
        items.close(self.connection, item_id, at, "owner", self.now)
        claim = self.told[item_id]
        self.told[item_id] = replace(claim, told_to=intervals.close_at(claim, at, self.now))

    @precondition(lambda self: self.told)
    @rule(data=st.data(), state=STATES)
    def decide(self, data: st.DataObject, state: ItemState) -> None:
        item_id = self.some(data)
        enters = state in HOLDING and self.states[item_id] not in HOLDING
        place = self.next_place(self.slots[item_id]) if enters else self.told[item_id].place
        items.set_state(self.connection, item_id, state, "owner")
        self.told[item_id] = replace(self.told[item_id], place=place)
        self.states[item_id] = state

    @precondition(lambda self: self.told)
    @rule(data=st.data(), slot=st.none() | SLOTS)
    def edit(self, data: st.DataObject, slot: str | None) -> None:
        old = self.some(data)
        claim, state = self.told[old], self.states[old]
        ends = [claim.told_to]
        if self.slots[old] and state in HOLDING:
            ends = [claim.start, *(p.end for p in self.pieces(self.slots[old]) if p.id == old)]
        is_past = claim.is_empty or all(end is not None and end <= self.now for end in ends)
        start = claim.start if is_past else max(self.now, math.nextafter(claim.start, math.inf))
        edited = items.change(self.connection, old, ItemChanges(text="edited", slot=slot), "owner", self.now)
        self.told[old] = replace(claim, told_to=start)
        self.slots[edited] = self.slots[old] if slot is None else slot
        self.states[edited] = "active" if state == "archived" else state
        place = claim.place if is_past and self.slots[edited] == self.slots[old] else 0
        if self.states[edited] in HOLDING:
            place = place or self.next_place(self.slots[edited])
        created = self.now if is_past else max(self.now, start)
        self.told[edited] = replace(claim, id=edited, start=start, place=place, created=created)
        self.turns[edited] = set(self.turns[old])

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        going = data.draw(st.sets(st.sampled_from(sorted(self.told)), max_size=3))
        gone = items.remove(self.connection, sorted(going), "owner")
        assert going <= set(gone)
        self.drop(going)

    @rule(turn=st.integers(1, 3))
    def undo(self, turn: int) -> None:
        items.undo(self.connection, "turn", turn, "owner")
        for refs in self.turns.values():
            refs.discard(turn)
        self.drop({i for i, refs in self.turns.items() if not refs})

    def drop(self, going: set[int]) -> None:
        for item_id in going:
            for known in (self.told, self.slots, self.states, self.turns):
                known.pop(item_id)

    def pieces(self, slot: str) -> list[Piece]:
        return intervals.pieces(self.claims(slot))

    def rows(self) -> list[Row]:
        return self.connection.execute(
            "select id, coalesce(continues, id), slot, state, valid_from, valid_to, told_to from item"
        ).fetchall()

    @invariant()
    def each_item_holds_when_it_should(self) -> None:
        if not hasattr(self, "told"):
            return
        rows = self.rows()
        assert {row[1] for row in rows} == self.told.keys()
        for slot in {*self.slots.values()} - {""}:
            holding = [r for r in rows if r[2] == slot and r[3] in HOLDING]
            found = [Piece(r[1], r[4], r[5]) for r in holding if r[5] is None or r[5] > r[4]]
            assert sorted(found, key=lambda p: p.start) == self.pieces(slot)
        for _, first, slot, state, start, end, told_to in rows:
            assert (state, told_to) == (self.states[first], self.told[first].told_to)
            if not slot or state not in HOLDING:
                assert (start, end) == (self.told[first].start, told_to)

    @invariant()
    def the_log_and_the_words_keep_up(self) -> None:
        if not hasattr(self, "told"):
            return
        logged = oplog.last_digests(self.connection).items()
        digests = {subject: digest for subject, digest in logged if subject.startswith("item:")}
        assert digests == {f"item:{row[0]}": item_digest(self.connection, row[0]) for row in self.rows()}
        found = self.connection.execute("select rowid from item_word where item_word match 'said OR edited'")
        assert {row[0] for row in found} == {row[0] for row in self.rows()}
        self.connection.execute("insert into item_word(item_word, rank) values('integrity-check', 1)")


ItemMachine.TestCase.settings = settings(PATIENT, max_examples=count(25, 3000), stateful_step_count=20)
TestItems = ItemMachine.TestCase
