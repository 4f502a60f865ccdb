"""`secondme keys` as a person and a script use it: in a terminal, by descriptors, and where neither is at hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from secondme.cli import keys
from secondme.cli.main import main
from secondme.crypto import manage, recovery
from secondme.crypto.keys import Keys
from secondme.crypto.keyslots import FILE
from secondme.crypto.unlock import unlock
from secondme.errors import RolledBack, SecondMeError, WrongPassphrase
from secondme.memory.store import Store
from secondme.paths import data_dir, private_dir, state_dir
from tests.keyfiles import CHEAP

CODE = bytes(range(32))


def by(passphrase: str) -> Keys:
    return unlock(data_dir(), passphrase=passphrase, work=CHEAP)


@pytest.fixture
def memory(home: Path) -> Keys:
    """A memory of one passphrase, with something in it."""
    private_dir(data_dir())
    made = by("one")
    store = Store.open(data_dir() / "store.db", made.store, state_dir() / "witness")
    store.new_conversation("default", "kept")
    store.close()
    return made


def titles(passphrase: str) -> list[str]:
    store = Store.open(data_dir() / "store.db", by(passphrase).store, state_dir() / "witness")
    found = [c.title for c in store.conversations()]
    store.close()
    return found


def call(*arguments: str, key: str = "", new_key: str = "") -> subprocess.CompletedProcess[str]:
    """Run without a terminal, the passphrases in descriptors."""
    passed = []
    words = list(arguments)
    for option, text in (("--key-fd", key), ("--new-key-fd", new_key)):
        if text:
            read, write = os.pipe()
            os.write(write, text.encode() + b"\n")
            os.close(write)
            passed.append(read)
            words += [option, str(read)]
    try:
        return subprocess.run(
            [sys.executable, "-m", "secondme", "keys", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=passed,
            start_new_session=True,
            timeout=60,
        )
    finally:
        for fd in passed:
            os.close(fd)


class Typist:
    """A person at a terminal."""

    def __init__(self, *arguments: str, term: str = "xterm-256color") -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "secondme", "keys", *arguments],
            env={**os.environ, "TERM": term},
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 100),
        )

    def answer(self, question: str, text: str) -> str:
        """Type once `question` is there; what was shown before it."""
        self.child.expect_exact(question)
        self.child.sendline(text)
        return self.child.before or ""

    def end(self) -> tuple[int | None, str]:
        """The exit code, and what was shown last."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus, self.child.before or ""


# In a terminal -------------------------------------------------------------------------------------------------


def shown_code(screen: str) -> str:
    groups = re.findall(r"\b[0-9A-Z]{4}\b", screen)
    assert len(groups) == 14
    return "-".join(groups)


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_recovery_code_counts_once_it_was_typed_back(memory: Keys, term: str) -> None:
    person = Typist("add-recovery", term=term)
    person.answer("Passphrase or recovery code: ", "one")
    person.child.expect_exact("Your recovery code")
    code = shown_code(person.answer("Press Enter", ""))
    person.answer("Recovery code: ", code[:-1] + ("0" if code[-1] != "0" else "2"))
    person.child.expect_exact("look at group 14")
    with pytest.raises(WrongPassphrase):
        by(code)
    person.answer("Recovery code: ", code.lower().replace("-", ""))
    status, last = person.end()
    assert status == 0 and "opens memory now" in last
    # The second screen was left, and it had the code to itself.
    assert ("\x1b[?1049l" in last) == (term != "dumb") and code[:4] not in last.partition("\x1b[?1049l")[2]
    assert by(code).store == by("one").store


def test_a_recovery_code_that_is_not_typed_back_opens_nothing(memory: Keys) -> None:
    before = memory.file
    for give_up in (lambda person: [person.answer("Recovery code: ", "no") for _ in range(5)], None):
        person = Typist("add-recovery")
        person.answer("Passphrase or recovery code: ", "one")
        person.answer("Press Enter", "")
        if give_up is not None:
            give_up(person)
        else:
            person.child.expect_exact("Recovery code: ")
            person.child.sendeof()
        status, last = person.end()
        assert status == 2 and "was not typed back" in last
    assert by("one").file == before


def test_a_rotation_in_a_terminal_asks_for_all_it_needs(memory: Keys) -> None:
    manage.add_recovery(memory, CODE)
    person = Typist("rotate")
    person.answer("Passphrase or recovery code: ", recovery.spell(CODE))
    person.answer("Passphrase (the new keys are wrapped with it): ", "one")
    person.child.expect_exact("Your recovery code")
    code = shown_code(person.answer("Press Enter", ""))
    person.answer("Recovery code: ", code)
    status, last = person.end()
    assert status == 0 and "all keys are new" in last
    assert titles("one") == titles(code) == ["kept"] and by("one").store.db != memory.store.db
    with pytest.raises(WrongPassphrase, match="earlier one"):
        by(recovery.spell(CODE))


def test_a_wrong_passphrase_ends_a_rotation_before_a_code_is_shown(memory: Keys) -> None:
    manage.add_recovery(memory, CODE)
    person = Typist("rotate")
    person.answer("Passphrase or recovery code: ", recovery.spell(CODE))
    person.answer("Passphrase (the new keys are wrapped with it): ", "two")
    status, last = person.end()
    assert status == WrongPassphrase.exit_code and "passphrase is wrong" in last and "recovery code\r\n" not in last


def test_a_new_passphrase_is_typed_twice_alike(memory: Keys) -> None:
    person = Typist("change-passphrase")
    person.answer("Passphrase or recovery code: ", "one")
    person.answer("New passphrase: ", "two")
    person.answer("Again: ", "tow")
    person.child.expect_exact("once more")
    person.answer("New passphrase: ", "two")
    person.answer("Again: ", "two")
    status, last = person.end()
    assert status == 0 and "the earlier one no longer does" in last
    assert titles("two") == ["kept"]


# In a script ---------------------------------------------------------------------------------------------------


def test_a_script_changes_the_passphrase_and_rotates(memory: Keys) -> None:
    done = call("change-passphrase", key="one", new_key="two")
    assert done.returncode == 0 and "the new passphrase opens memory" in done.stdout
    assert call("status").stdout.startswith("passphrase  Argon2id, ")
    done = call("rotate", key="two")
    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    assert titles("two") == ["kept"] and by("two").store.db != memory.store.db
    refused = call("add-passphrase", key="two", new_key="three")
    assert refused.returncode == 2 and "already" in refused.stderr and "hint: " in refused.stderr


def test_what_only_a_person_can_do_is_refused_without_a_terminal(memory: Keys) -> None:
    manage.add_recovery(memory, CODE)
    before = memory.file
    for arguments, said in (
        (("add-recovery",), "on a terminal only"),
        (("rotate",), "on a terminal only"),
        (("change-passphrase",), "no terminal to ask"),
        (("add-keyring",), "no system keyring"),
    ):
        done = call(*arguments, key="one")
        assert done.returncode == 78 and said in done.stderr and "hint: " in done.stderr, arguments
        assert done.stdout == ""
    assert "no terminal" in call("rotate").stderr
    # A recovery code opens the memory, but new keys are wrapped with the passphrase.
    by_code = call("rotate", key=recovery.spell(CODE))
    assert by_code.returncode == 78 and "passphrase is needed" in by_code.stderr
    assert by("one").file == before


def test_the_state_of_the_keys_is_told_without_opening_anything(memory: Keys) -> None:
    manage.add_recovery(memory, CODE)
    memory.project(bytes(16))
    manage.begin(memory)
    done = call("status")
    assert done.returncode == 0
    assert "recovery    a code of 256 bits" in done.stdout and "1 projects" in done.stdout
    assert "rotation of the keys was interrupted" in done.stderr


HOLDING = """
import sys, time
from secondme.cli import output
from secondme.memory.lock import StoreLock
from secondme.paths import data_dir
with output.stops_when_asked(), StoreLock(data_dir()):
    try:
        print("held", flush=True)
        time.sleep(60)
    except output.LockAsked:
        time.sleep(float(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_the_process_that_has_memory_open_is_told_to_lock_it(
    memory: Keys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for takes_s, waits_s, code, said in (("0.2", 20.0, 0, "has locked memory"), ("3", 0.1, 1, "has not done so yet")):
        monkeypatch.setattr(keys, "LOCK_WAIT_S", waits_s)
        with subprocess.Popen([sys.executable, "-c", HOLDING, takes_s], stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            assert main(["keys", "lock"]) == code
            assert f"process {holder.pid} " in (out := capsys.readouterr().out) and said in out


def test_without_a_memory_there_are_no_keys(home: Path) -> None:
    for action in ("status", "rotate", "add-recovery"):
        done = call(action)
        assert done.returncode == 2 and "no memory yet" in done.stderr
    done = call("lock")
    assert (done.returncode, done.stdout) == (0, "memory is not open in any secondme\n")
    assert not data_dir().exists()


def test_an_old_key_file_put_back_is_told_of(memory: Keys) -> None:
    """Else a passphrase that was changed because somebody saw it would open memory again."""
    path = data_dir() / FILE
    earlier = path.read_bytes()
    manage.change_passphrase(by("one"), "two", work=CHEAP)
    titles("two")
    path.write_bytes(earlier)
    with pytest.raises(RolledBack, match="the key file is an older copy") as caught:
        titles("one")
    assert "newest keyslots.json" in (caught.value.hint or "")


def test_a_key_file_from_before_a_rotation_is_told_of(memory: Keys) -> None:
    path = data_dir() / FILE
    earlier = path.read_bytes()
    assert call("rotate", key="one").returncode == 0
    path.write_bytes(earlier)
    with pytest.raises(SecondMeError) as caught:
        titles("one")
    print(caught.value.message, caught.value.hint)
    assert "keyslots.json" in (caught.value.hint or "")


# The process ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize("verb", [["memory", "stats"], ["keys", "add-recovery"]])
def test_a_process_with_keys_dumps_no_core_and_is_closed_to_others(memory: Keys, verb: list[str]) -> None:
    code = (
        "import ctypes, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
        "from secondme.cli.main import main\n"
        f"main([*{verb!r}, '--key-fd', '0'])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="one\n", capture_output=True, text=True, start_new_session=True
    )
    assert done.stdout.endswith("(0, 0) 0\n"), done.stderr
