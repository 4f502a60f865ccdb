"""Reads the lock files: pip's requirements format with hashes, as `lock.py` writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package; `text` is its entry as it stands in the file, with marker and hashes."""

    name: str
    version: str
    hashes: tuple[str, ...]
    text: str


def read_pins(*paths: Path) -> list[Pin]:
    """All pins, in order, those of several files once. A package may have two versions, told apart by their markers."""
    pins: dict[tuple[str, str], Pin] = {}
    for path in paths:
        for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", path.read_text("utf-8")):
            head = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", entry)
            if head:
                name = re.sub(r"[-_.]+", "-", head[1]).lower()
                pins[name, head[2]] = Pin(name, head[2], tuple(HASH.findall(entry)), entry.strip())
    return list(pins.values())


def pin_of(name: str, *paths: Path) -> Pin:
    """The only pin of `name`. Raises ValueError if there is none, or more than one."""
    (pin,) = (pin for pin in read_pins(*paths) if pin.name == name)
    return pin
