"""What the set-up shows and how it ends the programs it calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest

from boot.console import ChildFailed, Console, SetupFailed
from boot.steps import explain

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "build" / "bootstrap.log")


def test_a_programs_lines_come_as_a_stream_and_into_the_log(console: Console) -> None:
    code = "import sys; print('one'); print('two', file=sys.stderr); print('\\udcff', end='')"
    lines = list(console.stream([sys.executable, "-X", "utf8", "-u", "-c", code.replace("\\udcff", "three")]))
    assert lines == ["one", "two", "three"]
    assert console.log_path.read_text("utf-8").endswith("one\ntwo\nthree\n")


def test_bytes_that_are_no_text_do_not_stop_it(console: Console) -> None:
    assert console.run([sys.executable, "-c", "import os; os.write(1, b'a\\xff\\n')"]) == ["a\ufffd"]


def test_a_failing_program_leaves_its_last_lines(console: Console) -> None:
    with pytest.raises(ChildFailed, match="exit status 3") as caught:
        console.run([sys.executable, "-c", "print('reason'); raise SystemExit(3)"])
    assert caught.value.tail == ("reason",)


def test_a_program_that_is_not_there_is_said(console: Console) -> None:
    with pytest.raises(SetupFailed, match="cannot be run"):
        console.run(["/nowhere/cmake"])


def test_leaving_the_stream_early_leaves_no_child(console: Console) -> None:
    code = "import os, time; print(os.getpid(), flush=True); os.close(1); os.close(2); time.sleep(0.3)"
    stream = console.stream([sys.executable, "-c", code])
    pid = int(next(stream))
    stream.close()  # type: ignore[attr-defined]  # it is a generator; the annotation promises less
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_terminal_progress_is_sparse(console: Console, capfd: pytest.CaptureFixture[str]) -> None:
    for n in range(100):
        console.progress(f"[{n}/100]")
    console.say("done")
    assert capfd.readouterr().err == "[0/100]\ndone\n"


def test_on_a_terminal_progress_is_one_line_that_vanishes(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = ['.', 'packaging']\n"
        "from pathlib import Path\nfrom boot.console import Console\n"
        f"c = Console(Path({str(tmp_path / 'log')!r}))\n"
        "for n in range(3): c.progress(f'[{n}/3] ' + 'x' * 200)\nc.say('done')"
    )
    child = pexpect.spawn(
        sys.executable, ["-c", code], cwd=str(ROOT), dimensions=(24, 60), encoding="utf-8", timeout=20
    )
    child.expect(pexpect.EOF)
    assert isinstance(child.before, str)
    shown = child.before
    assert shown.count("\n") == 1 and shown.endswith("\r\x1b[Kdone\r\n")
    assert all(len(part) <= 59 for part in shown.replace("done\r\n", "").split("\r\x1b[K"))


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full", "free some space"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "was locked", "mirror"),
        (
            "WARNING: Retrying after NewConnectionError: Failed to establish",
            "registry cannot be reached",
            "PIP_INDEX_URL",
        ),
        ("ERROR: No matching distribution found for textual==8.2.8", "registry cannot be reached", "network"),
        ("native/src/a.cpp:3:1: error: expected ';'", "while testing", "expected ';'"),
        ("  ModuleNotFoundError: No module named 'x'", "while testing", "No module named 'x'"),
    ],
)
def test_what_tools_say_becomes_one_line_and_a_remedy(line: str, message: str, hint: str) -> None:
    tail = [
        "before",
        line,
        "× Encountered error while generating package metadata.",
        "error: metadata-generation-failed",
    ]
    failed = explain(ChildFailed("pip failed (exit status 1)", tail), "testing")
    assert message in failed.message
    assert failed.hint is not None and hint in failed.hint


def test_a_failure_without_words_points_at_the_log() -> None:
    assert explain(ChildFailed("ninja failed (exit status 1)", []), "testing").hint == "the log tells more"
