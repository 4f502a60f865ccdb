"""Threads: what a job yields arrives, what it raises arrives, and leaving never waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

from textual.app import App
from textual.message import Message

from secondme.errors import Cancelled, ModelNotFound
from secondme.tui.jobs import Jobs
from secondme.tui.messages import JobEnded
from secondme.types import CancelCheck


class Step(Message):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n


class Listener(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []
        self.ends: list[JobEnded] = []
        self.threads: set[int] = set()

    def on_step(self, message: Step) -> None:
        self.steps.append(message.n)

    def on_job_ended(self, message: JobEnded) -> None:
        self.ends.append(message)


def counting(_: CancelCheck) -> Iterator[Message]:
    yield from (Step(n) for n in range(3))


def failing(_: CancelCheck) -> Iterator[Message]:
    yield Step(9)
    raise ModelNotFound("no model")


def patient(cancelled: CancelCheck) -> Iterator[Message]:
    yield Step(1)
    while not cancelled():
        threading.Event().wait(0.005)
    raise Cancelled("stopped")


async def ended(app: Listener, n: int) -> None:
    while len(app.ends) < n:
        await app.animator.wait_for_idle()
        import asyncio

        await asyncio.sleep(0.005)


async def test_messages_and_errors_arrive() -> None:
    app, jobs = Listener(), Jobs()
    async with app.run_test():
        jobs.start(app, "count", counting)
        await ended(app, 1)
        jobs.start(app, "fail", failing)
        await ended(app, 2)
    assert app.steps == [0, 1, 2, 9]
    assert app.ends[0].error is None
    assert isinstance(app.ends[1].error, ModelNotFound)


async def test_a_newer_job_of_a_group_stops_the_earlier() -> None:
    app, jobs = Listener(), Jobs()
    async with app.run_test() as pilot:
        first = jobs.start(app, "same", patient)
        while not app.steps:
            await pilot.pause(0.01)
        second = jobs.start(app, "same", patient)
        await ended(app, 1)
        assert first.stopped() and not second.stopped()
        assert app.ends[0].running is first and app.ends[0].error is None  # stopping is no error
        second.stop()
        await ended(app, 2)


async def test_leaving_stops_what_listens_and_gives_up_on_what_does_not() -> None:
    app, jobs, release = Listener(), Jobs(), threading.Event()

    def stuck(_: CancelCheck) -> Iterator[Message]:
        yield Step(1)
        release.wait(10)

    async with app.run_test() as pilot:
        jobs.start(app, "listens", patient)
        jobs.start(app, "stuck", stuck)
        while len(app.steps) < 2:
            await pilot.pause(0.01)
        begun = monotonic()
        assert not jobs.close(0.2)
        assert monotonic() - begun < 1.0
        release.set()
        assert jobs.close(2.0)
        refused = jobs.start(app, "late", counting)
        await pilot.pause(0.05)
        assert not refused.over.is_set() and app.steps == [1, 1]
