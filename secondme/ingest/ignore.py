"""What is not taken from a folder: caches, hidden and half-written files, and what the owner's `.secondmeignore` names.

`.gitignore` is not obeyed: it says what not to publish, which is no reason not to remember it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from pathlib import Path

IGNORE_FILE = ".secondmeignore"
CACHE_TAG = "CACHEDIR.TAG"
"""Marks a folder as a cache (Cache Directory Tagging Specification); cargo, pytest, mypy, uv and others write it."""
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_MAX_RULES_BYTES = 100_000

_FOLDERS = frozenset(
    "node_modules bower_components __pycache__ venv site-packages __MACOSX lost+found $RECYCLE.BIN DerivedData "
    "Pods".split()
) | {"System Volume Information"}
# Names that mean build output only where a build system stands beside them.
_OUTPUT_FOLDERS = frozenset("build dist out target bin obj vendor coverage htmlcov _build cmake-build-debug".split())
_PROJECT_MARKS = frozenset(
    "package.json pyproject.toml setup.py Cargo.toml CMakeLists.txt go.mod pom.xml build.gradle build.gradle.kts "
    "composer.json Makefile conf.py".split()
)
_FILES = re.compile(
    "|".join(
        translate(pattern)
        for pattern in (
            "*~ #*# ~$* *.swp *.swo *.tmp *.temp *.part *.partial *.crdownload *.download *.lock *.min.js *.min.css "
            "*.map package-lock.json pnpm-lock.yaml npm-shrinkwrap.json Thumbs.db desktop.ini Icon\r 4913"
        ).split(" ")
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an ignore file: a pattern for names, or with a slash inside for paths from the file's folder on."""

    pattern: str
    anchored: bool
    folders_only: bool

    def matches(self, name: str, relative: str, *, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        return fnmatchcase(relative if self.anchored else name, self.pattern)


def ignored_folder(name: str, siblings: Iterable[str]) -> bool:
    """True for a folder that is left out wherever it lies; `siblings` are the names beside it."""
    if name.startswith(".") or name in _FOLDERS:
        return True
    return name in _OUTPUT_FOLDERS and not _PROJECT_MARKS.isdisjoint(siblings)


def ignored_file(name: str) -> bool:
    """True for a file that is left out by its name: hidden, temporary or generated."""
    return name.startswith(".") or _FILES.match(name) is not None


def is_cache(folder: Path) -> bool:
    """True if a folder with a file CACHEDIR.TAG really is tagged."""
    try:
        with (folder / CACHE_TAG).open("rb") as file:
            return file.read(len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
    except OSError:
        return False


def read_rules(folder: Path) -> tuple[Rule, ...]:
    """The rules of a folder's ignore file; none if there is none or it cannot be read."""
    try:
        with (folder / IGNORE_FILE).open("rb") as file:
            text = file.read(_MAX_RULES_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(_rule(line) for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))


def _rule(line: str) -> Rule:
    pattern = line.rstrip("/")
    return Rule(pattern.lstrip("/"), "/" in pattern, line.endswith("/"))
