"""`from secondme import Memory`, as a script uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme import Memory
from secondme.errors import StoreLocked, UsageError, WrongPassphrase
from secondme.paths import data_dir, models_dir
from tests.commanding import PASSPHRASE, add, holding, make_keys

ROOT = Path(__file__).parents[2]
MAY = 1_746_100_800.0
DAY = 86400.0


@pytest.fixture
def memory() -> Iterator[Memory]:
    make_keys()
    with Memory(passphrase=PASSPHRASE) as opened:
        yield opened


def test_what_is_added_is_learned_found_corrected_and_forgotten(memory: Memory) -> None:
    stored, added = memory.add("I live in Oslo.")
    assert (stored.event, stored.result.kind) == ("stored", "turn")
    assert (added.event, added.result.kind, added.result.sources) == ("added", "fact", (stored.result.id,))
    changes = memory.add("I moved to Bergen.")
    assert [c.event for c in changes] == ["stored", "added", "closed"]
    home = changes[1].result
    assert memory.search("Where do I live?")[0].id == home.id
    assert [r.id for r in memory.get_all()] == [home.id]
    assert [r.id for r in memory.get_all(past=True)] == [home.id, added.result.id]
    assert [r.until is None for r in memory.history(home.id)] == [False, True]
    corrected = memory.update(home.id, "I live in Trondheim.")
    assert memory.get(corrected.id) == corrected and "Trondheim" in corrected.text
    assert len(memory.history(corrected.id)) == 3
    memory.delete(corrected.id)
    assert memory.get(corrected.id) is None
    assert all("Trondheim" not in r.text for r in memory.search("Where do I live?"))
    assert holding(data_dir(), [b"Trondheim", b"Bergen"]) == []


def test_a_conversation_is_kept_turn_by_turn_and_only_its_owner_is_learned_from(memory: Memory) -> None:
    changes = memory.add(
        [
            {"role": "user", "content": "My sister's name is Anna."},
            {"role": "assistant", "content": "You live in Rome, I gather."},
            {"role": "user", "content": "I play the cello.", "name": "Ben"},
        ],
        at=MAY,
    )
    assert sum(c.event == "stored" for c in changes) == 3
    (learned,) = [c.result for c in changes if c.event == "added"]
    assert "Anna" in learned.text and learned.when == MAY
    assert any("cello" in r.text and r.kind == "turn" for r in memory.search("Who plays the cello?"))


def test_search_by_kind_and_by_time(memory: Memory, tmp_path: Path) -> None:
    memory.add("I live in Oslo.", at=MAY)
    memory.add("I live in Bergen.", at=MAY + 30 * DAY)
    assert {r.kind for r in memory.search("Where do I live?", kinds=["fact"])} == {"fact"}
    assert {r.kind for r in memory.search("I live in Oslo", kinds=["turn"])} == {"turn"}
    assert memory.search("Where do I live?", kinds=["passage"]) == []
    then = memory.search("Where do I live?", at=MAY + DAY, kinds=["fact"])
    assert "Oslo" in then[0].text
    assert len(memory.search("Where do I live?", k=1)) == 1
    assert memory.search("quantum chromodynamics lattice") == []


def test_secrets_are_named_and_never_told(memory: Memory) -> None:
    changes = memory.add("My wifi password is tr0mbone-1887.")
    secret = next(c.result for c in changes if c.event == "added")
    assert (secret.kind, secret.text) == ("secret", "wifi password")
    assert all("tr0mbone" not in str(r) for r in [*memory.get_all(), *memory.search("wifi password"), secret])


def test_files_and_the_profile_are_seen_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_keys()
    (tmp_path / "a.txt").write_text("The heron nests by the third weir every spring.")
    add(tmp_path / "a.txt")
    with Memory(passphrase=PASSPHRASE) as memory:
        assert memory.core() == {}
        passage = memory.get("#1")
        assert passage is not None and passage.kind == "passage" and passage.sources == (str(tmp_path / "a.txt"),)
        memory.delete("#1")
        assert memory.get("#1") is None


def test_wrong_input_is_refused_and_changes_nothing(memory: Memory) -> None:
    for text in ("", "   ", [], [{"role": "user", "content": " "}], [{"role": "robot", "content": "hello"}]):
        with pytest.raises(UsageError):
            memory.add(text)
    with pytest.raises(UsageError):
        memory.add([{"role": "user", "content": "I live in Oslo."}, {"role": "user"}])
    assert memory.get_all() == []
    for call in (
        lambda: memory.search(" "),
        lambda: memory.search("x", 0),
        lambda: memory.search("x", kinds=["nonsense"]),  # type: ignore[list-item]
        lambda: memory.get("7"),
        lambda: memory.get("m"),
        lambda: memory.get("m" + "9" * 30),
        lambda: memory.get("m٣"),
        lambda: memory.update("m9", "text"),
        lambda: memory.update("t1", "text"),
        lambda: memory.history("m9"),
        lambda: memory.delete("m9"),
        lambda: memory.delete("t9"),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.hint
    assert memory.get("m9") is None and memory.get("t9") is None and memory.get("#9") is None
    item = memory.add("I live in Oslo.")[1].result
    with pytest.raises(UsageError):
        memory.update(item.id, " ")
    assert memory.get_all() == [item]


def test_one_memory_at_a_time(tmp_path: Path) -> None:
    make_keys()
    before = os.environ["SECONDME_HOME"]
    with Memory(passphrase=PASSPHRASE) as memory:
        with pytest.raises(StoreLocked):
            Memory(passphrase=PASSPHRASE)
        with pytest.raises(UsageError):
            Memory(tmp_path / "another", PASSPHRASE)
        assert memory.get_all() == []
    memory.close()
    with pytest.raises(UsageError):
        memory.get_all()
    with pytest.raises(WrongPassphrase):
        Memory(passphrase="another")
    with Memory(passphrase=PASSPHRASE) as memory:
        assert memory.get_all() == []
    assert os.environ["SECONDME_HOME"] == before


def test_another_home_is_given_back_and_finds_the_owners_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.environ["SECONDME_HOME"]
    models = models_dir()
    monkeypatch.setenv("SECONDME_HOME", str(tmp_path / "new"))
    make_keys()
    monkeypatch.setenv("SECONDME_HOME", before)
    with Memory(tmp_path / "new", PASSPHRASE, project="script"):
        assert data_dir() == tmp_path / "new" / "data" and models_dir() == models
    assert os.environ["SECONDME_HOME"] == before and models_dir() == models


def test_threads_may_share_it(memory: Memory) -> None:
    def work(n: int) -> None:
        for i in range(5):
            memory.add(f"Note {n} {i}: the kettle number {n}{i} sings.")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.get("t20") is not None and memory.get("t21") is None


SCRIPT = """
import json, sys
from secondme import Memory

with Memory(sys.argv[1], "one") as memory:
    memory.add("I work for Acme.")
    known = memory.get_all()
    loaded = sorted(m for m in ("llama_cpp", "textual") if m in sys.modules)
    print(json.dumps({"known": [r.text for r in known], "loaded": loaded}))
"""


def test_a_script_of_its_own_needs_no_model_to_add(home: Path) -> None:
    make_keys()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(home)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["loaded"] == [] and "Acme" in told["known"][0]


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; import secondme; print([m for m in sys.modules if m.startswith(('secondme', 'typing'))])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['secondme']"


def test_what_the_package_does_not_have_is_said() -> None:
    import secondme

    with pytest.raises(AttributeError):
        secondme.Nonsense  # noqa: B018
