"""Fetches models from the Hugging Face hub.

`huggingface_hub` says what there is and under whose rights: endpoint (HF_ENDPOINT), token and cache (HF_HOME),
offline switch (HF_HUB_OFFLINE), file lists and hashes. The bytes come through `fetch.py`, so that cancelling within a
block, progress, resuming, a wrong hash and a full disk behave as for every other source. Only weights, tokenizer and
configuration are taken: nothing that could be executed or unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from secondme.errors import DownloadFailed, ModelChecksumMismatch
from secondme.runtime.fetch import Download, copy, download, is_there
from secondme.runtime.installed import expected_digest
from secondme.runtime.manifest import HubSource, Manifest
from secondme.runtime.partial import FetchProgress, mismatch
from secondme.types import CancelCheck, never_cancelled

FOLDER_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
"""What an MLX folder consists of. Only files at the top: nested ones belong to other formats."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file to fetch, with what manifest, pin and hub say about it. `name` is what it is called on this machine."""

    path: str
    name: str
    size_bytes: int | None
    sha256: str | None


def fetch_from_hub(
    manifest: Manifest, source: HubSource, folder: Path, *, cancelled: CancelCheck = never_cancelled
) -> Generator[FetchProgress, None, dict[str, str]]:
    """Bring all files of a model into `folder` and return their sha256 by name.

    Files that are whole from an earlier call are kept, a broken one is continued. Raises DownloadFailed,
    ModelChecksumMismatch, Cancelled.
    """
    _quiet_library()
    if _is_offline():
        files = _known_files(manifest, source)
    else:
        with _explained(source):
            files = list(_listed_files(manifest, source))
    total = sum(file.size_bytes or 0 for file in files) or None
    n_before = 0
    digests: dict[str, str] = {}
    for file in files:
        steps = _bring(source, file, folder / file.name, cancelled)
        digests[file.name] = yield from _counted(steps, n_before, total)
        n_before += (folder / file.name).stat().st_size
    return digests


def _listed_files(manifest: Manifest, source: HubSource) -> Iterator[HubFile]:
    """What the hub offers, checked against what the manifest demands before anything is fetched."""
    import huggingface_hub

    if source.file is not None:
        url = huggingface_hub.hf_hub_url(source.repo, source.file, revision=source.revision, endpoint=_endpoint())
        found = huggingface_hub.get_hf_file_metadata(url, token=_token())
        yield _demanded(manifest, HubFile(source.file, manifest.main_file, found.size, _sha256(found.etag)))
        return
    api = huggingface_hub.HfApi(endpoint=_endpoint(), token=_token())
    listing = api.model_info(source.repo, revision=source.revision, files_metadata=True).siblings or []
    names = {sibling.rfilename: sibling for sibling in listing if is_model_file(sibling.rfilename)}
    for file in manifest.files:
        if file.path not in names:
            raise DownloadFailed(f"{source.repo} does not hold {file.path}", hint="its manifest needs another revision")
    for name, sibling in sorted(names.items()):
        lfs: Any = sibling.lfs
        yield _demanded(manifest, HubFile(name, name, sibling.size, _sha256(lfs.sha256 if lfs else None)))


def _demanded(manifest: Manifest, offered: HubFile) -> HubFile:
    """Join what is offered and what is demanded; a difference is known before gigabytes are spent."""
    digest = expected_digest(manifest, offered.name)
    size = next((file.size_bytes for file in manifest.files if file.path == offered.name), None)
    if digest and offered.sha256 and digest != offered.sha256:
        raise mismatch(offered.name)
    if size is not None and offered.size_bytes not in (None, size):
        raise mismatch(offered.name)
    size = size if size is not None else offered.size_bytes
    return HubFile(offered.path, offered.name, size, digest or offered.sha256)


def _known_files(manifest: Manifest, source: HubSource) -> list[HubFile]:
    """Without the network: what the manifest itself lists, to be looked for in the hub's own cache."""
    if not manifest.files:
        raise _offline(source)
    return [
        HubFile(source.file or file.path, file.path, file.size_bytes, expected_digest(manifest, file.path))
        for file in manifest.files
    ]


def _bring(source: HubSource, file: HubFile, dest: Path, cancelled: CancelCheck) -> Generator[FetchProgress, None, str]:
    """One file: as an earlier call left it, from the hub's cache on this machine, or over the network."""
    import huggingface_hub

    if (yield from is_there(dest, file.sha256, cancelled=cancelled)):
        return str(file.sha256)
    cached = huggingface_hub.try_to_load_from_cache(source.repo, file.path, revision=source.revision)
    if isinstance(cached, str):
        try:
            return (yield from copy(Path(cached), dest, sha256=file.sha256, cancelled=cancelled))
        except ModelChecksumMismatch:
            if _is_offline():
                raise
    if _is_offline():
        raise _offline(source)
    url = huggingface_hub.hf_hub_url(source.repo, file.path, revision=source.revision, endpoint=_endpoint())
    token = huggingface_hub.get_token()
    secret = (("Authorization", f"Bearer {token}"),) if token else ()
    request = Download(url, sha256=file.sha256, size_bytes=file.size_bytes, secret_headers=secret)
    return (yield from download(request, dest, cancelled=cancelled))


def _counted(
    steps: Generator[FetchProgress, None, str], n_before: int, total: int | None
) -> Generator[FetchProgress, None, str]:
    """Progress of one file as progress of the whole model."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            return str(stop.value)
        yield FetchProgress(n_before + step.n_bytes, total if total is not None else step.total_bytes)


@contextmanager
def _explained(source: HubSource) -> Iterator[None]:
    """Turn the library's errors into ours."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise _offline(source) from error
    except errors.GatedRepoError as error:
        raise DownloadFailed(
            f"{source.repo} is gated: its owner wants you to accept terms first",
            hint="accept them on its page, then set HF_TOKEN or run: hf auth login",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise DownloadFailed(
            f"{source.repo} does not hold the model, or wants a login",
            hint="check the manifest's source; for a private repository set HF_TOKEN",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise DownloadFailed(f"the hub failed (HTTP {status})", hint="try again later") from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise DownloadFailed(
            "the Hugging Face hub cannot be reached", hint="check the network, or use: --from FILE"
        ) from error


def _quiet_library() -> None:
    """Nothing is reported home. The library reads this when it is first imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _token() -> str | bool:
    import huggingface_hub

    return huggingface_hub.get_token() or False


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def is_model_file(name: str) -> bool:
    return "/" not in name and any(fnmatch(name, pattern) for pattern in FOLDER_PATTERNS)


def _sha256(etag: str | None) -> str | None:
    """An LFS file's etag is its sha256; a small file's is a git hash and says nothing here."""
    return etag if etag and len(etag) == 64 else None


def _offline(source: HubSource) -> DownloadFailed:
    return DownloadFailed(
        f"{source.repo} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it",
        hint="unset HF_HUB_OFFLINE for this one pull, or use: --from FILE",
    )
