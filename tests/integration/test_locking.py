"""Locking memory: the store is closed and free for others, its keys are gone from this process, and it opens again."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.config import Config
from secondme.crypto import manage, unlock
from secondme.crypto.recovery import spell
from secondme.errors import StoreError, WrongPassphrase
from secondme.memory.lock import StoreLock, ask_to_lock, is_held
from secondme.paths import data_dir
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.types import Answer
from tests.conftest import PASSPHRASE
from tests.reading_memory import hits

CODE = hashlib.sha256(b"a recovery code of these tests").digest()
GIVEN = Credentials(PASSPHRASE)
COAT = "The red coat hangs in the hall beside the mirror."

LOCKING = """
import ctypes, os, sys
from secondme.assistant import Assistant, Credentials
from secondme.cli.output import read_key
from secondme.config import Config
from secondme.crypto.erase import erase
from secondme.runtime.echo import EchoGenerator, HashEmbedder

def stage(name):
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable: so that a user who is not root may look as well
    print(name, flush=True)
    os.read(0, 100)

assistant = Assistant(Config(), generator=EchoGenerator(), embedder=HashEmbedder())
for _ in range(2):
    print("ready", flush=True)
    given = read_key(0)
    stage("given")
    assistant.unlock(Credentials(passphrase=given))
    erase(given)
    conversation = assistant.new_conversation()
    list(assistant.answer("What is in memory?", conversation_id=conversation))
    stage("unlocked")
    assistant.lock()
    stage("locked")
"""


def assistant_of_home() -> Assistant:
    return Assistant(Config(), generator=EchoGenerator(), embedder=HashEmbedder())


def test_a_locked_memory_is_closed_and_opens_again(tmp_path: Path) -> None:
    (tmp_path / "house.md").write_text(COAT)
    with assistant_of_home() as assistant:
        assistant.unlock(GIVEN)
        list(assistant.ingest([tmp_path / "house.md"]))
        conversation = assistant.new_conversation()
        list(assistant.answer(COAT, conversation_id=conversation))
        assert assistant.generator.cached_tokens
        generator = assistant.generator
        assistant.lock()
        assistant.lock()  # is locked already
        assert generator.cached_tokens == () and assistant.generator is generator
        for use in (assistant.conversations, assistant.sources, lambda: list(assistant.answer(COAT))):
            with pytest.raises(StoreError, match="memory is locked"):
                use()
        with pytest.raises(WrongPassphrase):
            assistant.unlock(Credentials("not it"))
        with pytest.raises(StoreError, match="memory is locked"):
            assistant.stats()
        assistant.unlock(GIVEN)
        assert [turn.role for turn in assistant.turns(conversation)] == ["user", "assistant"]
        last = list(assistant.answer(COAT))[-1]
        assert isinstance(last, Answer) and last.citations


def test_another_process_may_open_a_locked_memory() -> None:
    with assistant_of_home() as assistant:
        assistant.unlock(GIVEN)
        assert is_held(data_dir())
        assistant.lock()
        assert not is_held(data_dir()) and ask_to_lock(data_dir()) is None
        with assistant_of_home() as other:
            other.unlock(GIVEN)
            other.new_conversation(title="of the other")
            with pytest.raises(StoreError, match="another secondme"):
                assistant.unlock(GIVEN)
        assistant.unlock(GIVEN)
        assert [c.title for c in assistant.conversations()] == ["of the other"]


def test_the_keys_go_even_if_the_store_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with assistant_of_home() as assistant:
        assistant.unlock(GIVEN)
        keys, store = assistant._memory.opened_keys, assistant.store
        assert keys is not None
        held = keys.store

        def fail() -> None:
            raise StoreError("the disk is gone")

        close = store.close
        monkeypatch.setattr(store, "close", fail)
        with pytest.raises(StoreError, match="disk"):
            assistant.lock()
        assert not any(held.db) and not any(held.watermark)
        with StoreLock(data_dir()):
            close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_key_and_no_passphrase_is_left_in_memory() -> None:
    """Looks at a real process from outside, before and after it locks, the second time as the first."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        secrets = {"passphrase": PASSPHRASE.encode()}
        for given in (PASSPHRASE, spell(CODE)):
            wait_for(child, "ready")
            send(child, given)
            wait_for(child, "given")
            secrets |= {"given": given.encode()}
            assert hits(child.pid, secrets)["given"] > 0
            send(child, "go on")
            wait_for(child, "unlocked")
            if len(secrets) == 2:
                secrets = keys_of_home()
            found = hits(child.pid, secrets | {"given": given.encode()})
            assert found["db"] and found["master"] and found["watermark"] and not found["given"], found
            send(child, "go on")
            wait_for(child, "locked")
            if given == PASSPHRASE:
                secrets |= recovery_of_home()
            found = hits(child.pid, secrets)
            assert not any(found.values()), found
            send(child, "go on")


def wait_for(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == line + "\n"


def send(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def keys_of_home() -> dict[str, bytes]:
    """What opens the store of this test's home, and how SQLite is told."""
    keys = unlock.unlock(data_dir(), passphrase=PASSPHRASE)
    secrets = {
        "passphrase": PASSPHRASE.encode(),
        "master": bytes(keys.master),
        "db": bytes(keys.store.db),
        "watermark": bytes(keys.store.watermark),
        "export": bytes(keys.export),
    }
    return secrets | {f"{name} in hex": key.hex().encode() for name, key in secrets.items()}


def recovery_of_home() -> dict[str, bytes]:
    """Add a recovery code to this test's home: its key, as it is written down, and without its dashes."""
    with unlock.unlock(data_dir(), passphrase=PASSPHRASE) as keys:
        manage.add_recovery(keys, CODE)
    spelled = spell(CODE)
    return {"code": CODE, "spelled": spelled.encode(), "bare": spelled.replace("-", "").encode()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's own flags")
def test_an_unlocked_process_cannot_be_dumped() -> None:
    before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    try:
        with assistant_of_home() as assistant:
            assistant.unlock(GIVEN)
            assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0
    finally:
        ctypes.CDLL(None).prctl(4, before, 0, 0, 0)
