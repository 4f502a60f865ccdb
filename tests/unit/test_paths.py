"""Each platform's own places, and the one variable that moves them all."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from secondme import paths


def test_home_moves_everything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECONDME_MODELS")
    for place in (paths.data_dir(), paths.config_file(), paths.cache_dir(), paths.models_dir()):
        assert place.is_relative_to(home)


def test_linux_follows_xdg_and_ignores_relative_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECONDME_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert paths.data_dir() == Path("/somewhere/secondme")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert paths.data_dir() == Path.home() / ".local/share/secondme"


def test_mac_and_windows_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECONDME_HOME")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert paths.data_dir() == Path.home() / "Library/Application Support/secondme"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert paths.data_dir() != paths.cache_dir()
    assert paths.data_dir().is_relative_to("/local/secondme")


def test_a_private_folder_is_the_owners_alone(tmp_path: Path) -> None:
    made = paths.private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
