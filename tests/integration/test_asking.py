"""What forgetting, deciding and wiping ask on a real terminal, and what each answer does."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

from secondme.paths import data_dir
from secondme.types import NewItem, Trust
from tests.commanding import PASSPHRASE, Commands, assistant, make_keys

ROOT = Path(__file__).parents[2]
HERON = "The heron nests by the third weir every single spring."
TOAD = "A toad lives under the stone beside the well in the garden."


class Terminal:
    """`secondme ...` as a person at a terminal sees it."""

    def __init__(self, *args: str) -> None:
        self._child = pexpect.spawn(
            sys.executable, ["-m", "secondme", *args], cwd=str(ROOT), encoding="utf-8", timeout=60, dimensions=(40, 200)
        )

    def answers(self, *expected_and_typed: tuple[str, str]) -> tuple[int, str]:
        """Wait for each question and type its answer; exit code and all that was shown."""
        shown = ""
        for expected, typed in expected_and_typed:
            self._child.expect_exact(expected)
            shown += str(self._child.before) + expected
            self._child.sendline(typed)
        self._child.expect(pexpect.EOF)
        shown += str(self._child.before)
        self._child.close()
        return int(self._child.exitstatus or 0), shown


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], tmp_path: Path, minilm_path: Path) -> Commands:
    """A memory of two files, made with the real embedding model."""
    make_keys()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "birds.txt").write_text(HERON)
    (tmp_path / "docs" / "toads.txt").write_text(TOAD)
    made = Commands(capsys)
    assert made.run("add", str(tmp_path / "docs")).code == 0
    return made


def test_forgetting_shows_what_goes_and_takes_yes_for_yes_only(commands: Commands) -> None:
    unlock = ("Passphrase or recovery code: ", PASSPHRASE)
    code, shown = Terminal("forget", "#1").answers(unlock, ("[y/N] ", ""))
    assert code == 0 and "nothing was forgotten" in shown and "passage #1 of" in shown
    code, shown = Terminal("forget", "--query", "heron", "-k", "1").answers(unlock, ("or nothing: ", "7"))
    assert code == 2 and "none of the numbers" in shown
    code, shown = Terminal("forget", "--query", "heron", "-k", "1").answers(unlock, ("or nothing: ", ""))
    assert code == 0 and "nothing was forgotten" in shown
    code, shown = Terminal("forget", "--query", "heron", "-k", "1").answers(
        unlock, ("or nothing: ", "[1]"), ("[y/N] ", "y")
    )
    assert code == 0 and "forgotten: 1 passage" in shown
    assert HERON not in commands.run("memory", "search", "heron").out


def test_wiping_takes_the_word_and_nothing_else(commands: Commands, tmp_path: Path) -> None:
    word = "Type the word wipe to go on: "
    code, shown = Terminal("wipe").answers((word, "yes"))
    assert code == 2 and "nothing was destroyed" in shown and (data_dir() / "store.db").exists()
    report = tmp_path / "report.json"
    code, shown = Terminal("wipe", "--report", str(report)).answers((word, "wipe"))
    assert code == 0 and "Wiped: everything" in shown and list(data_dir().iterdir()) == []
    assert "not known" in shown, "nobody was asked for the passphrase"
    assert commands.run("wipe", "--verify", str(report), key=None).code == 0


def test_what_is_known_is_forgotten_and_a_secret_shown_on_the_owners_yes_only() -> None:
    make_keys()
    with assistant() as opened:
        opened.memories.add("I live in Oslo.", project="default")
        opened.memories.add_secret("wifi password", "tr0mbone-1887", project="default")
    unlock = ("Passphrase or recovery code: ", PASSPHRASE)
    code, shown = Terminal("memory", "rm", "m1").answers(unlock, ("[y/N] ", ""))
    assert code == 0 and "Oslo" in shown and "nothing was forgotten" in shown
    code, shown = Terminal("memory", "show", "m2").answers(unlock, ("[y/N] ", "n"))
    assert code == 0 and "tr0mbone" not in shown
    code, shown = Terminal("memory", "show", "m2").answers(unlock, ("[y/N] ", "y"))
    assert code == 0 and "tr0mbone-1887" in shown
    code, shown = Terminal("ask", "What is my wifi password?").answers(unlock, ("[y/N] ", "y"))
    assert code == 0 and "wifi password: tr0mbone-1887" in shown
    code, shown = Terminal("memory", "undo", "m1").answers(unlock, ("[y/N] ", "yes"))
    assert code == 0 and "forgotten: 1 memory" in shown
    code, shown = Terminal("memory", "add", "--secret", "pin").answers(unlock, ("not shown): ", "4711"))
    assert code == 0 and "4711" not in shown


def test_review_asks_about_each_until_the_owner_has_had_enough() -> None:
    make_keys()
    with assistant() as opened:
        for value in ("Initech", "Globex", "Hooli", "Umbrella"):
            new = NewItem("semantic", f"Kim works for {value}.", subject="owner", state="pending", trust=Trust.DOCUMENT)
            opened.store.add_item(new)
    unlock = ("Passphrase or recovery code: ", PASSPHRASE)
    code, shown = Terminal("memory", "review").answers(
        unlock, ("[q]uit: ", "y"), ("[q]uit: ", "n"), ("[q]uit: ", "s"), ("[q]uit: ", "q")
    )
    assert code == 0 and "Umbrella" in shown
    with assistant() as opened:
        assert [i.text for i in opened.memories.several()] == ["Kim works for Initech."]
        assert [i.text for i in opened.memories.open()] == ["Kim works for Hooli.", "Kim works for Umbrella."]
