from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from secondme.errors import Cancelled, DownloadFailed, ModelChecksumMismatch
from secondme.runtime import fetch
from secondme.runtime.fetch import Download, copy, download
from secondme.runtime.partial import FetchProgress
from tests.loopback import Loopback, Reply, serve

T = TypeVar("T")
BODY = os.urandom(3_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(fetch, "BACKOFF_S", (0.0,) * 5)
    with serve() as loopback:
        yield loopback


def run(steps: Generator[FetchProgress, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_alone(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY))
    steps = list(download(Download(url, SHA256, len(BODY)), tmp_path / "new" / "m.gguf"))
    assert (tmp_path / "new" / "m.gguf").read_bytes() == BODY
    assert leftovers(tmp_path / "new") == ["m.gguf"]
    assert steps[-1] == FetchProgress(len(BODY), len(BODY))
    assert [step.n_bytes for step in steps] == sorted({step.n_bytes for step in steps})


def test_the_hash_is_told_when_none_was_expected(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, etag=None, length=False))
    assert run(download(Download(url), tmp_path / "m.gguf")) == SHA256


def test_a_broken_connection_is_taken_up_where_it_broke(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, breaks=[1_000_000, 500_000]))
    run(download(Download(url, SHA256, len(BODY)), tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    ranges = [request.headers.get("range") for request in server.gets("/m.gguf")]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert server.gets("/m.gguf")[1].headers["if-range"] == '"v1"'


def test_a_stopped_download_goes_on_in_the_next_call(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY))
    request = Download(url, SHA256, len(BODY))
    seen: list[FetchProgress] = []
    with pytest.raises(Cancelled):
        seen.extend(download(request, tmp_path / "m.gguf", cancelled=lambda: True))
    n_kept = (tmp_path / "m.gguf.part").stat().st_size
    assert 0 < n_kept < len(BODY)
    run(download(request, tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    assert server.gets("/m.gguf")[-1].headers["range"] == f"bytes={n_kept}-"
    assert leftovers(tmp_path) == ["m.gguf"]


@pytest.mark.parametrize("reply", [Reply(BODY, etag='"v2"'), Reply(BODY, ranges=False)])
def test_a_part_of_another_version_is_not_continued(server: Loopback, tmp_path: Path, reply: Reply) -> None:
    url = server.add("/m.gguf", Reply(b"old" * 1_000_000, breaks=[2_000_000], failures=[]))
    with pytest.raises(Cancelled):
        list(download(Download(url), tmp_path / "m.gguf", cancelled=_after(2)))
    assert (tmp_path / "m.gguf.part").stat().st_size > 0
    server.add("/m.gguf", reply)
    assert run(download(Download(url), tmp_path / "m.gguf")) == SHA256
    assert (tmp_path / "m.gguf").read_bytes() == BODY


def test_a_part_that_nothing_identifies_is_dropped(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.part").write_bytes(b"who knows" * 1000)
    url = server.add("/m.gguf", Reply(BODY))
    run(download(Download(url, SHA256), tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    assert "range" not in server.gets("/m.gguf")[0].headers


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_two_versions_are_never_joined(server: Loopback, tmp_path: Path, etag: str | None) -> None:
    """Without a strong etag and a hash, a retry after a broken connection has to start over."""
    url = server.add("/m.gguf", Reply(BODY, etag=etag, breaks=[1_000_000]))
    run(download(Download(url), tmp_path / "m.gguf"))
    assert [request.headers.get("range") for request in server.gets("/m.gguf")] == [None, None]


def test_a_part_longer_than_the_file_is_dropped(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, breaks=[1_000_000]))
    with pytest.raises(Cancelled):
        list(download(Download(url, SHA256), tmp_path / "m.gguf", cancelled=lambda: True))
    with (tmp_path / "m.gguf.part").open("ab") as part:
        part.write(b"x" * len(BODY))
    run(download(Download(url, SHA256), tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    assert len(server.gets("/m.gguf")) == 3


def test_a_complete_part_needs_no_request(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY))
    (tmp_path / "m.gguf.part").write_bytes(BODY)
    (tmp_path / "m.gguf.part.json").write_text(f'{{"etag": null, "sha256": "{SHA256}"}}')
    run(download(Download(url, SHA256, len(BODY)), tmp_path / "m.gguf"))
    run(download(Download(url, SHA256, len(BODY)), tmp_path / "m.gguf"))
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    assert server.requests == []


@pytest.mark.parametrize(
    "request_", [Download("", "0" * 64), Download("", SHA256, 17), Download("", SHA256, len(BODY) + 1)]
)
@pytest.mark.parametrize("length", [True, False])
def test_another_file_leaves_nothing(server: Loopback, tmp_path: Path, request_: Download, length: bool) -> None:
    url = server.add("/m.gguf", Reply(BODY, length=length))
    with pytest.raises(ModelChecksumMismatch):
        run(download(Download(url, request_.sha256, request_.size_bytes), tmp_path / "m.gguf"))
    assert leftovers(tmp_path) == []


def test_an_announced_wrong_size_is_not_fetched(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY))
    with pytest.raises(ModelChecksumMismatch):
        assert list(download(Download(url, size_bytes=5), tmp_path / "m.gguf")) == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "not there"), (401, "refused"), (403, "refused"), (410, "not there")]
)
def test_a_refusal_is_final(server: Loopback, tmp_path: Path, status: int, words: str) -> None:
    url = server.add("/m.gguf", Reply(status=status))
    with pytest.raises(DownloadFailed, match=words):
        run(download(Download(url), tmp_path / "m.gguf"))
    assert len(server.requests) == 1
    assert leftovers(tmp_path) == []


def test_passing_failures_are_waited_out(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, failures=[503, 500, 429]))
    run(download(Download(url, SHA256), tmp_path / "m.gguf"))
    assert len(server.requests) == 4


def test_a_server_that_keeps_failing_is_given_up(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, breaks=[1_000_000] + [0] * 20))
    with pytest.raises(DownloadFailed, match="broke off") as caught:
        run(download(Download(url, SHA256), tmp_path / "m.gguf"))
    assert caught.value.hint is not None and "run it again" in caught.value.hint
    assert (tmp_path / "m.gguf.part").stat().st_size == 1_000_000


def test_a_server_that_starts_over_each_time_is_given_up(server: Loopback, tmp_path: Path) -> None:
    url = server.add("/m.gguf", Reply(BODY, ranges=False, breaks=[1_000_000] * 30))
    with pytest.raises(DownloadFailed):
        run(download(Download(url, SHA256), tmp_path / "m.gguf"))
    assert len(server.requests) < 10


def test_nobody_listening_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "BACKOFF_S", (0.0, 0.0))
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        run(download(Download("http://127.0.0.1:9/m.gguf"), tmp_path / "m.gguf"))


def test_a_secret_does_not_follow_a_redirect(server: Loopback, tmp_path: Path) -> None:
    with serve() as elsewhere:
        target = elsewhere.add("/blob", Reply(BODY))
        url = server.add("/m.gguf", Reply(status=302, headers={"Location": target}))
        request = Download(url, SHA256, secret_headers=(("Authorization", "Bearer s3cret"),))
        run(download(request, tmp_path / "m.gguf"))
        assert server.requests[0].headers["authorization"] == "Bearer s3cret"
        assert "authorization" not in elsewhere.requests[0].headers


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadFailed, match="only http"):
        run(download(Download(url), tmp_path / "m.gguf"))


def test_a_missing_ca_bundle_is_named(tmp_path: Path) -> None:
    request = Download("https://127.0.0.1:9/x", cafile=str(tmp_path / "none.pem"))
    with pytest.raises(DownloadFailed, match="CA bundle"):
        run(download(request, tmp_path / "m.gguf"))


def test_a_local_file_is_linked_and_checked(tmp_path: Path) -> None:
    source = tmp_path / "there.gguf"
    source.write_bytes(BODY)
    dest = tmp_path / "models" / "m.gguf"
    assert run(copy(source, dest, sha256=SHA256)) == SHA256
    assert dest.stat().st_ino == source.stat().st_ino
    with pytest.raises(ModelChecksumMismatch):
        run(copy(source, tmp_path / "models" / "n.gguf", sha256="0" * 64))
    assert run(download(Download(source.as_uri(), SHA256), tmp_path / "by_url.gguf")) == SHA256
    assert leftovers(tmp_path / "models") == ["m.gguf"]


def test_a_local_file_is_copied_where_links_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: object, dest: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    source = tmp_path / "there.gguf"
    source.write_bytes(BODY)
    assert run(copy(source, tmp_path / "m.gguf", sha256=SHA256)) == SHA256
    assert (tmp_path / "m.gguf").read_bytes() == BODY
    with pytest.raises(Cancelled):
        run(copy(source, tmp_path / "n.gguf", cancelled=lambda: True))
    with pytest.raises(DownloadFailed, match="cannot be copied"):
        run(copy(tmp_path / "nowhere", tmp_path / "n.gguf"))
    assert leftovers(tmp_path) == ["m.gguf", "there.gguf"]


def _after(n_calls: int) -> Callable[[], bool]:
    calls = iter(range(1_000_000))
    return lambda: next(calls) >= n_calls
