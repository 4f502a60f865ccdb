"""What a folder that was converted from a GGUF file says of it: `secondme.json`.

It lets a cache made by llama.cpp from that file fit the folder, and shows whether the folder is what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from secondme.errors import ModelError
from secondme.paths import models_dir

FILE_NAME = "secondme.json"
FORMAT_VERSION = 1
"""Raised when a conversion writes something else; folders of another version are made anew."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "delete the folder: it is made again from the GGUF file when the model is next loaded"
_MAX_FACTORS = 4096


@dataclass(frozen=True, slots=True)
class Origin:
    """The GGUF file behind a folder.

    weights: sha256 of the file; tokenizer, template: as llama_identity's hashes of its header.
    rope_pairs: how the file orders a head's rotated dimensions; the folder's own order is always "halves".
    rope_factors: divisors of the frequencies as the file has them, empty if it has none.
    files: sha256 of each file of the folder but this one.
    """

    weights: str
    tokenizer: str
    template: str
    rope_pairs: Literal["adjacent", "halves"]
    rope_factors: tuple[float, ...]
    files: dict[str, str]
    format_version: int = FORMAT_VERSION


def origin_text(origin: Origin) -> str:
    """The content of `secondme.json`."""
    return json.dumps(asdict(origin), indent=1, sort_keys=True) + "\n"


def parse_origin(table: dict[str, Any], folder: Path) -> Origin:
    """The origin in the content of `secondme.json`. Raises ModelError for another version and for anything odd."""
    if table.get("format_version") != FORMAT_VERSION:
        raise ModelError(f"{folder} was converted by another version of this program", hint=_HINT)
    files, factors = table.get("files"), table.get("rope_factors")
    digests = [table.get(key) for key in ("weights", "tokenizer", "template")]
    if not (
        isinstance(files, dict)
        and all(_is_digest(digest) for digest in [*digests, *files.values()])
        and table.get("rope_pairs") in ("adjacent", "halves")
        and isinstance(factors, list)
        and len(factors) <= _MAX_FACTORS
        and all(isinstance(factor, float) and 0 < factor < float("inf") for factor in factors)
    ):
        raise ModelError(f"{folder} is damaged: its {FILE_NAME} is not what was written", hint=_HINT)
    return Origin(
        weights=str(digests[0]),
        tokenizer=str(digests[1]),
        template=str(digests[2]),
        rope_pairs=cast("Literal['adjacent', 'halves']", table["rope_pairs"]),
        rope_factors=tuple(factors),
        files=dict(files),
    )


def check_files(origin: Origin, folder: Path, found: set[str]) -> None:
    """Compare the folder with what was written; installed files are hashed again only if they were touched.

    Raises ModelError for a file that is missing, was changed or was added.
    """
    if found != set(origin.files):
        raise ModelError(f"{folder} is damaged: its files are not those that were written", hint=_HINT)
    for name in sorted(found):
        try:
            digest = _digest(folder / name)
        except OSError as error:
            raise ModelError(f"{folder / name} cannot be read", hint="check its permissions and the disk") from error
        if digest != origin.files[name]:
            raise ModelError(f"{folder / name} is not what was written", hint=_HINT)


def _digest(path: Path) -> str:
    if path.resolve().is_relative_to(models_dir().resolve()):
        from secondme.runtime.installed import file_digest

        return file_digest(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
