"""The operation log of a store that may be damaged: how far it is whole, and what it still vouches for.

A step is trusted if the chain leads to it from the beginning, or back to it from the step that the watermark knows:
each step's hash covers the hash before it, so that a good step vouches for its forerunner's hash.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import apsw

from secondme.memory import oplog, scavenge
from secondme.memory.oplog import Head, Op
from secondme.memory.rows import Row
from secondme.memory.scavenge import Gap

_COLUMNS = "at, kind, actor, subjects, digest, detail, hash"


@dataclass(frozen=True, slots=True)
class Step:
    """What is kept of a step: when it was, its record's hash, and its subjects but the first."""

    at: float
    digest: bytes
    beside: tuple[str, ...]


@dataclass(slots=True)
class History:
    """What the log says.

    `live` maps an item (`kind:id`) to the newest step that vouches for its record. `whole` is the head of the unbroken
    chain from the beginning, `last` the newest step that can be read; it `goes_on` behind it where its end cannot be.
    `n_missing` steps are lost, changed or unreadable before the last that is trusted: then the log cannot say for sure
    that an item is not what it should be. `began` is the kind of the first step.
    """

    whole: Head
    last: Head
    last_at: float | None = None
    began: str = ""
    n_trusted: int = 0
    n_missing: int = 0
    goes_on: bool = False
    live: dict[str, Step] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        return self.whole == self.last and not self.n_missing

    def _take(self, op: Op) -> None:
        self.n_trusted += 1
        self.began = self.began or op.kind
        self.last_at = op.at
        if op.kind in oplog.ENDS:
            for subject in op.subjects:
                self.live.pop(subject, None)
        elif op.digest is not None and op.subjects:
            # There is one for every turn ever said: what many of them name is held once.
            self.live[op.subjects[0]] = Step(op.at, op.digest, tuple(sys.intern(s) for s in op.subjects[1:]))


def read_history(connection: apsw.Connection, start: Head, acknowledged: Head | None) -> History:
    """Read the log, whatever is left of it; `acknowledged` is the watermark's step, `start` the store's genesis.

    Raises apsw.Error for anything but damage.
    """
    found = History(start, start)
    broken: list[Op | None] = []
    for op in _ops(connection):
        follows = op is not None and op.seq == found.whole.seq + 1 and op.hash == oplog.link_hash(found.whole.hash, op)
        if op is not None and follows and not broken:
            found.whole = found.last = Head(op.seq, op.hash)
            found._take(op)
        else:
            broken.append(op)
    found.goes_on = bool(broken) and broken[-1] is None
    if broken:
        _read_behind_break(found, [op for op in broken if op is not None], acknowledged)
    return found


def _read_behind_break(found: History, steps: list[Op], acknowledged: Head | None) -> None:
    """Take from what follows the break the steps that hang together with the acknowledged one."""
    trusted = _vouched(steps, acknowledged)
    before = found.whole.seq
    for op in trusted:
        found.n_missing += op.seq - before - 1
        before = op.seq
        found._take(op)
    if steps:
        found.last = Head(steps[-1].seq, steps[-1].hash)
    found.n_missing += max(1, found.last.seq - before) if not trusted else found.last.seq - before


def _vouched(steps: list[Op], acknowledged: Head | None) -> list[Op]:
    """Steps that the acknowledged hash vouches for, backwards, and those that follow it without a break."""
    at = next((i for i, op in enumerate(steps) if acknowledged == Head(op.seq, op.hash)), None)
    if at is None:
        return []
    first = at
    while first > 0 and _fits(steps[first - 1], steps[first]):
        first -= 1
    last = at
    while last + 1 < len(steps) and _fits(steps[last], steps[last + 1]):
        last += 1
    # The first one's own forerunner is missing or changed, so only its hash is vouched for, not what it says.
    return steps[first + 1 : last + 1]


def _fits(op: Op, following: Op) -> bool:
    return following.seq == op.seq + 1 and following.hash == oplog.link_hash(op.hash, following)


def _ops(connection: apsw.Connection) -> Iterator[Op | None]:
    """Each step that can be read; None for those that cannot."""
    for row in _rows(connection):
        yield None if isinstance(row, Gap) else _op(row)


def _rows(connection: apsw.Connection) -> Iterable[Row | Gap]:
    return scavenge.rows(connection, "op", _COLUMNS, "seq")


def _op(row: Row) -> Op | None:
    try:
        subjects = tuple(str(s) for s in json.loads(row[4]))
        return Op(row[0], row[1], row[2], row[3], subjects, row[5], dict(json.loads(row[6])), bytes(row[7]))
    except (ValueError, TypeError):
        return None
