"""Told in a conversation, corrected, asked for after a restart, explained and undone: as in the terminal app."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.assistant.learning import Said
from secondme.config import Config
from secondme.errors import ModelError
from secondme.paths import data_dir
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.types import Answer, AnswerEvent, Learned, Recalled, SecretAsked, never_cancelled
from tests.commanding import PASSPHRASE, Commands, assistant, holding, make_keys


@pytest.fixture(autouse=True)
def keys() -> None:
    make_keys()


def say(opened: Assistant, conversation: int, text: str) -> tuple[Answer, Learned, list[AnswerEvent]]:
    events = list(opened.answer(text, conversation_id=conversation))
    learned = next((e for e in events if isinstance(e, Learned)), Learned())
    assert isinstance(events[-1], Answer)
    return events[-1], learned, events


def test_the_whole_way() -> None:
    with assistant() as opened:
        here = opened.new_conversation()
        first, learned, _ = say(opened, here, "I live in Oslo.")
        assert first.text == f"Remembered: {learned.items[0].text}" and first.found
        say(opened, here, "I work for Acme.")
        say(opened, here, "My sister's name is Anna.")
        corrected, moved, _ = say(opened, here, "I moved to Bergen.")
        assert "Remembered:" in corrected.text and "No longer so: " in corrected.text
        assert [i.value for i in moved.items] == ["Bergen"] and [i.value for i in moved.closed] == ["Oslo"]
        again, known, _ = say(opened, here, "I live in Bergen.")
        assert known.confirmed and not known.items and again.text.startswith("Known already:")
    with assistant() as opened:
        here = opened.new_conversation()
        told, _, _ = say(opened, here, "What do you know about me?")
        for value in ("Bergen", "Acme", "Anna"):
            assert value in told.text
        assert "Oslo" not in told.text
        before, _, _ = say(opened, here, "Where did I use to live?")
        assert "Oslo" in before.text and "Bergen" not in before.text
        home, _, events = say(opened, here, "Where do I live?")
        recalled = next(e for e in events if isinstance(e, Recalled))
        assert recalled.n_items == 1 and home.citations[0].kind == "item" and "Bergen" in home.citations[0].text
        assert home.timings.n_prompt_tokens > 0, "the model was asked"
        why, _, _ = say(opened, here, "Why do you think so?")
        assert '"I moved to Bergen' in why.text and "you said on" in why.text
        assert [i.value for i in opened.memories.undo_learned(moved)] == ["Oslo"]
        assert opened.memories.undo_learned(Learned()) == []
        after, _, _ = say(opened, here, "Where do I live?")
        assert "Oslo" in after.citations[0].text, "what it had closed holds again"
        used = opened.store.item(after.citations[0].item_id)
        assert used is not None and used.n_uses > 0


def test_a_secret_goes_to_no_model_no_title_and_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with assistant() as opened:
        here = opened.new_conversation(title="My wifi password is tr0mbone-1887.")
        told, learned, _ = say(opened, here, "My wifi password is tr0mbone-1887.")
        assert "tr0mbone" not in told.text and learned.items[0].kind == "vault"
        assert "tr0mbone" not in opened.conversations()[0].title
        asked, _, events = say(opened, here, "What is my wifi password?")
        (secret,) = (e for e in events if isinstance(e, SecretAsked))
        assert secret.items[0].value == "tr0mbone-1887" and "tr0mbone" not in asked.text and asked.citations == ()
        say(opened, here, "When does the ferry leave?")
        opened.ingest([])
        other, _, _ = say(opened, here, "Which words did I say about the wifi?")
        assert "tr0mbone" not in str(other)
        assert "tr0mbone" not in opened.generator.detokenize(opened.generator.cached_tokens)
    assert "tr0mbone" not in Commands(capsys).run("memory", "search", "wifi", "password").out
    assert holding(data_dir(), [b"tr0mbone"]) == []


def test_a_question_is_not_confirmed_by_what_it_says_itself() -> None:
    with assistant() as opened:
        here = opened.new_conversation()
        answer, learned, _ = say(opened, here, "My boss is Ann. Who is my boss?")
        assert learned.items and all(c.item_id != learned.items[0].id for c in answer.citations)


def test_reflecting_embeds_what_was_said_and_stops_when_asked() -> None:
    with assistant() as opened:
        here = opened.new_conversation()
        say(opened, here, "I live in Oslo.")
        say(opened, here, "I work for Acme.")
        list(opened.reflect(cancelled=lambda: True))
        assert opened.store.turns_without_trace()
        list(opened.reflect())
        assert not opened.store.turns_without_trace() and not opened.store.items_without_vector()
        before = opened.store.items()
        list(opened.reflect())
        assert opened.store.items() == before, "there is nothing left to do"


def test_the_model_reads_in_idle_time_only_if_it_is_wanted_and_stops_for_a_question(
    smollm2_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondme.reflect import by_model

    monkeypatch.setattr(by_model, "is_worth_it", lambda _model, *, wanted: wanted)  # the small model is at hand here
    monkeypatch.setattr(by_model, "MOST_TOKENS", 6)
    generator, embedder = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=1024)), HashEmbedder()
    config = Config(learn_with_model=True)
    with Assistant(config, Credentials(passphrase=PASSPHRASE), generator=generator, embedder=embedder) as opened:
        here = opened.new_conversation()
        opened.tell(Said(here, "user", "Of all places it was Porto where our new flat turned up.", "default"))
        with opened.opener.waited_for(never_cancelled):
            stopping = iter([False] * 3)
            list(opened.reflect(cancelled=lambda: next(stopping, True)))
        assert len(opened.unread) == 1, "somebody waited for the model"
        list(opened.reflect())
        assert not opened.unread and generator.cached_tokens, "it was read"


def test_a_model_that_cannot_read_is_said_once() -> None:
    with Assistant(
        Config(learn_with_model=True),
        Credentials(passphrase=PASSPHRASE),
        generator=EchoGenerator(),
        embedder=HashEmbedder(),
    ) as opened:
        opened.tell(Said(opened.new_conversation(), "user", "The ferry is late.", "default"))
        with pytest.raises(ModelError):
            list(opened.reflect())
        list(opened.reflect())
        assert not opened.unread
