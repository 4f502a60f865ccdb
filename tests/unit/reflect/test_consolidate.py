"""Consolidation: what says the same becomes one, what belongs together is grouped, what fades is put away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.memory.store import Store
from secondme.reflect.consolidate import Consolidated, consolidate
from secondme.runtime.echo import HashEmbedder
from secondme.types import OWNER, ItemKind, ItemState, MemoryItem, NewItem, Span, Trust
from tests.fault.soak import n
from tests.storing import KEY

NOW = time.time() + 60
DAY = 86400.0
ALL: tuple[ItemState, ...] = ("active", "archived", "pending", "quarantined")
TOPIC: tuple[ItemKind, ...] = ("topic",)

GARDEN = [
    "We planted runner beans along the garden fence this morning.",
    "The runner beans along the garden fence have come up already.",
    "Slugs ate half of the runner beans along the garden fence.",
    "I tied the runner beans to poles along the garden fence.",
    "The runner beans along the garden fence are in flower now.",
]
OTHERS = ["My brother repairs church organs in Ulm.", "What was the name of that ferry?"]


def run(store: Store, now: float = NOW) -> Consolidated:
    *_, last = consolidate(store, HashEmbedder(), now=now)
    assert isinstance(last, Consolidated)
    return last


def say(store: Store, texts: Sequence[str], project: str = "default") -> list[int]:
    conversation = store.new_conversation(project, "talk")
    with store.batch():
        return [store.add_turn(conversation, "user", text, ()) for text in texts]


def fact(value: str, turn: int = 0, at: float | None = NOW - 10 * DAY, trust: Trust = Trust.CONVERSATION) -> NewItem:
    spans = (Span("turn", turn, 0, 4),) if turn else ()
    return NewItem(
        "semantic",
        f"The owner likes {value} on weekends with friends in the hills behind the village.",
        subject=OWNER,
        attribute="likes",
        value=value,
        slot=f"owner|likes|{value}",
        trust=trust,
        valid_from=at,
        spans=spans,
    )


def everything(store: Store) -> tuple[object, ...]:
    items = store.items(states=ALL)
    return tuple(items), tuple(tuple(store.item_links(i.id)) for i in items)


def spans_of(items: Sequence[MemoryItem]) -> set[Span]:
    return {s for i in items for s in i.spans}


def test_two_items_that_say_the_same_become_the_one_that_began_first(store: Store) -> None:
    turns = say(store, ["I like hiking a lot.", "I like the hikes."])
    later = store.add_item(fact("hikes", turns[1], NOW - 2 * DAY, Trust.OWNER))
    first = store.add_item(fact("hiking", turns[0]))
    store.use_items([first.id, later.id], NOW - DAY)
    store.rate_item(later.id, helpful=True)
    assert run(store).n_merged == 1
    [left] = store.items()
    assert (left.id, left.trust, left.valid_from) == (first.id, Trust.OWNER, first.valid_from)
    assert (left.n_uses, left.n_helpful) == (2, 1)
    assert {s.ref_id for s in left.spans} == set(turns)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (fact("hiking", 1), fact("biking", 1)),
        (fact("hiking", 1), fact("hiking", 1, trust=Trust.DOCUMENT)),
        (fact("hiking", 1), fact("hiking", trust=Trust.OWNER)),
        (
            NewItem("semantic", "My gate code is 4411 now.", subject=OWNER),
            NewItem("semantic", "My gate code is 4412 now.", subject=OWNER),
        ),
        (
            NewItem("semantic", "I do not eat any fish today.", subject=OWNER),
            NewItem("semantic", "I do eat any fish today.", subject=OWNER),
        ),
        (
            NewItem("semantic", "Reed keeps bees.", subject="reed"),
            NewItem("semantic", "Reed keeps bees.", subject="anna"),
        ),
    ],
)
def test_what_only_looks_alike_stays_apart(store: Store, a: NewItem, b: NewItem) -> None:
    say(store, ["a turn"])
    for new in (a, b):
        store.add_item(NewItem(**{f: getattr(new, f) for f in new.__slots__} | {"slot": ""}))
    assert run(store).n_merged == 0


def test_a_statement_that_came_back_after_another_is_no_repetition(store: Store) -> None:
    turns = say(store, ["one", "two", "three"])
    for i, city in enumerate(("Bern", "Turku", "Bern")):
        text = f"The owner lives in {city} nowadays."
        span = (Span("turn", turns[i], 0, 3),)
        at = NOW - (9 - i) * DAY
        store.add_item(
            NewItem(
                "semantic",
                text,
                subject=OWNER,
                attribute="home",
                value=city,
                slot="owner|home",
                valid_from=at,
                spans=span,
            )
        )
    assert run(store).n_merged == 0
    assert [i.value for i in store.items(slot="owner|home", holding=True)] == ["Bern"]


def test_repeating_what_holds_prolongs_it(store: Store) -> None:
    turns = say(store, ["one", "two"])
    for i in (0, 1):
        span = (Span("turn", turns[i], 0, 3),)
        at = NOW - (9 - i) * DAY
        store.add_item(
            NewItem(
                "semantic", "I live in Bern.", subject=OWNER, attribute="home", value="Bern", slot="owner|home",
                valid_from=at, spans=span,
            )
        )  # fmt: skip
    assert run(store).n_merged == 1
    [left] = store.items(slot="owner|home")
    assert (left.valid_from, left.holds, len(left.spans)) == (NOW - 9 * DAY, True, 2)


def test_a_topic_quotes_its_turns_word_for_word(store: Store) -> None:
    turns = say(store, GARDEN + OTHERS)
    run(store)
    [topic] = store.items(kinds=TOPIC)
    title, *sentences = topic.text.split("\n")
    assert "beans" in title and sentences
    texts = {t.id: t.text.encode() for t in store.turns_by_ids(turns)}
    quoted = {texts[s.ref_id][s.byte_start : s.byte_end].decode() for s in topic.spans}
    assert set(sentences) <= quoted
    assert {s.ref_id for s in topic.spans} == set(turns[: len(GARDEN)])


def test_a_topic_grows_and_keeps_what_it_has(store: Store) -> None:
    say(store, GARDEN)
    run(store)
    [before] = store.items(kinds=TOPIC)
    say(store, ["Somebody stole the runner beans along the garden fence.", *OTHERS])
    run(store)
    [after] = store.items(kinds=TOPIC)
    assert spans_of([before]) < spans_of([after])
    assert after.valid_from == before.valid_from


def test_secrets_quotations_and_orders_are_in_no_topic(store: Store) -> None:
    turns = say(store, GARDEN)
    store.add_item(NewItem("vault", "the safe", value="7", spans=(Span("turn", turns[0], 0, 5),)))
    say(
        store,
        [
            "> The runner beans along the garden fence were sold.",
            "The user prefers runner beans along the garden fence.",
        ],
    )
    run(store)
    [topic] = store.items(kinds=TOPIC)
    assert {s.ref_id for s in topic.spans} == set(turns[1:])


def test_a_topic_goes_with_the_last_of_its_turns(store: Store) -> None:
    say(store, GARDEN)
    run(store)
    [conversation] = store.conversations()
    store.delete_conversation(conversation.id)
    run(store)
    assert store.items(kinds=TOPIC) == []


def test_items_that_name_the_same_are_linked(store: Store) -> None:
    one = store.add_item(NewItem("semantic", "Reed repairs church organs in Ulm.", subject="reed"))
    two = store.add_item(NewItem("episodic", "Reed showed us the church organs of Ulm.", subject="reed"))
    store.add_item(NewItem("semantic", "Anna grows church bells in the organs.", subject="anna"))
    run(store)
    assert [(k.from_id, k.to_id, k.kind) for k in store.item_links(one.id)] == [(two.id, one.id, "related")]


def test_what_is_not_used_is_put_away_and_comes_back_when_it_is(store: Store) -> None:
    item = store.add_item(fact("tea", at=None))
    kept = store.add_item(NewItem("core", "I am Ilse."))
    waits = store.add_item(NewItem("semantic", "Ilse likes mice.", state="pending"))
    later = item.created_at + 91 * DAY
    assert run(store, item.created_at + 80 * DAY).n_faded == 0
    assert run(store, later).n_faded == 1
    assert {i.id: i.state for i in store.items(states=ALL)} == {
        item.id: "archived",
        kept.id: "active",
        waits.id: "pending",
    }
    store.use_items([item.id], later)
    assert run(store, later).n_faded == 1
    assert {i.state for i in store.items() if i.id == item.id} == {"active"}


def test_it_stops_when_it_is_told_to_and_when_its_time_is_over(store: Store) -> None:
    say(store, GARDEN)
    for last in (
        list(consolidate(store, HashEmbedder(), now=NOW, cancelled=lambda: True))[-1],
        list(consolidate(store, HashEmbedder(), now=NOW, budget_s=0.0))[-1],
    ):
        assert last == Consolidated(0, 0, 0, 0, 0, finished=False)
    assert run(store).finished


def test_it_stops_wherever_it_is_told_to_and_takes_nothing_away(store: Store) -> None:
    """Also among the turns, which take it longest to look at."""
    say(store, [*GARDEN, *OTHERS])
    run(store)
    topics = store.items(kinds=TOPIC)
    assert topics
    n_asked = 0
    for stop_at in range(1, 99):
        asked: list[bool] = []

        def stopped(at: int = stop_at, asked: list[bool] = asked) -> bool:
            asked.append(len(asked) + 1 >= at)
            return asked[-1]

        *_, last = consolidate(store, HashEmbedder(), now=NOW, cancelled=stopped)
        assert store.items(kinds=TOPIC) == topics
        assert sum(asked) <= 10  # each step asks once more, and looks at nothing
        n_asked = max(n_asked, len(asked))
        if isinstance(last, Consolidated) and last.finished:
            break
    assert n_asked > len(GARDEN) + len(OTHERS)


def test_an_empty_memory_has_nothing_to_do(store: Store) -> None:
    assert run(store) == Consolidated(0, 0, 0, 0, 0, finished=True)


WORDS = st.sampled_from(["beans", "garden", "fence", "organ", "ferry", "Reed", "Ulm", "likes", "not", "7", "plants"])
TEXTS = st.lists(WORDS, min_size=2, max_size=7).map(" ".join)


@settings(max_examples=n(4, 60), deadline=None)
@given(
    turns=st.lists(TEXTS, min_size=1, max_size=10),
    facts=st.lists(st.tuples(TEXTS, WORDS, st.integers(0, 9), st.integers(0, 200), st.booleans()), max_size=8),
)
def test_again_changes_nothing_and_no_source_is_lost(
    turns: list[str], facts: list[tuple[str, str, int, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "s.db", KEY)
        ids = say(store, turns)
        for text, value, turn, days, slotted in facts:
            spans = (Span("turn", ids[turn % len(ids)], 0, 5),)
            slot = f"owner|{value}" if slotted else ""
            store.add_item(
                NewItem(
                    "semantic", text, subject=OWNER, value=value, slot=slot, valid_from=NOW - days * DAY, spans=spans
                )
            )
        kinds: tuple[ItemKind, ...] = ("semantic",)
        before = spans_of(store.items(kinds=kinds, states=ALL))
        run(store)
        assert spans_of(store.items(kinds=kinds, states=ALL)) == before
        once, steps = everything(store), len(store.log())
        run(store)
        assert everything(store) == once
        assert len(store.log()) == steps
        store.close()
