"""Wiping and forgetting while the disk is full, or fails at any step. Kill -9 at any step is in `test_kill.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fault.iolog import run_under
from tests.fault.soak import n

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the shim is an LD_PRELOAD library")

HOME = """
import errno, json, os, random, shutil, sys
from contextlib import suppress
from pathlib import Path
from secondme.crypto import unlock, wiping
from secondme.errors import SecondMeError
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.wipe.everything import Places, found, wipe
from secondme.wipe.report import Report
from tests.fault.iolog import CHANGES, failing
from tests.fault.mounting import own_mounts, small_disk
from tests.keyfiles import CHEAP
from tests.storing import put, texts_found

def make(root):
    places = Places(root / "data", root / "state")
    for folder in (places.data, places.state):
        folder.mkdir(parents=True, mode=0o700)
    keys = unlock.unlock(places.data, passphrase="one", work=CHEAP)
    store = Store.open(places.data / "store.db", keys.store, places.state / "witness")
    for i in range(3):
        put(store, f"/{i}", [f"apple {i}" + " of the tree" * 9, f"plum {i}" + " in the jar" * 9], seed=i)
    store.close()
    return places, keys

def last(places, keys):
    *_, report = wipe(places, keys)
    assert isinstance(report, Report)
    return report
"""

FULL = """
root = Path(sys.argv[1])
mounted = own_mounts() and small_disk(root, 1024, 40)
home = root / "home"
places, keys = make(home)
n_bytes = 0
if mounted:
    with suppress(OSError), (root / "filler").open("wb", buffering=0) as file:
        while True:
            n_bytes += file.write(bytes(4096))
    with suppress(OSError):
        for i in range(1000):
            (root / f"name{i}").touch()
    fault = suppress()
else:
    fault = failing("write|create", 1, errno.ENOSPC, "on", "wipe-has-begun")
with fault:
    report = last(places, keys)
print(json.dumps([mounted, n_bytes, report.is_complete, [str(p) for p in found(places)[0]], report.keys_s]))
"""


def test_a_full_disk_does_not_keep_anything_from_being_wiped(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    mounted, n_bytes, complete, left, keys_s = json.loads(
        run_under(HOME + FULL, str(tmp_path / "disk"), root=tmp_path / "disk")
    )
    assert complete and left == [] and keys_s < 1
    assert n_bytes > 0 or not mounted


FAILING = """
root, share, chance = Path(sys.argv[1]), float(sys.argv[2]), random.Random(1)
template = root / "template"
make(template)
bad, n_tried, n_incomplete = [], 0, 0

def fresh():
    shutil.rmtree(root / "home", ignore_errors=True)
    shutil.copytree(template, root / "home")
    places = Places(root / "home" / "data", root / "home" / "state")
    return places, unlock.open_only(places.data, "one")

places, keys = fresh()
with failing(CHANGES, sys.maxsize, 0) as seen:
    last(places, keys)
for nth in range(1, seen[0] + 1):
    for error in (errno.EIO, errno.EACCES):
        for mode in ("once", "on"):
            if chance.random() > share:
                continue
            n_tried += 1
            places, keys = fresh()
            try:
                with failing(CHANGES, nth, error, mode):
                    report = last(places, keys)
            except BaseException as problem:
                bad.append(f"{nth} {mode}: {type(problem).__name__}")
                continue
            left = [p.name for p in found(places)[0] if p.stat().st_size]
            n_incomplete += not report.is_complete
            if left and report.is_complete:
                bad.append(f"{nth} {mode}: {left} is left, and it says nothing")
            if not last(places, None).is_complete or found(places)[0] or wiping.has_begun(places.data):
                bad.append(f"{nth} {mode}: a second wipe does not finish it")
print(json.dumps([n_tried, n_incomplete, seen[0], bad]))
"""


def test_whatever_fails_is_said_and_another_wipe_finishes_it(tmp_path: Path) -> None:
    out = run_under(HOME + FAILING, str(tmp_path), str(n(200, 1000) / 1000), root=tmp_path, timeout=n(120, 20_000))
    n_tried, n_incomplete, n_changes, bad = json.loads(out)
    assert bad == [] and n_changes > 20
    assert n_tried > n(10, 80) and n_incomplete > 3


FORGETTING = """
root, share, chance = Path(sys.argv[1]), float(sys.argv[2]), random.Random(2)
template = root / "template"
make(template)
bad, n_tried, n_raised = [], 0, 0

def fresh():
    shutil.rmtree(root / "home", ignore_errors=True)
    shutil.copytree(template, root / "home")
    keys = unlock.open_only(root / "home" / "data", "one")
    return Store.open(root / "home" / "data" / "store.db", keys.store, root / "home" / "state" / "witness")

def held(store):
    return len(texts_found(store, "apple")), store.tombstones().hides_path("default", "/1")

def forget(store):
    store.forget(Target(paths=(("default", "/1"),), passages=(1,)))

store = fresh()
with failing(CHANGES, sys.maxsize, 0) as seen:
    forget(store)
store.close()
for nth in range(1, seen[0] + 1):
    for error, mode in ((errno.ENOSPC, "short"), (errno.EIO, "once"), (errno.EIO, "on")):
        if chance.random() > share:
            continue
        n_tried += 1
        store = fresh()
        try:
            with failing(CHANGES, nth, error, mode):
                forget(store)
        except SecondMeError:
            n_raised += 1
        else:
            if held(store) != (1, True):
                bad.append(f"{nth} {mode}: it said it was done")
        for again in range(2):
            if held(store) not in ((3, False), (1, True)):
                bad.append(f"{nth} {mode}: half of it is forgotten: {held(store)}")
            if again:
                break
            store.close()
            keys = unlock.open_only(root / "home" / "data", "one")
            store = Store.open(root / "home" / "data" / "store.db", keys.store, root / "home" / "state" / "witness")
        forget(store)
        if held(store) != (1, True) or {c.status for c in store.check(read_data=True)} != {"ok"}:
            bad.append(f"{nth} {mode}: it does not go on")
        store.close()
print(json.dumps([n_tried, n_raised, bad]))
"""


def test_forgetting_is_all_or_nothing_whatever_fails(tmp_path: Path) -> None:
    out = run_under(HOME + FORGETTING, str(tmp_path), str(n(300, 1000) / 1000), root=tmp_path, timeout=n(120, 20_000))
    n_tried, n_raised, bad = json.loads(out)
    assert bad == []
    assert n_tried > n(5, 30) and n_raised > n_tried / 3
