"""Conversations and turns, with citations as they were when the answer was given."""

from __future__ import annotations

import dataclasses

import pytest

from secondme.errors import StoreError
from secondme.memory.store import Store
from tests.storing import citation_of


def test_turns_read_back_exactly(store: Store) -> None:
    conversation = store.new_conversation("work", "A title with \u00e9 and \n")
    awkward = dataclasses.replace(
        citation_of("/caf\u00e9/\udcff\n.txt", 'text with "quotes", \0 and \U0001f600'), n=2, page=None, heading_path=()
    )
    citations = (citation_of(), awkward)
    asked = store.add_turn(conversation, "user", "why?\0 \u2028", ())
    answered = store.add_turn(conversation, "assistant", "because [1][2]", citations)
    turns = store.turns(conversation)
    assert [(t.id, t.conversation_id, t.role, t.text) for t in turns] == [
        (asked, conversation, "user", "why?\0 \u2028"),
        (answered, conversation, "assistant", "because [1][2]"),
    ]
    assert [t.citations for t in turns] == [(), citations]


def test_half_a_character_from_a_pipe_does_not_lose_the_turn(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    store.add_turn(conversation, "user", "caf\udcc3 ole", ())
    assert store.turns(conversation)[0].text == "caf\udcc3 ole"


def test_the_conversation_last_spoken_in_comes_first(store: Store) -> None:
    first, second = store.new_conversation("one", "first"), store.new_conversation("two", "second")
    assert [c.id for c in store.conversations()] == [second, first]
    store.add_turn(first, "user", "hello", ())
    found = store.conversations()
    assert [(c.id, c.title, c.project, c.n_turns) for c in found] == [
        (first, "first", "one", 1),
        (second, "second", "two", 0),
    ]
    assert found[0].updated_at >= found[0].created_at
    assert [c.id for c in store.conversations("two")] == [second]
    assert store.conversations("three") == []


def test_renaming_and_deleting(store: Store) -> None:
    kept, gone = store.new_conversation("default", "kept"), store.new_conversation("default", "gone")
    store.add_turn(gone, "user", "hello", (citation_of(),))
    store.add_turn(kept, "user", "hello", ())
    store.rename_conversation(kept, "renamed")
    store.delete_conversation(gone)
    store.delete_conversation(gone)
    assert [(c.id, c.title) for c in store.conversations()] == [(kept, "renamed")]
    assert store.turns(gone) == [] and len(store.turns(kept)) == 1
    assert store.stats().n_turns == 1


def test_a_turn_of_a_deleted_conversation_is_an_error(store: Store) -> None:
    gone = store.new_conversation("default", "gone")
    store.delete_conversation(gone)
    with pytest.raises(StoreError):
        store.add_turn(gone, "user", "hello", ())
    assert store.stats().n_turns == 0
    assert store.new_conversation("default", "new") > gone
