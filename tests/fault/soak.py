"""How much a fault or property test does: little in `make test`, the proof's full count in `make soak`."""

from __future__ import annotations

import os


def n(short: int, long: int) -> int:
    """`long` when SECONDME_SOAK is 1, that share of it for less, `short` when it is not set."""
    share = float(os.environ.get("SECONDME_SOAK") or 0)
    return max(short, round(share * long))
