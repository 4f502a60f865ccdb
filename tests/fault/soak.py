"""How much a fault or property test does: little in `make test`, the proof's full count in `make soak`."""

from __future__ import annotations

import os


def n(short: int, long: int) -> int:
    """`long` when SECONDME_SOAK is set to anything but nothing, else `short`."""
    return long if os.environ.get("SECONDME_SOAK") else short
