from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.errors import DownloadFailed, ModelChecksumMismatch
from secondme.runtime import fetch, registry
from secondme.runtime.registry import IndexSettings, WheelPin, fetch_wheel, find_wheel, index_settings
from tests.loopback import Loopback, Reply, serve

FILE = "tiny_model-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """A wheel that pip itself accepts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in (
            ("tiny_model/weights.gguf", "GGUF and so on"),
            ("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"),
            ("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("tiny_model-1.0.dist-info/RECORD", ""),
        ):
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


WHEEL = wheel()
SHA256 = hashlib.sha256(WHEEL).hexdigest()
PIN = WheelPin("Tiny.Model", "1.0", SHA256, len(WHEEL))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(fetch, "BACKOFF_S", (0.0, 0.0))
    with serve() as loopback:
        yield loopback


def html(*links: str, base: str = "") -> Reply:
    anchors = "".join(f'<a href="{link}">x</a><br>' for link in links)
    body = f"<!DOCTYPE html><html><head>{base}</head><body>{anchors}</body></html>"
    return Reply(body.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


def found(settings: IndexSettings) -> str:
    return find_wheel(PIN, settings).url


def test_html_pages_are_read(server: Loopback) -> None:
    server.add(
        "/simple/tiny-model/",
        html(
            "../../f/tiny_model-0.9-py3-none-any.whl#sha256=" + SHA256,
            "../../f/tiny_model-1.0.tar.gz#sha256=" + SHA256,
            f"../../f/{FILE}#sha256={'0' * 64}",
            f"../../good/{FILE}#sha256={SHA256}",
        ),
    )
    assert found(IndexSettings((server.url + "/simple/",))) == f"{server.url}/good/{FILE}"
    assert "json" in server.requests[0].headers["accept"]


def test_a_base_element_and_a_missing_hash_are_honoured(server: Loopback) -> None:
    server.add("/simple/tiny-model/", html(FILE, base=f'<base href="{server.url}/elsewhere/">'))
    assert found(IndexSettings((server.url + "/simple",))) == f"{server.url}/elsewhere/{FILE}"


def test_json_pages_are_read(server: Loopback) -> None:
    page = {"files": [{"filename": FILE, "url": f"/j/{FILE}", "hashes": {"sha256": SHA256}}]}
    headers = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
    server.add("/simple/tiny-model/", Reply(json.dumps(page).encode(), headers=headers))
    assert found(IndexSettings((server.url + "/simple",))) == f"{server.url}/j/{FILE}"


def test_the_next_index_is_asked_when_one_fails(server: Loopback) -> None:
    server.add("/broken/tiny-model/", Reply(b"{", headers={"Content-Type": "application/json"}))
    server.add("/good/tiny-model/", html(f"/f/{FILE}"))
    settings = IndexSettings((server.url + "/none", server.url + "/broken", server.url + "/good"))
    assert found(settings) == f"{server.url}/f/{FILE}"


def test_local_folders_and_local_indexes_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "my wheels"
    folder.mkdir()
    (folder / FILE).write_bytes(WHEEL)
    page = tmp_path / "simple" / "tiny-model" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(html(f"../../my%20wheels/{FILE}#sha256={SHA256}").body)
    for settings in (IndexSettings((), (str(folder),)), IndexSettings(((tmp_path / "simple").as_uri(),))):
        url = urllib.parse.urlsplit(found(settings))
        assert url.scheme == "file"
        assert Path(urllib.parse.unquote(url.path)) == folder / FILE


def test_what_no_index_has_is_said(server: Loopback) -> None:
    server.add("/simple/tiny-model/", html("other-1.0-py3-none-any.whl", "", "tiny_model-1.0-broken.whl"))
    with pytest.raises(DownloadFailed, match=r"Tiny\.Model 1\.0 .*no index holds it") as caught:
        found(IndexSettings((server.url + "/simple",)))
    assert caught.value.hint is not None and "--from FILE" in caught.value.hint
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        found(IndexSettings(("http://127.0.0.1:9/simple",)))


def test_a_login_goes_to_the_index_and_its_files_only(server: Loopback) -> None:
    login = "Basic " + base64.b64encode(b"ann:p@ss").decode()
    with_login = server.url.replace("//", "//ann:p%40ss@") + "/simple"
    server.add("/simple/tiny-model/", html(f"/f/{FILE}"))
    request = find_wheel(PIN, IndexSettings((with_login,)))
    assert server.requests[0].headers["authorization"] == login
    assert request.secret_headers == (("Authorization", login),)
    assert "ann" not in request.url
    with serve() as elsewhere:
        server.add("/simple/tiny-model/", html(f"{elsewhere.url}/f/{FILE}"))
        assert find_wheel(PIN, IndexSettings((with_login,))).secret_headers == ()


def test_settings_come_from_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = http://127.0.0.1:1/a\nextra-index-url =\n  http://127.0.0.1:1/b\n  http://127.0.0.1:1/c\n"
        "cert = /my certs/ca.pem\nproxy = http://127.0.0.1:2\n[download]\nfind-links = /wheels\n"
    )
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert index_settings() == IndexSettings(
        ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b", "http://127.0.0.1:1/c"),
        ("/wheels",),
        "/my certs/ca.pem",
        "http://127.0.0.1:2",
    )
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/env")
    assert index_settings().index_urls[0] == "http://127.0.0.1:1/env"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert index_settings().index_urls == ()


def test_without_pip_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_run_pip", lambda *args: "")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadFailed, match="no package index is known"):
        index_settings()
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/uv")
    monkeypatch.setenv("PIP_CERT", "/a b/ca.pem")
    assert index_settings() == IndexSettings(("http://127.0.0.1:1/uv",), cafile="/a b/ca.pem")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/pip")
    assert index_settings().index_urls == ("http://127.0.0.1:1/pip",)


def test_it_runs_before_anything_is_installed() -> None:
    """The bootstrap imports it with a bare interpreter: isolated, and without site-packages."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); import secondme.runtime.registry"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_pip_has_an_index_of_its_own() -> None:
    assert registry._built_in_index().startswith("https://")


def test_a_wheel_is_fetched_once(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "index_settings", lambda: IndexSettings((server.url + "/simple",)))
    server.add("/simple/tiny-model/", html(f"/f/{FILE}"))
    server.add(f"/f/{FILE}", Reply(WHEEL))
    dest = tmp_path / "w.whl"
    for _ in range(2):
        list(fetch_wheel(PIN, dest))
    assert dest.read_bytes() == WHEEL
    assert len(server.requests) == 2


def test_pip_itself_is_asked_where_the_look_up_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an index that wants a keyring login: here the look-up sees no index, but pip does."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / FILE).write_bytes(WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(registry, "index_settings", lambda: IndexSettings(()))
    list(fetch_wheel(PIN, tmp_path / "w.whl"))
    assert (tmp_path / "w.whl").read_bytes() == WHEEL
    wrong = WheelPin("tiny-model", "1.0", "0" * 64)
    with pytest.raises((DownloadFailed, ModelChecksumMismatch)):
        list(fetch_wheel(wrong, tmp_path / "v.whl"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["w.whl"]
