"""`secondme forget`, `memory log` and `memory why` at the command line, and what comes back and what does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from secondme.memory.redaction import REMOVED_ANSWER
from secondme.runtime.echo import HashEmbedder
from secondme.types import Answer
from tests.commanding import PASSPHRASE, Commands, add, assistant, make_keys, texts

HERON = "The heron nests by the third weir every single spring."
OTTER = "Otters were seen below the old mill on a cold January morning."
TOAD = "A toad lives under the stone beside the well in the garden."


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    make_keys()
    return Commands(capsys)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "pond").mkdir(parents=True)
    (folder / "birds.txt").write_text(f"{HERON}\n")
    (folder / "otters.txt").write_text(f"{OTTER}\n")
    (folder / "pond" / "toads.txt").write_text(f"{TOAD}\nPIN 1234\n")
    return folder


def named_again(docs: Path) -> None:
    add(docs / "birds.txt")


def follow_once(folder: Path) -> None:
    """One pass as following the folder makes it."""
    from secondme.ingest.pipeline import IngestOptions, ingest

    with assistant() as opened:
        for _ in ingest([folder], opened.store, opened.embedder, IngestOptions(), within=[folder]):
            pass


def asked(question: str) -> tuple[int, Answer]:
    """A stored conversation with one question and its answer; the conversation's id."""
    with assistant() as opened:
        conversation = opened.new_conversation()
        (*_, last) = opened.answer(question, conversation_id=conversation)
        assert isinstance(last, Answer)
        return conversation, last


def test_a_dry_run_shows_what_goes_and_does_nothing(commands: Commands, docs: Path) -> None:
    add(docs)
    conversation, answer = asked("heron nests third weir every spring?")
    assert answer.found and any(c.marked for c in answer.citations)
    done = commands.run("forget", str(docs / "birds.txt"))
    assert done.code == 2 and "--yes" in done.err
    for what in ("file s", "birds.txt", "1 passage", "1 answer", "vectors 1"):
        assert what in done.out, done.out
    assert sorted(texts()) == sorted([f"{HERON}\n", f"{OTTER}\n", f"{TOAD}\nPIN 1234\n"])
    with assistant() as opened:
        assert [t.text for t in opened.turns(conversation)][1] == answer.text


def test_a_file_is_forgotten_and_comes_back_by_its_own_path_only(commands: Commands, docs: Path) -> None:
    add(docs)
    conversation, _ = asked("heron nests third weir every spring?")
    done = commands.run("forget", "--source", str(docs / "birds.txt"), "--yes")
    assert (done.code, done.err) == (0, "") and "1 file, 1 passage, 1 answer" in done.out
    with assistant() as opened:
        assert opened.turns(conversation)[1].text == REMOVED_ANSWER
    (docs / "birds.txt").write_text(f"News of the day.\n{HERON}\n")
    follow_once(docs)
    add(docs)
    (docs / "birds.txt").rename(docs / "renamed.txt")
    follow_once(docs)
    assert not [t for t in texts() if "heron" in t]
    assert [t for t in texts() if "News of the day." in t], "what is new in the renamed file is taken in"
    (docs / "renamed.txt").rename(docs / "birds.txt")
    add(docs / "birds.txt")
    assert [t for t in texts() if HERON in t]
    kinds = [json.loads(line)["kind"] for line in commands.run("memory", "log", "--json").out.splitlines()]
    assert kinds.index("forgotten") < kinds.index("turn-redacted") < kinds.index("lifted")


def test_a_passage_stays_away_while_its_file_changes_until_again(commands: Commands, docs: Path) -> None:
    add(docs)
    with assistant() as opened:
        number = opened.recall("heron weir")[0].chunk_id
    assert commands.run("forget", f"#{number}", "--yes").code == 0
    (docs / "birds.txt").write_text(f"A first line.\n{HERON}\nA last line.\n")
    for bring in (follow_once, add, named_again):
        bring(docs)
        left = [t for t in texts() if "A first line." in t]
        assert len(left) == 1 and "heron" not in left[0] and "A last line." in left[0]
        assert len(left[0]) == len(f"A first line.\n{HERON}\nA last line.\n")
    add(docs / "birds.txt", again=True)
    assert [t for t in texts() if HERON in t]


def test_a_folder_is_forgotten_with_what_appears_in_it_later(commands: Commands, docs: Path) -> None:
    add(docs)
    done = commands.run("forget", "--source", str(docs / "pond"), "--yes")
    assert "1 file" in done.out
    (docs / "pond" / "newts.txt").write_text("Newts have come to the pond by the gate this year.\n")
    follow_once(docs)
    assert not [t for t in texts() if "Newts" in t or "toad" in t]
    add(docs / "pond")
    assert [t for t in texts() if "Newts" in t] and [t for t in texts() if TOAD in t]


def test_a_query_takes_the_passages_that_memory_search_shows(commands: Commands, docs: Path) -> None:
    if not os.environ.get("SECONDME_MODELS"):
        pytest.fail("the models are installed before the tests run")
    from secondme.assistant import Assistant, Credentials
    from secondme.config import load_config

    with Assistant(load_config(), Credentials(passphrase=PASSPHRASE)) as opened:
        for _ in opened.ingest([docs]):
            pass
    shown = commands.run("memory", "search", "otters", "mill", "-k", "1")
    assert OTTER in shown.out
    assert "1 passage" in commands.run("forget", "--query", "otters", "mill", "-k", "1", "--yes").out
    assert OTTER not in commands.run("memory", "search", "otters", "mill").out
    assert "nothing about this" in commands.run("forget", "--query", "zeppelin", "--yes").err


def test_conversations_and_turns_are_forgotten_by_their_names(commands: Commands, docs: Path) -> None:
    add(docs)
    conversation, _ = asked("heron nests third weir every spring?")
    other, _ = asked("Where were otters seen?")
    with assistant() as opened:
        question, answer = (t.id for t in opened.turns(conversation))
    assert "1 turn, 1 answer" in commands.run("forget", f"t{question}", "--yes").out
    assert "1 conversation, 2 turns" in commands.run("forget", f"c{other}", "--yes").out
    with assistant() as opened:
        assert [(t.id, t.text) for t in opened.turns(conversation)] == [(answer, REMOVED_ANSWER)]
        assert [c.id for c in opened.conversations()] == [conversation]


def test_what_is_not_there_is_an_error_and_nothing_is_done(commands: Commands, docs: Path) -> None:
    add(docs)
    before = texts()
    for args in (["#999"], ["s999"], ["c9"], ["t9"], [str(docs / "none")], ["s1", "#999"], ["--source", "/none"]):
        assert "not in memory" in commands.fails("forget", *args, "--yes", code=2)
    assert "nothing named" in commands.fails("forget", code=2)
    commands.fails("forget", "#x", code=2)
    commands.fails("forget", "", code=2)
    assert texts() == before


def test_why_tells_the_bytes_the_model_and_what_became_of_it(commands: Commands, docs: Path) -> None:
    add(docs)
    conversation, answer = asked("heron nests third weir every spring?")
    cited = next(c for c in answer.citations if c.marked)
    with assistant() as opened:
        turn = opened.turns(conversation)[1].id
        opened.recall("heron weir")
    why = commands.run("memory", "why", f"#{cited.chunk_id}").out
    data = (docs / "birds.txt").read_bytes()
    for what in (
        str(docs / "birds.txt"),
        f"bytes 0 to {len(data)}",
        "lines 1-1",
        f"embedded by {HashEmbedder().fingerprint}",
        "stored by ingest",
    ):
        assert what in why, (what, why)
    assert f"cited in an answer, t{turn}" in why and "shown in a search" in why
    found = json.loads(commands.run("memory", "why", f"#{cited.chunk_id}", "--json").out)
    assert found["bytes"] == [0, len(data)] and found["path"] == str(docs / "birds.txt") and found["in_memory"]
    assert commands.run("forget", f"#{cited.chunk_id}", "--yes").code == 0
    gone = commands.run("memory", "why", f"#{cited.chunk_id}").out
    assert "it was forgotten" in gone and "heron" not in gone and "birds.txt" not in gone
    assert "never in memory" in commands.fails("memory", "why", "#999", code=2)


def test_the_log_is_shown_whole_by_item_and_by_time(commands: Commands, docs: Path) -> None:
    add(docs)
    everything = commands.run("memory", "log").out.splitlines()
    assert "created" in everything[0] and sum(" put " in line for line in everything) == 3
    own = commands.run("memory", "log", str(docs / "birds.txt")).out
    assert own.count("\n") == 1 and " put " in own and "birds" not in own
    assert len(commands.run("memory", "log", "--since", "1h").out.splitlines()) == len(everything)
    assert "no such step" in commands.run("memory", "log", "--since", "2999-01-01").err
    for wrong in ("yesterday", "7", "2026-13-01", "d"):
        assert "--since" in commands.fails("memory", "log", "--since", wrong, code=2)
