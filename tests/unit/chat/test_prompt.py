"""What fits is in the prompt, what does not is reported."""

from __future__ import annotations

import pytest

from secondme.chat.prompt import build_prompt
from secondme.errors import ContextOverflow
from secondme.runtime.echo import EchoGenerator
from secondme.types import Message
from tests.unit.chat.test_cite import HITS, hit


def test_passages_are_numbered_and_the_question_is_last() -> None:
    generator = EchoGenerator(n_ctx=8192)
    prompt = build_prompt("When was the lamp lit?", HITS, (), generator)
    text = generator.detokenize(prompt.tokens)
    assert text.index("[1]") < text.index("1886") < text.index("[2]") < text.index("When was the lamp lit?")
    assert prompt.hits == HITS


def test_a_question_that_does_not_fit_is_said() -> None:
    with pytest.raises(ContextOverflow) as caught:
        build_prompt("why " * 5000, HITS, (), EchoGenerator(n_ctx=2048))
    assert "tokens" in caught.value.message


def test_passages_give_way_before_the_question() -> None:
    long = [hit("flour and water. " * 60, n=n) for n in range(1, 6)]
    prompt = build_prompt("What is in bread?", long, (), EchoGenerator(n_ctx=2048))
    assert prompt.n_hits_left_out == 5 - len(prompt.hits) > 0


def test_old_turns_give_way_before_passages() -> None:
    history = [Message(role, f"turn {i} " * 40) for i in range(10) for role in ("user", "assistant")]
    generator = EchoGenerator(n_ctx=1200)
    prompt = build_prompt("When was the lamp lit?", HITS, history, generator)
    text = generator.detokenize(prompt.tokens)
    assert prompt.hits == HITS
    assert prompt.n_turns_left_out > 0
    assert "turn 0 " not in text
    assert "turn 9 " in text
    assert len(prompt.tokens) <= 1200


def test_what_is_needed_is_never_dropped() -> None:
    with pytest.raises(ContextOverflow):
        build_prompt("Summarise.", [hit("word " * 3000)], (), EchoGenerator(n_ctx=2048), n_needed=1)
