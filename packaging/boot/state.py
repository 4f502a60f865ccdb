"""What is already done in an environment: one JSON file inside it, so that deleting the environment forgets all."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from secondme.paths import models_dir

FILE_NAME = "secondme-setup.json"


@dataclass
class State:
    """`done` maps a step to the key of its inputs; `files` are those that must exist for all of it to hold."""

    path: Path
    done: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, venv: Path) -> State:
        path = venv / FILE_NAME
        try:
            table = json.loads(path.read_text("utf-8"))
            return cls(path, dict(table["done"]), list(table["files"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)  # unreadable is the same as never done: every step checks and repeats

    def is_complete(self, goal: str, key: str) -> bool:
        """A larger goal answers for a smaller one: `dev` for `run`, and either for the same without models."""
        larger = (goal, goal.replace("run", "dev"), goal.split(",")[0], "dev")
        reached = {self.done.get(f"all: {name}") for name in larger}
        return key in reached and all(map(os.path.exists, self.files))

    def is_done(self, step: str, key: str) -> bool:
        return self.done.get(step) == key

    def mark(self, step: str, key: str) -> None:
        self.done[step] = key
        self._write()

    def forget(self, step: str) -> None:
        if self.done.pop(step, None) is not None:
            self._write()

    def require(self, *files: Path) -> None:
        self.files = sorted({*self.files, *map(str, files)})
        self._write()

    def drop_missing(self) -> None:
        """If a required file is gone, no goal is reached any more, and the steps decide anew what is required."""
        there = [file for file in self.files if Path(file).exists()]
        if there != self.files:
            self.files = there
            self.done = {step: key for step, key in self.done.items() if not step.startswith("all: ")}
            self._write()

    def _write(self) -> None:
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"done": self.done, "files": self.files}, indent=1), "utf-8")
        part.replace(self.path)


def tree_key(root: Path, *places: str) -> str:
    """A hash of the contents and names of files and folders below `root`; what is missing counts as empty."""
    digest = hashlib.sha256()
    for place in places:
        path = root / place
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc") if path.is_dir() else [path]
        for file in files:
            content = file.read_bytes() if file.exists() else b""
            digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def inputs_key(root: Path) -> str:
    """Everything that, when it changes, makes the set-up look again."""
    files = tree_key(root, "pyproject.toml", "packaging/lock", "packaging/boot", "native", "models")
    place = "\0".join((files, str(root), str(models_dir()), os.environ.get("CMAKE_ARGS", ""), sys.platform))
    return hashlib.sha256(place.encode()).hexdigest()
