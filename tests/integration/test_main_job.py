"""From a dropped folder to a cited answer, as a process of its own, on the real models and the real encrypted store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PASSPHRASE = b"a lamp, a tide and a rope\n"
ROOT = Path(__file__).resolve().parents[2]

NOTES = {
    "lighthouse.md": "# The lighthouse\n\nThe lamp was lit for the first time on 3 May 1886.\n\n"
    "## Keepers\n\nThe first keeper was Amalia Reed, who stayed for thirty-one years.\n",
    "bread.txt": "Rye bread needs flour, water and salt.\nThe dough rests for fourteen hours at 24 degrees.\n",
    "tides.rst": "Tides\n=====\n\nThe highest tide ever measured in the harbour was 7.42 metres.\n",
    "signals.py": '"""Light signals."""\n\nFLASH_PERIOD_S = 15  # the lamp flashes every fifteen seconds\n',
    "ships.html": "<html><title>Ships</title><body><p>The barque Concordia ran aground in 1901.</p></body></html>",
}


def run(*args: str, key: bytes | None = PASSPHRASE, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the program with the passphrase on a descriptor, without any terminal."""
    command = [sys.executable, "-m", "secondme", *args]
    read, write = os.pipe()
    try:
        if key is not None:
            os.write(write, key)
            command += ["--key-fd", str(read)]
        os.close(write)
        return subprocess.run(
            command,
            input=stdin if stdin is not None else None,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            pass_fds=(read,),
            start_new_session=True,
            cwd=ROOT,
            timeout=120,
        )
    finally:
        os.close(read)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "my notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def asked(question: str, **more: Any) -> dict[str, Any]:
    done = run("ask", "--json", question, **more)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_folder_becomes_answers_with_places(notes: Path, smollm2_path: Path, minilm_path: Path) -> None:
    added = run("add", str(notes))
    assert added.returncode == 0, added.stderr
    assert b"5 files stored" in added.stdout

    answer = asked("Who was the first keeper of the lighthouse?")
    best = answer["citations"][0]
    assert Path(best["path"]) == notes / "lighthouse.md"
    data = (notes / "lighthouse.md").read_bytes()
    assert data[best["byte_start"] : best["byte_end"]].decode() == best["text"]
    assert data[best["quote_start"] : best["quote_end"]].decode() == best["quote"]
    assert "Amalia Reed" in best["text"]
    assert answer["found"]
    assert answer["context"]["n_used"] <= answer["context"]["n_context"]

    stays = asked("How long does the dough rest?")["citations"][0]
    assert (Path(stays["path"]).name, stays["line_start"]) == ("bread.txt", 1)

    nothing = asked("Which chess opening did Magnus Carlsen play in Reykjavik?")
    assert (nothing["found"], nothing["citations"]) == (False, [])

    streamed = run("ask", "When did the barque Concordia run aground?")
    assert streamed.returncode == 0
    assert b"ships.html" in streamed.stdout
    assert b"\x1b" not in streamed.stdout

    piped = asked("How high is the tower?", stdin=b"The tower of the old fort is 48 metres high.")
    assert any(c["path"] == "-" and "48 metres" in c["text"] for c in piped["citations"])

    (notes / "bread.txt").write_text("Wheat bread needs yeast.\nThe dough rests for two hours.\n", "utf-8")
    (notes / "tides.rst").unlink()
    again = run("add", str(notes))
    assert b"1 files stored" in again.stdout
    assert b"3 unchanged" in again.stdout
    assert b"1 removed" in again.stdout
    found = run("memory", "search", "dough", "rests")
    assert b"two hours" in found.stdout
    assert b"fourteen" not in found.stdout
    assert b"7.42" not in run("memory", "search", "highest", "tide", "harbour").stdout


def test_nothing_of_it_is_readable_on_the_disk(notes: Path, home: Path, minilm_path: Path) -> None:
    import base64

    assert run("add", str(notes)).returncode == 0
    written = [p for p in home.rglob("*") if p.is_file()]
    assert any(p.name == "store.db" for p in written)
    for marker in ("Amalia Reed", "fourteen hours", "Concordia", "lighthouse.md", "my notes"):
        shapes = [marker.encode(), marker.encode("utf-16-le"), marker.encode("utf-16-be")]
        # Base64 of a text depends on where it starts among three bytes; the middle of each form is fixed.
        shapes += [base64.b64encode(b"x" * i + marker.encode())[4:-4] for i in range(3)]
        for path in written:
            data = path.read_bytes()
            assert not [s for s in shapes if s in data], f"{marker} in {path.name}"


def test_wrong_input_gets_one_error_and_one_hint(notes: Path, minilm_path: Path, tmp_path: Path) -> None:
    cases: list[tuple[tuple[str, ...], dict[str, Any], int]] = [
        (("add", str(notes)), {"key": None}, 78),
        (("add", str(notes)), {"key": b"\n"}, 78),
        (("chat",), {}, 2),
        (("ask", "  "), {}, 2),
        (("ask",), {}, 2),
        (("memory", "show", "#99999"), {}, 2),
        (("forget", "/no/such/file"), {}, 2),
        (("bench", "nonsense"), {"key": None}, 2),
        (("add", str(tmp_path / "missing")), {}, 65),
    ]
    for args, options, code in cases:
        done = run(*args, **options)
        assert done.returncode == code, (args, done.stderr)
        assert b"Traceback" not in done.stderr
        if code != 65:
            assert done.stderr.count(b"error: ") == 1, (args, done.stderr)
            assert done.stderr.count(b"hint: ") == 1, (args, done.stderr)
    assert run("add", str(notes)).returncode == 0
    wrong = run("ask", "anything", key=b"another passphrase\n")
    assert wrong.returncode == 77
    assert b"hint: " in wrong.stderr


def test_settings_that_are_wrong_are_named(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("modle = 1\n", "utf-8")
    done = run("memory", "stats")
    assert done.returncode == 78
    assert b"modle" in done.stderr


def test_a_file_in_the_data_folders_place_is_said(home: Path) -> None:
    home.mkdir()
    (home / "data").write_text("in the way", "utf-8")
    done = run("memory", "stats")
    assert done.returncode == 74
    assert done.stderr.count(b"error: ") == done.stderr.count(b"hint: ") == 1


def test_a_model_that_is_no_model_is_refused(home: Path, notes: Path, minilm_path: Path) -> None:
    bad = home / "bad.gguf"
    (home / "config").mkdir(parents=True)
    bad.write_bytes(b"GGUF" + b"\x03\0\0\0" + os.urandom(200))
    (home / "config" / "config.toml").write_text(f'model = "{bad}"\n', "utf-8")
    assert run("add", str(notes)).returncode == 0
    done = run("ask", "Who was the first keeper?")
    assert done.returncode == 69
    assert done.stderr.count(b"error: ") == done.stderr.count(b"hint: ") == 1


def test_a_second_process_is_told_who_has_the_store(notes: Path, minilm_path: Path) -> None:
    from secondme.memory.lock import StoreLock
    from secondme.paths import data_dir

    assert run("add", str(notes)).returncode == 0
    lock = StoreLock(data_dir())
    lock.acquire()
    try:
        done = run("memory", "stats")
    finally:
        lock.release()
    assert done.returncode == 75
    assert str(os.getpid()).encode() in done.stderr


def test_a_question_longer_than_the_context_is_said(notes: Path, smollm2_path: Path, minilm_path: Path) -> None:
    assert run("add", str(notes)).returncode == 0
    done = run("ask", "--json", stdin=b"Who kept the lamp of the lighthouse? " * 3000)
    assert done.returncode == 65, done.stderr
    assert b"tokens" in done.stderr
    assert b"lighthouse" not in done.stderr


def test_watching_answers_from_files_as_they_are_now(notes: Path, minilm_path: Path) -> None:
    import threading

    read, write = os.pipe()
    os.write(write, PASSPHRASE)
    os.close(write)
    command = [sys.executable, "-m", "secondme", "add", str(notes), "--watch", "--json", "--key-fd", str(read)]
    with subprocess.Popen(command, pass_fds=(read,), stdout=subprocess.PIPE, cwd=ROOT) as process:
        os.close(read)
        assert process.stdout is not None
        later = threading.Timer(2.0, (notes / "new.md").write_text, ("The fog horn was built in 1922.\n", "utf-8"))
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "IngestDone" and not later.is_alive() and not (notes / "new.md").exists():
                    later.start()
                if event["event"] == "FileStored" and event["path"].endswith("new.md"):
                    break
        finally:
            # Not an interrupt, which a run in the background ignores; what was acknowledged outlives any signal.
            process.terminate()
    assert b"1922" in run("memory", "search", "fog", "horn", "built").stdout
