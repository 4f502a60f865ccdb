"""The runtime's source archive is found in the index that pip uses, fetched whole, and not fetched twice."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from boot import llama
from boot.console import Console, SetupFailed
from boot.lockfile import Pin
from secondme.errors import ModelChecksumMismatch
from secondme.runtime.registry import IndexSettings, WheelPin, find_wheel

CONTENT = b"a source archive" * 9999
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "llama_cpp_python-0.3.36.tar.gz"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A local index: a page that lists the archive beside a wheel and another version."""
    page = tmp_path / "index" / "llama-cpp-python" / "index.html"
    page.parent.mkdir(parents=True)
    wheel = "llama_cpp_python-0.3.36-py3-none-any.whl"
    lines = [f'<a href="{NAME}#sha256={DIGEST}">{NAME}</a>', f'<a href="{wheel}#sha256={"0" * 64}">{wheel}</a>']
    page.write_text("\n".join([*lines, '<a href="llama_cpp_python-0.3.35.tar.gz">old</a>']), "utf-8")
    (page.parent / NAME).write_bytes(CONTENT)
    return tmp_path / "index"


@pytest.fixture
def builder(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> llama.Builder:
    monkeypatch.setenv("SECONDME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index.as_uri())
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    wheel = llama.wanted_wheel(Pin(llama.PROJECT, "0.3.36", (DIGEST,), ""), gpu="")
    return llama.Builder(wheel, Path("python"), {}, Console(tmp_path / "log"))


@pytest.mark.parametrize("place", ["page", "folder"])
def test_the_archive_is_told_from_wheels_and_other_versions(index: Path, place: str) -> None:
    folder = str(index / "llama-cpp-python")
    if place == "folder":
        Path(folder, "index.html").unlink()
    settings = IndexSettings((index.as_uri(),)) if place == "page" else IndexSettings((), (folder,))
    found = find_wheel(WheelPin(llama.PROJECT, "0.3.36", DIGEST, suffix=".tar.gz"), settings)
    assert found.url.endswith(NAME) and found.sha256 == DIGEST


def test_it_is_fetched_once(builder: llama.Builder, index: Path) -> None:
    archive = builder._download()
    assert archive.read_bytes() == CONTENT
    (index / "llama-cpp-python" / NAME).unlink()
    assert builder._download() == archive


def test_another_file_under_its_name_is_refused(builder: llama.Builder, index: Path) -> None:
    (index / "llama-cpp-python" / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(ModelChecksumMismatch):
        builder._download()
    assert not list((builder._build_dir()).glob("*.tar.gz"))


def test_an_index_without_it_is_said(builder: llama.Builder, index: Path) -> None:
    (index / "llama-cpp-python" / "index.html").write_text("", "utf-8")
    with pytest.raises(SetupFailed, match=r"llama-cpp-python 0\.3\.36 cannot be had") as caught:
        builder._download()
    assert caught.value.hint is not None and "run the same command again" in caught.value.hint
