"""Items through the store: slots, edits, approvals, undoing, uses, words and vectors, and clocks that jump."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from secondme.errors import StoreError, UsageError
from secondme.memory import item_store
from secondme.memory.item_uses import MOST_DAYS, strengthened
from secondme.memory.store import Store
from secondme.types import ItemChanges, ItemKind, ItemLink, ItemState, MemoryItem, NewItem, Span, Trust
from tests.storing import N_DIMS, holding, put, unit_vectors

EMPLOYER = "owner|employer"
Clock = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the time that items are stored at."""

    def set_to(now: float) -> None:
        monkeypatch.setattr(time, "time", lambda: now)

    return set_to


def employer(name: str, *, since: float | None = None, until: float | None = None) -> NewItem:
    text = f"I work at {name}"
    return NewItem("semantic", text, "work", "owner", "employer", name, EMPLOYER, valid_from=since, valid_to=until)


def held(found: list[MemoryItem]) -> list[tuple[str, float, float | None]]:
    return [(item.value, item.valid_from, item.valid_to) for item in found]


def assert_sound(store: Store) -> None:
    bad = [f"{c.name}: {c.detail}" for c in store.check(read_data=True) if c.status == "failed"]
    assert not bad, bad


def test_an_item_reads_back_exactly(store: Store, clock: Clock) -> None:
    clock(50.0)
    put(store, "/a", ["a passage"], project="work")
    turn = store.add_turn(store.new_conversation("work", "talk"), "user", "some text", ())
    spans = (Span("passage", store.source_chunks(1)[0].id, 0, 7), Span("turn", turn, 2, 9))
    new = NewItem(
        "procedural",
        "caf\udcc3 \0 text",
        "work",
        subject="pump\n",
        attribute="restart",
        value="\udcff",
        slot="pump|restart",
        trust=Trust.DOCUMENT,
        made_by="rule:steps/1",
        valid_from=10.0,
        valid_to=20.0,
        strength_days=7.0,
        spans=tuple(reversed(spans)),
    )
    item = store.add_item(new, actor="rule:steps/1")
    assert item == store.item(item.id) and len(item.uid) == 16
    assert item == MemoryItem(
        item.id, item.uid, "work", "procedural", "pump|restart", "pump\n", "restart", "\udcff", "caf\udcc3 \0 text",
        Trust.DOCUMENT, "rule:steps/1", "active", 50.0, 10.0, 20.0, 7.0, 50.0, 0, 0, 0, spans,
    )  # fmt: skip
    assert not item.holds and store.stats().n_items == 1
    assert [op.actor for op in store.log(f"item:{item.id}")] == ["rule:steps/1"]
    assert_sound(store)


def test_a_later_item_closes_the_earlier_one(store: Store) -> None:
    first = store.add_item(employer("Acme", since=100))
    second = store.add_item(employer("Globex", since=200))
    assert held(store.item_history(first.id)) == [("Acme", 100, 200), ("Globex", 200, None)]
    assert [i.id for i in store.items("work", holding=True)] == [second.id]
    assert [i.id for i in store.items("work", holding=False)] == [first.id]
    assert [i.id for i in store.items("work", at=150)] == [first.id]
    assert store.items("work", at=99) == []
    assert [op.kind for op in store.log(f"item:{first.id}")] == ["item-added", "item-closed"]
    assert_sound(store)


def test_slots_of_other_projects_and_no_slot_are_let_alone(store: Store) -> None:
    store.add_item(employer("Acme", since=100))
    store.add_item(NewItem("semantic", "I work at Initech", "home", slot=EMPLOYER, valid_from=200))
    for text in ("I like tea", "I like rain"):
        store.add_item(NewItem("semantic", text, "work"))
    assert all(item.holds for item in store.items())


def test_an_item_of_the_past_ends_where_the_next_one_begins(store: Store) -> None:
    store.add_item(employer("Globex", since=200))
    late = store.add_item(employer("Acme", since=100))
    assert held(store.item_history(late.id)) == [("Acme", 100, 200), ("Globex", 200, None)]


def test_what_was_interrupted_holds_again(store: Store) -> None:
    first = store.add_item(employer("Acme", since=100))
    store.link_items(first.id, first.id, "related")
    inside = store.add_item(employer("Globex", since=200, until=300))
    before, _, after = store.item_history(first.id)
    assert held([before, inside, after]) == [("Acme", 100, 200), ("Globex", 200, 300), ("Acme", 300, None)]
    assert after.holds and after.text == before.text and after.uid != before.uid
    # Both rows are one item to whoever uses, links or closes it.
    store.use_items([before.id, after.id])
    assert {i.n_uses for i in store.items_by_ids([before.id, after.id])} == {1}
    assert store.item_links(after.id) == store.item_links(before.id) != []
    store.close_item(after.id, 400)
    assert held(store.item_history(first.id))[2] == ("Acme", 300, 400)
    assert_sound(store)
    assert store.remove_items([after.id]) == 2
    assert held(store.item_history(inside.id)) == [("Globex", 200, 300)]
    assert_sound(store)


def test_taking_an_item_out_gives_its_time_back(store: Store) -> None:
    first, second, third = (store.add_item(employer(f"E{n}", since=n)) for n in (1, 2, 3))
    store.remove_items([third.id])
    assert held(store.item_history(first.id)) == [("E1", 1, 2), ("E2", 2, None)]
    store.set_item_state(second.id, "quarantined")
    assert held(store.items(slot=EMPLOYER)) == [("E1", 1, None)]
    store.set_item_state(second.id, "active")
    assert held(store.items(slot=EMPLOYER)) == [("E2", 2, None), ("E1", 1, 2)]
    assert_sound(store)


def test_a_pending_item_closes_nothing_until_it_is_approved(store: Store, clock: Clock) -> None:
    clock(100.0)
    first = store.add_item(employer("Acme"))
    clock(200.0)
    asked = store.add_item(NewItem("semantic", "They work at Globex", "work", slot=EMPLOYER, state="pending"))
    assert held(store.items("work")) == [("Acme", 100, None)]
    assert [i.id for i in store.items("work", states=["pending"])] == [asked.id]
    assert store.set_item_state(asked.id, "active").holds
    found = store.item(first.id)
    assert found is not None and found.valid_to == 200
    assert_sound(store)


def test_no_longer_so_leaves_nothing_in_its_place(store: Store, clock: Clock) -> None:
    store.add_item(employer("Acme", since=100))
    second = store.add_item(employer("Globex", since=200))
    clock(300.0)
    assert store.close_item(second.id).valid_to == 300
    assert store.items("work", holding=True) == []
    assert store.close_item(second.id, 250).valid_to == 250
    assert store.close_item(second.id, 400).valid_to == 250
    # It was a mistake: it never was.
    store.close_item(second.id, 200)
    assert held(store.items("work", holding=True)) == [("Acme", 100, None)]
    assert_sound(store)


def test_an_edit_is_a_new_version(store: Store, clock: Clock) -> None:
    clock(100.0)
    turn = store.add_turn(store.new_conversation("default", "talk"), "user", "I liek tea", ())
    spans = (Span("turn", turn, 0, 10),)
    new = NewItem("semantic", "I liek tea", trust=Trust.CONVERSATION, made_by="rule:likes/1", spans=spans)
    old = store.add_item(new)
    clock(200.0)
    edited = store.change_item(old.id, ItemChanges(text="I like tea", value="tea"))
    assert (edited.text, edited.value, edited.made_by, edited.trust) == ("I like tea", "tea", "owner", Trust.OWNER)
    assert edited.spans == old.spans and edited.valid_from == 200
    versions = store.item_history(edited.id)
    assert [(v.text, v.valid_to) for v in versions] == [("I liek tea", 200), ("I like tea", None)]
    assert store.item_history(old.id) == versions
    assert [(link.from_id, link.to_id, link.kind) for link in store.item_links(old.id)] == [
        (edited.id, old.id, "replaces")
    ]
    assert_sound(store)


def test_an_edit_of_what_holds_no_longer_stays_in_its_time(store: Store, clock: Clock) -> None:
    first = store.add_item(employer("Acmee", since=100))
    store.add_item(employer("Globex", since=200))
    clock(300.0)
    store.change_item(first.id, ItemChanges(value="Acme"))
    assert held(store.item_history(first.id)) == [("Acmee", 100, 100), ("Acme", 100, 200), ("Globex", 200, None)]
    assert_sound(store)


def test_an_edit_may_move_an_item_to_another_slot(store: Store, clock: Clock) -> None:
    clock(100.0)
    old = store.add_item(employer("Berlin"))
    clock(200.0)
    changes = ItemChanges(attribute="city", slot="owner|city", kind="core")
    edited = store.change_item(old.id, changes)
    assert (edited.kind, edited.slot, edited.holds) == ("core", "owner|city", True)
    assert [i.id for i in store.items(holding=True)] == [edited.id]
    assert_sound(store)


def test_a_clock_that_was_put_back_does_not_undo_what_is_said_now(store: Store, clock: Clock) -> None:
    clock(1000.0)
    first = store.add_item(employer("Acme"))
    clock(10.0)
    second = store.add_item(employer("Globex"))
    clock(5.0)
    third = store.add_item(employer("Initech"))
    assert [i.id for i in store.items("work", holding=True)] == [third.id]
    assert held(store.item_history(first.id)) == [
        ("Acme", 1000, 1000), ("Globex", 1000, 1000), ("Initech", 1000, None),
    ]  # fmt: skip
    # Said to be over, it held until then, if only for a moment; the one before does not come back.
    closed = store.close_item(third.id)
    assert closed.valid_to is not None and closed.valid_to > closed.valid_from
    assert store.items("work", holding=True) == []
    clock(2000.0)
    fourth = store.add_item(employer("Hooli"))
    edited = store.change_item(fourth.id, ItemChanges(text="I work for Hooli"))
    assert [i.id for i in store.items("work", holding=True)] == [edited.id]
    assert len(store.item_history(second.id)) == 5
    assert_sound(store)


def test_what_is_to_come_is_not_taken_for_a_clock_that_was_put_back(store: Store, clock: Clock) -> None:
    clock(100.0)
    store.add_item(employer("Globex", since=500))
    now = store.add_item(employer("Acme"))
    assert (now.valid_from, now.valid_to) == (100, 500)


@pytest.mark.parametrize("times", [(float("nan"), None), (1.0, float("inf")), (2.0, 1.0), (float("-inf"), None)])
def test_times_that_are_none_are_refused(store: Store, times: tuple[float, float | None]) -> None:
    with pytest.raises(UsageError):
        store.add_item(employer("Acme", since=times[0], until=times[1]))
    assert store.items() == []


def test_all_of_several_items_or_none(store: Store) -> None:
    with pytest.raises(UsageError):
        store.add_items([employer("Acme"), employer("Globex", since=2, until=1)])
    assert store.items() == [] and store.search_items("acme", 5, None) == []
    assert_sound(store)


@pytest.mark.parametrize("kind", ["turn", "passage"])
def test_nothing_is_learned_from_what_is_gone(store: Store, kind: Literal["turn", "passage"]) -> None:
    with pytest.raises(StoreError) as caught:
        store.add_item(NewItem("semantic", "I like tea", spans=(Span(kind, 7, 0, 4),)))
    assert caught.value.hint and store.items() == []


def test_a_long_list_is_read_in_pages_and_is_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_store, "_PAGE", 4)
    for n in range(13):
        state: ItemState = "archived" if n % 3 == 0 else "active"
        store.add_item(NewItem("semantic", f"fact {n}", "p" if n % 2 else "q", state=state, valid_from=float(n)))
    for wanted in ({}, {"states": ("active", "archived")}, {"kinds": ("vault",)}, {"at": 7.0}):
        for project in (None, "p", "q", "none"):
            assert list(store.each_item(project, **wanted)) == store.items(project, **wanted)
    pages = store.each_item(states=None)
    newest = next(pages)
    store.remove_items([newest.id - 6])  # on a page that was not read yet
    assert newest.id - 6 not in {i.id for i in pages}


def test_items_that_are_gone(store: Store) -> None:
    assert store.item(1) is None and store.item_history(1) == [] and store.item_links(1) == []
    assert store.remove_items([1]) == 0 and store.undo_source("turn", 1) == []
    store.use_items([1])
    assert store.put_links([ItemLink(1, 2, "related")]) == 0
    for refused in (
        lambda: store.close_item(1),
        lambda: store.set_item_state(1, "active"),
        lambda: store.change_item(1, ItemChanges()),
        lambda: store.rate_item(1, True),
    ):
        with pytest.raises(StoreError) as caught:
            refused()
        assert caught.value.hint


def test_undoing_a_source(store: Store) -> None:
    conversation = store.new_conversation("work", "talk")
    turns = [store.add_turn(conversation, "user", f"text {n}", ()) for n in range(2)]
    put(store, "/a", ["passage"], project="work")
    passage = store.source_chunks(store.sources()[0].id)[0].id
    only, both, filed = (
        store.add_item(NewItem("semantic", name, "work", spans=spans)).id
        for name, spans in {
            "only": (Span("turn", turns[0], 0, 4),),
            "both": (Span("turn", turns[0], 0, 4), Span("turn", turns[1], 0, 4)),
            "filed": (Span("passage", passage, 0, 4),),
        }.items()
    )
    assert [i.id for i in store.items_from("turn", turns[0])] == [only, both]
    assert [i.id for i in store.items_from("conversation", conversation)] == [only, both]
    assert [i.id for i in store.items_from("source", store.sources()[0].id)] == [filed]
    assert [i.id for i in store.items_from("passage", passage)] == [filed]
    assert store.undo_source("turn", turns[0]) == [only]
    left = store.item(both)
    assert left is not None and left.spans == (Span("turn", turns[1], 0, 4),)
    assert_sound(store)
    assert store.undo_source("conversation", conversation) == [both]
    assert store.undo_source("source", store.sources()[0].id) == [filed]
    with store._database.reading() as connection:
        assert not connection.execute("select count(*) from item_span").get
    assert_sound(store)


def test_nothing_of_a_removed_item_is_left(store: Store) -> None:
    store.set_embedder("test", N_DIMS)
    item = store.add_item(employer("Zanzibarco"))
    store.put_item_vectors([(item.id, unit_vectors(1)[0])])
    store.remove_items([item.id])
    with store._database.reading() as connection:
        assert holding(connection, b"Zanzibarco") == [] and holding(connection, b"zanzibarco") == []
    log = store._database.path.with_name(store._database.path.name + "-wal")
    assert not log.exists() or log.stat().st_size == 0
    assert store.search_items("zanzibarco", 5, None) == []


def test_uses_ratings_and_links(store: Store) -> None:
    first, second = (store.add_item(NewItem("semantic", text, strength_days=10)) for text in ("a", "b"))
    before = store.log()[-1].seq
    store.use_items([first.id, first.id, 99], at=time.time() + 1000)
    store.use_items([first.id], at=5.0)
    store.rate_item(first.id, True)
    store.rate_item(first.id, False)
    found = store.item(first.id)
    assert found is not None
    assert (found.n_uses, found.n_helpful, found.n_harmful) == (2, 1, 1)
    assert found.strength_days == pytest.approx(25.6) and found.used_at > time.time() + 900
    assert [op.kind for op in store.log(after=before)] == ["items-used", "items-used", "item-rated", "item-rated"]
    assert strengthened(MOST_DAYS - 1) == MOST_DAYS
    store.link_items(first.id, second.id, "related", 0.5)
    store.link_items(first.id, second.id, "related", 0.75)
    assert store.item_links(second.id) == [ItemLink(first.id, second.id, "related", 0.75)]
    assert_sound(store)


def test_words_are_of_all_but_secrets_and_lessons(store: Store) -> None:
    project = "work"
    fact = store.add_item(NewItem("semantic", "The boiler hums", project, subject="boiler"))
    store.add_item(NewItem("vault", "The boiler code is 1234", project))
    store.add_item(NewItem("lesson", "A boiler attack", project))
    faded = store.add_item(NewItem("episodic", "Boilers were repaired", project, state="archived"))
    assert [i for i, _ in store.search_items("boiler", 5, None)] == [fact.id]
    assert {i for i, _ in store.search_items("boiler", 5, project, states=("active", "archived"))} == {
        fact.id,
        faded.id,
    }
    assert store.search_items("boiler", 5, "home") == []
    assert store.item_match(["boiler", "hums", "nobody"]) == '"nobody" OR "hums" OR "boiler"'
    assert store.item_match([]) == "" and store.search_items("", 5, None) == []
    hidden = store.change_item(fact.id, ItemChanges(kind="vault"))
    assert [i for i, _ in store.search_items("boiler", 5, None)] == [fact.id]
    store.remove_items([fact.id])
    assert store.search_items("boiler", 5, None) == [] and store.item(hidden.id) is not None
    with pytest.raises(UsageError):
        store.search_items('"', 5, None)
    assert_sound(store)


def test_vectors_of_items(store: Store) -> None:
    with pytest.raises(StoreError):
        store.put_item_vectors([(1, unit_vectors(1)[0])])
    store.set_embedder("test", N_DIMS)
    rows = unit_vectors(4)
    wanted: list[tuple[ItemKind, str, ItemState]] = [
        ("semantic", "work", "active"),
        ("semantic", "work", "archived"),
        ("vault", "work", "active"),
        ("topic", "home", "active"),
    ]
    fact, faded, secret, other = (
        store.add_item(NewItem(kind, "t", project, state=state)).id for kind, project, state in wanted
    )
    assert [i.id for i in store.items_without_vector()] == [other, faded, fact]
    store.put_item_vectors([(i, rows[n]) for n, i in enumerate((fact, faded, secret, other))])
    assert store.items_without_vector() == []
    ids, matrix = store.item_vectors("work", states=("active", "archived"))
    assert ids.tolist() == [fact, faded] and matrix.shape == (2, N_DIMS) and matrix.dtype == np.int8
    assert store.item_vectors()[0].tolist() == [fact, other]
    assert {i for i, _ in store.nearest_items(rows[2], 9, None)} == {fact, other}
    assert [i for i, _ in store.nearest_items(rows[1], 9, "work", states=["archived"])] == [faded]
    store.set_item_state(faded, "active")
    best, cosine = store.nearest_items(rows[1], 1, "work")[0]
    assert best == faded and cosine == pytest.approx(1, abs=0.03)
    store.change_item(fact, ItemChanges(text="u"))
    assert store.nearest_items(rows[0], 9, "nowhere") == []
    store.set_embedder("another", N_DIMS)
    assert store.nearest_items(rows[0], 9, None) == [] and len(store.items_without_vector()) == 4
    assert_sound(store)
