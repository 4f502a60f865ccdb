"""`secondme export` and `secondme import` as processes of their own, with what they say to their owner."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pyrage
import pytest

ROOT = Path(__file__).resolve().parents[2]
PASSPHRASE = b"a lamp, a tide and a rope\n"
EXPORT_PASSPHRASE = b"another lamp\n"


def run(*args: str, export_key: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program without a terminal, with the passphrases on descriptors."""
    command = [sys.executable, "-m", "secondme", *args]
    keys = [("--key-fd", PASSPHRASE), *([("--export-key-fd", export_key)] if export_key else [])]
    fds = []
    for option, key in keys:
        read, write = os.pipe()
        os.write(write, key)
        os.close(write)
        fds.append(read)
        command += [option, str(read)]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=fds,
            start_new_session=True,
            cwd=ROOT,
            timeout=120,
        )
    finally:
        for fd in fds:
            os.close(fd)


def jsonl_of(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.name.endswith(".jsonl")}
        return {name: file.read() for name, file in found.items() if file is not None}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "tree.md").write_text("# The tree\n\nThe quince was planted in 1931.\n")
    return folder


def test_from_one_home_to_another_and_out_again(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("add", str(notes)).returncode == 0
    sealed, plain = tmp_path / "memory.age", tmp_path / "memory.tar"
    done = run("export", str(sealed), export_key=EXPORT_PASSPHRASE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"exported 1 files (1 passages), 0 conversations (0 turns) and 0 memories to {sealed}: "
    )

    monkeypatch.setenv("SECONDME_HOME", str(tmp_path / "new home"))
    wrong = run("import", str(sealed), export_key=b"not that\n")
    assert wrong.returncode == 77 and "error: the passphrase does not open the file" in wrong.stderr
    done = run("import", str(sealed), export_key=EXPORT_PASSPHRASE)
    assert done.returncode == 0
    assert "new    1 files (1 passages), 0 conversations (0 turns), 0 memories, 0 links\n" in done.stdout
    assert "1 followed folders came along" in done.stderr
    assert "1 passages are found by their words now" in done.stderr
    done = run("export", str(plain), "--plain")
    assert done.returncode == 0 and "warning: the file will not be encrypted" in done.stderr
    assert jsonl_of(plain.read_bytes()) == jsonl_of(pyrage.passphrase.decrypt(sealed.read_bytes(), "another lamp"))
    known = run("import", str(plain), "--dry-run")
    assert "nothing was changed" in known.stdout
    assert "known  1 files, conversations and memories that are there already\n" in known.stdout


def test_what_cannot_be_is_said_in_words(notes: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.age"
    there.write_bytes(b"mine")
    for args, code, words in (
        (["export", str(there)], 2, "is there already"),
        (["export", str(tmp_path)], 2, "is a folder"),
        (["export", str(tmp_path / "no" / "e.age")], 2, "there is no folder"),
        (["export", str(tmp_path / "new.age")], 78, "no terminal"),
        (["import", str(there)], 65, "nothing that can be imported"),
        (["import", str(tmp_path / "nothing")], 2, "there is no file"),
    ):
        done = run(*args)
        assert (done.returncode, done.stdout) == (code, ""), args
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: ") and words in error and hint.startswith("hint: ")
    assert there.read_bytes() == b"mine" and not (tmp_path / "new.age").exists()
    both = run("export", str(tmp_path / "e"), "--plain", export_key=EXPORT_PASSPHRASE)
    assert both.returncode == 2 and "exclude each other" in both.stderr


def test_conversations_of_another_program(tmp_path: Path) -> None:
    message = {"uuid": "m", "sender": "human", "text": "Where is the lamp?", "created_at": "2024-05-01T10:00:00Z"}
    talk = {"uuid": "c", "name": "The lamp", "chat_messages": [message]}
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([talk]))
    done = run("import", str(path), "--project", "claude")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("conversations of Claude\nnew    0 files (0 passages), 1 conversations (1 turns)")
