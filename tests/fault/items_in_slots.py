"""Turns, and items in slots, written by a process that is killed, and what must be there afterwards."""

from __future__ import annotations

import random
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from secondme.memory.store import Store
from secondme.types import ItemChanges, ItemState, MemoryItem, NewItem, Span
from tests.fault.killing import Say
from tests.fault.workload import open_store
from tests.storing import N_DIMS, unit_vectors

SLOTS = ("owner|employer", "owner|city", "")
STATES: tuple[ItemState, ...] = ("active", "archived", "pending", "quarantined")
N_STEPS = 25


def lay_out(root: Path) -> None:
    root.mkdir(exist_ok=True)
    with closing(open_store(root)) as store:
        store.set_embedder("test", N_DIMS)
        store.new_conversation("default", "talk")


def act(root: Path, say: Say) -> None:
    """Turns with what is learned from them, and items that are closed, edited, decided about and taken out."""
    with closing(open_store(root)) as store:
        chance = random.Random(len(store.log()))
        for _ in range(N_STEPS):
            _step(store, chance, say)


def _step(store: Store, chance: random.Random, say: Say) -> None:
    known = [item.id for item in store.items(states=None)]
    verb = chance.choice(("turn", "add", "add", "close", "edit", "decide", "remove", "trace")) if known else "turn"
    if verb == "turn":
        turn_id = store.add_turn(1, "user", f"a zeppelin {chance.random()}", ())
        say(f"turn {turn_id}")
        say(f"item {store.add_item(NewItem('semantic', 'said', spans=(Span('turn', turn_id, 0, 1),))).id}")
    elif verb == "add":
        begins, lasts = chance.choice((None, chance.random())), chance.choice((None, chance.random()))
        ends = None if begins is None or lasts is None else begins + lasts
        state = chance.choice(STATES)
        new = NewItem("semantic", "told", slot=chance.choice(SLOTS), state=state, valid_from=begins, valid_to=ends)
        say(f"item {store.add_item(new).id}")
    elif verb == "trace":
        waiting = store.turns_without_trace(3)
        store.put_traces([(turn.id, unit_vectors(1, seed=turn.id)[0], b"words") for turn in waiting])
    else:
        _change(store, verb, chance.choice(known), chance.choice(STATES), say)


def _change(store: Store, verb: str, item_id: int, state: ItemState, say: Say) -> None:
    if verb == "close":
        store.close_item(item_id)
    elif verb == "edit":
        store.change_item(item_id, ItemChanges(text="edited"))
    elif verb == "decide":
        store.set_item_state(item_id, state)
    else:
        with store._database.reading() as connection:
            first = connection.execute("select coalesce(continues, id) from item where id = ?", (item_id,)).get
        say(f"going {first}")
        store.remove_items([item_id])


def verify(root: Path, said: list[str], ended: bool) -> None:
    """What was acknowledged is there, and in every slot at most one item holds at any time."""
    with closing(open_store(root)) as store:
        bad = [f"{c.name}: {c.detail}" for c in store.check(read_data=True) if c.status == "failed"]
        assert not bad, bad
        turns, items, going = (
            {int(line.split()[1]) for line in said if line.startswith(name)} for name in ("turn", "item", "going")
        )
        found = store.items(states=None)
        assert items - going <= {item.id for item in found}
        assert turns <= {i for i, _ in store.search_turns("zeppelin", 10_000, None)}
        waiting = {turn.id for turn in store.turns_without_trace(10_000)}
        stored = {turn.id for turn in store.turns(1)}
        near = {i for i, _ in store.nearest_turns(unit_vectors(1)[0], 10_000, None)}
        assert near == stored - waiting == store.traces(sorted(stored)).keys()
        for slot in set(SLOTS) - {""}:
            assert_apart([i for i in found if i.slot == slot and i.state in ("active", "archived")])


def assert_apart(items: list[MemoryItem]) -> None:
    """No two of these items hold at the same time."""
    times = sorted((i.valid_from, i.valid_to) for i in items if i.valid_to is None or i.valid_to > i.valid_from)
    for (_, end), (start, _) in pairwise(times):
        assert end is not None and end <= start
