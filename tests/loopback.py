"""An HTTP server on loopback that behaves as tests tell it to: ranges, broken connections, errors, redirects.

It also speaks the endpoints of a model hub that a pull needs: file metadata, file contents, repository listing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """How one path answers. `breaks` are byte counts after which the connection drops, one for each request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"v1"'
    ranges: bool = True
    length: bool = True
    breaks: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    pause: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


class Loopback:
    """`replies` by path; `requests` as they came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: dict[str, Reply] = {}
        self.requests: list[Request] = []

    def add(self, path: str, reply: Reply) -> str:
        self.replies[path] = reply
        return self.url + path

    def gets(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and request.path == path]

    def add_repo(self, repo: str, revision: str, files: dict[str, bytes], *, lfs: tuple[str, ...] = (".gguf",)) -> None:
        """Serve a model repository as the hub does; files with an `lfs` ending have their sha256 as etag."""
        siblings = []
        for name, body in files.items():
            is_lfs = name.endswith((*lfs, ".safetensors"))
            digest = hashlib.sha256(body).hexdigest()
            etag = digest if is_lfs else hashlib.sha1(body).hexdigest()
            headers = {"X-Repo-Commit": revision, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(body))}
            self.add(f"/{repo}/resolve/{revision}/{name}", Reply(body, headers=headers, etag=f'"{etag}"'))
            sibling: dict[str, object] = {"rfilename": name, "size": len(body), "blobId": etag[:40]}
            if is_lfs:
                sibling["lfs"] = {"sha256": digest, "size": len(body), "pointerSize": 134}
            siblings.append(sibling)
        listing = {"_id": "1", "id": repo, "modelId": repo, "sha": revision, "siblings": siblings}
        body = json.dumps(listing).encode()
        self.add(f"/api/models/{repo}/revision/{revision}", Reply(body, headers={"Content-Type": "application/json"}))


@contextmanager
def serve() -> Iterator[Loopback]:
    """Run the server until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.loopback = Loopback(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.loopback  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        loopback: Loopback = self.server.loopback  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        loopback.requests.append(Request(self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        reply = loopback.replies.get(path, Reply(status=404, headers={"X-Error-Code": "EntryNotFound"}))
        if reply.failures and with_body:
            reply = Reply(status=reply.failures.pop(0))
        status, body, extra = self._ranged(reply)
        self.send_response(status)
        for name, value in {**reply.headers, **extra}.items():
            self.send_header(name, value)
        if reply.etag and status < 300:
            self.send_header("ETag", reply.etag)
        if reply.length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if with_body:
            self._send(reply, body)

    def _ranged(self, reply: Reply) -> tuple[int, bytes, dict[str, str]]:
        wanted = self.headers.get("Range", "")
        unchanged = self.headers.get("If-Range") in (None, reply.etag)
        if reply.status != 200 or not wanted or not reply.ranges or not unchanged:
            return reply.status, reply.body, {}
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if start >= len(reply.body):
            return 416, b"", {"Content-Range": f"bytes */{len(reply.body)}"}
        return 206, reply.body[start:], {"Content-Range": f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}"}

    def _send(self, reply: Reply, body: bytes) -> None:
        if reply.breaks:
            body = body[: reply.breaks.pop(0)]
        try:
            if reply.pause is not None:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                reply.pause.wait(20)
                body = body[len(body) // 2 :]
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
