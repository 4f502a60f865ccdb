"""Looks for bytes in another process's memory, as a debugger run by the same user, or by root, could."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_MAPPING = re.compile(r"(?m)^([0-9a-f]+)-([0-9a-f]+) r(\S+) \S+ \S+ \S+ *(.*)$")


def hits(pid: int, needles: Mapping[str, bytes]) -> dict[str, int]:
    """How often each needle occurs in the readable memory of a process, which should stand still meanwhile.

    Raises PermissionError if the process may not be read: by Linux, for one that is not dumpable, only root.
    """
    found = dict.fromkeys(needles, 0)
    process = Path(f"/proc/{pid}")
    with (process / "mem").open("rb", 0) as memory:
        for low, high, rights, name in _MAPPING.findall((process / "maps").read_text("utf-8", "replace")):
            # The kernel's own pages, and files that cannot have been written to, such as a model's weights.
            if name.startswith("[v") or (name.startswith("/") and "w" not in rights):
                continue
            memory.seek(int(low, 16))
            try:
                held = memory.read(int(high, 16) - int(low, 16))
            except OSError:  # mapped, but beyond the end of its file
                continue
            for what, needle in needles.items():
                found[what] += held.count(needle)
    return found
