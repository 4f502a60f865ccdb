"""Brings one file onto this machine: with progress, resumable, verified, and whole or not at all.

Standard library only, because the bootstrap runs it before anything is installed. A transfer goes to `NAME.part`, is
hashed while it streams, and is renamed into place only when size and sha256 are right (RFC 9110 ranges for resuming).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from secondme.errors import Cancelled, DownloadFailed
from secondme.runtime.partial import (
    BLOCK_BYTES,
    DISK_FULL,
    FetchProgress,
    PartialFile,
    disk_full,
    hash_file,
    mismatch,
    sync_folder,
)
from secondme.types import CancelCheck, never_cancelled

TIMEOUT_S = 30.0
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits between tries that brought nothing; a try that brought something starts over."""

_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch and what it must be.

    `secret_headers` go to the named host only, never along with a redirect. `cafile` is a CA bundle, `proxy` a URL;
    without them the environment's (SSL_CERT_FILE, HTTPS_PROXY) hold.
    """

    url: str
    sha256: str | None = None
    size_bytes: int | None = None
    cafile: str | None = None
    proxy: str | None = None
    secret_headers: tuple[tuple[str, str], ...] = ()


class _Transient(Exception):
    """A failure that another try may mend."""


def download(
    request: Download, dest: Path, *, cancelled: CancelCheck = never_cancelled
) -> Generator[FetchProgress, None, str]:
    """Fetch a file to `dest` and return its sha256 (hex).

    Continues what an earlier call left in `dest`.part if it is still the same file. Raises DownloadFailed (what arrived
    is kept), ModelChecksumMismatch and a full disk's DownloadFailed (nothing is kept), Cancelled (kept).
    """
    if urllib.parse.urlsplit(request.url).scheme == "file":
        source = Path(urllib.request.url2pathname(urllib.parse.urlsplit(request.url).path))
        return (yield from copy(source, dest, sha256=request.sha256, cancelled=cancelled))
    if (yield from is_there(dest, request.sha256, cancelled=cancelled)):
        return str(request.sha256)
    part = PartialFile(dest, request.sha256, request.size_bytes)
    try:
        part.open()
        yield from part.resume(cancelled)
        yield from _persist(request, part, cancelled)
        part.finish()
    except OSError as error:
        if error.errno in DISK_FULL:
            part.discard()
            raise disk_full(dest, request.size_bytes) from error
        raise DownloadFailed(f"{dest.name} cannot be written: {error.strerror}", hint=f"check {dest.parent}") from error
    finally:
        part.close()
    return part.hasher.hexdigest()


def copy(
    source: Path, dest: Path, *, sha256: str | None = None, cancelled: CancelCheck = never_cancelled
) -> Generator[FetchProgress, None, str]:
    """Bring a local file to `dest` and return its sha256 (hex): a hard link where that works, else a copy.

    Raises DownloadFailed, ModelChecksumMismatch and Cancelled; `dest` is whole or absent.
    """
    part = dest.with_name(dest.name + ".copy")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        if _link(source, part):
            digest = yield from hash_file(part, cancelled=cancelled)
        else:
            digest = yield from _copy_hashed(source, part, cancelled)
        if sha256 is not None and digest != sha256:
            raise mismatch(source.name)
        part.replace(dest)
        sync_folder(dest.parent)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_full(dest, None) from error
        raise DownloadFailed(
            f"{source} cannot be copied: {error.strerror}", hint="check its path and rights"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return digest


def is_there(
    path: Path, sha256: str | None, *, cancelled: CancelCheck = never_cancelled
) -> Generator[FetchProgress, None, bool]:
    """Whether an earlier call has brought the file already; without a known hash that cannot be told."""
    if sha256 is None or not path.is_file():
        return False
    digest = yield from hash_file(path, cancelled=cancelled)
    return digest == sha256


def open_url(request: Download, headers: dict[str, str]) -> Any:
    """Open a URL (http, https); the caller closes the response. Raises urllib.error.URLError, OSError."""
    if urllib.parse.urlsplit(request.url).scheme not in ("http", "https"):
        raise DownloadFailed("only http and https can be fetched", hint="correct the source's address")
    outgoing = urllib.request.Request(request.url, headers={"User-Agent": "secondme"} | headers)  # noqa: S310
    for name, value in request.secret_headers:
        outgoing.add_unredirected_header(name, value)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=_tls(request.cafile))]
    if request.proxy:
        handlers.append(urllib.request.ProxyHandler({"http": request.proxy, "https": request.proxy}))
    return urllib.request.build_opener(*handlers).open(outgoing, timeout=TIMEOUT_S)


def failure(error: Exception) -> str:
    """Say in a few words why a request failed."""
    if isinstance(error, urllib.error.HTTPError):
        known = {401: "access is refused", 403: "access is refused", 404: "it is not there", 410: "it is not there"}
        return f"{known.get(error.code, 'the server failed')} (HTTP {error.code})"
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted"
    if isinstance(reason, TimeoutError):
        return "the server does not answer"
    if isinstance(reason, OSError):
        return "the server cannot be reached"
    return "the connection broke"


def _persist(request: Download, part: PartialFile, cancelled: CancelCheck) -> Generator[FetchProgress, None, None]:
    """Transfer until all is there; tries again after failures that may pass."""
    n_fruitless = 0
    furthest = part.n_bytes
    while not part.is_complete:
        try:
            yield from _transfer(request, part, cancelled)
            return
        except _Transient as error:
            # Measured against the furthest ever: a server that starts over each time brings nothing new.
            n_fruitless = 0 if part.n_bytes > furthest else n_fruitless + 1
            furthest = max(furthest, part.n_bytes)
            if n_fruitless > len(BACKOFF_S) - 1:
                raise DownloadFailed(
                    f"the download of {part.name} broke off: {error}", hint="run it again; it goes on where it stopped"
                ) from error
            _wait(BACKOFF_S[n_fruitless], cancelled)


def _transfer(request: Download, part: PartialFile, cancelled: CancelCheck) -> Generator[FetchProgress, None, None]:
    with _open_at(request, part) as response:
        start = _range_start(response) if response.status == 206 else 0
        if start != part.n_bytes:
            part.restart()
            if start:
                raise _Transient("the server sent another part than was asked for")
        length = response.headers.get("Content-Length", "")
        total = part.n_bytes + int(length) if length.isdecimal() else request.size_bytes
        if request.size_bytes is not None and total is not None and total != request.size_bytes:
            part.discard()
            raise mismatch(part.name)
        part.begin(response.headers.get("ETag"), total)
        while block := _read(response):
            part.append(block)
            yield FetchProgress(part.n_bytes, total)
            if cancelled():
                raise Cancelled("the download was stopped; it goes on where it stopped when run again")
        if total is not None and part.n_bytes < total:
            raise _Transient("the connection broke")


def _open_at(request: Download, part: PartialFile) -> Any:
    """The response from the part's end on. A refused range means that the part is of no use."""
    headers = {"Accept-Encoding": "identity"}
    if not part.is_identified:
        part.restart()
    if part.n_bytes:
        headers["Range"] = f"bytes={part.n_bytes}-"
        if part.etag:
            headers["If-Range"] = part.etag
    try:
        return open_url(request, headers)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            whole = error.headers.get("Content-Range", "").rpartition("/")[2]
            if request.size_bytes is not None and whole.isdecimal() and int(whole) != request.size_bytes:
                part.discard()
                raise mismatch(part.name) from error
            part.restart()
            raise _Transient("the server refused to continue") from error
        if error.code in _TRANSIENT_STATUS:
            raise _Transient(failure(error)) from error
        raise DownloadFailed(
            f"{part.name} cannot be fetched: {failure(error)}", hint="check the source, or use --from FILE"
        ) from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise DownloadFailed(
                f"{part.name} cannot be fetched: {failure(error)}", hint="name the CA bundle in SSL_CERT_FILE"
            ) from error
        raise _Transient(failure(error)) from error


def _read(response: Any) -> bytes:
    try:
        block: bytes = response.read1(BLOCK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _Transient("the connection broke") from error
    return block


def _range_start(response: Any) -> int:
    """First byte of a 206 answer; -1 if it does not say (RFC 9110, section 14.4)."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else -1


def _link(source: Path, part: Path) -> bool:
    try:
        os.link(source.resolve(strict=True), part)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        return False
    return True


def _copy_hashed(source: Path, part: Path, cancelled: CancelCheck) -> Generator[FetchProgress, None, str]:
    hasher = hashlib.sha256()
    with source.open("rb") as reader, part.open("wb") as writer:
        total = os.fstat(reader.fileno()).st_size
        while block := reader.read(BLOCK_BYTES):
            if cancelled():
                raise Cancelled("stopped")
            writer.write(block)
            hasher.update(block)
            yield FetchProgress(writer.tell(), total)
        writer.flush()
        os.fsync(writer.fileno())
    return hasher.hexdigest()


def _wait(seconds: float, cancelled: CancelCheck) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise Cancelled("the download was stopped; it goes on where it stopped when run again")
        time.sleep(min(0.1, left))


def _tls(cafile: str | None) -> ssl.SSLContext:
    return _tls_with(cafile or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"))


@lru_cache(maxsize=4)  # reading a CA bundle takes as long as a small file
def _tls_with(bundle: str | None) -> ssl.SSLContext:
    try:
        if bundle and Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise DownloadFailed(f"the CA bundle {bundle} cannot be read", hint="correct pip's cert setting") from error
