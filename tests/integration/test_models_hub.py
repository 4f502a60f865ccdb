"""Pulls from a hub that runs on loopback: real library, real HTTP, no network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from secondme.errors import DownloadFailed, ModelChecksumMismatch
from secondme.paths import config_file, models_dir
from secondme.runtime import fetch
from secondme.runtime.catalog import find as find_manifest
from secondme.runtime.catalog import resolve, staging_of
from secondme.runtime.pull import PullDone, PullProgress, pull
from tests.loopback import Loopback, Reply, serve

REVISION = "c" * 40
GGUF = b"GGUF" + os.urandom(2_500_000)
FOLDER = {
    "config.json": b'{"model_type": "tiny"}',
    "model-00001.safetensors": os.urandom(700_000),
    "model-00002.safetensors": os.urandom(300_000),
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"not needed",
    "modeling_tiny.py": b"import os",
    "pytorch_model.bin": b"a pickle",
    "onnx/config.json": b"{}",
}
WANTED = {"config.json", "model-00001.safetensors", "model-00002.safetensors", "tokenizer.json", "chat_template.jinja"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(fetch, "BACKOFF_S", (0.0, 0.0))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serve() as loopback:
        monkeypatch.setenv("HF_ENDPOINT", loopback.url)
        loopback.add_repo("me/tiny-GGUF", REVISION, {"tiny.gguf": GGUF})
        loopback.add_repo("me/tiny-mlx", REVISION, FOLDER)
        loopback.add_repo("me/nested-GGUF", REVISION, {"q8/other-name.gguf": GGUF})
        yield loopback


def write_manifest(format_: str, *, pins: dict[str, bytes] | None = None) -> None:
    """A manifest for one of the two repositories; `pins` are contents whose hash it knows."""
    files = "".join(
        f'[[files]]\npath = "{name}"\nsize_bytes = {len(body)}\nsha256 = "{hashlib.sha256(body).hexdigest()}"\n'
        for name, body in (pins or {}).items()
    )
    if not pins and format_ == "gguf":
        files = '[[files]]\npath = "tiny.gguf"\n'
    text = f"""
name = "tiny"
kind = "generator"
format = "{format_}"
backend = "{"llama.cpp" if format_ == "gguf" else "mlx"}"
parameters = "1M"
quantization = "none"
context_length = 64
licence = "mit"
kv_bytes_per_token = 4
{"" if pins else 'pin = "first-download"'}
[architecture]
layers = 1
kv_heads = 1
head_dim = 1
source = "none"

{files}
[[sources]]
type = "hub"
repo = "me/tiny-{"GGUF" if format_ == "gguf" else "mlx"}"
revision = "{REVISION}"
{'file = "tiny.gguf"' if format_ == "gguf" else ""}
"""
    path = config_file().parent / "models" / "tiny.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def pulled() -> PullDone:
    done = list(pull("tiny"))[-1]
    assert isinstance(done, PullDone)
    return done


def nothing_is_left() -> bool:
    return not [path for path in models_dir().rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_one_file_comes_with_progress_and_is_verified(hub: Loopback) -> None:
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    events = list(pull("tiny"))
    steps = [event for event in events if isinstance(event, PullProgress)]
    assert {step.step for step in steps} == {"downloading"}
    assert steps[-1].n_bytes == steps[-1].total_bytes == len(GGUF)
    assert resolve("tiny").path.read_bytes() == GGUF
    assert [request.method for request in hub.requests] == ["HEAD", "GET"]
    assert sorted(path.name for path in (models_dir() / "tiny").iterdir()) == ["tiny.gguf"]
    assert not staging_of(find_manifest("tiny")).exists()


def test_a_nested_file_gets_its_own_name(hub: Loopback) -> None:
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    path = config_file().parent / "models" / "tiny.toml"
    text = path.read_text().replace("me/tiny-GGUF", "me/nested-GGUF")
    path.write_text(text.replace('file = "tiny.gguf"', 'file = "q8/other-name.gguf"'))
    pulled()
    assert [path.name for path in (models_dir() / "tiny").rglob("*")] == ["tiny.gguf"]


def test_a_broken_connection_is_continued(hub: Loopback) -> None:
    path = f"/me/tiny-GGUF/resolve/{REVISION}/tiny.gguf"
    hub.replies[path].breaks = [1_000_000]
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    assert pulled().sha256 == hashlib.sha256(GGUF).hexdigest()
    assert [request.headers.get("range") for request in hub.gets(path)] == [None, "bytes=1000000-"]


def test_another_hash_at_the_hub_is_refused_before_anything_is_fetched(hub: Loopback) -> None:
    write_manifest("gguf", pins={"tiny.gguf": b"GGUF, what it was when the manifest was written"})
    with pytest.raises(ModelChecksumMismatch):
        pulled()
    assert [request.method for request in hub.requests] == ["HEAD"]
    assert nothing_is_left()


def test_other_bytes_than_the_hub_promised_leave_nothing(hub: Loopback) -> None:
    write_manifest("gguf")
    hub.replies[f"/me/tiny-GGUF/resolve/{REVISION}/tiny.gguf"].body = GGUF[:-1] + bytes([GGUF[-1] ^ 1])
    with pytest.raises(ModelChecksumMismatch):
        pulled()
    assert nothing_is_left()


def test_a_folder_comes_without_code_and_pickles(hub: Loopback) -> None:
    write_manifest("mlx", pins={"config.json": FOLDER["config.json"]})
    done = pulled()
    assert {path.name for path in done.path.iterdir()} == WANTED
    for name in WANTED:
        assert (done.path / name).read_bytes() == FOLDER[name]
    assert done.newly_pinned, "most of its files were in no manifest"
    found = resolve("tiny")
    assert (found.format, found.path, found.sha256) == ("mlx", done.path, done.sha256)


def test_a_folders_first_download_pins_every_file(hub: Loopback, tmp_path: Path) -> None:
    write_manifest("mlx")
    done = pulled()
    (done.path / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(ModelChecksumMismatch, match=r"tokenizer\.json"):
        resolve("tiny")
    assert pulled().sha256 == done.sha256
    (done.path / "tokenizer.json").unlink()
    with pytest.raises(ModelChecksumMismatch, match=r"tokenizer\.json"):
        resolve("tiny")


def test_an_interrupted_folder_keeps_what_is_whole(hub: Loopback) -> None:
    write_manifest("mlx")
    first, second = (f"/me/tiny-mlx/resolve/{REVISION}/model-0000{i}.safetensors" for i in (1, 2))
    hub.replies[second].status = 404
    with pytest.raises(DownloadFailed):
        pulled()
    assert not (models_dir() / "tiny").exists()
    hub.replies[second].status = 200
    pulled()
    assert len(hub.gets(first)) == 1


def test_a_listed_file_that_the_hub_lacks_is_named(hub: Loopback) -> None:
    write_manifest("mlx", pins={"vocab.json": b"{}", "config.json": FOLDER["config.json"]})
    with pytest.raises(DownloadFailed, match=r"does not hold vocab\.json"):
        pulled()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "EntryNotFound", "does not hold the model"),
        (404, "RevisionNotFound", "does not hold the model"),
        (404, "RepoNotFound", "does not hold the model"),
        (401, "GatedRepo", "is gated"),
        (403, "GatedRepo", "is gated"),
        (500, "", "HTTP 500"),
    ],
)
def test_refusals_are_explained(hub: Loopback, status: int, code: str, words: str) -> None:
    for path in list(hub.replies):
        hub.replies[path] = Reply(status=status, headers={"X-Error-Code": code})
    for format_ in ("gguf", "mlx"):
        write_manifest(format_)
        with pytest.raises(DownloadFailed, match=words) as caught:
            pulled()
        assert caught.value.hint
    assert nothing_is_left()


def test_a_token_goes_to_the_hub(hub: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    write_manifest("gguf")
    pulled()
    assert {request.headers.get("authorization") for request in hub.requests} == {"Bearer hf_secret"}


def test_nothing_is_told_about_this_machine(hub: Loopback) -> None:
    write_manifest("gguf")
    pulled()
    for request in hub.requests:
        assert "torch" not in request.headers["user-agent"] and "numpy" not in request.headers["user-agent"]


def test_a_hub_that_is_not_there_is_said(hub: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    write_manifest("gguf")
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        pulled()


def test_offline_takes_only_what_the_hubs_cache_has(
    hub: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE"):
        pulled()
    snapshot = tmp_path / "hf" / "hub" / "models--me--tiny-GGUF" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "tiny.gguf").write_bytes(b"GGUF damaged")
    with pytest.raises(ModelChecksumMismatch):
        pulled()
    (snapshot / "tiny.gguf").write_bytes(GGUF)
    assert pulled().sha256 == hashlib.sha256(GGUF).hexdigest()
    assert hub.requests == []


def test_a_damaged_cache_is_passed_over(hub: Loopback, tmp_path: Path) -> None:
    snapshot = tmp_path / "hf" / "hub" / "models--me--tiny-GGUF" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "tiny.gguf").write_bytes(b"GGUF damaged")
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    pulled()
    assert resolve("tiny").path.read_bytes() == GGUF


def test_the_command_honours_the_hubs_variables(hub: Loopback, tmp_path: Path) -> None:
    """In a process of its own, because the library reads HF_HOME and HF_HUB_OFFLINE when it is imported."""
    write_manifest("gguf", pins={"tiny.gguf": GGUF})
    (tmp_path / "hf_home").mkdir()
    (tmp_path / "hf_home" / "token").write_text("hf_from_file")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf_home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "secondme", "models", "pull", "tiny"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 69
    assert refused.stderr.splitlines()[-2:] == [
        "error: me/tiny-GGUF is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it",
        "hint: unset HF_HUB_OFFLINE for this one pull, or use: --from FILE",
    ]
    assert hub.requests == []
    environment["HF_HUB_OFFLINE"] = "0"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "tiny is here: " in done.stderr
    assert hub.requests[0].headers["authorization"] == "Bearer hf_from_file"
