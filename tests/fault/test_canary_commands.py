"""The commands with the real models: nothing readable is left, and one that fails says nothing of what memory holds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from secondme.cli.main import main
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from tests.conftest import PASSPHRASE
from tests.fault.canary import Scanner, files_below, vector_rows
from tests.fault.living import Cast, Place, Recorder, in_the_clear, keys, live, patterns
from tests.fault.soak import n
from tests.make_corpus import Page, docx, pdf

N_CANARIES = n(12, 100)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path / "life")
    for name in ("SECONDME_HOME", "TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, made.environment[name])
    monkeypatch.setenv("SECONDME_DEBUG", "1")
    return made


class Commands:
    """Runs verbs in this process, and keeps all that was said, by the libraries underneath as well."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *args: str) -> tuple[int, str]:
        self._capfd.readouterr()
        read, write = os.pipe()
        os.write(write, f"{PASSPHRASE}\n".encode())
        os.close(write)
        code = main([*args, "--key-fd", str(read)])
        os.close(read)
        out, err = self._capfd.readouterr()
        return code, out + err


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capfd)


def test_the_real_models_leave_nothing_readable(place: Place, run: Commands, smollm2_path: Path) -> None:
    cast = Cast(N_CANARIES, seed=5)
    docs = cast.write(place.outside)
    assert run("add", str(docs))[0] == 0
    code, said = run("ask", f"What is said about {cast.sheets[0].content}?")
    assert code == 0
    with place.assistant() as assistant, assistant.store._database.reading() as connection:
        rows = np.array([np.frombuffer(fine, np.float32) for (fine,) in connection.execute("select fine from vector")])
    model = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=256))
    scanner = Scanner([*patterns(cast, [], [("smollm2", model.tokenize)]), *vector_rows("a vector", rows)])
    model.close()
    assert len(rows) >= len(cast.sheets)
    assert scanner.within(said.encode())
    assert place.scan(scanner) == []


def test_a_wipe_leaves_and_reports_nothing_of_what_memory_held(place: Place, run: Commands) -> None:
    cast = Cast(N_CANARIES, seed=7)
    docs = cast.write(place.outside)
    with place.assistant() as assistant:
        live(assistant, cast, docs)
        assert isinstance(assistant.embedder, Recorder)
        scanner = Scanner([*patterns(cast, assistant.embedder.texts), *keys()])
    wiped = {path.name for path in (place.home / "data").iterdir()}
    code, said = run("wipe", "--yes", "--report", str(place.user / "report"))
    assert code == 0 and scanner.within(said.encode()) == set()
    assert place.scan(scanner) == []
    left = {path.name for path in files_below(place.home)}
    assert {"store.db", "store.db-watermark", "keyslots.json", "cartridges"} <= wiped
    assert not left & (wiped - {"store.lock"}) and not any(name.endswith(".smkv") for name in left)


def test_a_wiped_project_is_in_no_table_and_no_page(place: Place, run: Commands) -> None:
    cast = Cast(N_CANARIES, seed=8)
    docs = cast.write(place.outside)
    with place.assistant() as assistant:
        live(assistant, cast, docs)
        assert isinstance(assistant.embedder, Recorder)
        scanner = Scanner(patterns(cast, assistant.embedder.texts))
        kept = assistant.new_conversation(title="kept")
    report = place.user / "report"
    assert run("wipe", "--yes", "--project", cast.project, "--report", str(report))[0] == 0
    # The report names what the owner named.
    found = {f.name for f in scanner.file(report, "report")}
    assert found <= {cast.project}
    report.unlink()
    assert place.scan(scanner) == []
    with place.assistant() as assistant:
        assert [c.id for c in assistant.conversations()] == [kept]
        assert in_the_clear(assistant.store, scanner) == set()


def broken_files(folder: Path, words: list[str]) -> None:
    """Files that no parser reads to the end, with canaries before the break."""
    folder.mkdir()
    whole = pdf([Page([f"Words of {words[0]}"])], title=words[0])
    (folder / "cut.pdf").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "cut.docx").write_bytes(docx([("Normal", words[1])], title=words[1])[:2000])
    (folder / "cut.ipynb").write_text(f'{{"cells": [{{"cell_type": "markdown", "source": ["{words[2]}"')
    (folder / "deep.html").write_text("<div>" * 5000 + words[3])
    (folder / "key.pem").write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{words[4]}\n")
    (folder / "binary.txt").write_bytes(words[5].encode() + bytes(range(256)) * 40)


def broken_imports(folder: Path, word: str) -> list[Path]:
    """Files of other programs that end too early, or hold something else than they should."""
    talk = {"title": word, "create_time": 1.0, "mapping": {word: {"message": {"content": {"parts": [word, 7]}}}}}
    contents = {
        "cut.json": json.dumps([talk])[:-9],
        "odd.json": json.dumps([talk | {"mapping": word}]),
        "odder.json": json.dumps([talk | {"create_time": word}, word]),
        "cut.jsonl": json.dumps({"text": word}) + "\n" + json.dumps({"text": word})[:-3],
        "odd.jsonl": json.dumps({"text": [word]}) + "\n",
        "words.txt": f"{word} and no more",
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    return [folder / name for name in contents]


def test_a_command_that_fails_says_nothing_of_what_memory_holds(place: Place, run: Commands) -> None:
    cast = Cast(N_CANARIES, seed=6)
    docs = cast.write(place.outside)
    scanner = Scanner(patterns(cast, []))
    broken_files(place.outside / "broken", cast.words)
    heard: list[str] = []

    def quiet(*args: str) -> int:
        code, said = run(*args)
        assert said.strip() and scanner.within(said.encode()) == set(), args
        heard.append(said)
        return code

    def fails(*args: str) -> None:
        assert quiet(*args) != 0, args

    assert run("add", str(docs))[0] == 0
    # What is asked for is said.
    assert scanner.within(run("memory", "show", "#1")[1].encode())
    fails("add", str(place.outside / "broken"))
    codes = [quiet("import", str(path)) for path in broken_imports(place.outside, cast.asked[0])]
    # What is odd in a conversation may be left out, and the rest taken in.
    assert codes.count(0) <= 2
    fails("forget", "c999")
    with place.assistant() as assistant:
        conversation = assistant.new_conversation(title=cast.asked[0])
        assistant.store.add_turn(conversation, "user", cast.asked[0], ())
        with assistant.store._database.writing() as connection:
            connection.execute("update turn set citations = ?", (json.dumps([{"quote": cast.asked[0]}]),))
    fails("export", str(place.outside / "all.tar"), "--plain")
    store = place.home / "data" / "store.db"
    data = bytearray(store.read_bytes())
    for at in range(4096 + 500, len(data), 4096):
        data[at] ^= 1
    store.write_bytes(data)
    fails("ask", f"What of {cast.sheets[0].content}?")
    fails("memory", "search", cast.sheets[0].content)
    assert any("damaged" in said for said in heard)
