"""Opening a cited file: the right line, no shell, no name read as an option."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondme.errors import BackendUnavailable, FileVanished, SecondMeError
from secondme.tui.opener import has_lines, launch_for, start


def program(folder: Path, name: str) -> str:
    """An editor that notes how it was called."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nfor a in "$@"; do printf "%s\\0" "$a"; done > "{folder}/called"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", ["-rf", "$(touch pwned)", "a;b", "a b'c", "`x`", "süß\n2"])
@pytest.mark.parametrize(("editor", "expected"), [("vim", "+7"), ("unknown-editor", "")])
def test_a_file_name_stays_one_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, editor: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("x")
    launch = launch_for(name, 7, f"{program(tmp_path, editor)} --flag 'one arg'")
    assert launch.takes_terminal
    start(launch)
    called = (tmp_path / "called").read_text().split("\0")[:-1]
    assert called == ["--flag", "one arg", *([expected] if expected else []), str(tmp_path / name)]
    assert not (tmp_path / "pwned").exists()


def test_each_editor_gets_its_line_its_own_way(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.touch()
    assert launch_for(str(file), 3, program(tmp_path, "nano")).argv[1:] == ("+3", str(file))
    assert launch_for(str(file), 3, program(tmp_path, "hx")).argv[1:] == (f"{file}:3",)
    code = launch_for(str(file), 3, program(tmp_path, "code"))
    assert code.argv[1:] == ("--goto", f"{file}:3") and not code.takes_terminal


def test_a_file_without_lines_goes_to_the_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.pdf"
    file.touch()
    monkeypatch.setenv("PATH", f"{Path(program(tmp_path, 'xdg-open')).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("sys.platform", "linux")
    launch = launch_for(str(file), None, program(tmp_path, "vim"))
    assert Path(launch.argv[0]).name == "xdg-open" and launch.argv[1:] == (str(file),)
    assert not launch.takes_terminal


def test_what_cannot_be_opened_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.md"
    file.touch()
    with pytest.raises(FileVanished):
        launch_for(str(tmp_path / "gone"), 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable):
        launch_for(str(file), 1, "no-such-editor")
    with pytest.raises(SecondMeError):
        launch_for(str(file), 1, "'half")
    (tmp_path / "broken").write_text("no program")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(BackendUnavailable):
        start(launch_for(str(file), 1, str(tmp_path / "broken")))


def test_which_files_have_lines() -> None:
    assert has_lines("text/markdown") and has_lines("text/x-python") and has_lines("application/json")
    for media_type in ("", "application/pdf", "text/html", "application/vnd.openxmlformats-officedocument.x"):
        assert not has_lines(media_type)
