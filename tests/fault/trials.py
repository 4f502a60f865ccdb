"""One call of the store at a time, with one failing system call in it: what is tried, and what must be true after it.

Runs in a child under the shim (`iolog.c`); `tests/fault/test_nth_failure.py` starts it.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from secondme.errors import SecondMeError, StoreFull
from secondme.memory.store import Store
from secondme.paths import private_dir
from tests.fault.iolog import failing
from tests.fault.workload import STORE, State, Step, after, do, held, open_store

SECRET = "apple"
CHANGES = "write|truncate|sync|rename|link|unlink|mkdir|rmdir"
NAMES = "open|create|close"
MODES = ("once", "on", "short")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)

BEGIN = (
    Step("put", "/a", (f"{SECRET} pie", f"{SECRET} juice")),
    Step("put", "/b", ("plum cake",)),
    Step("touch", "/b", ("5",)),
    Step("talk", "t"),
    Step("turn", "t", ("a question",)),
    Step("learn", f"{SECRET} tree", ("t",)),
    Step("folder", "/f"),
)
CALLS: dict[str, tuple[Step, ...]] = {
    "store a file": (Step("put", "/c", ("pear", "quince")),),
    "replace a file": (Step("put", "/a", ("pear " * 900,)),),
    "leave a file out": (Step("skip", "/b", ("empty",)),),
    "touch": (Step("touch", "/b", ("6",)),),
    "move": (Step("move", "/a", ("/moved",)),),
    "remove": (Step("remove", "/a"),),
    "remove several": (Step("remove several", "", ("/a", "/b")),),
    "forget": (Step("forget", "/a"),),
    "new conversation": (Step("talk", "u"),),
    "new turn": (Step("turn", "t", ("another",)),),
    "new title": (Step("retitle", "t", ("v",)),),
    "end a conversation": (Step("end talk", "t"),),
    "learn": (Step("learn", "a pear", ("t",)), Step("use", "a pear")),
    "forget what was learned": (Step("unlearn", f"{SECRET} tree"),),
    "add a folder": (Step("folder", "/g"),),
    "leave a folder": (Step("leave folder", "/f"),),
    "note": (Step("note"),),
    "reindex": (Step("reindex", "7"),),
    "compact": (Step("put", "/a", ("pear",)), Step("compact")),
    "batch": (Step("put", "/c", ("pear",), True), Step("remove", "/a", (), True), Step("turn", "t", ("x",), True)),
    "open": (),
    "recover": (),
    "make": (),
    "close": (),
}
MAX_PAGES = 300
OPENINGS = ("open", "recover", "make")
LATER = Step("put", "/later", ("fig",))


@dataclass(frozen=True, slots=True)
class Trial:
    """Of the system calls `ops` inside the call named `call`, the `nth` fails with `error`."""

    call: str
    ops: str
    error: int
    mode: str
    nth: int = 1


class Bench:
    """Folders to try in: `clean` as a closed store leaves it, `killed` as kill -9 does, `empty`, and `work`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.work = folder / "work"
        self.begin = State()
        self.n_raised = 0
        self.raised = False
        self._counts: dict[tuple[str, str], int] = {}
        private_dir((self._of("empty") / STORE).parent)
        store = open_store(self._of("clean"))
        for step in BEGIN:
            do(store, step)
            self.begin = after(self.begin, step)
        shutil.copytree(self._of("clean"), self._of("killed"))
        store.close()

    def _of(self, name: str) -> Path:
        return self._folder / name

    def set_up(self, call: str) -> State:
        """Lay out `work` for a call and return what it holds."""
        shutil.rmtree(self.work, ignore_errors=True)
        kind = {"make": "empty", "recover": "killed"}.get(call, "clean")
        shutil.copytree(self._of(kind), self.work)
        return State() if call == "make" else self.begin

    def count(self, trial: Trial) -> int:
        """How many system calls of its kind the call makes when all goes well."""
        key = (trial.call, trial.ops)
        if key not in self._counts:
            self.set_up(trial.call)
            store = None if trial.call in OPENINGS else open_store(self.work)
            with failing(trial.ops, sys.maxsize, errno.EIO) as seen:
                store = self._call(store, trial.call)
            if store is not None:
                store.close()
            self._counts[key] = seen[0]
        return self._counts[key]

    def run(self, trial: Trial) -> str:
        """What is wrong when that system call fails; nothing if all is well."""
        fault = failing(trial.ops, trial.nth, trial.error, trial.mode)
        # SQLite tries a file that it cannot make once more without making it, and so hides why.
        is_full = trial.error in (errno.ENOSPC, errno.EDQUOT) and trial.ops != NAMES
        return self.disturb(trial.call, fault, StoreFull if is_full else SecondMeError)

    def disturb(
        self, call: str, fault: AbstractContextManager[object], expected: type[SecondMeError] = SecondMeError
    ) -> str:
        """What is wrong when `call` is made under a fault that ends afterwards; nothing if all is well."""
        may_be = [self.set_up(call)]
        for step in CALLS[call]:
            may_be.append(after(may_be[-1], step))
        store = None if call in OPENINGS else open_store(self.work)
        self.raised = False
        complaint = ""
        with fault:
            try:
                store = self._call(store, call)
            except SecondMeError as error:
                self.raised = True
                self.n_raised += 1
                complaint = _objection(error, expected)
        try:
            return complaint or self._look(store, may_be if self.raised else may_be[-1:])
        except SecondMeError as error:
            return f"afterwards {type(error).__name__}: {error.message}"

    def _call(self, store: Store | None, call: str) -> Store | None:
        if store is None:
            return open_store(self.work)
        if call == "close":
            store.close()
            return None
        if call == "batch":
            with store.batch():
                for step in CALLS[call]:
                    do(store, step)
        else:
            for step in CALLS[call]:
                do(store, step)
        return store

    def _look(self, store: Store | None, allowed: Sequence[State]) -> str:
        """What is wrong after the fault is gone: in this process, for one that dies now, and after both go on."""
        if store is not None:
            dead = self._of("dead")
            shutil.rmtree(dead, ignore_errors=True)
            shutil.copytree(self.work, dead)
            found = held(store)
            if found not in allowed:
                return "the open store holds something else"
            complaint = _goes_on(open_store(dead), allowed)
            if complaint:
                return f"for a process that dies: {complaint}"
            allowed = [found]
        else:
            store = open_store(self.work)
        found = held(store)
        complaint = _goes_on(store, allowed)
        if complaint:
            return complaint
        return _goes_on(open_store(self.work), [after(found, LATER)])


def _goes_on(store: Store, allowed: Sequence[State]) -> str:
    try:
        found = held(store)
        if found not in allowed:
            return "it holds something else"
        do(store, LATER)
        if held(store) != after(found, LATER):
            return "it does not go on"
        bad = [c.name for c in store.check(read_data=True) if c.status != "ok"]
        return f"not sound: {bad}" if bad else ""
    finally:
        store.close()


def _objection(error: SecondMeError, expected: type[SecondMeError]) -> str:
    """What is wrong with the error itself."""
    if SECRET in f"{error.message} {error.hint}" or not error.hint:
        return f"its words: {error.message}"
    return "" if isinstance(error, expected) else f"{type(error).__name__}: {error.message}"


@contextmanager
def full(folder: Path, n_pages: int, n_names: int | None = None) -> Iterator[None]:
    """Leave so many free pages of 4 KiB on the file system of `folder` for a while, and so many names if given."""
    ballast = folder / "ballast"
    ballast.mkdir()
    (ballast / "pages").touch()
    try:
        if n_names is not None:
            for n in range(os.statvfs(folder).f_favail - n_names):
                (ballast / f"{n}").touch()
        room = os.statvfs(folder)
        (ballast / "pages").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - n_pages * 4096)))
        yield
    finally:
        shutil.rmtree(ballast)


def fill_up(bench: Bench, folder: Path, chance: random.Random, share: float) -> Iterator[tuple[str, str]]:
    """Make each call on a disk that is full after 0, 1, 2 ... pages, until it has room enough; likewise with names."""
    for call in CALLS:
        for n_pages in range(MAX_PAGES):
            if chance.random() < share:
                yield f"{call}, {n_pages} pages", bench.disturb(call, full(folder, n_pages), StoreFull)
                if not bench.raised:
                    break
        for n_names in range(4):
            if chance.random() < share:
                yield f"{call}, {n_names} names", bench.disturb(call, full(folder, MAX_PAGES, n_names))


def go_through(bench: Bench, chance: random.Random, share: float) -> Iterator[tuple[Trial, str]]:
    """Try each system call of each call in each way, or a `share` of all that; yield the trials with what was wrong."""
    for call, ops, error, mode in product(CALLS, (CHANGES, NAMES), ERRORS, MODES):
        trial = Trial(call, ops, error, mode)
        last = bench.count(trial)
        for nth in range(1, last + 1):
            if chance.random() < share:
                found = replace(trial, nth=nth)
                yield found, bench.run(found)
