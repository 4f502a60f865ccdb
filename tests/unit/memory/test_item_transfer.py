"""What was learned, from one store to another that has some of it, other things of the same slots, or forgot some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from secondme.memory.arrivals import Arrivals
from secondme.memory.forgetting import Target
from secondme.memory.item_transfer import Outcome, PortableItem, PortableLink, PortableSpan
from secondme.memory.portable import PortableConversation, PortableTurn
from secondme.memory.store import Store
from secondme.types import NewItem, Span, Trust
from tests.storing import KEY, put

ITEM = PortableItem(
    uid=bytes(16),
    project="default",
    kind="semantic",
    slot="owner|city",
    subject="owner",
    attribute="city",
    value="Oslo",
    text="The owner lives in Oslo.",
    trust=Trust.CONVERSATION,
    made_by="rule:r/1",
    state="active",
    created_at=10.0,
    valid_from=5.0,
    place=1,
)
LONG = "The key of the boat house hangs behind the third oar."


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "other.db", KEY)
    yield store
    store.close()


def items(store: Store) -> list[PortableItem]:
    with store.portable() as portable:
        return list(portable.items())


def come(store: Store, *found: PortableItem, again: bool = False) -> list[Outcome]:
    with store.arriving("import:secondme", again=again) as arrivals:
        return [arrivals.add_item(item) for item in found]


def sound(store: Store) -> bool:
    return {c.status for c in store.check(read_data=True)} == {"ok"}


def test_of_a_slot_one_holds_at_a_time_whatever_was_here(store: Store, other: Store) -> None:
    for where, city, since in (
        (store, "Rome", 1.0),
        (store, "Paris", 30.0),
        (other, "Oslo", 5.0),
        (other, "Bonn", 30.0),
    ):
        where.add_item(NewItem("semantic", city, slot="owner|city", value=city, valid_from=since))
    # An interruption, after which Oslo holds again, in a part of its own.
    other.add_item(NewItem("semantic", "Wien", slot="owner|city", valid_from=7.0, valid_to=20.0))
    other.add_item(NewItem("semantic", "Graz", slot="owner|city", state="pending", valid_from=2.0))
    came = items(other)
    assert [i.text for i in came if i.continues] == ["Oslo"]
    assert set(come(store, *came)) == {"new"}
    held = sorted(store.items(slot="owner|city"), key=lambda i: (i.valid_from, i.valid_to is None))
    assert all(a.valid_to is not None and a.valid_to <= b.valid_from for a, b in pairwise(held))
    assert [i.text for i in held if i.holds] == ["Bonn"] and sound(store)
    assert set(come(store, *came)) == {"known"}


def test_what_rests_on_nothing_that_is_here_does_not_come(store: Store) -> None:
    lost = PortableSpan("passage", b"\1" * 16, 0, 4)
    assert come(store, replace(ITEM, spans=(lost,))) == ["kept"]
    assert come(store, replace(ITEM, spans=(replace(lost, kind="turn"),))) == ["kept"]
    assert come(store, replace(ITEM, continues=b"\1" * 16)) == ["kept"]
    with store.arriving("import:secondme") as arrivals:
        assert arrivals.add_conversation(PortableConversation(b"\2" * 16, "default", "A", 1.0, 1.0, 1), _said())[1] == 1
        both = (lost, PortableSpan("turn", b"\3" * 16, 0, 2))
        assert arrivals.add_item(replace(ITEM, spans=both)) == "new"
        link = PortableLink(ITEM.uid, b"\1" * 16, "related", 1.0)
        assert arrivals.add_link(link) == "kept"
        own = replace(link, to_uid=ITEM.uid)
        assert (arrivals.add_link(own), arrivals.add_link(own)) == ("new", "known")
    (item,) = store.items()
    assert item.spans == (Span("turn", 1, 0, 2),) and len(store.item_links(item.id)) == 1 and sound(store)


def _said() -> list[PortableTurn]:
    return [PortableTurn(b"\3" * 16, b"\2" * 16, "user", "Oslo it is", 1.0)]


def test_what_was_forgotten_stays_away_until_it_is_asked_for(store: Store) -> None:
    store.forget(Target(sources=(put(store, "/a", [LONG]),)))
    said = replace(ITEM, uid=b"\5" * 16, text=f"Note.\n{LONG}")
    in_value = replace(ITEM, uid=b"\6" * 16, value=LONG)
    assert come(store, said, in_value, ITEM) == ["forgotten", "forgotten", "new"]
    store.forget(Target(items=(store.items()[0].id,)))
    assert come(store, ITEM) == ["forgotten"]
    assert come(store, said, in_value, ITEM, again=True) == ["new", "new", "new"] and sound(store)


def test_a_claim_that_was_forgotten_at_its_turn_does_not_come_under_another_name(store: Store) -> None:
    with store.arriving("import:secondme") as arrivals:
        arrivals.add_conversation(PortableConversation(b"\2" * 16, "default", "A", 1.0, 1.0, 1), _said())
        arrivals.add_item(replace(ITEM, spans=(PortableSpan("turn", b"\3" * 16, 0, 4),)))
    store.forget(Target(items=(1,)))
    twin = replace(ITEM, uid=b"\7" * 16, text="other words", spans=(PortableSpan("turn", b"\3" * 16, 0, 2),))
    assert come(store, twin, replace(twin, uid=b"\x08" * 16, value="Bergen")) == ["forgotten", "new"]


def test_places_in_a_text_that_is_no_unicode_follow_its_characters(store: Store) -> None:
    # Two halves, which become one character in an export, of which a place may hold a part.
    text = "\ud83d\ude00 here"
    conversation = store.new_conversation("default", "A")
    said = store.add_turn(conversation, "user", text, ())
    places = [(0, 6), (7, 11), (2, 11), (0, 3)]
    for start, end in places:
        store.add_item(NewItem("semantic", "x", spans=(Span("turn", said, start, end),)))
    found = {(s.byte_start, s.byte_end) for item in items(store) for s in item.spans}
    assert found == {(0, 4), (5, 9), (2, 9), (0, 3)}
    assert all(0 <= start <= end <= len("\U0001f600 here".encode()) for start, end in found)


def test_a_place_that_is_not_there_does_not_leave(store: Store) -> None:
    said = store.add_turn(store.new_conversation("default", "A"), "user", "here", ())
    store.add_item(NewItem("semantic", "x", spans=(Span("turn", said, 0, 4),)))
    with store._database.writing() as connection:
        connection.execute("update item_span set ref_id = 9")
        connection.execute("insert into item_span values(1, 'passage', 9, 0, 1)")
    assert [item.spans for item in items(store)] == [()]


def test_settling_is_the_end_of_an_import(store: Store) -> None:
    """A part of an item that comes with it is the one that is there afterwards, under its own name."""
    with store._database.writing() as connection:
        arrivals = Arrivals(connection, "import:secondme", None)
        arrivals.add_item(replace(ITEM, valid_to=20.0))
        arrivals.add_item(replace(ITEM, uid=b"\1" * 16, continues=ITEM.uid, valid_from=30.0))
        wien = replace(ITEM, uid=b"\2" * 16, text="Wien", valid_from=20.0, valid_to=30.0, told_to=30.0, place=2)
        arrivals.add_item(replace(wien, interrupts=True))
        arrivals.settle()
    assert [(i.uid, i.valid_from, i.valid_to) for i in reversed(store.items())] == [
        (ITEM.uid, 5.0, 20.0),
        (b"\1" * 16, 30.0, None),
        (b"\2" * 16, 20.0, 30.0),
    ]
    assert sound(store)
