"""A disk that is full at each step of each call of the store, and one that is read-only.

A small disk is mounted where that is permitted, in a child; elsewhere the shim plays one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fault.iolog import run_under
from tests.fault.soak import n

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is an LD_PRELOAD library"),
]

FILL = """
import errno, json, random, sys
from pathlib import Path
from tests.fault.mounting import own_mounts, small_disk
from tests.fault.trials import CALLS, CHANGES, Bench, Trial, fill_up
folder, share, chance = Path(sys.argv[1]), float(sys.argv[2]), random.Random(1)
n_tried, bad = 0, []
if own_mounts() and small_disk(folder, 4096, 64):
    bench = Bench(folder / "bench")
    for name, complaint in fill_up(bench, folder, chance, share):
        n_tried += 1
        bad += [f"{name}: {complaint}"] * bool(complaint)
else:
    bench = Bench(folder / "bench")
    for call in CALLS:
        for nth in range(1, bench.count(Trial(call, "write|create", errno.ENOSPC, "short")) + 1):
            if chance.random() < share:
                n_tried += 1
                complaint = bench.run(Trial(call, "write", errno.ENOSPC, "short", nth))
                bad += [f"{call} {nth}: {complaint}"] * bool(complaint)
print(json.dumps([n_tried, bench.n_raised, bad]))
"""


def test_a_disk_that_is_full_at_any_step_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    out = run_under(FILL, str(folder), str(n(150, 1000) / 1000), root=folder, timeout=n(120, 20_000))
    n_tried, n_raised, bad = json.loads(out)
    assert bad == []
    assert n_tried > n_raised > n(20, 200)


READ_ONLY = """
import errno, json, sys
from pathlib import Path
from secondme.errors import StoreError
from tests.fault.iolog import failing
from tests.fault.mounting import own_mounts, read_only
from tests.fault.trials import CALLS, CHANGES, Bench
bench, bad, may_mount = Bench(Path(sys.argv[1])), [], own_mounts()
for call in CALLS:
    fault = read_only(bench.work) if may_mount else failing(CHANGES + "|create", 1, errno.EROFS, "on")
    complaint = bench.disturb(call, fault, StoreError)
    bad += [f"{call}: {complaint}"] * bool(complaint)
print(json.dumps([len(CALLS), bench.n_raised, bad]))
"""


def test_a_disk_that_turns_read_only_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    n_tried, n_raised, bad = json.loads(run_under(READ_ONLY, str(tmp_path / "bench"), root=tmp_path))
    assert bad == []
    # Closing alone says nothing of it: what it could not move is moved at the next opening.
    assert n_raised == n_tried - 1
