"""What was learned goes with what it was learned from, keeps what else it rests on, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondme.errors import CorruptRecord
from secondme.memory import forget, lineage
from secondme.memory.forgetting import Target, examine
from secondme.memory.redaction import REMOVED_ANSWER
from secondme.memory.store import Store
from secondme.types import Citation, ItemLink, MemoryItem, NewItem, Span, Trust
from tests.storing import citation_of, holding, put
from tests.unit.memory.test_forget import HERON, OTTER, TOAD, ids, sound, turn

SAID = "I keep my bicycle in the shed behind the old house."
WORK = NewItem("semantic", "The owner works at Acme.", subject="owner", attribute="employer", value="Acme")


def learned(store: Store, text: str, *spans: Span, **more: str) -> MemoryItem:
    return store.add_item(NewItem("semantic", text, trust=Trust.CONVERSATION, made_by="rule:r/1", spans=spans, **more))  # type: ignore[arg-type]


def said(store: Store, text: str = SAID) -> tuple[int, Span]:
    """A conversation in which the owner says it; its id and the place."""
    conversation = store.new_conversation("default", "Things")
    return conversation, of_turn(store.add_turn(conversation, "user", text, ()), text)


def of_turn(turn_id: int, text: str) -> Span:
    return Span("turn", turn_id, 0, len(text.encode()))


def of_passage(chunk_id: int, start: int = 0, end: int = 9) -> Span:
    return Span("passage", chunk_id, start, end)


def left(store: Store) -> list[int]:
    return sorted(item.id for item in store.items(states=None))


def cited(citation: Citation, **more: int) -> Citation:
    blank = replace(citation, chunk_id=0, path="", text="", kind="item" if "item_id" in more else "turn")
    return replace(blank, **more)  # type: ignore[arg-type]


def test_an_item_goes_with_its_turn_and_one_said_elsewhere_keeps_that(store: Store) -> None:
    conversation, place = said(store)
    _, other = said(store, "My bicycle is red.")
    only = learned(store, "The owner's bicycle is in the shed.", place)
    both = learned(store, "The owner has a bicycle.", place, other)
    untouched = learned(store, "The owner's bicycle is red.", other)
    store.link_items(only.id, both.id, "related")
    target = Target(turns=(place.ref_id,))
    shown = store.forgetting(target)
    assert (shown.items, shown.loosened, shown.n_links) == ((only.id,), (both.id,), 1)
    assert store.forget(target) == shown
    assert left(store) == [both.id, untouched.id]
    kept = store.item(both.id)
    assert kept is not None and kept.spans == (other,) and store.item_links(both.id) == []
    assert [i for i, _ in store.search_items("shed", 5, None)] == []
    with store._database.reading() as connection:
        assert holding(connection, b"shed") == []
    assert sound(store) and not store.forgetting(Target(conversations=(conversation,))).items


@pytest.mark.parametrize("what", ["passage", "source", "conversation"])
def test_an_item_goes_with_what_holds_its_place(store: Store, what: str) -> None:
    a = put(store, "/a", [HERON, OTTER])
    conversation, place = said(store)
    spans = {"passage": of_passage(ids(store, a)[0]), "source": of_passage(ids(store, a)[1]), "conversation": place}
    going = learned(store, "Something about a heron, an otter or a bicycle.", spans[what])
    stays = learned(store, "Something else.", *(span for kind, span in spans.items() if kind == "conversation" != what))
    named = {"passage": ids(store, a)[0], "source": a, "conversation": conversation}[what]
    shown = store.forget(Target(**{f"{what}s": (named,)}))  # type: ignore[arg-type]
    assert shown.items == (going.id,) and left(store) == [stays.id] and sound(store)


def test_a_project_goes_with_its_items(store: Store) -> None:
    conversation = store.new_conversation("work", "Things")
    place = of_turn(store.add_turn(conversation, "user", SAID, ()), SAID)
    learned(store, "The owner's bicycle is in the shed.", place, project="work")
    learned(store, "Typed by hand.", project="work")
    learned(store, "Said there and held here.", place)
    stays = learned(store, "Elsewhere.")
    store.forget_project("work")
    assert left(store) == [stays.id] and store.project("work") is None and sound(store)


def test_items_that_repeat_a_forgotten_wording_go_wherever_they_are_from(store: Store) -> None:
    a, b = put(store, "/a", [HERON]), put(store, "/b", [TOAD], seed=2)
    repeats = learned(store, f"It is known: {HERON.upper()}")
    in_value = learned(store, "A heron.", of_passage(ids(store, b)[0]), value=HERON)
    hidden = store.add_item(NewItem("vault", f"Note: {HERON}", value="x"))
    other = learned(store, TOAD)
    assert store.forget(Target(sources=(a,))).items == (repeats.id, in_value.id, hidden.id)
    assert left(store) == [other.id] and sound(store)
    _, place = said(store)
    copy = learned(store, SAID)
    assert store.forget(Target(turns=(place.ref_id,))).items == (copy.id,)


def test_what_the_owner_goes_on_saying_keeps_its_items(store: Store) -> None:
    _, first = said(store)
    _, second = said(store)
    copy = learned(store, SAID)
    assert store.forget(Target(turns=(first.ref_id,))).items == ()
    assert store.forget(Target(turns=(second.ref_id,))).items == (copy.id,)


def test_answers_that_cite_a_turn_or_an_item_go_with_it(store: Store) -> None:
    conversation, place = said(store)
    item = learned(store, "The owner's bicycle is in the shed.", place)
    other = store.new_conversation("default", "Asked")
    of_item = store.add_turn(other, "assistant", "In the shed [1].", [cited(citation_of(), item_id=item.id)])
    of_said = store.add_turn(other, "assistant", "You said so [1].", [cited(citation_of(), turn_id=place.ref_id)])
    # An item that was made of an answer goes with it, and so does an answer that rests on that.
    again = learned(store, "It is in the shed.", of_turn(of_item, "In the shed"))
    last = store.add_turn(other, "assistant", "As I said [1].", [cited(citation_of(), item_id=again.id)])
    shown = store.forget(Target(conversations=(conversation,)))
    assert set(shown.items) == {item.id, again.id} and shown.answers == (of_item, of_said, last)
    for answer in shown.answers:
        assert turn(store, other, answer) == (REMOVED_ANSWER, [])
    assert sound(store) and left(store) == []


def test_an_item_is_forgotten_by_itself_with_answers_that_repeat_it_and_does_not_come_back(store: Store) -> None:
    conversation, place = said(store)
    text = "The bicycle of the owner stands in the shed behind the house."
    item = learned(store, text, place, attribute="bicycle", value="in the shed")
    answer = store.add_turn(conversation, "assistant", f"Yes. {text}", ())
    shown = store.forget(Target(items=(item.id, 99)))
    assert (shown.items, shown.answers, shown.missing) == ((item.id,), (answer,), ("item:99",))
    assert turn(store, conversation, place.ref_id)[0] == SAID
    stones = store.tombstones()
    with store._database.reading() as connection:
        uid = lineage.place_uid(connection, "turn", place.ref_id)
        assert b"" == lineage.place_uid(connection, "turn", 99) == lineage.place_uid(connection, "passage", 99)
    claim = ("", "Bicycle", "In the  SHED.", "in other words")
    assert stones.hides_item(stones.item(bytes(16), [uid], *claim))
    assert stones.hides_item(stones.item(item.uid, [], "", "", "", "whatever"))
    assert not stones.hides_item(stones.item(bytes(16), [bytes(16)], *claim)), "the owner may say it again"
    again = replace(WORK, subject="", attribute="bicycle", value="In the shed", text="other words", spans=(place,))
    elsewhere = said(store)[1]
    assert store.is_forgotten(again) and not store.is_forgotten(replace(again, spans=(elsewhere,)))
    assert not store.is_forgotten(replace(again, value="in the house")) and not store.is_forgotten(WORK)
    assert sound(store)


def test_what_a_passage_goes_on_saying_takes_no_answer_along(store: Store) -> None:
    a = put(store, "/a", [HERON, f"By the way. {OTTER}"])
    item = learned(store, HERON)
    conversation = store.new_conversation("default", "Birds")
    answer = store.add_turn(conversation, "assistant", f"Surely: {HERON}", ())
    # Words that begin as another sentence does are not that sentence.
    begins = learned(store, " ".join(OTTER.split()[:9]))
    other = store.add_turn(conversation, "assistant", f"Well, {begins.text}", ())
    assert store.forget(Target(items=(item.id,))).answers == ()
    assert store.forget(Target(items=(begins.id,))).answers == (other,)
    assert store.forget(Target(sources=(a,))).answers == (answer,) and sound(store)


def test_an_item_goes_with_what_continues_it_and_loses_places_in_all_its_parts(store: Store) -> None:
    _, place = said(store)
    _, other = said(store, "My bicycle is red.")
    first = store.add_item(NewItem("semantic", "In Oslo.", slot="o|city", valid_from=1.0, spans=(place, other)))
    trips = [NewItem("semantic", f"Trip {i}.", slot="o|city", valid_from=i, valid_to=i + 1.0) for i in (3.0, 6.0)]
    oslo = [i.id for i in store.items() if i.text == first.text]
    (one, two) = store.add_items(trips)
    parts = [i for i in store.items(slot="o|city") if i.text == first.text]
    assert len(parts) == 3 and len(oslo) == 1
    # With a trip its interruption goes, and a part with it; the others lose their place.
    shown = store.forget(Target(items=(one.id,), turns=(other.ref_id,)))
    assert shown.items == (one.id,) and sound(store)
    parts = [i for i in reversed(store.items(slot="o|city")) if i.text == first.text]
    assert [(i.valid_from, i.valid_to, i.spans) for i in parts] == [(1.0, 6.0, (place,)), (7.0, None, (place,))]
    shown = store.forget(Target(items=(parts[1].id,)))
    assert set(shown.items) == {i.id for i in parts} and left(store) == [two.id] and sound(store)


def test_topics_go_with_what_they_sum_up_and_their_other_members_stay(store: Store) -> None:
    _, place = said(store)
    going, stays = learned(store, "The owner's bicycle is in the shed.", place), learned(store, "A car.")
    topic, above = store.add_items([NewItem("topic", "Vehicles"), NewItem("topic", "Things")])
    links = [(topic, going), (topic, stays), (above, topic)]
    store.put_links([ItemLink(a.id, b.id, "member") for a, b in links])
    assert set(store.forget(Target(turns=(place.ref_id,))).items) == {going.id, topic.id, above.id}
    assert left(store) == [stays.id] and sound(store)


def test_what_was_learned_goes_by_its_source_and_the_source_stays(store: Store) -> None:
    a = put(store, "/a", [HERON, OTTER])
    conversation, place = said(store)
    one, two = ids(store, a)
    going = learned(store, "A heron.", of_passage(one), of_passage(two), of_passage(two, 1, 2))
    loses = learned(store, "A bicycle by the weir.", of_passage(two), place)
    shown = store.forget(Target(learned_from=(("source", a), ("source", 99))))
    assert (shown.items, shown.loosened, shown.missing) == ((going.id,), (loses.id,), ("source:99",))
    assert ids(store, a) == [one, two] and store.items_from("source", a) == []
    stones = store.tombstones()
    with store._database.reading() as connection:
        uid = lineage.place_uid(connection, "passage", one)
    assert stones.hides_item(stones.item(bytes(16), [uid], "", "", "", "a HERON"))
    store.forget(Target(learned_from=(("conversation", conversation),)))
    assert left(store) == [] and len(store.turns(conversation)) == 1 and sound(store)


def test_redacted_answers_are_found_by_their_notice_only_and_lose_their_trace(store: Store) -> None:
    a = put(store, "/a", [HERON])
    conversation = store.new_conversation("default", "Birds")
    answer = store.add_turn(conversation, "assistant", f"Surely: {HERON}", ())
    with store._database.writing() as connection:
        connection.execute("insert into turn_trace values(?, x'01')", (answer,))
        connection.execute("insert into turn_token values(?, x'02')", (answer,))
    store.forget(Target(sources=(a,)))
    with store._database.reading() as connection:
        for word, found in (("heron", []), ("surely", []), ("removed", [(answer,)])):
            assert (
                connection.execute("select rowid from turn_word where turn_word match ?", (word,)).fetchall() == found
            )
        for table in ("turn_trace", "turn_token"):
            assert connection.execute(f"select count(*) from {table}").get == 0
        assert holding(connection, b"heron") == []
    assert sound(store)


LEFT = {
    "items": "insert into item select * from was",
    "words of items": "insert into item_word(rowid, text, subject, attribute) values(1, 'shed', '', '')",
    "links of items": "insert into item_link values(1, 2, 'related', 1.0)",
    "places of items": "insert into item_span values(2, 'turn', 1, 0, 1)",
    "words of turns": "insert into turn_word(rowid, text) values(1, 'bicycle')",
    "traces of turns": "insert into turn_token values(1, x'00')",
    "citations": """update turn set citations = '[{"chunk_id": 0, "item_id": 1}]'""",
}


@pytest.mark.parametrize("what", LEFT)
def test_what_would_be_left_is_noticed(store: Store, what: str) -> None:
    _, place = said(store)
    item = learned(store, "The shed.", place)
    learned(store, "Another.")
    other = store.new_conversation("default", "Things")
    store.add_turn(other, "user", "hello", ())
    assert (place.ref_id, item.id) == (1, 1)
    with store._database.writing(deletes=True) as connection:
        connection.execute("create temp table was as select * from item where id = 1")
        plan = forget.forget(connection, Target(turns=(1,)))
        forget.verify(connection, plan)
    with store._database.reading() as connection:
        connection.pragma("foreign_keys", False)
        connection.execute("begin")
        connection.execute(LEFT[what])
        with pytest.raises(CorruptRecord, match=what):
            forget.verify(connection, plan)
        connection.execute("rollback")


# Without forgetting ------------------------------------------------------------------------------------------


def test_items_follow_the_wording_of_a_file_that_changes(store: Store) -> None:
    a = put(store, "/a", [HERON, OTTER, TOAD])
    one, two, three = ids(store, a)
    moved = learned(store, "An otter.", of_passage(two, 0, len(OTTER)))
    gone = learned(store, "A heron.", of_passage(one, 0, len(HERON)))
    both = learned(store, "A toad and a heron.", of_passage(one, 0, len(HERON)), of_passage(three, 2, 6))
    put(store, "/a", ["An opening. " + OTTER, TOAD], seed=2)
    new = ids(store, a)
    assert left(store) == [moved.id, both.id]
    items = {item.id: item.spans for item in store.items()}
    assert items[moved.id] == (Span("passage", new[0], 12, 12 + len(OTTER)),)
    assert items[both.id] == (Span("passage", new[1], 2, 6),)
    assert any(op.kind == "item-removed" and op.subjects == (f"item:{gone.id}",) for op in store.log())
    assert sound(store)


def test_a_part_that_is_needed_no_more_follows_nothing(store: Store) -> None:
    a = put(store, "/a", [HERON, OTTER])
    one, two = ids(store, a)
    spans = (of_passage(two, 0, len(OTTER)),)
    store.add_item(NewItem("semantic", "In Oslo.", slot="o|city", valid_from=1.0, spans=spans))
    trip = NewItem("semantic", "A trip.", slot="o|city", valid_from=3.0, valid_to=4.0)
    store.add_item(replace(trip, spans=(of_passage(one, 0, len(HERON)),)))
    assert len(store.items(slot="o|city")) == 3
    put(store, "/a", [OTTER], seed=2)
    (left_over,) = store.items(slot="o|city")
    assert left_over.text == "In Oslo." and left_over.holds and sound(store)


@pytest.mark.parametrize("how", ["remove", "skip", "delete conversation"])
def test_items_go_with_a_file_or_a_conversation_that_is_gone(store: Store, how: str) -> None:
    a = put(store, "/a", [HERON])
    conversation, place = said(store)
    learned(store, "A heron or a bicycle.", place if how == "delete conversation" else of_passage(ids(store, a)[0]))
    stays = learned(store, "Typed.")
    if how == "remove":
        store.remove_source(a)
    elif how == "skip":
        from tests.storing import source_of

        store.put_skip(source_of("/a"), "not text")
    else:
        store.delete_conversation(conversation)
    assert left(store) == [stays.id] and sound(store)


def test_places_that_are_not_there_are_told(store: Store) -> None:
    _, place = said(store)
    item = learned(store, "A bicycle.", place)
    assert sound(store)
    with store._database.writing() as connection:
        connection.execute("update item_span set byte_end = 999")
        assert lineage.dangling(connection) == [item.id]
        connection.execute("update item_span set ref_id = 99")
        assert lineage.dangling(connection) == [item.id]
        # As a fault of this program would leave it, and not as damage does.
        lineage.log_spans(connection, item.id)
    failed = [c.detail for c in store.check(read_data=True) if c.status == "failed"]
    assert any(f"m{item.id} was learned from something that is not there" in detail for detail in failed)


def test_nothing_named_is_nothing(store: Store) -> None:
    with store._database.reading() as connection:
        assert examine(connection, Target()).shown.is_empty
