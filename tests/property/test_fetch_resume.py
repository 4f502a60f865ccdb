from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondme.runtime import fetch
from secondme.runtime.fetch import Download, download
from tests.loopback import Loopback, Reply, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with serve() as loopback:
        yield loopback


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(min_size=1, max_size=5000),
    breaks=st.lists(st.integers(0, 2000), max_size=4),
    ranges=st.booleans(),
    etag=st.sampled_from([None, '"strong"', 'W/"weak"']),
    is_pinned=st.booleans(),
)
def test_however_it_breaks_the_file_is_whole(
    server: Loopback, body: bytes, breaks: list[int], ranges: bool, etag: str | None, is_pinned: bool
) -> None:
    """At most four broken connections, on any kind of server, with or without a known hash."""
    digest = hashlib.sha256(body).hexdigest()
    url = server.add("/f", Reply(body, ranges=ranges, etag=etag, breaks=list(breaks)))
    request = Download(url, digest, len(body)) if is_pinned else Download(url)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "BACKOFF_S", (0.0,) * 5)
        dest = Path(folder) / "f"
        for _ in download(request, dest):
            pass
        assert dest.read_bytes() == body
        assert [path.name for path in Path(folder).iterdir()] == ["f"]
