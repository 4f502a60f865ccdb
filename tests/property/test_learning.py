"""Whatever the owner says in whatever order: at any time one value holds in a slot, and nothing is lost or doubled."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.memory.store import Store
from secondme.reflect.learn import learn_from_turn
from secondme.types import Learned
from tests.fault.soak import n
from tests.storing import KEY

SAYINGS = st.sampled_from(
    """I live in {v}.|I moved to {v} in 2021.|I used to live in {v}.|I no longer live in {v}.|It's {v}, not {w}.
    |I've been living in {v} since 2009.|We moved from {w} to {v} last week.|I live in {v}. I live in {w}.
    |I like {v} and {w}.|I don't like {v} any more.|My dog is called {v}.|Sorry, my dog is called {v}, not {w}.
    |My wife is called {v}.|My wife works at {v}.|{v} works at {w}.|My flight is on Friday.|What about {v}?""".split(
        "|"
    )
)
VALUES = st.sampled_from(("Graz", "Linz", "Wels"))
TURNS = st.lists(st.tuples(SAYINGS, VALUES, VALUES, st.integers(-400, 400)), max_size=8)
START = 1_795_000_000.0


@settings(max_examples=n(12, 400), deadline=None)
@given(TURNS)
def test_one_value_at_a_time_and_undo_is_exact(turns: list[tuple[str, str, str, int]]) -> None:

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store.db", KEY)
        try:
            _tell(store, turns)
        finally:
            store.close()


def _tell(store: Store, turns: list[tuple[str, str, str, int]]) -> None:
    talk = store.new_conversation("default", "talk")
    for saying, value, other, day in turns:
        turn_id = store.add_turn(talk, "user", saying.format(v=value, w=other), [], at=START + day * 86400.0)
        (turn,) = store.turns_by_ids([turn_id])
        before = store.items("default", states=None)
        learned = learn_from_turn(store, turn, now=turn.created_at)
        after = store.items("default", states=None)
        assert learn_from_turn(store, turn, now=turn.created_at) == Learned()
        assert store.items("default", states=None) == after
        _check_slots(store)
        if not learned.confirmed and not any(i.kind == "vault" for i in learned.items):
            store.remove_items([i.id for i in (*learned.items, *learned.pending)])
            assert {i.id for i in store.items("default", states=None)} <= {i.id for i in before}
            learn_from_turn(store, turn, now=turn.created_at)


def _check_slots(store: Store) -> None:
    slots: dict[str, list[tuple[float, float]]] = {}
    for item in store.items("default", states=("active", "archived")):
        if item.slot:
            slots.setdefault(item.slot, []).append((item.valid_from, item.valid_to or float("inf")))
    for intervals in slots.values():
        held = sorted(i for i in intervals if i[0] < i[1])
        assert all(a[1] <= b[0] for a, b in pairwise(held)), held
