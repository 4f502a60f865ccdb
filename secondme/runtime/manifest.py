"""Model manifests: what a model is, where it comes from, and which bytes it must consist of.

Apart from `catalog.py` because a manifest is text that anybody may write: everything in it is checked here, and
nothing in it is ever run. TOML files lie in `models/` and, for the owner's own, in `models/` beside `config.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from secondme.errors import ConfigError

Kind = Literal["generator", "embedder"]
Format = Literal["gguf", "mlx"]

_BACKENDS = {"gguf": "llama.cpp", "mlx": "mlx"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KV_ELEMENT_BYTES = 2  # the cache is f16 in both backends unless the owner asks otherwise


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. `sha256` None: it was not known when the manifest was written; the first download says."""

    path: str
    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A wheel in the package index that carries the model. `convert` names how its folder `member` becomes the file."""

    package: str
    version: str
    sha256: str
    member: str
    size_bytes: int | None = None
    convert: Literal["bert"] | None = None

    @property
    def key(self) -> str:
        return f"wheel {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on the Hugging Face hub, at one revision. `file` None means the whole model folder."""

    repo: str
    revision: str
    file: str | None = None

    @property
    def key(self) -> str:
        return f"hub {self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A file, or an MLX folder, on this machine."""

    path: Path

    @property
    def key(self) -> str:
        return "local"


Source = WheelSource | HubSource | LocalSource


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model. Sizes in bytes; `kv_bytes_per_token` is for an f16 cache and 0 for an encoder, which keeps none.

    A GGUF model has exactly one of `files`; an MLX model lists those whose hash is known, and may have more.
    """

    name: str
    kind: Kind
    format: Format
    parameters: str
    quantization: str
    context_length: int
    licence: str
    kv_bytes_per_token: int
    chat_template: str
    notes: str
    files: tuple[ModelFile, ...]
    sources: tuple[Source, ...]
    origin: Path

    @property
    def backend(self) -> str:
        return _BACKENDS[self.format]

    @property
    def size_bytes(self) -> int | None:
        """Size of all files, or None if one is unknown."""
        sizes = [file.size_bytes for file in self.files]
        return sum(size for size in sizes if size) if sizes and None not in sizes else None

    @property
    def is_pinned(self) -> bool:
        """Whether the manifest itself knows every weights file's hash."""
        weights = [file for file in self.files if file.path.endswith((".gguf", ".safetensors"))]
        return bool(weights) and all(file.sha256 for file in weights)

    @property
    def main_file(self) -> str:
        """The GGUF file's name; for MLX the one that says what the folder is."""
        return self.files[0].path if self.format == "gguf" else "config.json"


def read_manifests(folder: Path) -> Iterator[Manifest]:
    """All manifests of a folder, by name. Raises ConfigError for the first that is wrong."""
    for path in sorted(folder.glob("*.toml")):
        yield read_manifest(path)


def read_manifest(path: Path) -> Manifest:
    """Read and check one manifest. Raises ConfigError naming the file and the field."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a readable manifest: {error}", hint="correct it, or remove it") from error
    try:
        manifest = _manifest(_Table(table), path)
    except _Wrong as error:
        raise ConfigError(f"{path}: {error}", hint="correct the manifest, or remove it") from error
    if manifest.name != path.stem:
        raise ConfigError(f"{path}: name must be {path.stem}, as the file", hint="rename the file or the model")
    return manifest


class _Wrong(Exception):
    """A field is missing, unknown or not what it must be."""


class _Table:
    """A TOML table that wants every field taken exactly once."""

    def __init__(self, table: Mapping[str, Any], where: str = "") -> None:
        self._left = dict(table)
        self._where = where

    def text(self, name: str, default: str | None = None) -> str:
        value = self._take(name, str, default)
        return cast(str, value).strip()

    def count(self, name: str, *, optional: bool = False) -> int | None:
        value = self._take(name, int, None, optional=optional)
        if value is None:
            return None
        if value < 0:
            raise _Wrong(f"{self._where}{name} must not be negative")
        return cast(int, value)

    def required_count(self, name: str) -> int:
        return cast(int, self.count(name))

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise _Wrong(f"{self._where}{name} must be one of: {', '.join(allowed)}")
        return value

    def matching(self, name: str, pattern: re.Pattern[str], what: str, *, optional: bool = False) -> str | None:
        value = self._take(name, str, None, optional=optional)
        if value is not None and not pattern.fullmatch(value):
            raise _Wrong(f"{self._where}{name} must be {what}")
        return cast("str | None", value)

    def relative_path(self, name: str) -> str:
        """A path below the model's own folder: manifests are not to be trusted with any other."""
        value = self.text(name)
        parts = PurePosixPath(value).parts
        if not value or value.startswith(("/", "~")) or ".." in parts or "\\" in value or ":" in value:
            raise _Wrong(f"{self._where}{name} must be a relative path")
        return value

    def table(self, name: str) -> _Table | None:
        value = self._take(name, dict, None, optional=True)
        return None if value is None else _Table(value, f"{name}.")

    def tables(self, name: str) -> list[_Table]:
        rows = self._take(name, list, []) or []
        if not all(isinstance(row, dict) for row in rows):
            raise _Wrong(f"{name} must be tables")
        return [_Table(row, f"{name}[{i}].") for i, row in enumerate(rows)]

    def done(self) -> None:
        if self._left:
            raise _Wrong(f"unknown field {self._where}{min(self._left)}")

    def _take(self, name: str, kind: type, default: object, *, optional: bool = False) -> Any:
        if name not in self._left:
            if default is None and not optional:
                raise _Wrong(f"{self._where}{name} is missing")
            return default
        value = self._left.pop(name)
        if type(value) is not kind:
            raise _Wrong(f"{self._where}{name} must be of type {kind.__name__}")
        return value


def _manifest(table: _Table, origin: Path) -> Manifest:
    kind = cast(Kind, table.choice("kind", ("generator", "embedder")))
    format_ = cast(Format, table.choice("format", ("gguf", "mlx")))
    if table.text("backend") != _BACKENDS[format_]:
        raise _Wrong(f"backend must be {_BACKENDS[format_]} for {format_}")
    manifest = Manifest(
        name=cast(str, table.matching("name", _NAME, "lower case letters, digits, '.', '-', '_'")),
        kind=kind,
        format=format_,
        parameters=table.text("parameters"),
        quantization=table.text("quantization"),
        context_length=table.required_count("context_length"),
        licence=table.text("licence"),
        kv_bytes_per_token=_kv_bytes(table, kind),
        chat_template=table.text("chat_template", ""),
        notes=table.text("notes", ""),
        files=_files(table, format_),
        sources=tuple(_source(row, format_) for row in table.tables("sources")),
        origin=origin,
    )
    table.done()
    if not manifest.sources:
        raise _Wrong("sources is missing")
    return manifest


def _kv_bytes(table: _Table, kind: Kind) -> int:
    """Bytes of keys and values a token costs; it must follow from the architecture that is given beside it."""
    stated = table.required_count("kv_bytes_per_token")
    shape = table.table("architecture")
    if kind == "embedder":
        if stated or shape is not None:
            raise _Wrong("an embedder keeps no keys and values: kv_bytes_per_token must be 0")
        return 0
    if shape is None:
        raise _Wrong("architecture is missing")
    size = 2 * _KV_ELEMENT_BYTES
    for name in ("layers", "kv_heads", "head_dim"):
        size *= shape.required_count(name)
    shape.text("source")
    shape.done()
    if size != stated:
        raise _Wrong(f"kv_bytes_per_token must be {size} for this architecture")
    return stated


def _files(table: _Table, format_: Format) -> tuple[ModelFile, ...]:
    pin = table.matching("pin", re.compile("first-download"), "first-download", optional=True)
    files = tuple(_file(row) for row in table.tables("files"))
    if format_ == "gguf" and (len(files) != 1 or not files[0].path.endswith(".gguf") or "/" in files[0].path):
        raise _Wrong("a GGUF model has exactly one file")
    complete = bool(files) and all(file.sha256 for file in files)
    if complete == (pin is not None):
        raise _Wrong('give every file\'s sha256, or say pin = "first-download"')
    return files


def _file(row: _Table) -> ModelFile:
    path, size = row.relative_path("path"), row.count("size_bytes", optional=True)
    file = ModelFile(path, size, row.matching("sha256", _SHA256, "64 hex digits", optional=True))
    row.done()
    return file


def _source(row: _Table, format_: Format) -> Source:
    readers: dict[str, Callable[[_Table, Format], Source]] = {"wheel": _wheel, "hub": _hub, "local": _local}
    source = readers[row.choice("type", tuple(readers))](row, format_)
    row.done()
    return source


def _wheel(row: _Table, format_: Format) -> WheelSource:
    if format_ != "gguf":
        raise _Wrong("a wheel can carry GGUF models only")
    convert = row.matching("convert", re.compile("bert"), "bert", optional=True)
    return WheelSource(
        package=row.text("package"),
        version=row.text("version"),
        sha256=cast(str, row.matching("sha256", _SHA256, "64 hex digits")),
        member=row.relative_path("member"),
        size_bytes=row.count("size_bytes", optional=True),
        convert="bert" if convert else None,
    )


def _hub(row: _Table, format_: Format) -> HubSource:
    repo = row.matching("repo", re.compile(r"[\w.-]+/[\w.-]+"), "owner/name")
    revision = row.matching("revision", re.compile(r"[\w.-]+"), "a commit or branch")
    file = row.relative_path("file") if format_ == "gguf" else None
    return HubSource(cast(str, repo), cast(str, revision), file)


def _local(row: _Table, format_: Format) -> LocalSource:
    return LocalSource(Path(row.text("path")).expanduser())
