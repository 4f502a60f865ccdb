"""The copy of the vectors in memory: built from the store's own blocks by a thread, kept in step, zeroed when it goes.

    none --ready(build)--> coarse: the int8 blocks are read; not searched yet
         --> usable: all int8 vectors are there, results are rescored with the store's float32 rows
         --> whole: both planes are there, a search needs the store no more; from here on the thread keeps the index's
             lists in order whenever something has changed

Everything that changes it happens under the database's lock, in slices that hold it for a few milliseconds; searches
hold nothing. Changes of the store are noted by triggers (`changes.py`) from before the first block is read, and carried
over at the end of the transaction that made them: what was deleted is out of memory when the deleting call returns.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from secondme.errors import SecondMeError
from secondme.memory import changes, vectors
from secondme.memory.database import Database

if TYPE_CHECKING:
    from secondme.kernels.index import Stats, VectorIndex

BUILD_FROM = 4096
"""Vectors from which an index pays: scanning fewer in SQL takes less than a millisecond."""

PHYSICAL_SHARE = 8
"""Without a setting the index takes at most this part of the machine's memory."""

EXACT_UP_TO = 250_000
"""Vectors up to which a search looks at all of them: it takes less than embedding the question, and misses nothing."""

LEAST_RECALL = 0.99
"""Above that, the part of the ten nearest that the index must find, as it measures it."""

REMEMBERED = 256
"""Questions whose neighbourhoods are kept until the next change: some 8 KB each."""

_ROW_ALIGN = 64
_ROW_OVERHEAD = 96  # id, attributes and place of a vector
_SPARE = 2.5  # memory is taken in large pieces, and lists leave pages partly filled: measured at 100,000 vectors
_MOST_NOTED = 65_536
_PAUSE_S = 0.0001  # a thread that waits for the lock gets it between two slices
_JOIN_S = 2.0
_UPKEEP_US = 1000  # other writers wait for that long
_UPKEEP_PAUSE_S = 0.001


@dataclass(frozen=True, slots=True)
class Held:
    """An index that can be searched. `whole`: its second plane is complete, where it has one."""

    index: VectorIndex
    whole: bool


@dataclass(frozen=True, slots=True)
class Status:
    """`stage` is "building", "usable" or "whole"; `fine` tells whether the second plane has room."""

    stage: str
    fine: bool
    stats: Stats


class Resident:
    """At most one index of one open store, and the thread that builds it."""

    def __init__(self, database: Database, limit_bytes: int | None) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._index: VectorIndex | None = None
        self._stage = "building"
        self._n_dims = 0
        self._fine = True
        self._refused = False
        self._closing = threading.Event()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    # Under the database's lock ---------------------------------------------------------------------------------

    def ready(self, connection: apsw.Connection, n_dims: int, *, build: bool) -> Held | None:
        """The index with all that was committed, None while there is none; `build` begins one if it pays.

        Not inside a transaction, whose changes may be rolled back.
        """
        self.catch_up(connection)
        if self._index is None and build and not self._refused:
            self._begin(connection, n_dims)
        if self._index is None or self._stage == "building":
            return None
        return Held(self._index, self._stage == "whole" and self._fine)

    def holds(self, held: Held) -> bool:
        """Whether what a search found in `held` counts: the index was not given up meanwhile."""
        return self._index is held.index

    def catch_up(self, connection: apsw.Connection) -> None:
        """Carry over what was committed since the last time. On a failure the index goes; the store itself is whole."""
        if self._index is None:
            return
        try:
            if changes.any_noted(connection):
                self._apply(connection, self._index)
        except (SecondMeError, apsw.Error, MemoryError):
            self._give_up(connection, refuse=True)

    def _apply(self, connection: apsw.Connection, index: VectorIndex) -> None:
        import numpy as np

        from secondme.memory import blocks

        ids = changes.noted(connection, _MOST_NOTED)
        if ids is None or not self._has_room(len(index) + len(ids)):
            self._give_up(connection)
            return
        rows = blocks.read_some(connection, ids, self._n_dims)
        gone = set(ids).difference(rows.ids.tolist())
        if gone:
            index.remove(np.array(sorted(gone), np.int64))
        if len(rows.ids):
            index.add(rows.ids, rows.vectors, rows.attributes)
            rows.vectors.fill(0)
        changes.forget_noted(connection)
        self._changed.set()

    def _begin(self, connection: apsw.Connection, n_dims: int) -> None:
        from secondme.kernels.index import VectorIndex

        n_rows = vectors.count(connection)
        if n_rows < BUILD_FROM:
            return
        self._n_dims = n_dims
        self._fine = True
        self._fine = self._has_room(n_rows)
        if not self._has_room(n_rows):
            self._refused = True
            return
        changes.begin(connection)
        self._index = VectorIndex(
            n_dims, fine=self._fine, n_remembered=REMEMBERED, flat_limit=EXACT_UP_TO, least_recall=LEAST_RECALL
        )
        self._stage = "building"
        self._changed = threading.Event()
        self._changed.set()
        # A daemon: a process that ends without closing the store does not wait for it.
        self._thread = threading.Thread(
            target=self._work, args=(self._index, self._changed), name="vector index", daemon=True
        )
        self._thread.start()

    def _has_room(self, n_rows: int) -> bool:
        stride = -(-self._n_dims // _ROW_ALIGN) * _ROW_ALIGN
        row_bytes = (2 if self._fine else 1) * stride + _ROW_OVERHEAD
        return _SPARE * n_rows * row_bytes <= limit_bytes(self._limit_bytes)

    def _give_up(self, connection: apsw.Connection, *, refuse: bool = False) -> None:
        """Zero the index; the next search but one begins anew, unless `refuse`."""
        index, self._index = self._index, None
        self._refused |= refuse
        self._changed.set()
        if index is not None:
            index.clear()
        with suppress(apsw.Error):
            changes.end(connection)

    # The thread ------------------------------------------------------------------------------------------------

    def _work(self, index: VectorIndex, changed: threading.Event) -> None:
        try:
            self._build_all(index)
            while self._index is index and not self._closing.is_set():
                changed.wait()
                changed.clear()
                while not self._closing.is_set() and index.maintain(_UPKEEP_US):
                    self._closing.wait(_UPKEEP_PAUSE_S)
        except (SecondMeError, MemoryError):
            # A closed store, or a damaged one: searches then meet the damage themselves.
            with suppress(SecondMeError), self._database.reading() as connection:
                if self._index is index:
                    self._give_up(connection, refuse=True)

    def _build_all(self, index: VectorIndex) -> None:
        """Build, a slice at a time."""
        slices: Iterator[str] | None = None
        while not self._closing.is_set():
            with self._database.reading() as connection:
                if self._index is not index:
                    return
                slices = slices or self._build(connection, index)
                stage = next(slices, None)
                if stage is None:
                    return
                self._stage = stage
            time.sleep(_PAUSE_S)

    def _build(self, connection: apsw.Connection, index: VectorIndex) -> Iterator[str]:
        """Yields the stage after each slice."""
        from secondme.memory import blocks

        owners = None
        for found in blocks.read_owners(connection):
            owners = found
            yield "building"
        assert owners is not None
        for rows in blocks.read_blocks(connection, owners, self._n_dims):
            index.add(rows.ids, rows.vectors, rows.attributes)
            yield "building"
        yield "usable"
        if self._fine:
            for rows in blocks.read_exact(connection, owners, self._n_dims):
                index.add(rows.ids, rows.vectors, rows.attributes)
                yield "usable"
            yield "whole"

    # From any thread -------------------------------------------------------------------------------------------

    def status(self) -> Status | None:
        index, stage, fine = self._index, self._stage, self._fine
        return None if index is None else Status(stage, fine, index.stats())

    def close(self) -> None:
        """Zero the index and end the thread; doing so again does nothing."""
        self._closing.set()
        self._changed.set()
        with suppress(SecondMeError), self._database.reading() as connection:
            self._refused = True
            self._give_up(connection)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)


def limit_bytes(wanted: int | None) -> int:
    """`wanted`, or the share of this machine's memory; where the system does not tell, of a small one's."""
    if wanted is not None:
        return wanted
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // PHYSICAL_SHARE
    except (AttributeError, OSError, ValueError):
        return (4 << 30) // PHYSICAL_SHARE
