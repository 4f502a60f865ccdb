"""A model's claims: in form by the grammar, and taken only if they follow from what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.errors import ModelError
from secondme.memory.store import Store
from secondme.reflect.assertions import asserted
from secondme.reflect.by_model import GRAMMAR, claims_by_model, is_worth_it, learn_by_model, proposed
from secondme.reflect.claims import Says
from secondme.reflect.entail import source_of
from secondme.runtime.echo import EchoGenerator
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.types import Learned, Turn


@pytest.mark.parametrize(
    ("text", "subject", "attribute", "value", "says"),
    [
        ("We ended up living in Porto.", "owner", "home", "Porto", "holds"),
        ("Honestly, Nadia works at Orrin Ltd these days.", "nadia", "employer", "Orrin Ltd", "holds"),
        ("I'm not working at Orrin any more.", "owner", "employer", "Orrin", "ends"),
        ("I once worked at Orrin.", "owner", "employer", "Orrin", "held"),
        ("My quilting group is called The Patchers.", "owner", "quilting group", "The Patchers", "holds"),
    ],
)
def test_what_follows(text: str, subject: str, attribute: str, value: str, says: Says) -> None:
    found = source_of(text, subject, attribute, value, says)
    assert found is not None and value in found.text


@pytest.mark.parametrize(
    ("text", "subject", "attribute", "value", "says"),
    [
        ("We ended up living in Porto.", "owner", "home", "Lisbon", "holds"),
        ("We ended up living in Porto.", "owner", "employer", "Porto", "holds"),
        ("We ended up living in Porto.", "owner", "home", "Porto", "ends"),
        ("Nadia works at Orrin Ltd.", "owner", "employer", "Orrin Ltd", "holds"),
        ("Nadia works at Orrin Ltd.", "paul", "employer", "Orrin Ltd", "holds"),
        ("Do I live in Porto?", "owner", "home", "Porto", "holds"),
        ("Maybe I'll end up living in Porto.", "owner", "home", "Porto", "holds"),
        ("She said: “I live in Porto and love it.”", "owner", "home", "Porto", "holds"),
        ("I live in Porto.", "owner", "home", "in Port", "holds"),
        ("I live in Porto.", "owner", "home", "", "holds"),
    ],
)
def test_what_does_not(text: str, subject: str, attribute: str, value: str, says: Says) -> None:
    assert source_of(text, subject, attribute, value, says) is None


def test_the_real_model_keeps_to_the_form_and_invents_nothing(smollm2_path: Path) -> None:
    generator = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=768))
    try:
        text = "After all those years my quilting group has a name, and I ended up in Porto."
        rows = proposed(text, generator)
        assert all(set(row) == {"who", "what", "value", "says"} for row in rows)
        claims = claims_by_model(text, generator, None)
        assert all(
            claim.value in text and source_of(text, claim.subject, claim.attribute, claim.value, claim.says)
            for claim in claims
        )
        assert not is_worth_it(generator.info, wanted=True)
    finally:
        generator.close()


def turn_of(store: Store, text: str, role: str = "user") -> Turn:
    talk = store.new_conversation("default", "talk")
    turn_id = store.add_turn(talk, "assistant" if role == "assistant" else "user", text, [])
    return store.turns_by_ids([turn_id])[0]


def test_a_generator_without_grammars_says_so(store: Store, echo: EchoGenerator) -> None:
    turn = turn_of(store, "I ended up in Porto.")
    with pytest.raises(ModelError):
        learn_by_model(store, turn, echo, now=turn.created_at)


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("My wifi password is blue42horse.", "user"),
        ("I live in Porto.", "assistant"),
        ("Where do I live?", "user"),
        ("I live in Porto. " * 100, "user"),
    ],
)
def test_some_turns_are_shown_to_no_model(store: Store, text: str, role: str) -> None:
    closed = EchoGenerator()
    closed.close()  # it raises if it is asked
    turn = turn_of(store, text, role)
    assert learn_by_model(store, turn, closed, now=turn.created_at) == Learned()


def test_the_grammar_bounds_what_is_written() -> None:
    assert "{0,3}" in GRAMMAR and "{1,48}" in GRAMMAR
    assert asserted("Is it?") == []
