"""A new passphrase costs about 0.75 s here, on a slow machine the floor, on a fast one more."""

from __future__ import annotations

import time

import pytest

from secondme.crypto.calibrate import FLOOR, TARGET_S, Work, calibrated, measured
from secondme.crypto.keyslots import MAX_ITERATIONS, MAX_MEMORY_KIB


def on_a_machine(pass_s: float, probes: list[Work] | None = None) -> Work:
    """What is chosen where one pass over 64 MiB takes `pass_s` seconds."""

    def measure(work: Work) -> float:
        if probes is not None:
            probes.append(work)
        return pass_s * work.iterations * work.memory_kib / FLOOR.memory_kib

    return calibrated(measure)


@pytest.mark.parametrize("pass_s", [0.0001, 0.001, 0.01, 0.03, 0.07, 0.08, 0.1, 0.13, 0.17, 0.2, 0.24, 0.5, 5.0])
def test_the_work_takes_about_the_time_meant(pass_s: float) -> None:
    work = on_a_machine(pass_s)
    takes_s = pass_s * work.iterations * work.memory_kib / FLOOR.memory_kib
    assert work.memory_kib >= FLOOR.memory_kib and work.iterations >= FLOOR.iterations and work.lanes == FLOOR.lanes
    assert work.memory_kib <= MAX_MEMORY_KIB and work.iterations <= MAX_ITERATIONS
    assert 0.5 <= takes_s <= 1.0 or work == FLOOR or work == Work(MAX_MEMORY_KIB, MAX_ITERATIONS)


def test_more_passes_come_before_more_memory() -> None:
    assert on_a_machine(10.0) == FLOOR
    assert on_a_machine(0.11) == Work(iterations=7)
    assert on_a_machine(0.0375) == Work(128 * 1024, MAX_ITERATIONS)
    assert on_a_machine(0.0) == Work(MAX_MEMORY_KIB, MAX_ITERATIONS)


@pytest.mark.parametrize(("pass_s", "n_probes"), [(0.01, 6), (0.13, 6), (0.24, 4), (0.5, 2), (5.0, 1)])
def test_measuring_takes_little_more_than_what_it_measures_for(pass_s: float, n_probes: int) -> None:
    probes: list[Work] = []
    on_a_machine(pass_s, probes)
    assert len(probes) == n_probes and {p.iterations * p.memory_kib for p in probes} == {FLOOR.memory_kib}


def test_the_fastest_measurement_counts() -> None:
    """Another program took the processor while the others were made."""
    times_s = iter([0.3, 0.09, 0.2, 0.31])
    assert calibrated(lambda work: next(times_s)) == Work(iterations=8)


def test_this_machine_measures_itself() -> None:
    start = time.perf_counter()
    work = calibrated()
    elapsed_s = time.perf_counter() - start
    assert work.memory_kib >= FLOOR.memory_kib and work.iterations >= FLOOR.iterations
    # Twice one pass of at least three; generous, because other tests may run beside it.
    assert elapsed_s < 4 * TARGET_S
    assert 0 < measured(Work(19 * 1024, 1, 1)) < elapsed_s


def test_every_slot_has_a_salt_of_its_own() -> None:
    assert len({FLOOR.kdf().salt for _ in range(64)}) == 64 and len(FLOOR.kdf().salt) == 16
    assert (FLOOR.memory_kib, FLOOR.iterations, FLOOR.lanes) == (64 * 1024, 3, 4)
