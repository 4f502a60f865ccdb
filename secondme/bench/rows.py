"""What a benchmark prints: one row a case, with its peer measured in the same run."""

from __future__ import annotations

import functools
import json
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. `ratio` says how many times better than the peer it is: above 1 is ahead.

    setting: what it was measured with, where that is not fixed: a model, a seed.
    """

    bench: str
    case: str
    value: float
    unit: str
    n: int
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    setting: str = ""

    def as_json(self) -> str:
        row = {k: v for k, v in asdict(self).items() if v not in ("", None)}
        return json.dumps(row | {"commit": commit(), "machine": machine()})

    def as_text(self) -> str:
        text = f"{self.bench}  {self.case:36} {self.value:12.4g} {self.unit:10} n={self.n}"
        if self.ratio is not None and self.peer_value is not None:
            text += f"  {self.peer} {self.peer_value:.4g}, ratio {self.ratio:.3g}"
        return text


def lower_is_better(bench: str, case: str, unit: str, ours: Sequence[float], peer: tuple[str, Sequence[float]]) -> Row:
    """A row of medians for a time or a size, against a peer's."""
    value, peer_value = statistics.median(ours), statistics.median(peer[1])
    return Row(bench, case, value, unit, len(ours), peer[0], peer_value, peer_value / value)


def interleave(runs: Sequence[Callable[[], float]], n: int) -> list[list[float]]:
    """Call every measurement `n` times in turn, so that a drift of the machine meets all of them alike."""
    results: list[list[float]] = [[] for _ in runs]
    for _ in range(n):
        for result, run in zip(results, runs, strict=True):
            result.append(run())
    return results


@functools.cache
def machine() -> str:
    """Processor, cores and system in a few words."""
    import os

    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


@functools.cache
def commit() -> str:
    """The checkout's commit, or the version of an installed program."""
    from secondme import __version__

    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return __version__
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return done.stdout.strip() or __version__
