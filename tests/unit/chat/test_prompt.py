"""What fits is in the prompt, what does not is reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondme.chat.prompt import Reading, build_prompt
from secondme.errors import ContextOverflow
from secondme.recall.excerpt import Excerpt
from secondme.recall.sentences import Sentence
from secondme.runtime.base import ModelInfo
from secondme.runtime.echo import EchoGenerator
from secondme.types import Message
from tests.unit.chat.test_cite import HITS, hit


def read(text: str, *, n: int = 1) -> Excerpt:
    return Excerpt(hit(text, n=n), Sentence(text, 0, len(text)), text)


PASSAGES = tuple(read(h.chunk.chunk.text, n=h.chunk.id) for h in HITS)


class SmallEcho(EchoGenerator):
    """The echo as a model of 135 million parameters."""

    @property
    def info(self) -> ModelInfo:
        return replace(super().info, n_params=135_000_000)


def test_passages_are_numbered_and_the_question_is_last() -> None:
    generator = EchoGenerator(n_ctx=8192)
    prompt = build_prompt("When was the lamp lit?", PASSAGES, (), Reading(generator))
    text = generator.detokenize(prompt.tokens)
    assert text.index("[1]") < text.index("1886") < text.index("[2]") < text.index("When was the lamp lit?")
    assert prompt.passages == PASSAGES


def test_a_question_that_does_not_fit_is_said() -> None:
    with pytest.raises(ContextOverflow) as caught:
        build_prompt("why " * 5000, PASSAGES, (), Reading(EchoGenerator(n_ctx=2048)))
    assert "tokens" in caught.value.message


def test_passages_give_way_before_the_question() -> None:
    long = [read("flour and water. " * 60, n=n) for n in range(1, 6)]
    prompt = build_prompt("What is in bread?", long, (), Reading(EchoGenerator(n_ctx=2048)))
    assert prompt.n_passages_left_out == 5 - len(prompt.passages) > 0


def test_old_turns_give_way_before_passages() -> None:
    history = [Message(role, f"turn {i} " * 40) for i in range(10) for role in ("user", "assistant")]
    generator = EchoGenerator(n_ctx=1200)
    prompt = build_prompt("When was the lamp lit?", PASSAGES, history, Reading(generator))
    text = generator.detokenize(prompt.tokens)
    assert prompt.passages == PASSAGES
    assert prompt.n_turns_left_out > 0
    assert "turn 0 " not in text
    assert "turn 9 " in text
    assert len(prompt.tokens) <= 1200


def test_what_is_needed_is_never_dropped() -> None:
    with pytest.raises(ContextOverflow):
        build_prompt("Summarise.", [read("word " * 3000)], (), Reading(EchoGenerator(n_ctx=2048)), n_needed=1)


def test_a_small_model_reads_excerpts_of_the_best_three() -> None:
    passages = []
    for n in range(1, 6):
        sentence = f"Sentence {n} holds the answer."
        passages.append(Excerpt(hit(f"Far away. {sentence} Much later.", n=n), Sentence(sentence, 10, 40), sentence))
    generator = SmallEcho(n_ctx=4096)
    prompt = build_prompt("What holds the answer?", passages, (), Reading(generator))
    text = generator.detokenize(prompt.tokens)
    assert [p.hit.chunk.id for p in prompt.passages] == [1, 2, 3]
    assert "Sentence 3 holds" in text
    assert "Sentence 4 holds" not in text
    assert "Much later" not in text
