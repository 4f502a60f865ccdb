"""What fits is in the prompt, what does not is reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondme.chat.prompt import BRIEF_RULES, Reading, build_prompt
from secondme.errors import ContextOverflow
from secondme.recall.excerpt import Excerpt
from secondme.recall.pieces import Piece, of_passage
from secondme.runtime.base import ModelInfo
from secondme.runtime.echo import EchoGenerator
from secondme.text.sentences import Sentence
from secondme.types import Message, Opened, OpenedDocument
from tests.unit.chat.test_cite import HITS, hit


def read(text: str, *, n: int = 1) -> Piece:
    return of_passage(Excerpt(hit(text, n=n), Sentence(text, 0, len(text)), text))


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
    assert prompt.pieces == PASSAGES


def test_a_question_that_does_not_fit_is_said() -> None:
    with pytest.raises(ContextOverflow) as caught:
        build_prompt("why " * 5000, PASSAGES, (), Reading(EchoGenerator(n_ctx=2048)))
    assert "tokens" in caught.value.message


def test_passages_give_way_before_the_question() -> None:
    long = [read("flour and water. " * 60, n=n) for n in range(1, 6)]
    prompt = build_prompt("What is in bread?", long, (), Reading(EchoGenerator(n_ctx=2048)))
    assert prompt.n_pieces_left_out == 5 - len(prompt.pieces) > 0


def test_old_turns_give_way_before_passages() -> None:
    history = [Message(role, f"turn {i} " * 40) for i in range(10) for role in ("user", "assistant")]
    generator = EchoGenerator(n_ctx=1200)
    prompt = build_prompt("When was the lamp lit?", PASSAGES, history, Reading(generator))
    text = generator.detokenize(prompt.tokens)
    assert prompt.pieces == PASSAGES
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
        excerpt = Excerpt(hit(f"Far away. {sentence} Much later.", n=n), Sentence(sentence, 10, 40), sentence)
        passages.append(of_passage(excerpt))
    generator = SmallEcho(n_ctx=4096)
    prompt = build_prompt("What holds the answer?", passages, (), Reading(generator))
    text = generator.detokenize(prompt.tokens)
    assert [p.ref_id for p in prompt.pieces] == [1, 2, 3]
    assert "Sentence 3 holds" in text
    assert "Sentence 4 holds" not in text
    assert "Much later" not in text


def opened(generator: EchoGenerator, *ids: int) -> Opened:
    """A project whose documents are the passages with these source ids."""
    rules = "Documents:\n\n"
    head, _ = generator.chat_parts([Message("system", rules), Message("user", "")])
    tokens = (*head, *generator.tokenize("All about lamps. "))
    documents = tuple(OpenedDocument(i, f"/notes/{i}.md", f"{i}", 5, "text") for i in ids)
    return Opened("default", rules, tokens, documents, "1")


def test_an_opened_project_stands_before_the_turns_and_its_passages_are_brief() -> None:
    generator = EchoGenerator(n_ctx=8192)
    lies_before = opened(generator, 1)
    short = replace(PASSAGES[0], brief="The lamp was lit.")
    history = [Message("user", "earlier"), Message("assistant", "yes")]
    prompt = build_prompt("When?", [short, PASSAGES[1]], history, Reading(generator, lies_before))
    assert tuple(prompt.tokens[: len(lies_before.tokens)]) == lies_before.tokens
    text = generator.detokenize(prompt.tokens)
    assert text.index("All about lamps.") < text.index("earlier") < text.index("[1]") < text.index("When?")
    assert "[1] 1 > Heading\nThe lamp was lit.\n" in text, "the rest of it is before the model already"
    assert PASSAGES[1].text in text, "of what was not read it gets the whole passage"


def test_what_does_not_fit_behind_an_opened_project_is_left_out_or_refused() -> None:
    generator = EchoGenerator(n_ctx=512)
    lies_before = replace(opened(generator), tokens=tuple(generator.tokenize("a " * 330)))
    reading = Reading(generator, lies_before)
    prompt = build_prompt("Why?", [read("word " * 100)], [Message("user", "x " * 80)], reading)
    assert (prompt.n_pieces_left_out, prompt.n_turns_left_out) == (1, 1)
    with pytest.raises(ContextOverflow):
        build_prompt("why " * 100, (), (), reading)


def test_a_small_model_is_told_again_behind_an_opened_project() -> None:
    generator = SmallEcho(n_ctx=8192)
    text = generator.detokenize(build_prompt("When?", PASSAGES, (), Reading(generator, opened(generator))).tokens)
    assert text.index("All about lamps.") < text.index(BRIEF_RULES) < text.index("Question: When?")
    assert "[1]" not in text
