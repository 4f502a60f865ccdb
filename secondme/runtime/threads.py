"""How many threads a model may use, and how many it should use right now.

llama.cpp's threads meet at a barrier after every operation and spin while they wait. With one thread per core and
another busy program beside them, each barrier waits for the scheduler: on two cores shared with other work a token took
524 ms with two threads and 43 ms with one. So the number follows what is free, several times a second.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_SAMPLE_S = 0.25
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Cores this process may use: affinity, container quota, and physical cores where there are more than four.

    Two hyper-threads of one core share the multipliers that matrix products live on.
    """
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_cores()
    if quota is not None:
        n = min(n, quota)
    logical, physical = os.cpu_count() or 1, psutil.cpu_count(logical=False) or 1
    if n > 4 and physical < logical:
        n = max(4, n * physical // logical)
    return max(1, n)


def _quota_cores() -> int | None:
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return max(1, int(quota) // int(period)) if quota != "max" else None
    except (OSError, ValueError):
        return None


class ThreadGovernor:
    """Follows the free cores: idle time of the machine plus what this process used itself, rounded.

    A fixed number of threads (`threads` above 0) is kept as it is.
    """

    def __init__(self, threads: int) -> None:
        self._fixed = threads > 0
        self._most = threads if threads > 0 else usable_cores()
        self._now = self._most
        self._sampled_at, self._idle_s, self._own_s = _sample()

    def threads(self) -> int:
        """The number to use for the next block or token; cheap, samples at most four times a second."""
        if self._fixed or self._most == 1 or time.monotonic() - self._sampled_at < _SAMPLE_S:
            return self._now
        at, idle_s, own_s = _sample()
        free = (idle_s - self._idle_s + own_s - self._own_s) / (at - self._sampled_at)
        self._sampled_at, self._idle_s, self._own_s = at, idle_s, own_s
        self._now = min(self._most, max(1, round(free)))
        return self._now


def _sample() -> tuple[float, float, float]:
    """(monotonic time, idle seconds of all cores, CPU seconds of this process)."""
    cpu = psutil.cpu_times()
    return time.monotonic(), cpu.idle + getattr(cpu, "iowait", 0.0), time.process_time()
