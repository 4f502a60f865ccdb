"""Projects opened from cartridges with the real small model: the same answers, read once, and never a wrong one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.cartridges import build, load
from secondme.cartridges.events import BuildProgress, BuildsDone, BuildSkipped, BuildStarted, CartridgeStored
from secondme.chat import turn
from secondme.config import Config
from secondme.errors import Cancelled, CartridgeIncompatible, UsageError
from secondme.projects import plan
from secondme.runtime import llama_reader
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.types import Answer, Notice, Opened, PrefillProgress
from secondme.wipe.project import wipe_project
from tests.commanding import PASSPHRASE, make_keys
from tests.fault.soak import n

LAMP = "The lamp of the lighthouse at Skarholm was lit in 1886 by the keeper Reed, who came from the mainland."
BREAD = "Bread needs flour, water, salt and twelve hours of rest."
QUESTION = "When was the lamp of the lighthouse lit?"


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[LlamaGenerator]:
    opened = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=1024, fingerprint="5" * 64))
    yield opened
    opened.close()


@pytest.fixture
def sea(model: LlamaGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Assistant]:
    """A project of two short files. However short, they are worth a cartridge, and nobody waits for texts."""
    monkeypatch.setattr(plan, "TEXT_S", 0.0)
    monkeypatch.setattr(plan, "PATIENCE_S", 0.0)
    monkeypatch.setattr(turn, "SAMPLING", dataclasses.replace(turn.SAMPLING, max_tokens=32))
    monkeypatch.setattr(model, "close", lambda: None)
    make_keys()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "bread.txt").write_text(BREAD)
    (notes / "lamp.txt").write_text(LAMP)
    model.forget()
    with Assistant(
        Config(cartridge_tier="T0", answers="write"), Credentials(PASSPHRASE), generator=model, embedder=HashEmbedder()
    ) as assistant:
        add(assistant, notes)
        yield assistant


def add(assistant: Assistant, path: Path) -> None:
    for _ in assistant.ingest([path], project="sea"):
        pass


def built(assistant: Assistant) -> list[str]:
    """The names of the files whose cartridges were made."""
    events = list(assistant.build_cartridges(["sea"]))
    assert isinstance(events[-1], BuildsDone) and not any(isinstance(e, BuildSkipped) for e in events)
    return [Path(e.path).name for e in events if isinstance(e, CartridgeStored) and e.complete]


def opened(assistant: Assistant) -> tuple[Opened, list[str], int]:
    """What was opened, what was said, and how many tokens were read for it."""
    events = list(assistant.open_project("sea"))
    assert isinstance(events[-1], Opened)
    read = [e for e in events if isinstance(e, PrefillProgress)]
    return events[-1], [e.message for e in events if isinstance(e, Notice)], read[-1].n_total if read else 0


def asked(assistant: Assistant) -> Answer:
    answer = list(assistant.answer(QUESTION, project="sea"))[-1]
    assert isinstance(answer, Answer)
    return answer


def ways(opened: Opened) -> dict[str, str]:
    return {Path(d.path).name: d.opened_as for d in opened.documents}


def test_an_opened_project_answers_as_if_it_had_just_been_read(
    sea: Assistant, model: LlamaGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built(sea) == ["bread.txt", "lamp.txt"] and built(sea) == []
    shown, said, n_read = opened(sea)
    assert (ways(shown), said, n_read) == ({"bread.txt": "cartridge", "lamp.txt": "cartridge"}, [], 0)
    assert model.cached_tokens == shown.tokens
    first = asked(sea)
    assert first.timings.n_cached_tokens == len(shown.tokens)
    assert "1886" in first.text and [Path(c.path).name for c in first.citations if c.marked] == ["lamp.txt"]
    again = asked(sea)
    assert again.text == first.text and again.timings.n_cached_tokens >= len(shown.tokens)
    model.forget()  # all of it is read, as it would be without cartridges
    monkeypatch.setattr(plan, "PATIENCE_S", 60.0)
    monkeypatch.setattr(plan, "TEXT_S", 60.0)
    text, said, n_read = opened(sea)
    assert (set(ways(text).values()), said, text.tokens) == ({"text"}, [], shown.tokens)
    assert n_read == len(text.tokens)
    assert asked(sea).text == first.text


def test_opening_again_reads_nothing_again_and_another_use_of_the_model_is_noticed(
    sea: Assistant, model: LlamaGenerator
) -> None:
    built(sea)
    shown, _, _ = opened(sea)
    for _ in model.prefill(model.tokenize("Something else entirely.")):
        pass
    assert model.cached_tokens[:3] != shown.tokens[:3]
    assert asked(sea).timings.n_cached_tokens == len(shown.tokens)
    sea.lock()
    sea.unlock(Credentials(PASSPHRASE))
    assert sea.opened is None and model.cached_tokens == ()
    assert opened(sea)[0].tokens == shown.tokens and model.cached_tokens == shown.tokens


def test_a_changed_file_costs_its_own_cartridge_only(sea: Assistant, tmp_path: Path) -> None:
    built(sea)
    before = {row.path: row.file for row in sea.cartridges("sea")}
    lamp = tmp_path / "notes" / "lamp.txt"
    opened(sea)
    lamp.write_text(LAMP.replace("1886", "1911"))
    add(sea, lamp)
    events = list(sea.answer(QUESTION, project="sea"))
    said = [e.message for e in events if isinstance(e, Notice)]
    assert len(said) == 1 and "1 document still to be prepared" in said[0]
    answer = events[-1]
    assert isinstance(answer, Answer) and "1911" in answer.text and "1886" not in answer.text
    now = sea.opened
    assert now is not None and ways(now) == {"bread.txt": "cartridge", "lamp.txt": "recall"}
    assert built(sea) == ["lamp.txt"]
    after = {row.path: row.file for row in sea.cartridges("sea")}
    assert {Path(p).name for p in after if before[p] != after[p]} == {"lamp.txt"}
    assert "1911" in asked(sea).text, "the new cartridge is taken up by the next question"
    now = sea.opened
    assert now is not None and set(ways(now).values()) == {"cartridge"}


def test_one_of_another_runtime_is_opened_as_if_it_were_its_own(
    sea: Assistant, model: LlamaGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(sea)
    files = [row.file for row in sea.cartridges("sea")]
    other = dataclasses.replace(model.kv_identity(), runtime="another one", state_version=9, dtype="q8_0")
    monkeypatch.setattr(model, "kv_identity", lambda: other)
    shown, said, n_read = opened(sea)
    assert (set(ways(shown).values()), said, n_read) == ({"cartridge"}, [], 0)
    assert "1886" in asked(sea).text
    assert sea.project_status("sea").n_pending == 0 and built(sea) == []
    assert [row.file for row in sea.cartridges("sea")] == files


def test_one_of_another_model_is_not_opened_and_is_made_again(
    sea: Assistant, model: LlamaGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(sea)
    identity = model.kv_identity()
    assert identity.rope.pairs == "adjacent"
    other = dataclasses.replace(identity, rope=dataclasses.replace(identity.rope, pairs="halves"))
    with monkeypatch.context() as patch:
        patch.setattr(model, "kv_identity", lambda: other)
        shown, said, _ = opened(sea)
        assert set(ways(shown).values()) == {"recall"} and len(said) == 1
        assert {d.why for d in shown.documents} == {"prepared for another model or version"}
        *events, answer = sea.answer(QUESTION, project="sea")
        assert isinstance(answer, Answer) and "1886" in answer.text
        assert not any(isinstance(e, Notice) for e in events)  # it is not opened anew for each question
        status = sea.project_status("sea")
        assert status.n_pending == 2 and status.tier == "T0"
    assert sea.project_status("sea").n_pending == 0


@pytest.mark.parametrize("harm", ["flipped", "gone", "cut"][: n(2, 3)])
def test_damage_is_said_once_costs_no_answer_and_is_mended(
    sea: Assistant, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(sea)
    row = next(r for r in sea.cartridges("sea") if r.path.endswith("lamp.txt"))
    path = sea.store.cartridge_path((row.project_uid, row.file))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data if harm == "flipped" else data[: len(data) // 2])
    monkeypatch.setattr(plan, "PATIENCE_S", 60.0)
    shown, said, n_read = opened(sea)
    assert ways(shown) == {"bread.txt": "cartridge", "lamp.txt": "text"} and n_read == len(shown.tokens)
    assert len(said) == 1 and "1 document could not be opened from a cartridge" in said[0]
    assert "1886" in asked(sea).text
    assert built(sea) == ["lamp.txt"]
    assert set(ways(opened(sea)[0]).values()) == {"cartridge"}


def test_a_build_that_is_stopped_goes_on_where_it_was(sea: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_reader, "_BATCH", 8)
    monkeypatch.setattr(build, "LEAST_KEPT", 1)
    seen: list[int] = []
    with pytest.raises(Cancelled):
        for event in sea.build_cartridges(["sea"], cancelled=lambda: bool(seen)):
            if isinstance(event, BuildProgress) and event.n_done:
                seen.append(event.n_done)
    (row,) = sea.cartridges("sea")
    assert not row.complete and row.n_tokens == seen[-1] < 20
    shown, said, _ = opened(sea)
    assert set(ways(shown).values()) == {"recall"} and len(said) == 1
    assert {d.why for d in shown.documents} == {"prepared in part", "not prepared yet"}
    events = list(sea.build_cartridges(["sea"]))
    progress = [e.n_done for e in events if isinstance(e, BuildProgress)]
    assert progress[0] == row.n_tokens, "what was read is not read again"
    assert all(r.complete for r in sea.cartridges("sea"))
    assert "1886" in asked(sea).text


def test_a_build_in_the_background_stands_still_while_an_answer_is_awaited(sea: Assistant) -> None:
    events = sea.build_cartridges(["sea"], background=True)
    assert isinstance(next(events), BuildStarted)
    assert "1886" in asked(sea).text
    assert [e.n_built for e in events if isinstance(e, BuildsDone)] == [2]
    assert set(ways(opened(sea)[0]).values()) == {"cartridge"}


def test_a_project_that_is_removed_while_it_loads_is_not_open_afterwards(
    sea: Assistant, model: LlamaGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(sea)
    decode, wiped = load.decode, list[str]()

    def wiping(*args: object) -> load.Part:
        if not wiped:
            wiped.append(wipe_project(sea.store, sea.keys, "sea").what)
        return decode(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(load, "decode", wiping)
    with pytest.raises(UsageError, match="removed while"):
        opened(sea)
    assert wiped and sea.opened is None and model.cached_tokens == ()
    assert sea.cartridges() == [] and not asked(sea).found


def test_two_processes_do_not_share_a_memory_and_take_turns(sea: Assistant, model: LlamaGenerator) -> None:
    built(sea)
    first, _, _ = opened(sea)
    sea.lock()
    with Assistant(
        Config(cartridge_tier="T0", answers="write"), Credentials(PASSPHRASE), generator=model, embedder=HashEmbedder()
    ) as other:
        assert opened(other)[0].tokens == first.tokens
        with pytest.raises(Exception, match="another secondme"):
            sea.unlock(Credentials(PASSPHRASE))
    sea.unlock(Credentials(PASSPHRASE))
    assert opened(sea)[0].tokens == first.tokens


def test_a_model_whose_cache_stays_shut_has_its_documents_read(tmp_path: Path) -> None:
    make_keys()
    (tmp_path / "lamp.txt").write_text(LAMP)
    echo = EchoGenerator()
    with Assistant(Config(), Credentials(PASSPHRASE), generator=echo, embedder=HashEmbedder()) as assistant:
        add(assistant, tmp_path / "lamp.txt")
        shown, said, n_read = opened(assistant)
        assert (list(ways(shown).values()), said, n_read) == (["text"], [], len(shown.tokens))
        assert LAMP in echo.detokenize(shown.tokens)
        answer = asked(assistant)
        assert answer.timings.n_cached_tokens == len(shown.tokens)
        assert assistant.project_status("sea").why_not
        with pytest.raises(CartridgeIncompatible):
            list(assistant.build_cartridges(["sea"]))
        with pytest.raises(UsageError):
            list(assistant.open_project("lake"))
