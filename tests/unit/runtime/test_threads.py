"""How many threads a model gets."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from secondme.runtime import threads
from secondme.runtime.threads import ThreadGovernor, usable_cores


def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, logical: int, physical: int, quota: str) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(logical)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: logical)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: physical)


@pytest.mark.parametrize(
    ("logical", "physical", "quota", "expected"),
    [
        (1, 1, "max 100000", 1),
        (2, 2, "max 100000", 2),
        (4, 2, "max 100000", 4),
        (8, 4, "max 100000", 4),
        (16, 8, "max 100000", 8),
        (16, 8, "300000 100000", 3),
        (16, 8, "50000 100000", 1),
        (8, 8, "nonsense", 8),
    ],
)
def test_usable_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logical: int, physical: int, quota: str, expected: int
) -> None:
    machine(monkeypatch, tmp_path, logical=logical, physical=physical, quota=quota)
    assert usable_cores() == expected


def test_the_number_follows_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, tmp_path, logical=4, physical=4, quota="max 100000")
    # (time, idle seconds of all cores, seconds of this process), each after the one before
    samples = iter([(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.5, 1.5, 1.0), (2.5, 1.5, 1.0), (3.5, 3.5, 3.0)])
    now = {"s": 0.0}
    monkeypatch.setattr(threads, "_sample", lambda: next(samples))
    monkeypatch.setattr("secondme.runtime.threads.time.monotonic", lambda: now["s"])
    governor = ThreadGovernor(0)
    assert governor.threads() == 4  # nothing is known yet
    seen = []
    for at in (1.0, 1.1, 1.5, 2.5, 3.5):
        now["s"] = at
        seen.append(governor.threads())
    assert seen == [2, 2, 1, 1, 4]


def test_a_fixed_number_is_kept() -> None:
    assert ThreadGovernor(3).threads() == 3
