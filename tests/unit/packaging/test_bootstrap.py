"""The set-up as `make` calls it: a process of its own, in a small copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boot.state import State, inputs_key

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the set-up reads, without the rest."""
    clone = tmp_path / "clone"
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    for folder in ("packaging", "native", "models"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=ignore)
    for file in ("pyproject.toml", "Makefile", "secondme/__init__.py", "secondme/errors.py", "secondme/paths.py"):
        (clone / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, clone / file)
    return clone


def run(clone: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    base = getattr(sys, "_base_executable", sys.executable)
    command = [base, "packaging/bootstrap.py", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **changes}
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=60, check=False)


def complete(clone: Path) -> None:
    (clone / ".venv").mkdir()
    State.read(clone / ".venv").mark("all: run", inputs_key(clone))


def test_a_run_with_nothing_to_do_says_nothing_and_imports_nothing_heavy(clone: Path) -> None:
    complete(clone)
    result = run(clone, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert result.returncode == 0 and result.stdout == ""
    assert "boot.state" in imported
    assert not imported & {"boot.steps", "boot.llama", "boot.console", "secondme.runtime", "secondme.errors", "fcntl"}
    assert not (clone / "build").exists()


def test_what_benchmarks_compare_with_is_asked_for_by_name(clone: Path, tmp_path: Path) -> None:
    complete(clone)
    assert run(clone, PATH=str(tmp_path)).returncode == 0
    assert "no C and C++ compiler" in run(clone, "--bench", PATH=str(tmp_path)).stderr
    State.read(clone / ".venv").mark("all: peers", inputs_key(clone))
    assert run(clone, "--bench", PATH=str(tmp_path)).returncode == 0


def test_mlx_is_asked_for_by_name_and_kept_from_then_on(clone: Path, tmp_path: Path) -> None:
    complete(clone)
    assert "no C and C++ compiler" in run(clone, "--mlx", PATH=str(tmp_path)).stderr
    state, key = State.read(clone / ".venv"), inputs_key(clone)
    state.mark("packages: mlx", "of an older lock")
    assert "no C and C++ compiler" in run(clone, PATH=str(tmp_path)).stderr  # a newer one is looked for
    state.mark("all: mlx", key)
    assert run(clone, PATH=str(tmp_path)).returncode == run(clone, "--mlx", PATH=str(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("words", "set_up", "program"),
    [
        (["chat"], "", "chat"),
        (["chat", "BACKEND=mlx"], "--mlx", "chat --backend mlx"),
        (["chat", "BACKEND=llama.cpp"], "", "chat --backend llama.cpp"),
        (["bench", "BACKEND=mlx", "ARGS=runtime"], "--mlx", "bench runtime --backend mlx"),
        (["bench", "PEERS=mlx-lm"], "--mlx-lm", "bench runtime --peers"),
    ],
)
def test_make_hands_the_backend_to_the_set_up_and_to_the_program(words: list[str], set_up: str, program: str) -> None:
    shown = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [" ".join(line.split()) for line in shown.replace("\\\n", " ").splitlines()]
    assert any(line.endswith(f"packaging/bootstrap.py {set_up}".rstrip()) for line in commands)
    assert any(line.endswith(f".venv/bin/secondme {program}") for line in commands)


def test_a_changed_input_makes_it_look_again(clone: Path, tmp_path: Path) -> None:
    complete(clone)
    (clone / "pyproject.toml").write_text("changed", "utf-8")
    result = run(clone, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "no C and C++ compiler" in result.stderr


def test_no_compiler_is_one_line_with_a_hint_before_anything_is_made(clone: Path, tmp_path: Path) -> None:
    result = run(clone, PATH=str(tmp_path))
    error, hint, log = result.stderr.splitlines()
    assert result.returncode == 1 and result.stdout == ""
    assert error == "error: no C and C++ compiler was found"
    assert hint.startswith("hint: install")
    assert log == "the full log is build/bootstrap.log"
    assert (clone / "build/bootstrap.log").exists()
    assert not (clone / ".venv").exists()


def test_an_older_python_is_told_so(clone: Path) -> None:
    code = "import runpy, sys; sys.version_info = (3, 10, 4); runpy.run_path('packaging/bootstrap.py')"
    result = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=False)
    error, hint = result.stderr.splitlines()
    assert result.returncode == 1
    assert error.startswith("error: secondme needs Python 3.11 or newer")
    assert "make PYTHON=" in hint


def test_make_says_when_there_is_no_python(clone: Path) -> None:
    command = ["make", "chat", "PYTHON=no-such-python"]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    error, hint = result.stderr.splitlines()[:2]
    assert result.returncode != 0
    assert error == "error: no-such-python was not found"
    assert hint.startswith("hint: install Python 3.11")


def test_every_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    shown = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    assert {name for name in phony if name not in ("help", "python")} == {
        line.split()[1] for line in shown.splitlines() if line.startswith("make ")
    }
