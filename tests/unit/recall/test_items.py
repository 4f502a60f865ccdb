"""What is known about a question: by attribute, in other words, of the right person, and what holds now first."""

from __future__ import annotations

import pytest

from secondme.memory.store import Store
from secondme.recall.gather import Scope, ranked
from secondme.recall.items import is_about_past, recall_items
from secondme.recall.newest import Statement, newest_first
from secondme.reflect.learn import learn_from_turn
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.traces import traces
from secondme.types import MemoryItem, NewItem

START = 1_795_000_000.0
DAY = 86400.0


def know(
    store: Store, attribute: str, value: str, text: str, *, day: int = 0, subject: str = "owner", many: bool = False
) -> MemoryItem:
    slot = f"{subject}|{attribute}" + (f"|{value.lower()}" if many else "")
    return store.add_item(
        NewItem(
            "semantic", text, subject=subject, attribute=attribute, value=value, slot=slot, valid_from=START + day * DAY
        )
    )


@pytest.fixture
def known(store: Store) -> Store:
    know(store, "home", "Graz", "I live in Graz.")
    know(store, "home", "Linz", "I live in Linz.", day=40)
    know(store, "employer", "Northwind", "I work at Northwind.")
    know(store, "job", "a chemist", "I am a chemist.")
    know(store, "partner", "Nora", "My wife is Nora.")
    know(store, "employer", "Bosch", "My wife works at Bosch.", subject="partner")
    know(store, "favourite colour", "teal", "My favourite colour is teal.")
    know(store, "likes", "jazz", "I like jazz.", many=True)
    return store


def best(store: Store, question: str, at: float | None = None) -> str:
    return recall_items(question, store, None, project="default", k=3, at=at)[0].item.value


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("Where do I live?", "Linz"),
        ("Which city am I based in?", "Linz"),
        ("What do I do for a living?", "a chemist"),
        ("Who is my employer?", "Northwind"),
        ("What's my wife's name?", "Nora"),
        ("Where does my wife work?", "Bosch"),
        ("What is my favorite color?", "teal"),
    ],
)
def test_the_current_value_in_other_words(known: Store, question: str, value: str) -> None:
    assert best(known, question) == value


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What does my sister do?", "a vet"),
        ("What does Hanna do?", "a vet"),
        ("What is my sister's job?", "a vet"),
        ("Where does my sister live?", "Bruges"),
        ("Where does Hanna live?", "Bruges"),
        ("What is my sister called?", "Hanna"),
        ("Where do I live?", "Linz"),
    ],
)
def test_somebody_known_by_name_and_by_relation_is_one(known: Store, question: str, value: str) -> None:
    know(known, "sister", "Hanna", "My sister is Hanna.", many=True)
    know(known, "job", "a vet", "My sister Hanna is a vet.", subject="hanna")
    know(known, "home", "Bruges", "My sister lives in Bruges.", subject="sister")
    know(known, "home", "Oslo", "Petra lives in Oslo.", subject="petra")
    assert best(known, question) == value


def test_of_the_past_what_held_then(known: Store) -> None:
    assert best(known, "Where did I use to live?") == "Graz"
    assert best(known, "Where do I live?", at=START + 10 * DAY) == "Graz"


def test_old_values_are_told_to_be_old(known: Store) -> None:
    hits = recall_items("Where do I live?", known, None, project="default", k=5)
    told = {h.item.value: h.current for h in hits}
    assert told["Linz"] and not told["Graz"]
    assert [h.item.value for h in hits].index("Linz") < [h.item.value for h in hits].index("Graz")


def test_secrets_other_projects_and_what_waits_are_not_found(known: Store) -> None:
    known.add_item(NewItem("vault", "My home code is 4821", subject="owner", attribute="home code", value="4821"))
    known.add_item(
        NewItem("semantic", "I live in Rome.", project="other", subject="owner", attribute="home", value="Rome")
    )
    known.add_item(
        NewItem("semantic", "I live in Bonn.", subject="owner", attribute="home", value="Bonn", state="pending")
    )
    values = {h.item.value for h in recall_items("Where is my home? home code", known, None, project="default", k=20)}
    assert values.isdisjoint({"4821", "Rome", "Bonn"}) and "Linz" in values


def test_nothing_known_is_nothing_found(store: Store) -> None:
    assert recall_items("Where do I live?", store, None, project="default", k=3) == ()
    assert recall_items("", store, None, project=None, k=3) == ()


def test_notes_without_a_slot_come_newest_first(store: Store) -> None:
    for day, text in enumerate(("The spare key lies in the shed.", "We put the spare key under the pot instead.")):
        store.add_item(NewItem("semantic", text, attribute="note", value=text, valid_from=START + day * DAY))
    hits = recall_items("Where is the spare key?", store, None, project="default", k=2)
    assert hits[0].item.text.startswith("We put")


@pytest.mark.parametrize("question", ["Where did I use to live?", "What was my old job?", "Who was my boss before?"])
def test_questions_about_the_past(question: str) -> None:
    assert is_about_past(question)


@pytest.mark.parametrize(
    "question", ["Where do I live?", "Which paint did we pick?", "What is my current job?", "What was that film?"]
)
def test_questions_about_the_present(question: str) -> None:
    assert not is_about_past(question)


def test_the_newer_of_two_neighbours_goes_first_and_others_stay() -> None:
    said = [
        Statement("The choir sings a Byrd mass in spring.", 1.0, 1.2),
        Statement("The choir sings a Holst carol in spring instead.", 3.0, 1.0),
        Statement("It rained all day.", 9.0, 0.9),
    ]
    assert newest_first(said) == [1, 0, 2]
    assert newest_first([]) == []


def test_a_newer_one_that_bears_little_on_it_stays_behind() -> None:
    said = [Statement("My dog Rex likes cheese.", 1.0, 1.5), Statement("The dog slept.", 2.0, 0.4)]
    assert newest_first(said) == [0, 1]


def test_turns_that_no_rule_read_answer_with_the_newest(store: Store) -> None:
    embedder = HashEmbedder()
    store.set_embedder(embedder.fingerprint, embedder.n_dims)
    talk = store.new_conversation("default", "talk")
    texts = [
        "The painters do the hallway in ochre.",
        "It rains.",
        "On second thought the hallway gets sage.",
        "What colour is the hallway?",
    ]
    ids = [store.add_turn(talk, "user", t, [], at=START + n * DAY) for n, t in enumerate(texts)]
    store.put_traces(traces(store.turns_by_ids(ids), embedder))
    found, _ = ranked("Which colour does the hallway get?", store, embedder, Scope("default"), k=3)
    assert found[0].text == texts[2]


def test_a_sure_item_stands_before_turns_and_its_own_turn_is_not_told_twice(known: Store) -> None:
    talk = known.new_conversation("default", "talk")
    known.add_turn(talk, "user", "Where do people live who live in Linz?", [])
    found, _ = ranked("Where do I live?", known, HashEmbedder(), Scope("default"), k=3)
    assert found[0].kind == "item" and found[0].text.startswith("I live in Linz")


def test_what_is_over_is_told_in_the_words_that_said_so(store: Store) -> None:
    talk = store.new_conversation("default", "talk")
    texts = ("My driving test is on 4 May.", "My driving test got cancelled and rebooked for 18 May.")
    for day, text in enumerate(texts):
        turn_id = store.add_turn(talk, "user", text, [], at=START + day * DAY)
        learn_from_turn(store, store.turns_by_ids([turn_id])[0], now=START)
    found, _ = ranked("When is my driving test?", store, HashEmbedder(), Scope("default"), k=3)
    assert found[0].text == texts[1]
