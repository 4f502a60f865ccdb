"""Models on this machine: where they lie, and whether they are still the bytes that were pinned.

Hashing a model takes a second a gigabyte, so a full check leaves a stamp (size, times, inode) in `verified.json` and
start-up compares only that. Hashes that no manifest knows are pinned in `pins.json` by the first download; removing
the model does not remove its pin, so that a later pull must bring the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from secondme.errors import ModelChecksumMismatch
from secondme.paths import models_dir
from secondme.runtime.manifest import Manifest
from secondme.runtime.partial import FetchProgress, hash_file, sync_folder
from secondme.types import CancelCheck, never_cancelled


def folder_of(manifest: Manifest) -> Path:
    """The model's own folder. It comes into being by one rename, so what is in it is whole."""
    return models_dir() / manifest.name


def path_of(manifest: Manifest) -> Path:
    """What a backend opens: the GGUF file, or the MLX folder."""
    folder = folder_of(manifest)
    return folder / manifest.main_file if manifest.format == "gguf" else folder


def converted_folder(sha256: str) -> Path:
    """The MLX folder that is made of the GGUF file with this hash when it is first needed (`mlx_convert.py`)."""
    return models_dir() / "mlx" / sha256[:16]


def is_present(manifest: Manifest) -> bool:
    """Whether the model's files are there with the right sizes; nothing is hashed."""
    if not (folder_of(manifest) / manifest.main_file).is_file():
        return False
    return all(_has_size(folder_of(manifest) / file.path, file.size_bytes) for file in manifest.files)


def disk_bytes(manifest: Manifest) -> int:
    """Bytes that the installed model takes."""
    return sum(path.stat().st_size for path in _files(folder_of(manifest)))


def quick_digest(manifest: Manifest) -> str:
    """The installed model's digest, hashing only files whose stamp changed. Raises ModelChecksumMismatch, OSError."""
    known = _read_json("verified.json")
    for path in _files(folder_of(manifest)):
        if known.get(str(path), {}).get("stamp") != _stamp(path):
            return _drain(verify(manifest))
    digests = {path: known[str(path)]["sha256"] for path in _files(folder_of(manifest))}
    return _checked(manifest, digests)


def verify(manifest: Manifest, *, cancelled: CancelCheck = never_cancelled) -> Generator[FetchProgress, None, str]:
    """Hash every file of the installed model and return its digest.

    Raises ModelChecksumMismatch if a file is not what the manifest or its pin says, OSError, Cancelled.
    """
    digests: dict[Path, str] = {}
    for path in _files(folder_of(manifest)):
        stamp = _stamp(path)
        digests[path] = yield from hash_file(path, cancelled=cancelled)
        _note({str(path): {"stamp": stamp, "sha256": digests[path]}})
    return _checked(manifest, digests)


def file_digest(path: Path) -> str:
    """sha256 (hex) of any file, from its stamp if it has not changed. Raises OSError."""
    path = path.resolve()
    entry = _read_json("verified.json").get(str(path), {})
    stamp = _stamp(path)
    if entry.get("stamp") == stamp:
        return str(entry["sha256"])
    digest = _drain(hash_file(path))
    _note({str(path): {"stamp": stamp, "sha256": digest}})
    return digest


def expected_digest(manifest: Manifest, name: str) -> str | None:
    """The sha256 a file must have: the manifest's, else the pin of an earlier download, else None."""
    for file in manifest.files:
        if file.path == name and file.sha256:
            return file.sha256
    return _pins(manifest).get(name)


def pin_digests(manifest: Manifest, digests: dict[str, str]) -> bool:
    """Remember hashes that the manifest does not know. Returns whether any was new."""
    unknown = {name: digest for name, digest in digests.items() if expected_digest(manifest, name) is None}
    if unknown:
        pins = _read_json("pins.json")
        pins[_pin_key(manifest)] = _pins(manifest) | unknown
        _write_json("pins.json", pins)
    return bool(unknown)


def record_digests(digests: dict[Path, str]) -> None:
    """Stamp files that were hashed while they were written."""
    _note({str(path): {"stamp": _stamp(path), "sha256": digest} for path, digest in digests.items()})


def _checked(manifest: Manifest, digests: dict[Path, str]) -> str:
    """Compare all hashes with what they must be; the digest of a folder is the hash of its files' hashes."""
    folder = folder_of(manifest)
    names = {path.relative_to(folder).as_posix(): digest for path, digest in digests.items()}
    for name in sorted({file.path for file in manifest.files} | _pins(manifest).keys()):
        if names.get(name) != expected_digest(manifest, name):
            raise ModelChecksumMismatch(
                f"{manifest.name}: {name} is not the file that was pinned",
                hint=f"fetch it again: secondme models pull {manifest.name}",
            )
    if manifest.format == "gguf":
        return names[manifest.main_file]
    listing = "".join(f"{name}\0{names[name]}\n" for name in sorted(names))
    return hashlib.sha256(listing.encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _has_size(path: Path, size_bytes: int | None) -> bool:
    return path.is_file() and size_bytes in (None, path.stat().st_size)


def _stamp(path: Path) -> list[int]:
    """What changes with the content, and cannot be put back by setting the modification time alone."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _pin_key(manifest: Manifest) -> str:
    return f"{manifest.name} {manifest.sources[0].key}"


def _pins(manifest: Manifest) -> dict[str, str]:
    pins = _read_json("pins.json").get(_pin_key(manifest), {})
    return pins if isinstance(pins, dict) else {}


def _drain(hashing: Generator[FetchProgress, None, str]) -> str:
    """Run a hashing generator to its end."""
    while True:
        try:
            next(hashing)
        except StopIteration as stop:
            return str(stop.value)


def _note(entries: dict[str, Any]) -> None:
    """Add stamps, and drop those of files that are gone. A folder that cannot be written only costs time."""
    known = {path: entry for path, entry in _read_json("verified.json").items() if Path(path).exists()}
    with contextlib.suppress(OSError):
        _write_json("verified.json", known | entries)


def _read_json(name: str) -> dict[str, Any]:
    try:
        value = json.loads((models_dir() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_json(name: str, value: dict[str, Any]) -> None:
    folder = models_dir()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(folder)
