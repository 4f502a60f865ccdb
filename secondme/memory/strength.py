"""How a memory's strength fades with time and grows with use.

Retention is R = exp(-t / S), Ebbinghaus's curve (1885) in the form of MemoryBank (Zhong et al. 2023): t days since the
last use, S the strength in days. Pure; times are Unix seconds.
"""

from __future__ import annotations

import math

GROWTH = 1.5
"""What a use multiplies the strength with at most; one shortly after the last adds little."""

LONGEST_DAYS = 3650.0
DAY_S = 86400.0


def retention(strength_days: float, used_at: float, now: float) -> float:
    """R, 0 to 1. A use that lies ahead, because a clock jumped, counts as one now."""
    days = max(0.0, now - used_at) / DAY_S
    return math.exp(-days / max(strength_days, 1e-6))


def strengthened(strength_days: float, used_at: float, now: float) -> float:
    """S after a use at `now`: the more had faded, the more it grows, between none and GROWTH times (spacing effect)."""
    grown = strength_days * (1.0 + (GROWTH - 1.0) * (1.0 - retention(strength_days, used_at, now)))
    return min(grown, max(LONGEST_DAYS, strength_days))
