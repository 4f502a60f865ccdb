from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from secondme.errors import Cancelled, ParseFailed, UnsupportedFormat
from secondme.ingest import reasons
from secondme.ingest.parse import isolate, parse
from secondme.ingest.parse.isolate import ParseProcess
from tests.make_corpus import Page, docx, pdf, recursive_pdf

# What stands in for a parser that hangs, crashes or misbehaves: a child with the same pipes.
BOOT = "import sys, os, time, signal; "
READ = "sys.stdin.buffer.read(400_000); "


def run_instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(isolate, "_BOOT", BOOT + code)


def test_the_result_is_that_of_parsing_here() -> None:
    with ParseProcess() as process:
        for kind, name, data in (
            ("pdf", "ü.pdf", pdf([Page(["Über uns"])], title="T", outline=[("Über", 0)])),
            ("docx", "a\udcff\n.docx", docx([("Heading 1", "A"), ("Normal", "日本 👩")])),
            ("html", "a.html", b"<h1>x</h1><p>y"),
        ):
            assert process.parse(kind, Path(name), data) == parse(Path(name), data)


def test_reasons_come_back() -> None:
    with ParseProcess() as process:
        with pytest.raises(ParseFailed, match="password") as caught:
            process.parse("pdf", Path("a.pdf"), pdf([Page(["x"])], password="x"))
        assert caught.value.hint == reasons.HINTS[reasons.NEEDS_PASSWORD]
        with pytest.raises(UnsupportedFormat, match="no text"):
            process.parse("html", Path("a.html"), b"<p>")


def test_one_process_serves_many_files_and_ends_when_closed() -> None:
    process = ParseProcess()
    process.parse("html", Path("a"), b"<p>x")
    pid = process.pid
    assert pid is not None
    process.parse("html", Path("a"), b"<p>x")
    assert process.pid == pid
    process.close()
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", reasons.CRASHED),
        ("os._exit(0)", reasons.CRASHED),
        ("print('not json')", reasons.CRASHED),
        (READ + "os.kill(os.getpid(), signal.SIGSEGV)", reasons.CRASHED),
        (READ + "signal.setitimer(signal.ITIMER_REAL, 0.3); time.sleep(30)", reasons.TOO_SLOW),
        ("time.sleep(30)", reasons.TOO_SLOW),
    ],
)
def test_a_parser_that_fails_costs_its_file_alone(monkeypatch: pytest.MonkeyPatch, code: str, reason: str) -> None:
    with ParseProcess(limit_s=0.5) as process:
        with monkeypatch.context() as patch:
            run_instead(patch, code)
            with pytest.raises(ParseFailed) as caught:
                process.parse("html", Path("a"), b"<p>x" * 100_000)
            assert caught.value.message == reason
        assert process.parse("html", Path("a"), b"<p>x").text == "x\n"


def test_cancelling_ends_the_parser() -> None:
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    started = time.monotonic()
    with ParseProcess() as process, pytest.MonkeyPatch.context() as patch:
        run_instead(patch, "time.sleep(30)")
        with pytest.raises(Cancelled):
            process.parse("html", Path("a"), b"x", cancelled=asked.is_set)
        assert process.pid is None
    assert time.monotonic() - started < 3


def test_memory_is_bounded() -> None:
    """The worker's own limit is lowered for a moment, rather than filling this machine's memory."""
    code = (
        "import resource; from secondme.ingest.parse import worker; worker.MEMORY_LIMIT_BYTES = 400 << 20; "
        "import secondme.ingest.parse.html as h; h.parse_html = lambda p, d: bytearray(1 << 30); worker.main()"
    )
    with ParseProcess() as process, pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolate, "_BOOT", "import sys; sys.path.insert(0, sys.argv[1]); " + code)
        with pytest.raises(ParseFailed) as caught:
            process.parse("html", Path("a"), b"<p>x")
        assert caught.value.message == reasons.CRASHED


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's limits")
def test_the_child_leaves_no_core_file() -> None:
    with ParseProcess() as process:
        process.parse("html", Path("a"), b"<p>x")
        limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "core file" in line).split()[4] == "0"


def test_the_child_ends_with_its_parent() -> None:
    code = """
import os, signal
from pathlib import Path
from secondme.ingest.parse.isolate import ParseProcess
process = ParseProcess()
process.parse("html", Path("a"), b"<p>x")
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(isolate.__file__).parents[3])}
    parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, check=False)
    assert parent.returncode == -signal.SIGKILL
    orphan = int(parent.stdout)
    deadline = time.monotonic() + 5
    while _runs(orphan) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(orphan)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_page_that_draws_itself_is_stopped() -> None:
    """Each form shows itself ten times; in this process PDFium would be busy for minutes, then crash."""
    with ParseProcess(limit_s=0.5) as process, pytest.raises(ParseFailed) as caught:
        process.parse("pdf", Path("a.pdf"), recursive_pdf())
    assert caught.value.message in (reasons.TOO_SLOW, reasons.CRASHED)
