"""Disturbs an operation in its middle, looks at what is left, lets the operation end, and looks again.

`rounds` kills its process, `failures` lets a system call fail. They run in a child under the shim where there is one,
and open nothing themselves, but fork a process for every piece of work. Half of the kills come before a chosen system
call that changes files, so that each of them has its turn, the other half at a random time.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from secondme.errors import SecondMeError
from tests.fault.iolog import CHANGES, failing, kill_at

HAS_SHIM = sys.platform == "linux"
RAISED = "raised one of our errors"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is killed. Everything happens below a folder that belongs to the operation alone.

    `prepare` lays it out once. `act` does the work, from the beginning or from what an earlier attempt left, and says
    what it acknowledges. `verify` is given all that was said and raises if less is there, or something else; the last
    argument tells whether `act` has come to its end by now.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path, Say], None]
    verify: Callable[[Path, list[str], bool], None]


@dataclass(frozen=True, slots=True)
class Tally:
    """Of `n_rounds`, each with one attempt or two, `n_killed` attempts died, and `n_said` things were acknowledged."""

    n_rounds: int
    n_killed: int
    n_said: int


def rounds(operation: Operation, folder: Path, chance: random.Random, n_kills: int) -> Tally:
    """Kill it that many times.

    Raises AssertionError with the round in which something is wrong; its folder stays as the kill left it.
    """
    template, work = folder / "template", folder / "work"
    template.mkdir(parents=True)
    _in_child(lambda say: operation.prepare(template))
    n_changes, took_s = _measured(operation, template, work)
    n_rounds = n_killed = n_said = 0
    while n_killed < n_kills:
        n_rounds += 1
        _lay_out(template, work)
        said: list[str] = []
        # One in four is killed a second time, which is when it picks up what the first kill left.
        for _ in range(1 + (chance.random() < 0.25)):
            nth = chance.randint(1, n_changes) if HAS_SHIM and chance.random() < 0.5 else 0
            lines, was_killed = _killed(operation, work, nth, chance.uniform(0, 1.25 * took_s))
            said += lines
            n_killed += was_killed
        n_said += len(said)
        _lay_out(work, folder / "left")
        try:
            _look(operation, work, said)
        except AssertionError as error:
            raise AssertionError(f"round {n_rounds}, {len(said)} said, left in {folder / 'left'}: {error}") from None
    return Tally(n_rounds, n_killed, n_said)


def failures(operation: Operation, folder: Path, chance: random.Random, n_failures: int) -> Tally:
    """Let one system call fail in each round, once or from then on: the operation ends well or with one of our errors.

    Needs the shim. Raises AssertionError as `rounds` does. `n_killed` counts the rounds that ended with an error.
    """
    template, work = folder / "template", folder / "work"
    template.mkdir(parents=True)
    _in_child(lambda say: operation.prepare(template))
    n_changes, _ = _measured(operation, template, work)
    n_raised = n_said = 0
    for n in range(n_failures):
        _lay_out(template, work)
        fault = (chance.randint(1, n_changes), chance.choice((errno.EIO, errno.ENOSPC)), chance.choice(("once", "on")))
        try:
            said = _in_child(partial(_disturbed, operation, work, fault))
            n_raised += RAISED in said
            said = [line for line in said if line != RAISED]
            n_said += len(said)
            _look(operation, work, said)
        except AssertionError as error:
            raise AssertionError(f"round {n}, call, error and mode {fault}: {error}") from None
    return Tally(n_failures, n_raised, n_said)


def _disturbed(operation: Operation, work: Path, fault: tuple[int, int, str], say: Say) -> None:
    nth, error, mode = fault
    with failing(CHANGES, nth, error, mode):
        try:
            operation.act(work, say)
        except SecondMeError:
            say(RAISED)


def _look(operation: Operation, work: Path, said: list[str]) -> None:
    """At once, and when the operation has ended after all."""
    _in_child(lambda say: operation.verify(work, said, False))
    later = said + _in_child(lambda say: operation.act(work, say))
    _in_child(lambda say: operation.verify(work, later, True))


def _lay_out(template: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work)


def _measured(operation: Operation, template: Path, work: Path) -> tuple[int, float]:
    """How many changes of files the operation makes, and how many seconds it takes, when nobody disturbs it."""
    _lay_out(template, work)
    if not HAS_SHIM:
        started = time.monotonic()
        _in_child(lambda say: operation.act(work, say))
        return 0, time.monotonic() - started

    def count(say: Say) -> None:
        started = time.monotonic()
        with failing(CHANGES, sys.maxsize, 0) as seen:
            operation.act(work, lambda text: None)
        say(f"{seen[0]} {time.monotonic() - started}")

    (line,) = _in_child(count)
    n_changes, took_s = line.split()
    return int(n_changes), float(took_s)


def _killed(operation: Operation, work: Path, nth: int, after_s: float) -> tuple[list[str], bool]:
    """Run the operation and kill it, before its `nth` change or after some time; what it said, and whether it died."""

    def act(say: Say) -> None:
        if nth:
            kill_at(CHANGES, nth)
        operation.act(work, say)

    pid, reading = _fork(act)
    if not nth:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    lines = _lines(reading)
    _, status = os.waitpid(pid, 0)
    was_killed = os.WIFSIGNALED(status)
    assert was_killed or os.WEXITSTATUS(status) == 0, "\n".join(lines)
    return lines, was_killed


def _in_child(work: Callable[[Say], None]) -> list[str]:
    """Run to the end in a process of its own; what it said. Raises AssertionError with the traceback if it fails."""
    pid, reading = _fork(work)
    lines = _lines(reading)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, "\n".join(lines) or f"ended with {status}"
    return lines


def _fork(work: Callable[[Say], None]) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    failed = True
    try:
        work(lambda text: _say(writing, text))
        failed = False
    finally:
        if failed:
            _say(writing, traceback.format_exc())
        os._exit(failed)


def _say(writing: int, text: str) -> None:
    data = text.encode() + b"\n"
    while data:
        data = data[os.write(writing, data) :]


def _lines(reading: int) -> list[str]:
    with os.fdopen(reading, "rb") as pipe:
        return [line.decode() for line in pipe.read().split(b"\n")[:-1]]
