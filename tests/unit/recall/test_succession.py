"""Which statement took another's place: by a value it names, by pointing back, by words; never somebody else's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.memory.store import Store
from secondme.recall.gather import Scope, ranked
from secondme.recall.succession import Told, can_answer, matter, pointers
from secondme.recall.telling import Telling
from secondme.reflect.learn import learn_from_turn
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.traces import traces

START = 1_795_000_000.0
DAY = 86400.0


def told(*texts: str, scores: tuple[float, ...] = ()) -> list[Told]:
    """One conversation, a turn a day; the first bears most on the question."""
    every = scores or (1.0, *(0.1 for _ in texts[1:]))
    return [Told(Telling(t), START + n * DAY, every[n], n + 1, 1, n) for n, t in enumerate(texts)]


def after(question: str, *texts: str, scores: tuple[float, ...] = ()) -> list[str]:
    """What took the place of the first text."""
    first, *others = told(*texts, scores=scores)
    return [others[n].tells.text for n in pointers(matter(question), first, others)]


@pytest.mark.parametrize(
    ("question", "first", "then"),
    [
        ("what day is mum coming?", "mum's coming over on Thursday", "make that Friday"),
        ("what time are we eating?", "the thai place is booked for 7pm", "oops, I meant 8:30"),
        ("Where is the reunion?", "The reunion is at the library.", "No, wait, it's at the town hall."),
        ("Which laptop am I using?", "My laptop is a ThinkPad.", "I'm on a Framework now."),
    ],
)
def test_a_correction_that_names_only_the_new_value(question: str, first: str, then: str) -> None:
    assert after(question, first, "how do magnets work", "my back hurts", then) == [then]


def test_it_speaks_of_the_nearest_that_has_such_a_value() -> None:
    texts = ("mum's coming over on Thursday", "the plumber comes on Monday", "make that Friday")
    assert after("what day is mum coming?", *texts) == []


def test_one_correction_follows_another() -> None:
    texts = ("We need 30 chairs.", "Make it 20.", "the rain hasn't stopped", "Actually 25, not 20.")
    assert after("How many chairs do we need?", *texts) == ["Make it 20.", "Actually 25, not 20."]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("where do I live?", "my cousin moved to Perth"),
        ("what's my phone number?", "the plumber's number is now 01632 960001"),
        ("where does my sister live?", "my brother moved to Perth"),
        ("what time is standup?", "standup is fun now"),
        ("what time is standup?", "do we have standup at 10:00 now?"),
    ],
)
def test_others_and_what_gives_no_answer_take_no_place(question: str, text: str) -> None:
    assert not can_answer(matter(question), Telling(text))


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=8), st.text(max_size=40))
def test_any_words_are_put_in_order_of_time(texts: list[str], question: str) -> None:
    every = told("I live in Graz.", *texts)
    found = pointers(matter(question), every[0], every[1:])
    assert found == sorted(set(found))


@pytest.fixture
def talk(store: Store) -> Store:
    embedder = HashEmbedder()
    store.set_embedder(embedder.fingerprint, embedder.n_dims)
    conversation = store.new_conversation("default", "talk")
    texts = [
        "My gym is Ironhall.",
        "How do magnets work",
        "joined The Foundry, much closer than Ironhall",
        "my sister joined Anvil",
    ]
    ids = [store.add_turn(conversation, "user", t, [], at=START + n * DAY) for n, t in enumerate(texts)]
    turns = store.turns_by_ids(ids)
    store.put_traces(traces(turns, embedder))
    for turn in turns:
        learn_from_turn(store, turn, now=turn.created_at)
    return store


def test_a_later_turn_goes_before_what_was_learned(talk: Store) -> None:
    found = ranked("Which gym do I go to?", talk, HashEmbedder(), Scope("default"), k=5)[0]
    assert "The Foundry" in found[0].text and any("Ironhall" in s.text for s in found)
