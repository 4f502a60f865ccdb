"""How long the owner has not touched a key: the clock of the idle lock."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_LOOK_S = 5.0


def wakeful_clock() -> float:
    """Seconds that also pass while the computer sleeps, where the system tells; a closed lid must count."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux; macOS, whose monotonic clock counts sleep
        if hasattr(time, name):
            return time.clock_gettime(getattr(time, name))
    return time.monotonic()


class Idle:
    """Counts from the last `touch`. A `limit_s` of 0 means that it never ends."""

    def __init__(self, limit_s: float, now: Callable[[], float] = wakeful_clock) -> None:
        self.limit_s = limit_s
        self._now = now
        self._since = now()

    def touch(self) -> None:
        """The owner is there."""
        self._since = self._now()

    @property
    def over(self) -> bool:
        return self.limit_s > 0 and self._now() - self._since >= self.limit_s

    @property
    def look_every_s(self) -> float:
        """How often to look, so that the limit is kept within a few percent."""
        return min(_LONGEST_LOOK_S, max(0.02, self.limit_s / 8))
