"""Answers over a real store with the built-in models: what is asked, what is shown, what is returned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from secondme.chat.turn import NOTHING_FOUND, Engines, Question, RepetitionGuard, answer
from secondme.errors import ContextOverflow
from secondme.memory.store import Store
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.types import Answer, AnswerEvent, Chunk, FileStamp, Message, Notice, Recalled, SourceFile, TokenText

LAMP = "The lamp of the lighthouse was lit in 1886 by the keeper Reed."


@pytest.fixture
def engines(store: Store, hashed: HashEmbedder, echo: EchoGenerator) -> Engines:
    store.set_embedder(hashed.fingerprint, hashed.n_dims)
    for n, text in enumerate((LAMP, "Bread needs flour, water, salt and twelve hours of rest.")):
        chunk = Chunk(0, text, 0, len(text), 1, 1, None, ())
        source = SourceFile(f"/n/{n}.txt", "default", "text/plain", f"note {n}", bytes([n]), FileStamp(1, 1, n))
        store.put_source(source, [chunk], hashed.embed([text]))
    return Engines(store, hashed, echo)


def last(events: Iterator[AnswerEvent]) -> tuple[list[AnswerEvent], Answer]:
    seen = list(events)
    final = seen[-1]
    assert isinstance(final, Answer)
    return seen, final


def test_events_come_in_order_and_join_to_the_answer(engines: Engines) -> None:
    seen, final = last(answer(Question("When was the lamp of the lighthouse lit?", "default"), engines))
    assert isinstance(seen[0], Recalled)
    assert "".join(e.text for e in seen if isinstance(e, TokenText)).strip() == final.text
    assert final.found
    assert any(c.text == LAMP and c.path == "/n/0.txt" for c in final.citations)
    assert final.usage.n_used >= final.timings.n_prompt_tokens
    assert final.timings.first_token_s <= final.timings.recall_s + final.timings.prefill_s + final.timings.decode_s + 1


def test_nothing_found_is_said_without_asking_the_model(engines: Engines) -> None:
    _, final = last(answer(Question("Who won the chess tournament in Reykjavik?", "default"), engines))
    assert (final.text, final.found, final.citations) == (NOTHING_FOUND, False, ())
    assert final.timings.n_answer_tokens == 0
    assert engines.generator.cached_tokens == ()


def test_cancelling_keeps_what_was_said(engines: Engines) -> None:
    shown: list[str] = []
    events = answer(Question("When was the lamp lit?"), engines, cancelled=lambda: len(shown) >= 3)
    for event in events:
        if isinstance(event, TokenText):
            shown.append(event.text)
        if isinstance(event, Answer):
            assert event.stopped == "cancelled"
            assert event.text == "".join(shown).strip()
            return
    pytest.fail("there was no answer")


def test_cancelling_before_the_first_token(engines: Engines) -> None:
    _, final = last(answer(Question("When was the lamp lit?"), engines, cancelled=lambda: True))
    assert (final.stopped, final.text) == ("cancelled", "")


def test_attached_text_is_read_first_and_cited(engines: Engines) -> None:
    text = "The tide table says high water at noon."
    _, final = last(answer(Question("When is high water?", "default", attached=text), engines))
    assert final.found
    assert any((c.path, c.chunk_id, c.text) == ("-", 0, text) for c in final.citations)


def test_a_follow_up_is_searched_with_the_question_before(engines: Engines) -> None:
    history = (Message("user", "When was the lamp of the lighthouse lit?"), Message("assistant", "In 1886."))
    seen, _ = last(answer(Question("And by whom?", "default", history), engines))
    recalled = seen[0]
    assert isinstance(recalled, Recalled)
    assert recalled.hits[0].chunk.chunk.text == LAMP


def test_turns_left_out_are_said(engines: Engines) -> None:
    history = tuple(Message(r, f"about the lamp {i} " * 200) for i in range(8) for r in ("user", "assistant"))
    seen, _ = last(answer(Question("When was the lamp lit?", "default", history), engines))
    assert any(isinstance(e, Notice) and "earlier turns" in e.message for e in seen)


def test_a_question_longer_than_the_context_is_refused(engines: Engines) -> None:
    with pytest.raises(ContextOverflow):
        list(answer(Question("lamp " * 30_000, "default"), engines))


def test_circles_are_noticed() -> None:
    guard = RepetitionGuard()
    text = "The answer is here. It was lit in 1886.\nNo. No. No. No. The answer is here. More"
    said = ""
    for i in range(0, len(text), 4):
        said += text[i : i + 4]
        if guard.repeated(text[i : i + 4]):
            break
    assert said.rstrip().endswith("The answer is here. M") or said.rstrip().endswith("The answer is here.")
