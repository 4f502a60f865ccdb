"""The store after a power cut: whatever of the unsynced writes and names survived, every acknowledged step is there.

Real work is recorded by the shim, one record a child process. A crash image is what the model disk (`disk.py`) may hold
after a cut at any operation. Each is opened, read whole, compared with what was acknowledged before the cut, worked on
and opened again. In the chains, the process that opens an image is recorded in turn, and loses power as well.
"""

from __future__ import annotations

import random
import shutil
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from secondme.errors import CorruptRecord, SecondMeError
from tests.fault.disk import Disk
from tests.fault.iolog import read_record, run_under
from tests.fault.operations import OPERATIONS
from tests.fault.soak import n
from tests.fault.workload import State, held, open_store, plan, states

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is an LD_PRELOAD library"),
]

WORK = """
import sys
from pathlib import Path
from tests.fault.iolog import ack
from tests.fault.workload import plan, work
seed, start, stop = map(int, sys.argv[2:])
for n_done in work(Path(sys.argv[1]), plan(seed, stop), start):
    ack(str(n_done))
"""


class Run:
    """A recorded piece of work: its operations, and what was acknowledged when."""

    def __init__(self, folder: Path, seed: int, start: int, stop: int, image: Path | None = None) -> None:
        """The steps from number `start` to `stop`, in an empty folder or in `image`, which moves there."""
        self.root, self.start = folder / "work", start
        self.steps = plan(seed, stop)
        folder.mkdir(parents=True)
        if image is None:
            self.root.mkdir()
        else:
            image.rename(self.root)
        self.begun = Disk.of(self.root)
        record = folder / "record"
        run_under(WORK, str(self.root), str(seed), str(start), str(stop), root=self.root, record=record)
        self.entries = read_record(record)
        self._acks = [(i, int(e.data)) for i, e in enumerate(self.entries) if e.op == "ack"]

    def acknowledged(self, cut: int) -> tuple[int, int]:
        """Of a cut before operation `cut`: the steps that count, and those that may be there all the same."""
        at = bisect_right(self._acks, (cut - 1, sys.maxsize))
        done = self._acks[at - 1][1] if at else self.start
        return done, self._acks[at][1] if at < len(self._acks) else len(self.steps)

    def cuts(self, n_cuts: int, chance: random.Random) -> list[int]:
        """Where to cut, in order: anywhere, or right by one of the operations that order the others."""
        turns = [i for i, e in enumerate(self.entries) if e.op not in ("write", "open", "close")]
        places = [chance.randint(1, len(self.entries)) for _ in range(n_cuts)]
        near = [min(len(self.entries), max(1, chance.choice(turns) + chance.randint(-1, 2))) for _ in range(n_cuts)]
        return sorted(chance.choice(pair) for pair in zip(places, near, strict=True))

    def images(self, cuts: Sequence[int], chance: random.Random, *, lies: tuple[str, ...] = ()) -> Iterator[Path]:
        """What each cut leaves, one after another beside the work; the caller takes it away or leaves it there."""
        disk = self.begun.copy(lies)
        fed = 0
        for i, cut in enumerate(cuts):
            disk.feed(self.entries[fed:cut])
            fed = cut
            image = self.root.with_name(f"image-{i}")
            disk.leave(image, chance)
            yield image

    def verdict(self, image: Path, cut: int) -> tuple[str, int]:
        """`ok`, or what is wrong with the store of an image; and the number of steps that it holds."""
        expected = states(self.steps)
        first, last = self.acknowledged(cut)
        try:
            found = sound(image)
        except SecondMeError as error:
            return f"{type(error).__name__}: {error.message}", -1
        for i in range(first, last + 1):
            if found == expected[i]:
                return "ok", i
        return ("lost" if found in expected[:first] else "never written"), -1

    def judge(self, n_images: int, chance: random.Random, *, lies: tuple[str, ...] = ()) -> Counter[str]:
        """Make that many images and open each: how often each verdict fell. Bad images stay, for a look at them."""
        tally: Counter[str] = Counter()
        cuts = self.cuts(n_images, chance)
        for cut, image in zip(cuts, self.images(cuts, chance, lies=lies), strict=True):
            word, _ = self.verdict(image, cut)
            tally[word] += 1
            if word == "ok" or lies:
                shutil.rmtree(image)
        return tally


def sound(image: Path) -> State:
    """What the store of an image holds. Raises SecondMeError if it does not open or is not whole."""
    store = open_store(image)
    try:
        bad = [f"{c.name}: {c.detail}" for c in store.check(read_data=True) if c.status != "ok"]
        if bad:
            raise CorruptRecord("; ".join(bad))
        return held(store)
    finally:
        store.close()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("power") / "run", 1, 0, 60)


def test_no_power_cut_loses_an_acknowledged_step(tmp_path: Path) -> None:
    for seed in range(n(1, 20)):
        run = Run(tmp_path / f"{seed}", seed, 0, n(60, 200))
        assert run.judge(n(40, 450), random.Random(seed)) == {"ok": n(40, 450)}


def test_power_cuts_while_the_store_is_made_leave_none_or_a_whole_one(tmp_path: Path) -> None:
    for seed in range(n(1, 20)):
        run = Run(tmp_path / f"{seed}", seed, 0, 1)
        assert run.judge(n(20, 50), random.Random(seed)) == {"ok": n(20, 50)}


@pytest.mark.parametrize("n_steps", [1, 8])
def test_one_power_cut_after_another_loses_nothing(tmp_path: Path, n_steps: int) -> None:
    """The recovery of an image is cut off as well, and the recovery of that; the work goes on from what is there."""
    for seed in range(n(1, 60)):
        chance = random.Random(seed)
        image, done = None, 0
        for depth in range(n(3, 6)):
            run = Run(tmp_path / f"{seed}-{depth}", seed, done, done + n_steps, image)
            cut = run.cuts(1, chance)[0]
            # The recovery lies at the beginning.
            cut = chance.choice((cut, chance.randint(1, min(len(run.entries), 40))))
            (image,) = run.images([cut], chance)
            # The look at a copy leaves the image itself as the cut left it.
            word, done = run.verdict(shutil.copytree(image, image.with_name("copy")), cut)
            assert word == "ok", f"{word} at operation {cut} of {run.root.parent}"
        shutil.rmtree(tmp_path / f"{seed}-{depth}")


ACT = """
import sys
from pathlib import Path
from tests.fault.iolog import ack
from tests.fault.operations import OPERATIONS
operation = OPERATIONS[sys.argv[2]]
operation.prepare(Path(sys.argv[1]))
ack("begin")
operation.act(Path(sys.argv[1]), ack)
"""


@pytest.mark.parametrize("name", list(OPERATIONS)[:: n(4, 1)])
def test_no_power_cut_tears_an_operation_of_several_steps(tmp_path: Path, name: str) -> None:
    """As in `test_kill.py`, with power cuts: what was said is there, and the operation can be carried to its end."""
    chance, operation = random.Random(name), OPERATIONS[name]
    root = tmp_path / "work"
    root.mkdir()
    run_under(ACT, str(root), name, root=root, record=tmp_path / "record")
    entries = read_record(tmp_path / "record")
    (begin, *acks) = (i for i, entry in enumerate(entries) if entry.op == "ack")
    shutil.rmtree(root)
    disk = Disk(root)
    disk.feed(entries[:begin])
    disk.settle()
    fed = begin
    for cut in sorted(chance.randint(begin, len(entries)) for _ in range(n(6, 300))):
        disk.feed(entries[fed:cut])
        fed = cut
        disk.leave(root, chance)
        said = [entries[i].data.decode() for i in acks if i < cut]
        operation.verify(root, said, False)
        operation.act(root, said.append)
        operation.verify(root, said, True)
        shutil.rmtree(root)


@pytest.mark.parametrize(
    ("lies", "shown", "is_silent"),
    [
        ("", "lost", True),
        ("/data", "lost", True),
        ("-wal", "RolledBack", False),
        ("/store.db", "RolledBack", False),
        ("-watermark.new", "CorruptRecord", False),
    ],
    ids=["all", "the folder", "the log", "the database", "the watermark"],
)
def test_the_images_show_a_disk_that_lies(work: Run, lies: str, shown: str, is_silent: bool) -> None:
    """The control: where an fsync is not done, images are lost. Of one file that is not the watermark's, it is seen."""
    tally = work.judge(n(30, 500), random.Random(1), lies=(lies,))
    verdicts = {word.split(":")[0] for word in tally}
    assert shown in verdicts and "never written" not in verdicts
    assert ("lost" in verdicts) == is_silent
