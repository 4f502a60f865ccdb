"""What `--help` and `--version` say, as a person reads it; a change is made on purpose, with UPDATE_GOLDEN=1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secondme import __version__
from secondme.cli.main import VERBS

HERE = Path(__file__).parent / "help"
CASES = [
    "",
    *VERBS,
    *(f"memory {a}" for a in ("list", "search", "show", "add", "edit", "rm", "undo", "history", "review", "core")),
    *(f"memory {a}" for a in ("log", "why", "reflect", "repair")),
    *(f"models {a}" for a in ("pull", "calibrate", "rm")),
]
CASES += ["project status", "project rm", "cartridge ls", "cartridge build"]
CASES += [f"keys {a}" for a in ("add-passphrase", "rotate")]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c or "top")
def test_help(case: str) -> None:
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "secondme", *case.split(), "--help"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    golden = HERE / f"{case.replace(' ', '-') or 'top'}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(done.stdout, "utf-8")
    # From 3.13 on, argparse shows an option's value once instead of after each of its names.
    assert _words(done.stdout) == _words(golden.read_text("utf-8"))


def _words(text: str) -> list[str]:
    return [w for w in text.split() if w not in ("NAME", "N")]


def test_version() -> None:
    done = subprocess.run([sys.executable, "-m", "secondme", "--version"], capture_output=True, text=True)
    assert done.stdout == f"secondme {__version__}\n"


def test_unknown_verbs_and_options_are_refused() -> None:
    for args in (["nonsense"], ["ask", "--nonsense"], ["--nonsense"]):
        done = subprocess.run([sys.executable, "-m", "secondme", *args], capture_output=True, text=True)
        assert done.returncode == 2, args
        assert "Traceback" not in done.stderr
