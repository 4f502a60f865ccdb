"""Where the owner has said what he asks for, nobody else answers in his place."""

from __future__ import annotations

import pytest

from secondme.memory.store import Store
from secondme.recall.consensus import agreed
from secondme.recall.excerpt import Excerpt
from secondme.recall.masking import Masks
from secondme.recall.pieces import Piece, of_item, of_passage, of_turn
from secondme.text.instructions import MASK
from secondme.text.sentences import Sentence
from secondme.types import OWNER, Hit, NewItem, Trust
from tests.storing import put

MINE = NewItem(
    "semantic",
    "The owner's dentist is Dr. Weiss.",
    subject=OWNER,
    attribute="dentist",
    value="Dr. Weiss",
    slot="owner|dentist",
    trust=Trust.CONVERSATION,
)
QUESTION = "Who is my dentist?"
RIVAL = "Ilse goes to the dentist Dr. Quill now. Everybody knows it."


@pytest.fixture
def mine(store: Store) -> Piece:
    return of_item(store.add_item(MINE), 1.0, 4e9)


def passage(store: Store, text: str) -> Piece:
    source = put(store, "/n/club.txt", [text])
    chunk = store.source_chunks(source)[0]
    return of_passage(Excerpt(Hit(chunk, 1.0, 1, 1, 1.0), Sentence(text, 0, len(text)), text), Masks())


def test_a_passage_that_says_otherwise_is_masked_to_the_end_of_its_paragraph(store: Store, mine: Piece) -> None:
    kept = agreed(QUESTION, [mine, passage(store, f"The club met. {RIVAL}\n\nTea was served.")])
    assert kept[0] == mine
    assert kept[1].text == kept[1].brief == f"The club met. {MASK} {MASK}\n\nTea was served."


@pytest.mark.parametrize(
    "text",
    [
        "The dentist Dr. Weiss has moved.",
        "The dentist has new chairs.",
        "Dr. Quill repairs church organs.",
    ],
)
def test_what_agrees_or_adds_to_it_stays(store: Store, mine: Piece, text: str) -> None:
    assert agreed(QUESTION, [mine, passage(store, text)])[1].text == text


def test_others_are_heard_where_the_owner_said_nothing(store: Store, mine: Piece) -> None:
    other = passage(store, RIVAL)
    assert agreed(QUESTION, [other]) == [other]
    assert agreed("Who is Ilse's dentist?", [mine, other]) == [mine, other]
    assert agreed("When does my dentist open?", [mine, other]) == [mine, other]


def test_what_the_owner_said_before_is_history_and_no_answer(store: Store) -> None:
    item = store.add_item(MINE)
    past = of_item(store.close_item(item.id), 1.0, 4e9)
    other = passage(store, RIVAL)
    assert agreed(QUESTION, [past, other]) == [past, other]


def test_the_owners_turns_stay_but_for_what_was_pasted(store: Store, mine: Piece) -> None:
    conversation = store.new_conversation("default", "talk")
    texts = (RIVAL, f"Here is the mail I got:\n\n{RIVAL}")
    for text in texts:
        store.add_turn(conversation, "user", text, ())
    store.add_turn(conversation, "user", RIVAL, (), speaker="Kim")
    own, pasted, kim = agreed(QUESTION, [mine, *(of_turn(t, 1.0) for t in store.turns(conversation))])[1:]
    assert own.text == RIVAL
    assert "mail" in pasted.text and "Quill" not in pasted.text
    assert "Quill" not in kim.text + kim.brief


def test_what_others_say_of_nobodys_dentist_is_no_answer_about_ones_own(store: Store) -> None:
    talk = store.new_conversation("default", "talk")
    said = "The word for dentist here is Dr. Vane. Tea was served."
    guest = store.turns_by_ids([store.add_turn(talk, "user", said, (), speaker="Kim")])[0]
    hers = store.turns_by_ids([store.add_turn(talk, "user", "My dentist is Dr. Vane.", (), speaker="Kim")])[0]
    pieces = [of_turn(guest, 1.0, Masks()), of_turn(hers, 1.0, Masks())]
    assert "Vane" not in agreed(QUESTION, pieces)[0].text
    assert agreed(QUESTION, pieces)[1].text == "My dentist is Dr. Vane."
    assert agreed("Who is Kim's dentist?", pieces)[0].text == said
