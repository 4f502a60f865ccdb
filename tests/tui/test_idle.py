"""The clock of the idle lock."""

from __future__ import annotations

import sys
import time

import pytest

from secondme.tui.idle import Idle, wakeful_clock


def test_it_counts_from_the_last_touch() -> None:
    now = [0.0]
    idle = Idle(10, lambda: now[0])
    now[0] = 9.9
    assert not idle.over
    idle.touch()
    now[0] = 19.8
    assert not idle.over
    now[0] = 20.0
    assert idle.over


def test_without_a_limit_it_is_never_over() -> None:
    now = [0.0]
    idle = Idle(0, lambda: now[0])
    now[0] = 1e9
    assert not idle.over


@pytest.mark.parametrize("limit_s", [1.0, 60.0, 900.0])
def test_it_is_looked_at_often_enough(limit_s: float) -> None:
    assert 0 < Idle(limit_s).look_every_s <= max(0.125, limit_s / 8)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name that clock otherwise, or have none")
def test_a_computer_that_sleeps_is_idle() -> None:
    assert abs(wakeful_clock() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
