"""Which models there are, which of them are on this machine, and what a name or a path stands for."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from secondme.config import Config
from secondme.errors import ModelError, ModelNotFound
from secondme.paths import config_file
from secondme.runtime import installed
from secondme.runtime.manifest import Format, Kind, Manifest, read_manifest, read_manifests
from secondme.runtime.pull_lock import PullLock
from secondme.types import CancelCheck, Check, never_cancelled

GGUF_MAGIC = b"GGUF"

_KINDS = {"generator": "a language model", "embedder": "an embedding model"}


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that is here and verified. `path` is what the backend of `format` opens; sha256 of it in hex.

    `manifest` is None for a model that was named by its path.
    """

    name: str
    path: Path
    sha256: str
    format: Format
    manifest: Manifest | None


def all_manifests() -> list[Manifest]:
    """Every model, the owner's manifests before those of the same name that came with the program."""
    found: dict[str, Manifest] = {}
    for folder in _manifest_folders():
        for manifest in read_manifests(folder):
            found.setdefault(manifest.name, manifest)
    return [found[name] for name in sorted(found)]


def find(name: str) -> Manifest:
    """The manifest of that name. Raises ModelNotFound with near matches, ConfigError if it is wrong."""
    # The name becomes part of a path, so it may hold nothing that leads elsewhere.
    if name and not set(name) & set("/\\:\0") and not name.startswith("."):
        for folder in _manifest_folders():
            if (folder / f"{name}.toml").is_file():
                return read_manifest(folder / f"{name}.toml")
    near = _near(name.lower()) if name else []
    hint = f"did you mean {' or '.join(near)}?" if near else "secondme models list shows what there is"
    raise ModelNotFound(f"there is no model named {name}", hint=hint)


def resolve(name_or_path: str, *, kind: Kind | None = None) -> ResolvedModel:
    """Find an installed model by name, or any GGUF file or MLX folder by path, and check that it is unchanged.

    Raises ModelNotFound, ModelChecksumMismatch, ModelError for a wrong `kind` or an unreadable file.
    """
    if looks_like_path(name_or_path):
        return _resolve_path(Path(name_or_path).expanduser().absolute())
    manifest = find(name_or_path)
    if kind is not None and manifest.kind != kind:
        raise ModelError(
            f"{manifest.name} is {_KINDS[manifest.kind]}, not {_KINDS[kind]}",
            hint="secondme models list shows which is which",
        )
    if not installed.is_present(manifest):
        raise ModelNotFound(
            f"{manifest.name} is not on this machine", hint=f"run: secondme models pull {manifest.name}"
        )
    path = installed.path_of(manifest)
    try:
        digest = installed.quick_digest(manifest)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", hint="check its rights") from error
    return ResolvedModel(manifest.name, path, digest, manifest.format, manifest)


def looks_like_path(name_or_path: str) -> bool:
    """Whether a setting means a file or folder rather than a manifest's name."""
    return os.sep in name_or_path or name_or_path.startswith(("~", ".")) or name_or_path.lower().endswith(".gguf")


def remove(manifest: Manifest) -> int:
    """Remove an installed model, what an unfinished pull left and what MLX was given of it; its pins stay. Returns the
    bytes freed.

    Raises ModelError while another process pulls it.
    """
    lock = PullLock(lock_path(manifest))
    try:
        if not lock.try_acquire():
            raise ModelError(f"{manifest.name} is being pulled by another process", hint="wait, or stop that one")
        n_bytes = 0
        for folder in (installed.folder_of(manifest), staging_of(manifest), *_converted(manifest)):
            if folder.is_dir():
                n_bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                shutil.rmtree(folder)
        return n_bytes
    finally:
        lock.release()


def _converted(manifest: Manifest) -> list[Path]:
    digests = (installed.expected_digest(manifest, f.path) for f in manifest.files if f.path.endswith(".gguf"))
    return [installed.converted_folder(digest) for digest in digests if digest]


def lock_path(manifest: Manifest) -> Path:
    """The file whose lock a pull holds."""
    return installed.folder_of(manifest).with_name(f".pull-{manifest.name}.lock")


def staging_of(manifest: Manifest) -> Path:
    """Where a pull keeps what it has so far."""
    return installed.folder_of(manifest).with_name(f".pull-{manifest.name}")


def needed_models(config: Config) -> list[str]:
    """The names that the settings ask for and that are manifests, not paths."""
    return [name for name in (config.embedder, config.model) if not looks_like_path(name)]


def check_models(config: Config, *, cancelled: CancelCheck = never_cancelled) -> Iterator[Check]:
    """One line each for the models the settings ask for, and every other installed one; all hashed in full."""
    wanted = needed_models(config)
    for name in wanted:
        yield _check(name, cancelled, is_needed=True)
    for manifest in all_manifests():
        if manifest.name not in wanted and installed.is_present(manifest):
            yield _check(manifest.name, cancelled, is_needed=False)


def _check(name: str, cancelled: CancelCheck, *, is_needed: bool) -> Check:
    label = f"model {name}"
    try:
        manifest = find(name)
        if not installed.is_present(manifest):
            raise ModelNotFound("not on this machine", hint=f"run: secondme models pull {name}")
        for _ in installed.verify(manifest, cancelled=cancelled):
            pass
    except ModelError as error:
        return Check(label, "failed" if is_needed else "warning", error.message, error.hint or "")
    except OSError as error:
        return Check(label, "failed", f"cannot be read: {error.strerror}", "check its rights")
    known = "sha256 as in its manifest" if manifest.is_pinned else "sha256 as pinned by its first download"
    return Check(label, "ok", f"{installed.disk_bytes(manifest) / 1e6:.0f} MB, {known}")


def _resolve_path(path: Path) -> ResolvedModel:
    try:
        if path.is_dir():
            return _resolve_folder(path)
        with path.open("rb") as file:
            if file.read(4) != GGUF_MAGIC:
                raise ModelError(f"{path} is not a GGUF file", hint="name a .gguf file, or a model from the list")
        return ResolvedModel(path.stem, path, installed.file_digest(path), "gguf", None)
    except FileNotFoundError as error:
        raise ModelNotFound(f"there is no file {path}", hint="check the path, or name a model from the list") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", hint="name a readable .gguf file") from error


def _resolve_folder(path: Path) -> ResolvedModel:
    """Whether it is whole, and what is wrong with it if not, says who opens it (`runtime/mlx_folder.py`)."""
    if not (path / "config.json").is_file():
        raise ModelError(
            f"{path} holds no model", hint="name a .gguf file, or a folder with config.json and .safetensors files"
        )
    weights = sorted(path.glob("*.safetensors"))
    digest = sha256("".join(installed.file_digest(file) for file in weights).encode()).hexdigest()
    return ResolvedModel(path.name, path, digest, "mlx", None)


def _manifest_folders() -> list[Path]:
    return [config_file().parent / "models", _bundled_folder()]


def _bundled_folder() -> Path:
    """`secondme/_models` in an installed wheel, `models` in a checkout."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "_models"
    return packaged if packaged.is_dir() else package.parent / "models"


def _near(name: str) -> list[str]:
    """Up to three names that begin much like `name`, or are like it as a whole."""

    def likeness(other: str) -> float:
        matcher = difflib.SequenceMatcher(None, name, other)
        whole = matcher.ratio()
        matcher.set_seq2(other[: len(name)])
        return max(whole, matcher.ratio())

    names = {path.stem for folder in _manifest_folders() for path in folder.glob("*.toml")}
    ranked = sorted(((likeness(other), other) for other in names), reverse=True)
    return [other for score, other in ranked[:3] if score > 0.6]
