"""What the echo answers, and how near hashed vectors are."""

from __future__ import annotations

from secondme.runtime.base import DecodedText, Sampling
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.types import Message


def answer(messages: list[Message], sampling: Sampling | None = None) -> str:
    echo = EchoGenerator()
    list(echo.prefill(echo.chat_tokens(messages)))
    return "".join(e.text for e in echo.decode(sampling or Sampling()) if isinstance(e, DecodedText))


def test_it_echoes_the_last_line_of_the_last_question() -> None:
    talk = [
        Message("user", "first"),
        Message("assistant", "echo: first"),
        Message("user", "Passages\n\nWhich 日本 🙂?\n"),
    ]
    assert answer(talk) == "echo: Which 日本 🙂?"


def test_it_cites_the_first_passage_if_there_is_one() -> None:
    assert answer([Message("user", "[1] a passage\nWhat?")]) == "echo: What? [1]"


def test_a_seed_turns_the_words() -> None:
    assert answer([Message("user", "a b c")], Sampling(temperature=1.0, seed=1)) == "echo: b c a"


def test_an_empty_question_has_an_answer() -> None:
    assert answer([Message("user", "  ")]) == "echo: nothing"


def test_texts_that_share_words_are_near() -> None:
    vectors = HashEmbedder().embed(["the tide at the lighthouse", "lighthouses and tides", "tax forms"])
    assert vectors[0] @ vectors[1] > 0.1 > abs(vectors[0] @ vectors[2])
    assert HashEmbedder(n_dims=16).embed(["x"]).shape == (1, 16)
