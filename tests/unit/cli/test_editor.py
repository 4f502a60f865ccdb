"""Editing in the owner's editor: what comes back, what is refused, and that nothing is left behind."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from secondme.cli.editor import MAX_BYTES, edited
from secondme.errors import UsageError


class Editor:
    """A shell script as $EDITOR; `folders` are those in which it was given a file, with their modes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch
        self._seen = folder / "seen"

    def does(self, script: str) -> None:
        path = self._folder / "my editor.sh"
        look = f'd=$(dirname "$1")\nexec 3>> "{self._seen}"\nstat -c "%n %a" "$d" "$1" >&3\ncat "$1" >&3'
        path.write_text(f"#!/bin/sh\n{look}\n{script}\n")
        path.chmod(0o700)
        self._monkeypatch.delenv("VISUAL", raising=False)
        self._monkeypatch.setenv("EDITOR", f'"{path}"')

    @property
    def seen(self) -> str:
        return self._seen.read_text()

    def nothing_is_left(self) -> bool:
        folder = Path(self.seen.splitlines()[0].rsplit(" ", 1)[0])
        return not folder.exists()


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    return Editor(tmp_path, monkeypatch)


def test_the_text_comes_back_as_it_was_left(editor: Editor) -> None:
    editor.does(r'printf "\n one\r\ntwo \n\n" > "$1"; cp "$1" "$1~"; mkdir "$d/sub"; echo x > "$d/sub/swap"')
    assert edited("what was there") == "one\ntwo"
    assert "what was there" in editor.seen
    assert [line.rsplit(" ", 1)[1] for line in editor.seen.splitlines()[:2]] == ["700", "600"]
    assert editor.nothing_is_left()


def test_visual_comes_before_editor(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    editor.does("exit 3")
    monkeypatch.setenv("VISUAL", "true")
    assert edited("the same") == "the same"


def test_saving_by_renaming_is_followed(editor: Editor) -> None:
    editor.does('echo new > "$d/other"; mv "$d/other" "$1"')
    assert edited("old") == "new"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "ended with code 3"),
        ("kill -9 $$", "signal 9"),
        (': > "$1"', "empty"),
        ('printf " \\n\\n" > "$1"', "empty"),
        ('rm "$1"', "no file"),
        ('printf "\\377\\376" > "$1"', "UTF-8"),
        (f'head -c {MAX_BYTES + 1} /dev/zero | tr "\\0" a > "$1"', "too long"),
    ],
)
def test_what_fails_changes_nothing_and_leaves_nothing(editor: Editor, script: str, said: str) -> None:
    editor.does(script)
    with pytest.raises(UsageError) as caught:
        edited("private words")
    assert said in caught.value.message
    assert caught.value.hint
    assert "private" not in caught.value.message
    assert editor.nothing_is_left()


@pytest.mark.parametrize(
    ("value", "said"),
    [("", "no editor"), ("   ", "no editor"), ("/nowhere/vi", "does not start"), ('"vi', "cannot be read")],
)
def test_an_editor_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", value)
    with pytest.raises(UsageError) as caught:
        edited("text")
    assert said in caught.value.message


def test_without_a_place_in_memory_the_data_folder_serves(
    editor: Editor, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondme.cli import editor as module
    from secondme.paths import data_dir, private_dir

    private_dir(data_dir())
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    monkeypatch.setattr(module, "_IN_MEMORY", "/nowhere either")
    editor.does('echo kept > "$1"')
    assert edited("text") == "kept"
    assert str(data_dir()) in editor.seen and editor.nothing_is_left()
    assert stat.S_IMODE(data_dir().stat().st_mode) == 0o700
