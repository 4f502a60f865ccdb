"""Sealing on a disk that is full or fails, and under kill -9: the file is the old one or the new one, whole."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.crypto.stream import open_sealed, seal
from secondme.durable import NEW
from secondme.errors import StoreError
from tests.fault.soak import n

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))
CONTEXT = b"context"

START = """
import json, os, resource, sys
from pathlib import Path
from secondme.crypto.stream import open_sealed, seal
from secondme.errors import SecondMeError
path, key, context = Path(sys.argv[1]), bytes(range(32)), b"context"
"""


def child(code: str, *args: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", START + code, *args], stdout=subprocess.PIPE, env=environment)


def content(path: Path) -> bytes:
    with open_sealed(path, KEY, CONTEXT) as reader:
        return reader.read()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 256 KiB; None where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=256k") != 0:
        yield None
        return
    yield folder
    assert libc.umount(os.fsencode(folder)) == 0


# Seals more and more over an old file until it no longer fits, and says how it went.
FULL = """
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
seal([b"old" * 1000], path, key, context, chunk_bits=12)
for size in (10_000, 60_000, 150_000, 200_000, 252_000, 262_144, 300_000, 1_000_000):
    try:
        seal((b"x" * 999 for _ in range(size // 999)), path, key, context, chunk_bits=12)
        print(json.dumps(["sealed", size // 999 * 999]))
    except SecondMeError as error:
        print(json.dumps([type(error).__name__, error.message]))
    print(json.dumps([sorted(p.name for p in path.parent.iterdir()), len(open_sealed(path, key, context).readall())]))
"""


def full(folder: Path, *limit: str) -> None:
    path = folder / "a"
    with child(FULL, str(path), *limit) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    held, outcomes = 3000, []
    for (outcome, detail), (names, size) in zip(lines[::2], lines[1::2], strict=True):
        outcomes.append(outcome)
        if outcome == "sealed":
            held = detail
        else:
            assert outcome == "StoreFull" and "full" in detail
        assert (names, size) == (["a"], held)
    assert outcomes[0] == "sealed" and outcomes[-3:] == ["StoreFull"] * 3
    assert content(path) == b"x" * held


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(small_disk: Path | None, tmp_path: Path) -> None:
    if small_disk is not None:
        full(small_disk)
    # Without the right to mount, a limit on the size of files fails in the middle of a write as well.
    limited = tmp_path / "limited"
    limited.mkdir()
    full(limited, "200000")


# The nth call that asks something of the disk fails, writing aside.
FAILING = """
import errno
calls = 0
def failing(name, real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            raise OSError(errno.EIO, "no luck")
        return real(*args, **kwargs)
    setattr(os, name, call)
for name in ("open", "fsync"):
    failing(name, getattr(os, name))
real_replace = Path.replace
def replace(self, target):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        raise OSError(errno.EIO, "no luck")
    return real_replace(self, target)
Path.replace = replace
try:
    seal([b"new" * 5000], path, key, context, chunk_bits=12)
    print("sealed")
except SecondMeError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
def test_each_failing_step_is_an_error_and_the_file_is_whole(nth: int, tmp_path: Path) -> None:
    """In order: making the neighbour, its fsync, the rename, opening the folder, its fsync; six is none of them."""
    path = tmp_path / "a"
    seal([b"old"], path, KEY, CONTEXT)
    with child(FAILING, str(path), str(nth)) as process:
        out, _ = process.communicate(timeout=60)
    assert out.decode().strip() == ("sealed" if nth == 6 else "StoreError")
    # Once renamed the new one is there, although whether it lasts is not known.
    assert content(path) == (b"old" if nth <= 3 else b"new" * 5000)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ("a" + NEW)).mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        seal([b"new"], tmp_path / "a", KEY, CONTEXT)


# Seals one content after another, each of a letter of its own, and says so after each.
KILLED = """
i = int(sys.argv[2])
print("ready", flush=True)
while True:
    i += 1
    seal((bytes([65 + i % 26]) * 1000 for _ in range(50 + i % 100)), path, key, context, chunk_bits=12)
    print(i, flush=True)
"""


@pytest.mark.soak
def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    chance = random.Random(5)
    path = tmp_path / "a"
    done = 0
    seal([letter(0)], path, KEY, CONTEXT)
    for i in range(n(8, 1000)):
        with child(KILLED, str(path), str(done)) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            if i == 0:
                done = int(process.stdout.readline())
            try:
                process.wait(chance.uniform(0, 0.05))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            # What was said before the signal came is acknowledged.
            said = process.stdout.read().split()
        acknowledged = int(said[-1]) if said else done
        found = content(path)
        assert found in (letter(acknowledged), letter(acknowledged + 1))
        done = acknowledged + (found == letter(acknowledged + 1))
        assert {p.name for p in tmp_path.iterdir()} <= {"a", "a" + NEW}
    assert done > 0
    seal([b"at last"], path, KEY, CONTEXT)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def letter(i: int) -> bytes:
    """What the child seals as number `i`; number 0 is there before it."""
    return bytes([65 + i % 26]) * 1000 * (50 + i % 100)
