"""Pastes that are drops, and pastes that only look like one."""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from secondme.errors import UsageError
from secondme.tui.drop import MAX_PASTE_CHARS, dropped_paths, typed_paths

NAMES = ["plain", "with space", "it's", 'a "quote"', "100% süß", "back\\slash", "#hash?query&amp", "[link=x]", "日本語"]


@pytest.fixture(params=NAMES)
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / str(request.param)
    path.mkdir()
    return path


def backslashed(path: Path) -> str:
    """As macOS terminals paste a path."""
    return "".join(c if c.isalnum() or c in "/_-." or ord(c) > 127 else f"\\{c}" for c in str(path))


def test_every_form_of_one_dropped_folder(folder: Path) -> None:
    uri = f"file://{quote(str(folder))}"
    forms = [str(folder), shlex.quote(str(folder)), backslashed(folder), uri, f"file://localhost{quote(str(folder))}"]
    for form in forms:
        for paste in (form, f"{form} ", f"{form}\n", f"\n{form}\r\n"):
            assert dropped_paths(paste) == (folder,), paste


def test_several_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / "one.md", tmp_path / "two words.pdf", tmp_path / "three"]
    for path in paths:
        path.write_text("x")
    for joined in (
        " ".join(shlex.quote(str(p)) for p in paths),
        " ".join(backslashed(p) for p in paths) + " ",
        "\n".join(str(p) for p in paths),
        "\r\n".join(f"file://{quote(str(p))}" for p in paths),
        " ".join(f"file://{quote(str(p))}" for p in [*paths, paths[0]]),
    ):
        assert dropped_paths(joined) == tuple(paths), joined


def test_ordinary_text_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "missing"
    for text in (
        "",
        "   \n",
        "/",
        "//",
        "here",
        "./here",
        "~",
        "what is in my notes?",
        f"look at {tmp_path}",
        f"{tmp_path} {missing}",
        f"{tmp_path}\n{missing}",
        "it's a half quote",
        "C:\\Users\\me",
        "https://example.org/a",
        f"file://elsewhere.example{tmp_path}",
        "file://",
        f"{tmp_path}\x00",
        f"{tmp_path}/" + "a" * 5000,
        str(tmp_path) + " " * MAX_PASTE_CHARS + str(tmp_path),
    ):
        assert dropped_paths(text) == (), text


def test_uri_of_this_host_and_of_undecodable_bytes(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    assert dropped_paths(f"file://{socket.gethostname()}{quote(str(tmp_path))}") == (tmp_path,)
    assert dropped_paths(f"file://{quote(os.fsencode(odd))}") == (odd,)


def test_typed_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "c").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_paths("a b") == (tmp_path / "a b",)
    assert typed_paths("'a b' c") == (tmp_path / "a b", tmp_path / "c")
    assert typed_paths("~/c") == (tmp_path / "c",)
    for wrong in ("", "nothing here", "'half", "~nobody-such/x"):
        with pytest.raises(UsageError) as caught:
            typed_paths(wrong)
        assert caught.value.hint
