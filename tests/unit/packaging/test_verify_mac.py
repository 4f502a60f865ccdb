"""The script for Macs, as far as other machines can run it: its options, its commands, and what needs no Mac."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import pytest

from macos import check
from secondme.cli.main import VERBS
from secondme.config import Config, load_config
from secondme.runtime.mlx_check import MlxState
from secondme.runtime.mlx_lib import on_metal
from tests.tiny_mlx import TinyMlx, write_tiny_mlx

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "packaging" / "macos" / "verify.sh"
# Beside what every POSIX system has.
LATER_THAN_BASH_3 = re.compile(
    r"declare -[An]|local -[An]|mapfile|readarray|\|&|&>>|\$\{\w+(\^|,)|;;&|coproc|\$\{\w+@|BASHPID|EPOCH|wait -n"
)

PYTHON_STUB = """#!/bin/sh
case "$*" in
  *models_dir*) echo /models ;;
  *"check.py keychain"*) echo "wrong: none" && exit 1 ;;
  *"-m pytest"*) echo "FAILED tests/x.py::test_y - /secret/path" && echo "1 failed, 2 passed" && exit 1 ;;
  *) echo "ran in $HOME/some/folder" ;;
esac
"""
SECONDME_STUB = """#!/bin/sh
echo "$1 for $(cat <&3) in $SECONDME_HOME with $SECONDME_MODELS"
"""


def run(*words: str, script: Path = SCRIPT, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable, **changes}
    command = ["bash", str(script), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def planned(*words: str) -> dict[str, list[str]]:
    done = run("--dry-run", *words)
    assert done.returncode == 0 and done.stderr == ""
    return {
        name: shlex.split(command) for name, _, command in (line.partition("\t") for line in done.stdout.splitlines())
    }


def test_a_dry_run_shows_every_step_and_makes_nothing() -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "build").glob("verify/*")}
    steps = planned()
    assert {"setup", "metal", "keychain", "doctor", "ask-mlx", "ask-llama", "bench-runtime-mlx", "tests", "wheel"} <= {
        *steps
    }
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "build").glob("verify/*")} == before
    assert {*steps} - {*planned("--quick")} == {"tests", "wheel"}


@pytest.mark.parametrize("words", [(), ("--quick",)])
def test_every_command_exists_with_its_options(words: tuple[str, ...]) -> None:
    for name, command in planned(*words).items():
        if command[0] == "env":
            command = command[3:]
        program, *arguments = command
        if program.endswith("secondme"):
            parser = ArgumentParser(allow_abbrev=False)
            assert arguments[0] in VERBS
            import_module(f"secondme.cli.{arguments[0]}").register(parser.add_subparsers())
            parser.parse_args(arguments)  # ends the test if an option is none
        elif arguments[0] == "-m":
            assert import_module(arguments[1])
        else:
            assert (ROOT / arguments[0]).is_file(), name
            if arguments[0].endswith("check.py"):
                assert arguments[1] in (check.CHECKS if len(arguments) == 2 else check.WITH_PATH), name


def test_the_settings_it_writes_are_settings(tmp_path: Path) -> None:
    (written,) = re.findall(r"echo '(.*)' >\"\$work/home/config/config.toml\"", SCRIPT.read_text("utf-8"))
    (tmp_path / "config.toml").write_text(written)
    assert load_config(tmp_path / "config.toml") == Config(answers="write")


def test_it_uses_no_program_that_a_mac_lacks() -> None:
    """What is called beside the program itself comes with every macOS; `timeout`, `realpath` and the like do not."""
    text = SCRIPT.read_text("utf-8")
    assert not re.search(r"\b(timeout|realpath|readlink -f|sed -i|date -d|grep -P|nproc|sha256sum|tac|seq)\b", text)
    assert not LATER_THAN_BASH_3.search(text)
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    assert os.access(SCRIPT, os.X_OK)
    assert text.startswith("#!/bin/bash\n")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    scripts = [path for path in (SCRIPT, ROOT / ".ci" / "run") if path.exists()]  # an sdist has only the first
    command = ["shellcheck", *map(str, scripts)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


def test_an_unknown_option_is_said_to_be_one() -> None:
    done = run("--fast")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[0] == "error: --fast is not an option" and "hint: " in done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose set-up and program are stubs, to see what the script makes of their success and failure."""
    root = tmp_path / "a clone"
    shutil.copytree(SCRIPT.parent, root / "packaging" / "macos", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "packaging" / "bootstrap.py").write_text("print('set up below', __file__)\n")
    binaries = root / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, body in (("python", PYTHON_STUB), ("secondme", SECONDME_STUB)):
        (binaries / name).write_text(body)
        (binaries / name).chmod(0o755)
    return root


def test_the_report_tells_what_passed_and_failed_and_no_names(clone: Path) -> None:
    done = run(script=clone / "packaging/macos/verify.sh", HOME=str(clone.parent))
    report = (clone / "build/verify/report.txt").read_text("utf-8")
    assert done.returncode == 1 and done.stdout == report
    verdicts = re.findall(r"(?m)^(\w+)  ([\w-]+) \(\d+ s\)$", report)
    assert [name for _, name in verdicts] == list(planned())
    assert [name for verdict, name in verdicts if verdict == "FAIL"] == ["keychain", "tests"]
    assert "FAILED tests/x.py::test_y\n" in report and "1 failed, 2 passed" in report
    assert report.rstrip().endswith("2 steps failed")
    assert str(clone.parent) not in report and "/secret/path" not in report
    assert "ran in ~/some/folder" in report and "set up below ./packaging" in report
    assert "add for verify " in report and "in ./build/verify/home with /models" in report
    assert sorted(path.name for path in (clone / "build/verify").iterdir() if not path.suffix) == []


def test_nothing_else_is_tried_where_the_set_up_fails(clone: Path) -> None:
    (clone / "packaging" / "bootstrap.py").write_text("raise SystemExit(1)\n")
    done = run(script=clone / "packaging/macos/verify.sh")
    assert done.returncode == 1 and "FAIL  setup" in done.stdout and "metal" not in done.stdout


def answered(path: Path, **changes: object) -> Path:
    row = {"found": True, "answer": "Merrow [1].", "citations": [{"path": f"/x/{check.SOURCE}"}], "notes": []}
    path.write_text(json.dumps({**row, "timings": {"decode_s": 1.25, "n_answer_tokens": 7}, **changes}))
    return path


def test_an_answer_passes_with_its_citation_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answer.json"
    assert check.main(["answer", str(answered(path))]) == 0
    assert capsys.readouterr().out == "decode_s 1.25, n_answer_tokens 7\n"
    changes: list[dict[str, object]] = [{"found": False}, {"answer": " "}, {"citations": []}, {"notes": ["a note"]}]
    changes.append({"timings": {"n_answer_tokens": 0}})
    for change in changes:
        assert check.main(["answer", str(answered(path, **change))]) == 1
    path.write_text("error")
    assert check.main(["answer", str(path)]) == 1


def test_the_samples_answer_the_question_that_is_asked(tmp_path: Path) -> None:
    assert check.main(["samples", str(tmp_path / "new" / "folder")]) == 0
    assert "called Merrow" in (tmp_path / "new" / "folder" / check.SOURCE).read_text("utf-8")
    assert check.QUESTION in SCRIPT.read_text("utf-8")
    assert check.main(["paragraphs", str(tmp_path / "p.json")]) == 0
    from secondme.bench.cartridges.documents import read_paragraphs

    assert len(read_paragraphs(tmp_path / "p.json")) == 3


def test_what_it_looks_into_is_named_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([]) == check.main(["nothing"]) == check.main(["samples"]) == 2
    shown = capsys.readouterr().err
    assert all(f"check.py {name} " in shown for name in (*check.CHECKS, *check.WITH_PATH))


def test_facts_and_doctor_run_anywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, smollm2_path: Path, minilm_path: Path
) -> None:
    assert check.main(["facts"]) == 0
    assert re.search(r"mlx \d", capsys.readouterr().out)
    on_a_mac = sys.platform == "darwin"
    assert check.main(["doctor"]) == (0 if on_a_mac else 1)
    shown = capsys.readouterr().out
    assert "ok      backend: " in shown and ("wrong: MLX is not what runs" in shown) != on_a_mac


def test_a_keyring_is_tried_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr("secondme.crypto.keychain.backend_name", lambda: "macOS Keychain")
    monkeypatch.setattr("secondme.crypto.keychain.store", lambda entry, key: kept.update({entry: key}) is None)
    from secondme.crypto.keychain import Missing

    monkeypatch.setattr("secondme.crypto.keychain.fetch", lambda entry: kept.get(entry, Missing.NO_ENTRY))
    monkeypatch.setattr("secondme.crypto.keychain.remove", lambda entry: kept.pop(entry, None) is not None)
    assert check.main(["keychain"]) == 0 and kept == {}
    assert "macOS Keychain: stored True, came back equal True, removed True, gone True" in capsys.readouterr().out
    monkeypatch.setattr("secondme.crypto.keychain.remove", lambda entry: False)
    assert check.main(["keychain"]) == 1
    monkeypatch.setattr("secondme.crypto.keychain.backend_name", lambda: None)
    assert check.main(["keychain"]) == 1


def test_metal_reports_real_work(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_mlx(tmp_path / "tiny", TinyMlx())
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text(f'model = "{model}"\n')
    assert check.main(["metal"]) == (0 if on_metal() else 1)
    shown = capsys.readouterr().out
    assert "a quantized product is right on " in shown and "tiny on mlx" in shown and " tokens decoded" in shown
    assert ("wrong: MLX does not run on Metal here" in shown) != on_metal()


@pytest.mark.parametrize(("most", "memory", "peak"), [(0, 0, 1), (32, 32, 1), (20, 32, 21)])
def test_memory_without_a_limit_or_beyond_it_is_wrong(most: int, memory: int, peak: int) -> None:
    check.require_within(MlxState("Metal", 20, 32), 20)
    with pytest.raises(check.Wrong):
        check.require_within(MlxState("Metal", most, memory), peak)
